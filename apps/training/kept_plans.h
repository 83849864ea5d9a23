#pragma once
// The plans of a run's convolutions (tensor/convolution_plans.h) in its folder, so that it goes on with the same bits.

#include <filesystem>
#include <string>

#include "distributed/communicator.h"
#include "tensor/device.h"

namespace vapo::app {

// A file of JSON lines: the first says for which GPU and cuDNN, each other is a plan.
class KeptPlans {
 public:
  // On a GPU, plans are timed from now on, and those of the file are taken where it is there. Tells in one line what of it
  // cannot be used. Of several ranks all take those of rank 0's file, and of other shapes the first by cuDNN's heuristics: by
  // the clock each would choose for itself, and their parts of a batch be rounded in ways of their own.
  KeptPlans(std::filesystem::path file, Device device, Communicator& ranks);
  // On rank 0: writes the file where plans were chosen since; tells once how many there are, and how long it took. Throws IoError.
  void keep();

 private:
  int64_t take(const std::string& text);  // how many

  std::filesystem::path file_;
  Device device_;
  bool leads_;
  int64_t taken_ = 0, kept_ = 0;  // plans of the file; choices when it was written
  bool told_ = false;
};

}  // namespace vapo::app

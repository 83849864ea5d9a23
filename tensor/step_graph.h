#pragma once
// A training step of constant shapes on a GPU, recorded once and replayed with one call instead of hundreds of
// launches. What differs from step to step lives on the device, where random draws and optimizers read it.

#include <cstdint>
#include <functional>
#include <memory>

namespace vapo {

struct StepScalars {
  uint64_t advance =
      0;  // steps since the recorded one: added to every RandomKey's step and to the optimizer's count
  double learning_rate = 0, ema_decay = 0;  // taken instead of those of the recorded update
};

class StepGraph {
 public:
  StepGraph();
  ~StepGraph();  // gives the memory of the recorded step back
  // Records what `body` launches on the GPU, and runs none of it. The body must read nothing back: results go into
  // tensors that exist before (kernel::copy_into), operands stay where they are. Memory that it takes is the
  // graph's own, the same at every replay. Throws what the body throws, and Error where there is no GPU.
  void record(const std::function<void()>& body);
  bool recorded() const;
  void replay(const StepScalars& scalars);  // starts one step; reading a result waits for it

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace vapo

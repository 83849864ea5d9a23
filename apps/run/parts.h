#pragma once
// What takes long in an evaluation: numbers that are kept as they come, and the time that is left.

#include <filesystem>
#include <functional>
#include <string>

#include "apps/run/command.h"
#include "tensor/tensor.h"

namespace vapo::app {

// A line "WHAT: 320 of 1000, 45 s left" on standard error now and then.
class TimeLeft {
 public:
  TimeLeft(std::string what, int64_t total, int64_t done) : what_(std::move(what)), total_(total), first_(done) {}
  void show(int64_t done);

 private:
  std::string what_;
  int64_t total_, first_;
  double shown_at_ = 0;
  Stopwatch watch_;
};

// make(first, count) (count,C) f64 for the rows 0 … n−1, `batch` at a time, in a .npy file that grows: rows that an
// earlier call left there are not made again. Ranks share the batches, and all have the result. Throws InputError naming the file where it holds something else.
Tensor rows_in_parts(const std::filesystem::path& file, int64_t n, int64_t batch, const std::string& what,
                     const std::function<Tensor(int64_t first, int64_t count)>& make);

// A name of images as a part of a file's name: letters, digits and dashes.
std::string as_file_name(const std::string& name);

}  // namespace vapo::app

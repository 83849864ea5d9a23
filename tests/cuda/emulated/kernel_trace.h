#pragma once
// With VAPO_KERNEL_TRACE=FILE nothing runs on the stand-in device: what would is written down, a line each as
// bench/kernel_trace.cpp writes it, without times. Its bytes: all of the blocks of memory that it is handed.

#include <cxxabi.h>
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <set>
#include <string>
#include <typeinfo>
#include <utility>

#include "fibers.h"

namespace emulated {

// Of a kernel: the operation, and what it takes.
inline std::string name_of(const char* op, const std::type_info& kernel) {
  int status = 0;
  char* plain = abi::__cxa_demangle(kernel.name(), nullptr, nullptr, &status);
  std::string name = fmt::format("{} {}", op, plain ? plain : kernel.name());
  std::free(plain);
  return name;
}

class KernelTrace {
 public:
  static KernelTrace* active() {
    static KernelTrace* const trace = [] {
      const char* name = std::getenv("VAPO_KERNEL_TRACE");
      return name ? new KernelTrace(name) : nullptr;  // never destroyed: exit writes what is left
    }();
    return trace;
  }
  // By what is launched next; null is nothing.
  void touches(std::pair<const char*, size_t> block) {
    if (block.first && blocks_.insert(block.first).second) bytes_ += block.second;
  }
  // What writes the line of a launch that touches these.
  std::function<void()> line(const std::string& name, unsigned blocks = 1, unsigned threads = 1,
                             size_t shared = 0) {
    size_t bytes = std::exchange(bytes_, 0);
    blocks_.clear();
    return [=, this] {
      std::fprintf(out_, "%zu\t0\t%zu\t%ux1x1\t%u\t\t%zu\t%s\n", ++count_, bytes, blocks, threads, shared,
                   name.c_str());
    };
  }

 private:
  explicit KernelTrace(const char* name) : out_(std::fopen(name, "w")) {
    if (!out_) give_up("its trace cannot be written");
  }
  FILE* out_;
  std::set<const char*> blocks_;
  size_t bytes_ = 0, count_ = 0;
};

}  // namespace emulated

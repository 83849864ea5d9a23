// What the stand-in runtime says of memory on the wrong side: each mistake in a process of its own, which has to
// end with a line that names it; then the same work done right.

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <functional>
#include <string>

#include "tensor/cuda/context.h"
#include "tensor/kernels.h"

namespace {

using namespace vapo;

__global__ void copy(const float* from, float* to) { *to = *from; }
__global__ void reach(const float* from, float* to, int64_t at) { *to = from[at]; }
struct Pair {  // inside an argument
  int64_t count;
  const float* from;
  float* to;
};
__global__ void copy_pair(Pair p) { *p.to = *p.from; }

// What f leaves on standard error before it dies of SIGABRT; empty where it does not.
std::string last_words(const std::function<void()>& f) {
  int ends[2];
  if (pipe(ends) != 0) return "";
  pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    f();
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  char part[256];
  for (ssize_t n; (n = read(ends[0], part, sizeof part)) > 0;) text.append(part, static_cast<size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT ? text : "";
}

volatile float seen;

}  // namespace

int main() {
  Tensor here = Tensor::full({4}, 2), there = here.to(Device::cuda), result = Tensor::zeros({4}, there.options());
  auto* on_cpu = static_cast<float*>(here.raw());
  auto* on_device = static_cast<float*>(there.raw());
  auto* to = static_cast<float*>(result.raw());
  const std::string cpu = "the CPU touches memory of the device",
                    kernel = "is handed memory that is not the device's";
  struct Mistake {
    const char* name;
    std::string expected;
    std::function<void()> f;
  };
  const Mistake mistakes[] = {
      {"the CPU reads", cpu, [&] { seen = *on_device; }},
      {"the CPU writes", cpu, [&] { *on_device = 1; }},
      {"a kernel is given the CPU's", kernel, [&] { cuda::launch("copy", copy, 1, 1, on_cpu, to); }},
      {"inside an argument", kernel,
       [&] {
         cuda::launch("copy", copy_pair, 1, 1, Pair{1, on_cpu, to});
       }},
      {"a copy within the device", kernel, [&] { cuda::copy_blocks(on_cpu, 0, to, 0, 4, 1); }},
      {"memory that was freed", kernel,
       [&] {
         auto* gone = static_cast<float*>(Tensor::zeros({4}, there.options()).raw());
         cuda::launch("copy", copy, 1, 1, gone, to);
       }},
      {"a kernel beyond all memory", "a kernel touches memory of the device that nobody holds",
       [&] { cuda::launch("reach", reach, 1, 1, on_device, to, int64_t{1} << 28); }},
  };
  int failures = 0;
  for (const Mistake& m : mistakes) {
    std::string words = last_words(m.f);
    bool good = words.find(m.expected) != words.npos;
    failures += !good;
    std::printf("%s  %s: %s\n", good ? "PASS" : "FAIL", m.name,
                words.empty() ? "nothing is said\n" : words.c_str());
  }
  std::string thrown;
  try {
    cuda::pointer<float>(here);
  } catch (const Error& e) {
    thrown = e.what();
  }
  cuda::launch("copy", copy_pair, 1, 1, Pair{1, on_device, to});
  bool right = result.at(0) == 2 && result.at(1) == 0 && thrown.find("on the CPU") != thrown.npos;
  failures += !right;
  std::printf("%s  the same done right: %g; %s\n", right ? "PASS" : "FAIL", result.at(0), thrown.c_str());
  return failures > 0;
}

// Launches that the device refuses: one clear error each, and the next one works. Exits with 77 where there is no GPU.

#include <cstdio>
#include <string>

#include "tensor/cuda/context.h"
#include "tensor/device.h"

namespace {
__global__ void write(float* x) { *x = 3; }
// x ← what the block's first thread left at the end of its shared memory
__global__ void write_shared(float* x, int bytes) {
  float* last = reinterpret_cast<float*>(vapo::cuda::dynamic_shared() + bytes) - 1;
  if (threadIdx.x == 0) *last = 5;
  __syncthreads();
  if (threadIdx.x == 1) *x = *last;
}
}  // namespace

int main() {
  using namespace vapo;
  if (!cuda_available()) {
    std::printf("skipped: %s\n", cuda_absence().c_str());
    return 77;
  }
  Tensor x = Tensor::zeros({1}, {DType::f32, Device::cuda});
  std::string message;
  try {
    cuda::launch("write", write, 1, 4096, cuda::pointer<float>(x));
  } catch (const Error& e) {
    message = e.what();
  }
  bool named = message.find("write") != message.npos && message.find("invalid") != message.npos;
  double before = x.item();
  cuda::launch("write", write, 1, 1, cuda::pointer<float>(x));
  double after = x.item();
  bool good = named && before == 0 && after == 3;
  std::printf("%s  a failed launch: '%s', then %g and %g\n", good ? "PASS" : "FAIL", message.c_str(), before,
              after);

  // Shared memory: more than a kernel has without asking, and more than there is.
  constexpr int some = 90 << 10, too_much = 1 << 20;
  message.clear();
  try {
    cuda::launch_with_shared("write_shared", write_shared, 1, 32, too_much, cuda::pointer<float>(x), too_much);
  } catch (const Error& e) {
    message = e.what();
  }
  before = x.item();
  cuda::launch_with_shared("write_shared", write_shared, 1, 32, some, cuda::pointer<float>(x), some);
  after = x.item();
  bool shared = message.find("write_shared") != message.npos && message.find("invalid") != message.npos &&
                before == 3 && after == 5;
  std::printf("%s  too much shared memory: '%s', then %g and %g\n", shared ? "PASS" : "FAIL", message.c_str(),
              before, after);
  return !(good && shared);
}

// A launch that the device refuses: one clear error, and the next one works. Exits with 77 where there is no GPU.

#include <cstdio>
#include <string>

#include "tensor/cuda/context.h"
#include "tensor/device.h"

namespace {
__global__ void write(float* x) { *x = 3; }
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
  bool named = message.find("write") != message.npos && message.find("invalid configuration") != message.npos;
  double before = x.item();
  cuda::launch("write", write, 1, 1, cuda::pointer<float>(x));
  double after = x.item();
  bool good = named && before == 0 && after == 3;
  std::printf("%s  a failed launch: '%s', then %g and %g\n", good ? "PASS" : "FAIL", message.c_str(), before,
              after);
  return !good;
}

#include "tensor/device.h"

#include "tensor/check.h"

namespace vapo {

bool cuda_available() { return false; }

Device device_from_name(const std::string& name) {
  if (name == "cpu" || name == "auto") return Device::cpu;
  if (name == "cuda") throw InputError("device 'cuda': this build has no CUDA backend. Hint: --device cpu");
  throw InputError(fmt::format("unknown device '{}': use auto, cpu or cuda", name));
}

}  // namespace vapo

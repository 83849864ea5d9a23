#include "tensor/device.h"

#include <fstream>

#include "tensor/check.h"
#include "tensor/cpu/cpu.h"

namespace vapo {

bool cuda_available() { return false; }

bool cpu_has_bf16() {
#ifdef __x86_64__
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

DeviceFacts device_facts(Device) {
  std::ifstream info("/proc/cpuinfo");
  std::string device = "CPU";
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) {
      device = line.substr(std::min(line.size(), line.find(':') + 2));
      break;
    }
  return {device, cpu::libraries()};
}

Device device_from_name(const std::string& name) {
  if (name == "cpu" || name == "auto") return Device::cpu;
  if (name == "cuda") throw InputError("device 'cuda': this build has no CUDA backend. Hint: --device cpu");
  throw InputError(fmt::format("unknown device '{}': use auto, cpu or cuda", name));
}

}  // namespace vapo

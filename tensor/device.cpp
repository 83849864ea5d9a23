#include "tensor/device.h"

#include <fstream>

#include "tensor/backend.h"
#include "tensor/check.h"

namespace vapo {

bool cuda_available() { return cuda::available(); }

bool cpu_has_bf16() {
#ifdef __x86_64__
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

std::string cuda_absence() { return cuda::why_not(); }

int64_t gpu_count() { return cuda::device_count(); }
void choose_gpu(int64_t index) {
  if (index < 0 || index >= gpu_count())
    throw InputError(fmt::format("GPU {} of {}: there is none", index, gpu_count()));
  cuda::choose_device(static_cast<int>(index));
}

void synchronize(Device d) {
  if (d == Device::cuda) cuda::synchronize();
}

DeviceFacts device_facts(Device d) {
  if (d == Device::cuda) return {cuda::device_name(), cuda::libraries()};
  std::ifstream info("/proc/cpuinfo");
  std::string device = "CPU";
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) {
      device = line.substr(std::min(line.size(), line.find(':') + 2));
      break;
    }
  return {device, cpu::libraries()};
}

Device available(DeviceChoice choice) {
  if (choice == DeviceChoice::cpu) return Device::cpu;
  if (cuda::available()) return Device::cuda;
  if (choice == DeviceChoice::best) return Device::cpu;
  throw InputError(fmt::format("device 'cuda': {}. Hint: --device cpu", cuda::why_not()));
}

}  // namespace vapo

#pragma once
// Where a tensor lives.

#include <cstdint>
#include <string>

#include "tensor/names.h"

namespace vapo {

enum class Device : uint8_t { cpu, cuda };
constexpr auto names_of(Device) {
  return name_table<Device>("device", {{"cpu", Device::cpu}, {"cuda", Device::cuda}});
}

enum class DeviceChoice : uint8_t { best, cpu, cuda };
constexpr auto names_of(DeviceChoice) {
  using enum DeviceChoice;
  return name_table<DeviceChoice>("device", {{"auto", best}, {"cpu", cpu}, {"cuda", cuda}});
}
// best: of this build and machine. Throws InputError for cuda where there is none.
Device available(DeviceChoice choice);
bool cuda_available();
std::string cuda_absence();  // why not, in a few words; empty where there is a device
bool cpu_has_bf16();         // avx512_bf16: oneDNN's bf16 products are quicker than f32 there

int64_t gpu_count();  // that this build and machine have
// Which of them, from 0 on, Device::cuda is: before its first use. Throws InputError where there is none of that number.
void choose_gpu(int64_t index);

void synchronize(Device d);  // waits until everything that was started there is done

struct DeviceFacts {      // what a measurement has to name
  std::string device;     // "AMD EPYC …"
  std::string libraries;  // "oneDNN 2.6.3, loops for avx512"
};
DeviceFacts device_facts(Device d);

}  // namespace vapo

#pragma once
// Where a tensor lives.

#include <cstdint>
#include <string>
#include <string_view>

namespace vapo {

enum class Device : uint8_t { cpu, cuda };

constexpr std::string_view name_of(Device d) { return d == Device::cpu ? "cpu" : "cuda"; }

// "auto" gives the best device of this build and machine. Throws InputError for "cuda" where there is none.
Device device_from_name(const std::string& name);
bool cuda_available();
std::string cuda_absence();  // why not, in a few words; empty where there is a device
bool cpu_has_bf16();         // avx512_bf16: oneDNN's bf16 products are quicker than f32 there

void synchronize(Device d);  // waits until everything that was started there is done

struct DeviceFacts {      // what a measurement has to name
  std::string device;     // "AMD EPYC …"
  std::string libraries;  // "oneDNN 2.6.3, loops for avx512"
};
DeviceFacts device_facts(Device d);

}  // namespace vapo

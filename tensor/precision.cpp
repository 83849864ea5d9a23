#include "tensor/precision.h"

#ifdef __x86_64__
#include <cpuid.h>
#endif

#include <atomic>

#include "tensor/check.h"
#include "tensor/device.h"

namespace vapo {
namespace {
constinit std::atomic<Precision> current = Precision::strict;
}

Precision precision() { return current.load(std::memory_order_relaxed); }

void set_precision(Precision p, Device device) {
  if (p == Precision::bf16 && device == Device::cpu && !cpu_has_bf16())
    throw InputError("precision 'bf16': this CPU has no avx512_bf16. Hint: use strict or fast");
  current.store(p, std::memory_order_relaxed);
}

bool cpu_has_bf16_tiles() {
#ifdef __x86_64__
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned features = 7, amx_bf16 = 1u << 22;  // of EDX
  return __get_cpuid_count(features, 0, &a, &b, &c, &d) != 0 && (d & amx_bf16) != 0;
#else
  return false;
#endif
}

}  // namespace vapo

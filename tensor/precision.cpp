#include "tensor/precision.h"

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

Precision precision_from_name(const std::string& name) {
  for (Precision p : {Precision::strict, Precision::fast, Precision::bf16})
    if (name == name_of(p)) return p;
  throw InputError(fmt::format("unknown precision '{}': use strict, fast or bf16", name));
}

}  // namespace vapo

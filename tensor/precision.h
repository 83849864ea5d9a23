#pragma once
// One policy for how exactly products and convolutions of f32 tensors are computed. Tensors stay f32, sums run in f32.

#include "tensor/device.h"
#include "tensor/names.h"

namespace vapo {

enum class Precision {
  strict,  // in f32, by the definition: direct convolutions
  fast,    // Winograd convolutions where they are quicker (CPU): errors some 3e-6 of the largest value; TF32 (GPU)
  bf16     // operands rounded to bf16, sums in f32: errors some 1e-2. Needs a CPU with avx512_bf16, or a GPU
};
constexpr auto names_of(Precision) {
  using enum Precision;
  return name_table<Precision>("precision", {{"strict", strict}, {"fast", fast}, {"bf16", bf16}});
}

Precision precision();  // strict, unless it was set
// Throws InputError where that device cannot; not while kernels run.
void set_precision(Precision p, Device device = Device::cpu);
// Whether this CPU has AMX for bf16. Without it convolutions in bf16 are slower than `fast`, whose Winograd does
// less work (bench/README.md: 167 ms against 130 on a Zen 4).
bool cpu_has_bf16_tiles();

}  // namespace vapo

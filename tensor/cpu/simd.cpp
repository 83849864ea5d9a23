#include "tensor/cpu/simd.h"

namespace vapo::cpu {

#define VAPO_DECLARE_ISA(isa)     \
  namespace isa {                 \
  const Loops<float>& loops32();  \
  const Loops<double>& loops64(); \
  }
VAPO_DECLARE_ISA(baseline)
#ifdef __x86_64__
VAPO_DECLARE_ISA(avx2)
VAPO_DECLARE_ISA(avx512)
#endif

namespace {
struct Choice {
  const char* name;
  const Loops<float>& f32;
  const Loops<double>& f64;
};
const Choice& choice() {
  static const Choice best = [] {
#ifdef __x86_64__
    // x86-64-v3 and -v4 by the features that tell them from older CPUs: Clang 14 does not know the levels' names
    bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2") &&
              __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
    bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
              __builtin_cpu_supports("avx512vl");
    if (v4) return Choice{"avx512", avx512::loops32(), avx512::loops64()};
    if (v3) return Choice{"avx2", avx2::loops32(), avx2::loops64()};
#endif
    return Choice{"baseline", baseline::loops32(), baseline::loops64()};
  }();
  return best;
}
}  // namespace

template <>
const Loops<float>& simd() {
  return choice().f32;
}
template <>
const Loops<double>& simd() {
  return choice().f64;
}
const char* simd_name() { return choice().name; }

}  // namespace vapo::cpu

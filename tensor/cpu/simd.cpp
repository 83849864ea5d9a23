#include "tensor/cpu/simd.h"

#include "tensor/cpu/simd_norm.h"
#include "tensor/cpu/simd_winograd.h"

namespace vapo::cpu {

#define VAPO_DECLARE_ISA(isa)              \
  namespace isa {                          \
  const Loops<float>& loops32();           \
  const Loops<double>& loops64();          \
  const NormLoops<float>& norm_loops32();  \
  const NormLoops<double>& norm_loops64(); \
  const WinogradLoops& winograd_loops();   \
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
  const NormLoops<float>& norm32;
  const NormLoops<double>& norm64;
  const WinogradLoops& winograd;
};
#define VAPO_CHOOSE(isa) \
  Choice { #isa, isa::loops32(), isa::loops64(), isa::norm_loops32(), isa::norm_loops64(), isa::winograd_loops() }
const Choice& choice() {
  static const Choice best = [] {
#ifdef __x86_64__
    // x86-64-v3 and -v4 by the features that tell them from older CPUs: Clang 14 does not know the levels' names
    bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2") &&
              __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
    bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
              __builtin_cpu_supports("avx512vl");
    if (v4) return VAPO_CHOOSE(avx512);
    if (v3) return VAPO_CHOOSE(avx2);
#endif
    return VAPO_CHOOSE(baseline);
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
template <>
const NormLoops<float>& norm_simd() {
  return choice().norm32;
}
template <>
const NormLoops<double>& norm_simd() {
  return choice().norm64;
}
const WinogradLoops& winograd_simd() { return choice().winograd; }
const char* simd_name() { return choice().name; }

}  // namespace vapo::cpu

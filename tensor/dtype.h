#pragma once
// Element types: f32 and f64 to compute in, bf16 to store what a GPU computes in f32, i64 for indices and labels,
// u8 for images.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tensor/bfloat16.h"
#include "tensor/check.h"

namespace vapo {

enum class DType : uint8_t { f32, f64, i64, u8, bf16 };

constexpr size_t size_of(DType t) { return t == DType::f32 ? 4 : t == DType::u8 ? 1 : t == DType::bf16 ? 2 : 8; }
constexpr std::string_view name_of(DType t) {
  switch (t) {
    case DType::f32:
      return "f32";
    case DType::f64:
      return "f64";
    case DType::i64:
      return "i64";
    case DType::bf16:
      return "bf16";
    default:
      return "u8";
  }
}
constexpr bool is_floating(DType t) { return t == DType::f32 || t == DType::f64 || t == DType::bf16; }
// What sums, statistics and coefficients of values of type t are kept in.
constexpr DType compute_dtype(DType t) { return t == DType::bf16 ? DType::f32 : t; }
// The largest finite value of a floating type.
constexpr double largest_of(DType t) {
  return t == DType::f64 ? 0x1.fffffffffffffp1023 : t == DType::f32 ? 0x1.fffffep127 : 0x1.fep127;
}
inline std::string_view format_as(DType t) { return name_of(t); }

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<int64_t> {
  static constexpr DType value = DType::i64;
};
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::u8;
};
template <>
struct DTypeOf<BFloat16> {
  static constexpr DType value = DType::bf16;
};
template <class T>
inline constexpr DType dtype_of = DTypeOf<T>::value;

// Call f<T>() for the C++ type T behind t: dispatch_floating(t, [&]<class T>() { … }).
template <class F>
decltype(auto) dispatch_floating(DType t, const F& f) {
  if (t == DType::f32) return f.template operator()<float>();
  VAPO_CHECK(t != DType::bf16,
             "bf16 tensors compute on a GPU alone. Hint: convert to f32; on the CPU the precision "
             "policy bf16 rounds what enters convolutions and products");
  VAPO_CHECK(t == DType::f64, "expected a floating dtype (f32 or f64), got {}", name_of(t));
  return f.template operator()<double>();
}
template <class F>
decltype(auto) dispatch_any(DType t, const F& f) {
  switch (t) {
    case DType::f32:
      return f.template operator()<float>();
    case DType::f64:
      return f.template operator()<double>();
    case DType::i64:
      return f.template operator()<int64_t>();
    case DType::bf16:
      return f.template operator()<BFloat16>();
    default:
      return f.template operator()<uint8_t>();
  }
}

}  // namespace vapo

#pragma once
// Element types: f32 and f64 to compute in, i64 for indices and labels, u8 for images.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "tensor/check.h"

namespace vapo {

enum class DType : uint8_t { f32, f64, i64, u8 };

constexpr size_t size_of(DType t) { return t == DType::f32 ? 4 : t == DType::u8 ? 1 : 8; }
constexpr std::string_view name_of(DType t) {
  switch (t) {
    case DType::f32:
      return "f32";
    case DType::f64:
      return "f64";
    case DType::i64:
      return "i64";
    default:
      return "u8";
  }
}
constexpr bool is_floating(DType t) { return t == DType::f32 || t == DType::f64; }
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
template <class T>
inline constexpr DType dtype_of = DTypeOf<T>::value;

// Calls f with a value of the C++ type behind t: dispatch_floating(t, [&](auto zero) { using T = decltype(zero); …
// }).
template <class F>
decltype(auto) dispatch_floating(DType t, F&& f) {
  if (t == DType::f32) return std::forward<F>(f)(float{});
  VAPO_CHECK(t == DType::f64, "expected a floating dtype (f32 or f64), got {}", name_of(t));
  return std::forward<F>(f)(double{});
}
template <class F>
decltype(auto) dispatch_any(DType t, F&& f) {
  switch (t) {
    case DType::f32:
      return std::forward<F>(f)(float{});
    case DType::f64:
      return std::forward<F>(f)(double{});
    case DType::i64:
      return std::forward<F>(f)(int64_t{});
    default:
      return std::forward<F>(f)(uint8_t{});
  }
}

}  // namespace vapo

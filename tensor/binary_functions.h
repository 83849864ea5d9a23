#pragma once
// Functions of two operands, each written once over a value type V, as in functions.h.

#include <utility>

#include "tensor/functions.h"
#include "tensor/kernels.h"

namespace vapo {

template <kernel::Binary op, class V>
VAPO_FN V combine(V a, V b) {
  using enum kernel::Binary;
  using scalar::select;
  if constexpr (op == add)
    return a + b;
  else if constexpr (op == sub)
    return a - b;
  else if constexpr (op == mul)
    return a * b;
  else if constexpr (op == div)
    return a / b;
  else if constexpr (op == maximum)
    return select(a < b, b, select(b == b, a, b));  // NaN if either is
  else if constexpr (op == minimum)
    return select(b < a, b, select(b == b, a, b));
  else if constexpr (op == share)
    return select(a < b, V(0), select(a == b, V(0.5), V(1)));
  else if constexpr (op == mul_or_zero)
    return select(b == V(0), V(0), a * b);
  else if constexpr (op == div_or_zero)
    return select(b == V(0), V(0), a / b);
  else if constexpr (op == eq)
    return select(a == b, V(1), V(0));
  else if constexpr (op == ne)
    return select(a == b, V(0), V(1));
  else if constexpr (op == lt)
    return select(a < b, V(1), V(0));
  else if constexpr (op == le)
    return select(a <= b, V(1), V(0));
  else if constexpr (op == gt)
    return select(b < a, V(1), V(0));
  else
    return select(b <= a, V(1), V(0));
}

// Calls f<op>().
template <class F>
void visit_binary(kernel::Binary op, const F& f) {
  auto visit = [&]<int... ops>(std::integer_sequence<int, ops...>) {
    ((static_cast<int>(op) == ops ? f.template operator()<static_cast<kernel::Binary>(ops)>() : void()), ...);
  };
  visit(std::make_integer_sequence<int, kernel::binary_count>{});
}

}  // namespace vapo

#pragma once
// Rows of the parity table: elementwise kernels and reductions at NaN, infinities, ties and numbers whose squares
// overflow.

#include <fmt/format.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "autograd/ops.h"

namespace vapo {

using AddRow = std::function<void(std::string name, std::vector<Shape> shapes,
                                  std::function<std::vector<Tensor>(const std::vector<Tensor>&)> f, bool in_bf16)>;

inline void elementwise_rows(const AddRow& add_row) {
  using Tensors = std::vector<Tensor>;
  // thrice: in vectors and in what is left of them
  auto ends = [](const Tensor& like) {
    const double large = like.dtype() == DType::f64 ? 1e200 : 0x1p126;
    std::vector<double> values;
    for (int repeat = 0; repeat < 3; ++repeat)
      values.insert(values.end(), {NAN, INFINITY, -INFINITY, 0.0, -0.0, 1.5, -1.5, large, -large, 0.0078125});
    return Tensor::from(values, {30}).to(like.dtype()).to(like.device());
  };
  for (int i = 0; i < Functions::size; ++i) {
    add_row(
        fmt::format("function {} at the ends", i), {{1}},
        [i, ends](const Tensors& x) {
          Tensor at = ends(x[0]), one = Tensor::ones({30}, x[0].options());
          return Tensors{kernel::unary(i, at, 1.5), kernel::scaled2(i, at, one, one, 1.5)};
        },
        true);
  }
  for (int i = 0; i < kernel::binary_count; ++i) {
    add_row(
        fmt::format("binary {} at the ends", i), {{1}},
        [i, ends](const Tensors& x) {
          Tensor a = ends(x[0]), b = kernel::slice(a, 0, 0, 10, 1).reshape({10, 1});
          auto f = static_cast<kernel::Binary>(i);
          return Tensors{kernel::binary(f, a, b), kernel::binary(f, a, a)};
        },
        true);
  }
  add_row(
      "reductions at the ends", {{40, 7}, {7, 700}},
      [ends](const Tensors& x) {
        Tensors out;
        for (const Tensor& t : x) {
          Tensor at = ends(t);
          for (int64_t i = 0; i < 10; ++i) {  // one of them among ordinary numbers, in each row or column alike
            Tensor one = kernel::slice(at, 0, i, i + 1, 1);
            for (int64_t dim : {0, 1}) {
              Shape line = t.shape();
              line[static_cast<int>(dim)] = 1;
              const Tensor parts[] = {t, kernel::broadcast_to(one, line), t};
              Tensor mixed = kernel::concat(parts, dim);
              out.insert(out.end(), {kernel::amax(mixed, {dim}, false), kernel::cumsum(mixed, dim),
                                     logsumexp(mixed, {dim}).value(), softmax(mixed, {dim}).value()});
            }
          }
        }
        return out;
      },
      false);
}

}  // namespace vapo

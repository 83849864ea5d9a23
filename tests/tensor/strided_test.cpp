#include "tensor/strided.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "tensor/kernels.h"

using namespace vapo;

TEST_CASE("neighbouring dimensions through which all operands move on alike are one") {
  CHECK(broadcast_strides({4, 5, 6}, Shape{4, 5, 6}, Shape{4, 5, 6}).rank == 1);
  CHECK(broadcast_strides({4, 5, 6}, Shape{4, 5, 6}, Shape{5, 6}).rank == 2);
  CHECK(broadcast_strides({4, 5, 6}, Shape{4, 1, 6}, Shape{1, 5, 1}).rank == 3);
  CHECK(broadcast_strides({4, 1, 6}, Shape{4, 1, 1}).rank == 2);
  CHECK(broadcast_strides({4, 5}, Shape{}).rank == 1);
  CHECK(permute_strides({2, 3, 4}, {0, 1, 2}).rank == 1);
  CHECK(permute_strides({2, 3, 4}, {2, 0, 1}).rank == 2);
  CHECK(permute_strides({2, 1, 4}, {1, 0, 2}).rank == 1);
  CHECK(permute_strides({2, 3, 4}, {2, 1, 0}).rank == 3);
  CHECK(permute_strides({}, {}).rank == 0);
  Strided<1> scalar = broadcast_strides({1, 1}, Shape{});
  CHECK(scalar.rank == 0);
  CHECK(scalar.numel() == 1);
}

TEST_CASE("permutations of every order") {
  Shape shape{3, 1, 70, 5};
  Tensor x = Tensor::arange(shape.numel(), DType::i64).reshape(shape);
  std::vector<int64_t> order{0, 1, 2, 3};
  do {
    Dims dims{order[0], order[1], order[2], order[3]};
    Tensor y = kernel::permute(x, dims);
    bool right = true;
    for (int64_t i = 0; i < y.numel(); ++i) {
      int64_t at[4] = {}, rest = i;  // in x
      for (int d = 3; d >= 0; --d) at[order[static_cast<size_t>(d)]] = rest % y.dim(d), rest /= y.dim(d);
      right = right && y.data<int64_t>()[i] == ((at[0] * 1 + at[1]) * 70 + at[2]) * 5 + at[3];
    }
    CAPTURE(dims.str());
    CHECK(right);
  } while (std::ranges::next_permutation(order).found);
}

TEST_CASE("an index of rows and one of elements that says the same") {
  for (DType t : {DType::f32, DType::f64}) {
    Tensor x = Tensor::arange(2 * 5 * 300, t).reshape({2, 5, 300});
    Tensor rows = Tensor::from(std::vector<int64_t>{4, 0, 4, 1}, {4});
    Tensor elements = kernel::broadcast_to(rows.reshape({1, 4, 1}), {2, 4, 300});
    Tensor taken = kernel::index_select(x, 1, rows);
    CHECK(taken.to(DType::f64).to_vector<double>() ==
          kernel::gather(x, 1, elements).to(DType::f64).to_vector<double>());
    CHECK(taken.at((4 + 3) * 300 + 7) == x.at((5 + 1) * 300 + 7));
    CHECK(kernel::index_add(taken, x.shape(), 1, rows).to(DType::f64).to_vector<double>() ==
          kernel::scatter_add(taken, x.shape(), 1, elements).to(DType::f64).to_vector<double>());
    Tensor none = kernel::index_select(x, 1, Tensor::empty({0}, DType::i64));
    CHECK(none.shape() == Shape{2, 0, 300});
    CHECK(kernel::index_add(none, x.shape(), 1, Tensor::empty({0}, DType::i64)).at(11) == 0);
  }
}

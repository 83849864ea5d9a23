// Where several operations use one input, a vjp may add what has come so far inside its own kernel: the sums, their
// bits on the CPU, and their derivatives stay what they are.

#include <doctest/doctest.h>

#include <vector>

#include "autograd/check_grads.h"
#include "autograd/grad.h"
#include "autograd/ops.h"
#include "tensor/random.h"

using namespace vapo;

namespace {

const Shape kImages{2, 4, 4, 4}, kWeight{4, 3, 3, 4}, kScale{2, 4};
const kernel::Conv2dOptions kSame{.padding = 1};
const kernel::GroupNormOptions kNorm{.groups = 2, .silu = true};

Tensor draw(const Shape& s, uint64_t seed, DType t = DType::f64) { return randn(s, {.seed = seed}, t); }

std::vector<Var> uses_of(const Var& x, const Var& w, const Var& a, const Var& s) {
  return {x, group_norm_fused(x, a, s, kNorm), conv2d(x, w, {}, kSame),
          conv2d(conv2d(x, w, {}, kSame), w, {}, kSame), group_norm_fused(x, s, a, kNorm)};
}
Var total(const std::vector<Var>& parts) {
  Var y = parts[0];
  for (size_t i = 1; i < parts.size(); ++i) y = add(y, parts[i]);
  return y;
}

}  // namespace

TEST_CASE("an input of skips, norms and convolutions: derivatives to the third order") {
  std::vector<Tensor> in{draw(kImages, 1), draw(kWeight, 2), draw(kScale, 3), draw(kScale, 4)};
  auto f = [](std::span<const Var> v) { return std::vector{total(uses_of(v[0], v[1], v[2], v[3]))}; };
  CHECK(check_grads(f, in, {.order = 3}) < 1e-7);
  auto skip = [](std::span<const Var> v) {
    return std::vector{conv2d(group_norm_fused(v[0], v[2], v[3], kNorm), v[1], {}, kSame, v[0])};
  };
  CHECK(check_grads(skip, in, {.order = 3}) < 1e-7);
}

TEST_CASE("the bits of a sum of cotangents are those of additions, latest use first") {
  Tensor w = draw(kWeight, 2, DType::f32), a = draw(kScale, 3, DType::f32), s = draw(kScale, 4, DType::f32);
  Var x = Var::leaf(draw(kImages, 1, DType::f32)), g = draw(kImages, 5, DType::f32);
  auto gradient = [&](const Var& y) { return grad({&y, 1}, {&x, 1}, {}, {&g, 1})[0].value(); };
  Tensor sum = gradient(add(group_norm_fused(x, a, s, kNorm), conv2d(x, w, {}, kSame)));
  Tensor expected = kernel::binary(kernel::Binary::add, gradient(conv2d(x, w, {}, kSame)),
                                   gradient(group_norm_fused(x, a, s, kNorm)));
  CHECK(sum.to_vector<float>() == expected.to_vector<float>());
  sum = gradient(conv2d(group_norm_fused(x, a, s, kNorm), w, {}, kSame, x));
  expected = kernel::binary(kernel::Binary::add, g.value(),
                            gradient(conv2d(group_norm_fused(x, a, s, kNorm), w, {}, kSame)));
  CHECK(sum.to_vector<float>() == expected.to_vector<float>());
}

TEST_CASE("an input of activations and products, once more and with each other: derivatives to the third order") {
  std::vector<Tensor> in{draw({3, 4}, 1), draw({4, 4}, 2), draw({3, 4}, 3)};
  auto f = [](std::span<const Var> v) {
    Var h = silu(v[0]), p = mul(v[0], v[2]);
    return std::vector{total({mul(matmul(h, v[1]), tanh(v[0])), mul(p, p), matmul(matmul(p, v[1]), v[1]), v[0],
                              addcmul(v[0], v[0], h), mul(v[2], h)})};
  };
  CHECK(check_grads(f, in, {.order = 3}) < 1e-7);
}

TEST_CASE(
    "what has come to an activation's input is added in the pass of its slope, and not lost where it is kept") {
  Tensor in = draw({3, 4}, 1, DType::f32), other = draw({3, 4}, 2, DType::f32), g = draw({3, 4}, 5, DType::f32);
  Var x = Var::leaf(in), u = g;
  auto gradient = [&](const Var& y) { return grad({&y, 1}, {&x, 1}, {}, {&u, 1})[0].value(); };
  Tensor sum = gradient(add(silu(x), mul(x, other))), slopes = gradient(silu(x));
  for (int64_t i = 0; i < sum.numel(); ++i)
    CHECK(sum.at(i) == doctest::Approx(slopes.at(i) + g.at(i) * other.at(i)).epsilon(1e-6));
  Tensor kept = gradient(add(silu(x), x));  // the cotangent that x has already is g itself
  for (int64_t i = 0; i < sum.numel(); ++i)
    CHECK(kept.at(i) == doctest::Approx(slopes.at(i) + g.at(i)).epsilon(1e-6));
  CHECK(g.to_vector<float>() == draw({3, 4}, 5, DType::f32).to_vector<float>());
}

TEST_CASE("an operand that an operation has twice gets both cotangents and what had come before") {
  Tensor a = draw(kScale, 3), s = draw(kScale, 4), u = draw(kImages, 5);
  auto second = [&](auto norm) {  // the vjp of the norm at x for the cotangent x, and x once more
    Var x = Var::leaf(draw(kImages, 1)), y = norm(x, Var(a), Var(s), kNorm);
    Var d = grad({&y, 1}, {&x, 1}, {.create_graph = true}, {&x, 1})[0], all = add(d, square(x));
    Var cotangent = u;
    return grad({&all, 1}, {&x, 1}, {}, {&cotangent, 1})[0].value();
  };
  Tensor fused = second(group_norm_fused), composite = second(group_norm_composite);
  for (int64_t i = 0; i < fused.numel(); ++i) CHECK(fused.at(i) == doctest::Approx(composite.at(i)).epsilon(1e-10));
}

TEST_CASE(
    "softmax's second derivative, by a kernel or recorded for a third one, is that of elementwise operations") {
  Tensor u = draw({3, 5}, 5), w = draw({3, 5}, 6);
  // Of ⟨u, dx⟩ and of what else the result and its cotangent are used for; the cotangent may be the result itself.
  auto second = [&](auto softmax_of, bool of_itself, bool recorded) {
    Var x = Var::leaf(draw({3, 5}, 1)), y = softmax_of(x), g = of_itself ? y : Var::leaf(draw({3, 5}, 2));
    Var d = grad({&y, 1}, {&x, 1}, {.create_graph = true}, {&g, 1})[0];
    Var all = add(sum(mul(d, u)), add(sum(mul(square(y), w)), sum(square(g))));
    return grad(all, of_itself ? std::vector{x} : std::vector{x, g}, {.create_graph = recorded});
  };
  auto of_rows = [](const Var& x) { return softmax(x, {-1}, 0.7); };
  auto of_columns = [](const Var& x) { return permute(softmax(permute(x, {1, 0}), {0}, 0.7), {1, 0}); };
  for (bool of_itself : {false, true}) {
    auto expected = second(of_columns, of_itself, false);
    for (bool recorded : {false, true}) {
      CAPTURE(of_itself);
      CAPTURE(recorded);
      auto got = second(of_rows, of_itself, recorded);
      for (size_t k = 0; k < got.size(); ++k)
        for (int64_t i = 0; i < u.numel(); ++i)
          CHECK(got[k].value().at(i) == doctest::Approx(expected[k].value().at(i)).epsilon(1e-10));
    }
  }
}

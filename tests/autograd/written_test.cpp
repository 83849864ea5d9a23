// What a derivative needs and was written since the forward pass is an error; what it does not need is none.

#include <doctest/doctest.h>

#include <functional>

#include "autograd/grad.h"
#include "autograd/ops.h"
#include "autograd/recompute.h"
#include "tensor/random.h"

using namespace vapo;

namespace {

Var leaf(const Shape& s, const char* name, uint64_t seed = 1) {
  return Var::leaf(randn(s, {.seed = seed}, DType::f64), name);
}
void write(const Var& x) { kernel::copy_into(x.value(), x.value().clone()); }
Var whole(const Var& y) { return sum(y); }

// The message of grad(output, x), where `other` is written after the forward pass; empty where there is none.
std::string after_write(const Var& output, const Var& x, const Var& other) {
  write(other);
  try {
    grad(output, x);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}
std::string expected(const std::string& what, const std::string& op) {
  return "[grad] " + what + " was written after '" + op +
         "' used it (an optimizer step?). Hint: call grad before the step, or run the forward pass again";
}

}  // namespace

TEST_CASE("a value that a derivative needs, written after the forward pass, is named") {
  Shape s{2, 3};
  Var x = leaf(s, "x"), w = leaf(s, "w", 2), c = randn(s, {.seed = 3}, DType::f64);
  CHECK(after_write(whole(x * w), x, w) == expected("'w' (2,3)", "mul"));
  CHECK(after_write(whole(x / w), x, w) == expected("'w' (2,3)", "div"));
  CHECK(after_write(whole(x * c), x, c) == expected("a constant (2,3)", "mul"));
  CHECK(after_write(whole(square(x)), x, x) == expected("'x' (2,3)", "square"));
  CHECK(after_write(whole(abs(x)), x, x) == expected("'x' (2,3)", "abs"));  // whose rule has no history of it
  CHECK(after_write(whole(maximum(x, c)), x, c) == expected("a constant (2,3)", "maximum"));
  CHECK(after_write(whole(amax(x, {1})), x, x) == expected("'x' (2,3)", "amax"));
  CHECK(after_write(whole(norm(x, {1})), x, x) == expected("'x' (2,3)", "norm"));
  CHECK(after_write(whole(matmul(x, w, {.transpose_b = true})), x, w) == expected("'w' (2,3)", "matmul"));
  CHECK(after_write(whole(square(reshape(w, {6}))), w, w) == expected("'w' (6)", "square"));  // the same elements
  Var unnamed = Var::leaf(randn(s, {.seed = 5}, DType::f64));
  CHECK(after_write(whole(x * unnamed), x, unnamed) == expected("a leaf (2,3)", "mul"));
  Var y = exp(x);
  CHECK(after_write(whole(y), x, y) == expected("the result of 'exp' (2,3)", "exp"));
  Var index = Tensor::from(std::vector<int64_t>{1, 0, 1}, {3});
  Var picked = index_select(x, 0, index.value());
  kernel::copy_into(index.value(), Tensor::from(std::vector<int64_t>{0, 0, 0}, {3}));
  CHECK_THROWS_WITH(grad(whole(picked), x), expected("a constant (3)", "index_select").c_str());
}

TEST_CASE("over images: convolutions, normalisations and their vjps") {
  Var x = leaf({2, 4, 4, 4}, "x"), w = leaf({4, 3, 3, 4}, "w", 2), a = leaf({2, 4}, "a", 3),
      s = leaf({2, 4}, "s", 4);
  kernel::GroupNormOptions plain{.groups = 2}, silu{.groups = 2, .silu = true};
  CHECK(after_write(whole(conv2d(x, w)), x, w) == expected("'w' (4,3,3,4)", "conv2d"));
  CHECK(after_write(whole(conv2d(x, w)), w, x) == expected("'x' (2,4,4,4)", "conv2d"));
  CHECK(after_write(whole(group_norm_fused(x, a, s, plain)), x, a) == expected("'a' (2,4)", "group_norm"));
  CHECK(after_write(whole(group_norm_fused(x, a, s, silu)), x, s) == expected("'s' (2,4)", "group_norm"));
  CHECK(after_write(whole(group_norm_fused(x, a, s, plain)), x, s).empty());
  silu.mask = kernel::dropout_mask(x.shape(), 0.3, {.seed = 3}), silu.mask_scale = 1 / 0.7;
  CHECK(after_write(whole(group_norm_fused(x, a, s, silu)), x, silu.mask) ==
        expected("a constant (2,4,4,4)", "group_norm"));
}

TEST_CASE("what no derivative needs may be written") {
  Shape s{2, 3};
  Var x = leaf(s, "x"), w = leaf(s, "w", 2), b = leaf({2}, "b", 4);
  CHECK(after_write(whole(x + w), x, w).empty());
  CHECK(after_write(whole(x + w), w, w).empty());
  CHECK(after_write(whole(x * w), w, w).empty());  // needs x alone
  CHECK(after_write(whole(linear(x, w, b)), w, w).empty());
  CHECK(after_write(whole(linear(x, w, b)), x, b).empty());
  CHECK(after_write(whole(3 * x), x, x).empty());
  CHECK(after_write(whole(silu(x)), x, x).empty());  // its slope was kept
  CHECK(after_write(mean(permute(concat({x, w}, 0), {1, 0})), x, x).empty());
  write(w);  // before: nothing else is kept
  CHECK(after_write(whole(x * w), x, b).empty());
  write(w);
  CHECK(grad(whole(x * w), x).value().at(0) == w.value().at(0));
}

TEST_CASE("a graph that is used again: only what was written in between counts") {
  Shape s{4};
  Var x = leaf(s, "x"), w = leaf(s, "w", 2);
  Var y = whole(square(x * w));
  Var before = grad(y, x, {.retain_graph = true});
  write(w);
  CHECK_THROWS_WITH(grad(y, x, {.retain_graph = true}), expected("'w' (4)", "mul").c_str());
  CHECK_THROWS_AS(grad(y, x), Error);
  // of two forward passes the newer one is whole
  Var again = whole(x * w);
  CHECK(grad(again, x).value().at(1) == w.value().at(1));
  CHECK_THROWS_AS(grad(y + whole(x * w), x), Error);
}

TEST_CASE("a value written between the first and the second derivative, or before both") {
  Shape s{4};
  for (bool before_first : {false, true}) {
    CAPTURE(before_first);
    Var x = leaf(s, "x"), w = leaf(s, "w", 2);
    Var y = whole(silu(x) * x * x);
    if (before_first) {  // the vjp of silu keeps its slope; the second derivative does not
      Var z = whole(silu(x));
      write(x);
      Var d = grad(z, x, {.create_graph = true});
      CHECK_THROWS_WITH(grad(whole(d), x), expected("'x' (4)", "silu_vjp").c_str());
    } else {
      Var d = grad(y, x, {.create_graph = true});
      write(x);
      CHECK_THROWS_WITH(grad(whole(d), x), doctest::Contains("'x' (4) was written after"));
    }
    Var d = grad(whole(exp(x * w)), x, {.create_graph = true});
    write(w);
    CHECK_THROWS_WITH(grad(whole(d), x), doctest::Contains("'w' (4) was written after"));
    Tensor old = w.value().clone();  // 2xw keeps w's old value where it is a result of the first derivative
    d = grad(whole(x * x * w), x, {.create_graph = true});
    kernel::copy_into(w.value(), kernel::affine(old, 0, 9));
    CHECK(grad(whole(d), x).value().at(1) == 2 * old.at(1));
    Var free = grad(whole(x * x), x, {.create_graph = true});
    write(w), write(x);
    CHECK(grad(whole(free), x).value().at(0) == 2);
  }
}

TEST_CASE("cotangents that the caller fills late are as good as others, and are kept for a second derivative") {
  Shape s{3};
  Var x = leaf(s, "x");
  Tensor buffer = Tensor::empty(s, DType::f64);
  Var y = square(x), z = square(x);
  kernel::copy_into(buffer, Tensor::full(s, 2, DType::f64));
  Var cotangent = buffer;
  Var d = grad(std::span(&y, 1), std::span(&x, 1), {.create_graph = true}, std::span(&cotangent, 1))[0];
  CHECK(d.value().at(0) == 4 * x.value().at(0));
  CHECK(grad(whole(d), x, {.retain_graph = true}).value().at(0) == 4);
  kernel::copy_into(buffer, Tensor::full(s, 3, DType::f64));
  CHECK_THROWS_WITH(grad(whole(d), x), doctest::Contains("(3) was written after"));
  CHECK(grad(std::span(&z, 1), std::span(&x, 1), {}, std::span(&cotangent, 1))[0].value().at(0) ==
        6 * x.value().at(0));
  auto written_late = [&](std::span<const Var> in) { return sum(square(in[0]) * in[0]); };
  std::vector<Var> at{x}, v{cotangent};
  kernel::copy_into(buffer, Tensor::ones(s, DType::f64));
  CHECK(hvp(written_late, at, v)[0].value().at(2) == doctest::Approx(6 * x.value().at(2)));
}

TEST_CASE("a block that runs again must meet its parameters, inputs and constants as they were") {
  for (int what = 0; what < 3; ++what)
    for (int order = 1; order <= 2; ++order) {
      CAPTURE(what);
      CAPTURE(order);
      Var x = leaf({2, 3}, "x"), w = leaf({3, 3}, "w", 2), c = randn({3}, {.seed = 3}, DType::f64);
      BlockFunction f = [&](std::span<const Var> in) { return silu(linear(in[0], w)) * c; };
      std::vector<Var> in{x}, parameters{w};
      Var y = whole(recompute(f, in, parameters));
      if (order == 2) y = whole(square(grad(y, x, {.create_graph = true})));
      const Var& written = what == 0 ? w : what == 1 ? x : c;
      const char* name = what == 0 ? "'w' (3,3)" : what == 1 ? "'x' (2,3)" : "a constant (3)";
      std::string message = after_write(y, w, written);
      CHECK(message.starts_with(std::string("[grad] ") + name + " was written after"));
    }
  Var x = leaf({2, 3}, "x"), w = leaf({3, 3}, "w", 2), other = leaf({3}, "other", 4);
  BlockFunction f = [&](std::span<const Var> in) { return silu(linear(in[0], w)); };
  std::vector<Var> in{x}, parameters{w};
  CHECK(after_write(whole(recompute(f, in, parameters) + other), w, other).empty());
}

TEST_CASE("a write through mutable_data counts, a kernel's into its own result does not") {
  Var x = leaf({3}, "x"), w = leaf({3}, "w", 2);
  Var y = whole(x * w);
  w.value().mutable_data<double>()[1] = 7;
  CHECK_THROWS_WITH(grad(y, x), expected("'w' (3)", "mul").c_str());
  Var z = whole(x * w);
  Tensor copy = w.value().clone();  // reads
  CHECK(grad(z, x).value().at(1) == 7);
}

// Parameters rounded to bf16 together.

#include "nn/rounded.h"

#include <doctest/doctest.h>

#include <vector>

#include "autograd/grad.h"
#include "autograd/ops.h"
#include "tensor/kernels.h"
#include "tensor/random.h"

using namespace vapo;

namespace {
std::vector<double> values(const Tensor& x) { return x.to(DType::f64).to_vector<double>(); }
}  // namespace

TEST_CASE("a use gives the values and gradients of a conversion, of what the parameters are when it begins") {
  Var w = Var::leaf(randn({3, 5}, {.seed = 1}, DType::f32)), b = Var::leaf(randn({4}, {.seed = 2}, DType::f32));
  nn::RoundedParameters all;
  for (int use = 0; use < 3; ++use) {
    CAPTURE(use);
    nn::RoundedParameters::Use in_use(all);
    Var r = nn::rounded(w), flat = nn::rounded(reshape(w, {15})), s = nn::rounded(b);
    CHECK(r.dtype() == DType::bf16);
    CHECK(flat.shape() == Shape{15});
    CHECK(values(r.value()) == values(w.value().to(DType::bf16)));
    CHECK(values(flat.value()) == values(w.value().to(DType::bf16)));
    CHECK(values(s.value()) == values(b.value().to(DType::bf16)));
    Tensor again = nn::rounded(w).value();
    CHECK(again.shares_storage(r.value()) == (use > 0));  // one copy for all that ask
    CHECK(flat.value().shares_storage(r.value()) == (use > 0));
    Var g = randn({3, 5}, {.seed = 3}, DType::f32).to(DType::bf16);
    Tensor of_w = grad({&r, 1}, {&w, 1}, {}, {&g, 1})[0].value();
    CHECK(of_w.dtype() == DType::f32);
    CHECK(values(of_w) == values(g.value()));
    kernel::copy_into(w.value(), randn({3, 5}, {.seed = 10 + static_cast<uint64_t>(use)}, DType::f32));
  }
}

TEST_CASE("outside of a use, and for a parameter of another dtype, it is a plain conversion") {
  Var w = Var::leaf(randn({6}, {.seed = 1}, DType::f32)), d = Var::leaf(randn({6}, {.seed = 1}, DType::f64));
  nn::RoundedParameters outer, inner;
  for (int use = 0; use < 2; ++use) {
    nn::RoundedParameters::Use in_use(outer);
    nn::rounded(w);
  }
  CHECK(!nn::rounded(w).value().shares_storage(nn::rounded(w).value()));
  for (int use = 0; use < 2; ++use) {
    nn::RoundedParameters::Use in_use(outer);
    {
      nn::RoundedParameters::Use within(inner);
      CHECK(values(nn::rounded(w).value()) == values(w.value().to(DType::bf16)));
      CHECK(values(nn::rounded(d).value()) == values(d.value().to(DType::bf16)));
    }
    CHECK(nn::rounded(w).value().shares_storage(nn::rounded(w).value()));
  }
}

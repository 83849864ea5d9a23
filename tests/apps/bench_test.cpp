// Which operations `vapo bench ops` times: each of the table, or there is a reason.

#include <doctest/doctest.h>

#include <map>
#include <set>
#include <sstream>

#include "apps/bench/timed_ops.h"
#include "tests/op_cases.h"

using namespace vapo;

namespace {

std::map<std::string, const char*> untimed() {
  std::map<std::string, const char*> out;
  for (auto [reason, names] : {
           std::pair("a loop over two operands, as add and mul",
                     "sub addcmul div maximum minimum eq ne lt le gt ge where masked"),
           {"a loop over one operand, as silu",
            "neg exp expm1 log log1p sqrt rsqrt square sin cos abs pow relu leaky_relu clamp tanh sigmoid gelu "
            "softplus "
            "affine to"},
           {"a loop that reduces, as sum, or repeats, as upsample_nearest2d",
            "mean var amax logsumexp norm cumsum broadcast_to sum_to"},
           {"made of what is timed, or a part of it", "softmax matmul dropout group_norm_fused norm_coefficients"},
           {"copies", "reshape permute concat split slice pad2d index_select gather scatter_add embedding"},
           {"of the Inception network alone, which vapo bench inception times", "max_pool2d"},
       }) {
    std::istringstream words(names);
    for (std::string op; words >> op;) out[op] = reason;
  }
  return out;
}

}  // namespace

TEST_CASE("every operation of the table is timed, or excused and not timed") {
  std::set<std::string> all, timed(std::begin(app::timed_convolutions), std::end(app::timed_convolutions));
  for (const OpCase& c : op_cases()) all.insert(c.op);
  for (const app::TimedOp& op : app::timed_ops(DType::f32, 0, true)) timed.insert(op.op);
  const std::map<std::string, const char*> excused = untimed();
  for (const std::string& op : all) {
    CAPTURE(op);
    CHECK(timed.contains(op) != excused.contains(op));
  }
  for (const std::string& op : timed) {
    CAPTURE(op);
    CHECK(all.contains(op));
  }
  for (const auto& [op, reason] : excused) {
    CAPTURE(op);
    CHECK(all.contains(op));
  }
}

TEST_CASE("what is timed has the passes that it says, at its operands") {
  for (DType t : {DType::f32, DType::f64})
    for (const app::TimedOp& op : app::timed_ops(t, 1, true)) {
      CAPTURE(op.name);
      std::vector<Var> in;
      for (const app::TimedOperand& x : op.operands) in.push_back(Var::leaf(Tensor::ones(x.shape, x.dtype)));
      Var y = op.f(in);
      CHECK(y.requires_grad());
      CHECK(y.dtype() == t);
      CHECK(op.arrays.forward > 0);
    }
}

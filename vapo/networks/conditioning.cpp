#include "vapo/networks/conditioning.h"

#include "autograd/recompute.h"

namespace vapo {

Conditioning::Conditioning(int64_t base, bool time, int64_t classes, RandomKey& key, DType dtype, double time_scale)
    : base_(base), classes_(classes), time_scale_(time_scale) {
  if (classes < 0) throw InputError(fmt::format("network: classes = {} must not be negative", classes));
  if (time && (base < 2 || base % 2 != 0))
    throw InputError(fmt::format("network: {} sinusoids of time, which must be even and at least 2", base));
  if (time) {
    first_.emplace(base, 4 * base, key, true, dtype), ++key.step;
    second_.emplace(4 * base, 4 * base, key, true, dtype), ++key.step;
  }
  if (classes > 0) rows_.emplace(classes + 1, 4 * base, key, dtype), ++key.step;
}

Var Conditioning::operator()(int64_t n, const Var& t, const Tensor& y) const {
  VAPO_CHECK(rows_ || !y.defined(), "[network] labels for a network without classes");
  Var e;
  if (first_) {
    VAPO_CHECK(t.defined() && t.shape() == Shape{n}, "[network] t has shape {}, expected ({})",
               t.defined() ? t.shape().str() : "undefined", n);
    e = (*second_)(silu((*first_)(nn::time_embedding(t, base_, time_scale_))));
  }
  if (rows_) {  // without labels: all of "no class"
    VAPO_CHECK(!y.defined() || y.shape() == Shape{n}, "[network] labels have shape {}, expected ({})",
               y.shape().str(), n);
    TensorOptions indices{DType::i64, rows_->weight.device()};
    Var row = (*rows_)(y.defined() ? y : Tensor::full({n}, static_cast<double>(classes_), indices));
    e = e.defined() ? e + row : row;
  }
  return e.defined() ? silu(e) : e;
}

void Conditioning::parameters(const nn::ParameterVisitor& visit) {
  if (first_) nn::visit_child("time_embed.0", *first_, visit);
  if (second_) nn::visit_child("time_embed.2", *second_, visit);
  if (rows_) nn::visit_child("label_emb", *rows_, visit);
}

Var run_block(nn::Module& block, std::span<const Var> features, const BlockContext& context, BlockBody body) {
  size_t n = features.size();
  std::vector<Var> inputs(features.begin(), features.end());
  if (context.e.defined()) inputs.push_back(context.e);
  BlockFunction f = [n, key = context.key, body = std::move(body)](std::span<const Var> in) {
    return body(in.first(n), {.e = in.size() > n ? in[n] : Var(), .key = key});
  };
  if (!context.recompute) return contain(f, inputs);
  std::vector<Var> parameters;
  block.parameters([&](const std::string&, Var& p) { parameters.push_back(p); });
  return recompute(std::move(f), inputs, parameters);
}

nn::Conv2d zero_initialised(nn::Conv2d conv) {
  for (Var* p : {&conv.weight, &conv.bias})
    if (p->defined()) *p = Var::leaf(Tensor::zeros(p->shape(), p->options()));
  return conv;
}

}  // namespace vapo

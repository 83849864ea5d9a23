#include "vapo/networks/mlp.h"

#include <algorithm>
#include <numeric>

namespace vapo {

MlpPotential::MlpPotential(const MlpOptions& options, uint64_t seed, DType dtype) : options_(options) {
  const MlpOptions& o = options_;
  if (o.in_features < 1) throw InputError(fmt::format("mlp: in_features = {} must be at least 1", o.in_features));
  for (int64_t width : o.hidden)
    if (width < 1) throw InputError(fmt::format("mlp: a hidden width of {} must be at least 1", width));
  if (o.time_embedding < 0 || o.time_embedding % 2 != 0)
    throw InputError(
        fmt::format("mlp: time_embedding = {} must be even, or 0 for an autonomous potential", o.time_embedding));
  if (o.classes < 0) throw InputError(fmt::format("mlp: classes = {} must not be negative", o.classes));
  if (o.classes > 0 && o.time_embedding == 0)
    throw InputError("mlp: classes need a time_embedding, which their rows are added to");

  int64_t in = o.in_features + o.time_embedding;
  RandomKey key{.seed = seed, .stream = 0, .step = 0};
  for (int64_t width : o.hidden) {
    layers_.emplace_back(in, width, key, true, dtype);
    in = width;
    ++key.step;
  }
  layers_.emplace_back(in, 1, key, true, dtype);
  ++key.step;
  if (o.classes > 0) label_embedding_.emplace_back(o.classes + 1, o.time_embedding, key, dtype);
}

Var MlpPotential::operator()(const Var& x, const Var& t, const Tensor& y, const std::optional<RandomKey>&) const {
  const MlpOptions& o = options_;
  VAPO_CHECK(x.rank() == 2 && x.dim(1) == o.in_features, "[mlp] x has shape {}, expected (N,{})", x.shape().str(),
             o.in_features);
  VAPO_CHECK(o.classes > 0 || !y.defined(), "[mlp] labels for a potential without classes");
  int64_t n = x.dim(0);
  Var h = x;
  if (!autonomous()) {
    VAPO_CHECK(t.rank() == 1 && t.dim(0) == n, "[mlp] t has shape {}, expected ({})", t.shape().str(), n);
    Var e = nn::time_embedding(t, o.time_embedding, o.time_scale);
    if (o.classes > 0) {  // without labels: all of "no class"
      TensorOptions indices{DType::i64, x.device()};
      e = e + label_embedding_[0](y.defined() ? y : Tensor::full({n}, static_cast<double>(o.classes), indices));
    }
    h = concat({x, e}, 1);
  }
  for (size_t i = 0; i + 1 < layers_.size(); ++i) h = nn::activate(o.activation, layers_[i](h));
  return reshape(layers_.back()(h), {n});
}

// Two values of each unit, with its slope, in a megabyte, beside the weights of a layer.
int64_t MlpPotential::rows_in_cache() const {
  constexpr int64_t values = 300'000;
  int64_t units = std::accumulate(options_.hidden.begin(), options_.hidden.end(), int64_t{0});
  return std::clamp<int64_t>(values / std::max<int64_t>(units, 1), 32, 4096);
}

void MlpPotential::parameters(const nn::ParameterVisitor& visit) {
  for (size_t i = 0; i < layers_.size(); ++i) nn::visit_child(fmt::format("layers.{}", i), layers_[i], visit);
  if (!label_embedding_.empty()) nn::visit_child("label_emb", label_embedding_[0], visit);
}

}  // namespace vapo

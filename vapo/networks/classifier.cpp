#include "vapo/networks/classifier.h"

#include <algorithm>

#include "tensor/check.h"
#include "tensor/kernels.h"

namespace vapo {
namespace {

void check(const ClassifierOptions& o) {
  auto refuse = [](const std::string& what) { throw InputError("classifier: " + what); };
  constexpr int64_t kMost = 4096;
  auto counts = [](int64_t n) { return n >= 1 && n <= kMost; };
  if (!counts(o.height) || !counts(o.width) || !counts(o.channels))
    refuse(fmt::format("images of {}×{} with {} channels", o.height, o.width, o.channels));
  if (o.classes < 2 || o.classes > kMost)
    refuse(fmt::format("classes = {} must be from 2 to {}", o.classes, kMost));
  if (o.widths.empty() || o.widths.size() > 16 || !std::all_of(o.widths.begin(), o.widths.end(), counts) ||
      !counts(o.features))
    refuse(fmt::format("widths and features must be from 1 to {}, of 1 to 16 stages", kMost));
  for (size_t i = 1; i < o.widths.size(); ++i)
    if (o.groups < 1 || o.widths[i] % o.groups != 0)
      refuse(fmt::format("{} groups do not divide a width of {}", o.groups, o.widths[i]));
  if (!(o.dropout >= 0 && o.dropout < 1)) refuse(fmt::format("dropout = {} must be in [0, 1)", o.dropout));
}

}  // namespace

struct Classifier::Stage : nn::Module {
  Stage(int64_t in, int64_t out, int64_t groups, RandomKey first, RandomKey second, DType dtype)
      : conv1(in, out, 3, first, {.stride = 2, .padding = 1}, true, dtype),
        conv2(out, out, 3, second, {.padding = 1}, true, dtype),
        norm1(groups, out, 1e-5, dtype),
        norm2(groups, out, 1e-5, dtype) {}
  Var operator()(const Var& x) const { return norm2.silu(conv2(norm1.silu(conv1(x)))); }
  void parameters(const nn::ParameterVisitor& visit) override {
    nn::visit_child("conv1", conv1, visit);
    nn::visit_child("norm1", norm1, visit);
    nn::visit_child("conv2", conv2, visit);
    nn::visit_child("norm2", norm2, visit);
  }
  nn::Conv2d conv1, conv2;
  nn::GroupNorm norm1, norm2;
};

Classifier::Classifier(const ClassifierOptions& o, uint64_t seed, DType dtype) : options_(o) {
  check(o);
  uint64_t layer = 0;
  auto next = [&] { return RandomKey{.seed = seed, .stream = 0, .step = layer++}; };
  conv_.emplace(o.channels, o.widths[0], 3, next(), kernel::Conv2dOptions{.padding = 1}, true, dtype);
  for (size_t i = 1; i < o.widths.size(); ++i) {
    RandomKey first = next(), second = next();
    stages_.push_back(std::make_unique<Stage>(o.widths[i - 1], o.widths[i], o.groups, first, second, dtype));
  }
  auto halved = [&](int64_t size) {  // after the stages
    for (size_t i = 1; i < o.widths.size(); ++i) size = (size + 1) / 2;
    return size;
  };
  linear_.emplace(halved(o.height) * halved(o.width) * o.widths.back(), o.features, next(), true, dtype);
  head_.emplace(o.features, o.classes, next(), true, dtype);
}

Classifier::~Classifier() = default;

Var Classifier::features(const Var& x) const {
  const ClassifierOptions& o = options_;
  VAPO_CHECK(x.rank() == 4 && x.dim(1) == o.height && x.dim(2) == o.width && x.dim(3) == o.channels,
             "[classifier] x has shape {}, expected (N,{},{},{})", x.shape().str(), o.height, o.width, o.channels);
  Var h = silu((*conv_)(nn::to_activation(x)));
  for (const auto& stage : stages_) h = (*stage)(h);
  return silu((*linear_)(to(reshape(h, {x.dim(0), -1}), x.dtype())));
}

Var Classifier::logits(const Var& x, const std::optional<RandomKey>& dropout) const {
  Var h = features(x);
  return (*head_)(dropout ? vapo::dropout(h, {options_.dropout, *dropout}) : h);
}

void Classifier::parameters(const nn::ParameterVisitor& visit) {
  nn::visit_child("conv", *conv_, visit);
  for (size_t i = 0; i < stages_.size(); ++i) nn::visit_child(fmt::format("stage{}", i + 1), *stages_[i], visit);
  nn::visit_child("linear", *linear_, visit);
  nn::visit_child("head", *head_, visit);
}

Var cross_entropy(const Var& logits, const Tensor& labels) {
  VAPO_CHECK(logits.rank() == 2 && logits.dim(0) >= 1 && labels.shape() == Shape({logits.dim(0)}),
             "[cross_entropy] logits {} and labels {}: expected (N,K) and (N)", logits.shape().str(),
             labels.shape().str());
  int64_t n = logits.dim(0), classes = logits.dim(1);
  std::vector<double> one_hot(static_cast<size_t>(n * classes));
  for (int64_t i = 0; i < n; ++i) {
    int64_t label = labels.data<int64_t>()[i];
    VAPO_CHECK(label >= 0 && label < classes, "[cross_entropy] label {} of {} classes", label, classes);
    one_hot[i * classes + label] = 1;
  }
  Tensor chosen = Tensor::from(one_hot, logits.shape()).to(logits.dtype()).to(logits.device());
  return mean(logsumexp(logits, {1})) - sum(logits * chosen) / static_cast<double>(n);
}

Tensor predicted_labels(const Tensor& logits) {
  VAPO_CHECK(logits.rank() == 2 && logits.dim(1) >= 1, "[predicted_labels] logits {}, expected (N,K)",
             logits.shape().str());
  int64_t classes = logits.dim(1);
  std::vector<double> rows = logits.to(Device::cpu).to(DType::f64).to_vector<double>();
  Tensor out = Tensor::empty({logits.dim(0)}, DType::i64);
  for (int64_t i = 0; i < logits.dim(0); ++i) {
    auto row = rows.begin() + i * classes;
    out.mutable_data<int64_t>()[i] = std::max_element(row, row + classes) - row;
  }
  return out;
}

}  // namespace vapo

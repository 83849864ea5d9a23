#include "vapo/work.h"

#include "autograd/grad.h"

namespace vapo {
namespace {

struct Subject {
  std::vector<Var> parameters;
  TensorOptions options;
};
Subject subject_of(Potential& phi) {
  Subject s;
  phi.parameters([&](const std::string&, Var& p) { s.parameters.push_back(p); });
  if (!s.parameters.empty()) s.options = s.parameters[0].options();
  return s;
}

Tensor batch_of(int64_t n, const Shape& sample, TensorOptions options) {
  Shape shape{n};
  for (int64_t size : sample) shape.push_back(size);
  return randn(shape, {}, options);
}

}  // namespace

double forward_flops(Potential& phi, const Shape& sample) {
  Subject s = subject_of(phi);
  NoGradGuard off;
  double before = kernel::flop_count();
  phi(batch_of(1, sample, s.options), Tensor::full({1}, 0.5, s.options));
  return kernel::flop_count() - before;
}

double step_flops(Potential& phi, const Shape& sample, const Path& path, const LossOptions& options) {
  Subject s = subject_of(phi);
  Tensor x = batch_of(2, sample, s.options);
  double before = kernel::flop_count();
  Var loss = vapo_loss(phi, path, {x, Tensor::full({2}, 0.5, s.options), x, {}, RandomKey{}}, options).total;
  grad(loss, s.parameters, {.allow_unused = true});
  return (kernel::flop_count() - before) / 2;
}

}  // namespace vapo

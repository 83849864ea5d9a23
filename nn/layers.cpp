#include "nn/layers.h"

#include <cmath>
#include <map>
#include <mutex>
#include <tuple>

#include "tensor/precision.h"

namespace vapo::nn {

Var to_activation(const Var& x) {
  bool rounded = precision() == Precision::bf16 && x.value().device() == Device::cuda && x.dtype() == DType::f32;
  return rounded ? to(x, DType::bf16) : x;
}

Linear::Linear(int64_t in, int64_t out, RandomKey key, bool with_bias, DType dtype) {
  VAPO_CHECK(in >= 1 && out >= 1, "[linear] {} inputs and {} outputs: both must be at least 1", in, out);
  // One draw for both, so that a layer uses one key: first the weight, then the bias.
  double bound = 1 / std::sqrt(static_cast<double>(in));
  Tensor draw = rand({in * out + (with_bias ? out : 0)}, key, -bound, bound, dtype);
  weight = Var::leaf(kernel::slice(draw, 0, 0, in * out, 1).reshape({out, in}), "weight");
  if (with_bias) bias = Var::leaf(kernel::slice(draw, 0, in * out, in * out + out, 1), "bias");
}

void Linear::parameters(const ParameterVisitor& visit) {
  visit("weight", weight);
  if (bias.defined()) visit("bias", bias);
}

Conv2d::Conv2d(int64_t in, int64_t out, Pair window, RandomKey key, kernel::Conv2dOptions options, bool with_bias,
               DType dtype)
    : options_(options) {
  VAPO_CHECK(
      in >= 1 && out >= 1 && window.h >= 1 && window.w >= 1 && options.groups >= 1 && in % options.groups == 0,
      "[conv2d] {} inputs, {} outputs, a window of {}×{}, {} groups: all must be at least 1, and inputs divide "
      "into groups",
      in, out, window.h, window.w, options.groups);
  Shape shape{out, window.h, window.w, in / options.groups};
  int64_t fan_in = shape[1] * shape[2] * shape[3], size = shape.numel();
  double bound = 1 / std::sqrt(static_cast<double>(fan_in));
  Tensor draw = rand({size + (with_bias ? out : 0)}, key, -bound, bound, dtype);
  weight = Var::leaf(kernel::slice(draw, 0, 0, size, 1).reshape(shape), "weight");
  if (with_bias) bias = Var::leaf(kernel::slice(draw, 0, size, size + out, 1), "bias");
}

void Conv2d::parameters(const ParameterVisitor& visit) {
  visit("weight", weight);
  if (bias.defined()) visit("bias", bias);
}

GroupNorm::GroupNorm(int64_t groups, int64_t channels, double eps, DType dtype) : groups_(groups), eps_(eps) {
  VAPO_CHECK(groups >= 1 && channels >= 1 && channels % groups == 0,
             "[group_norm] {} channels do not divide into {} groups", channels, groups);
  weight = Var::leaf(Tensor::ones({channels}, dtype), "weight");
  bias = Var::leaf(Tensor::zeros({channels}, dtype), "bias");
}

void GroupNorm::parameters(const ParameterVisitor& visit) {
  visit("weight", weight);
  visit("bias", bias);
}

Embedding::Embedding(int64_t count, int64_t width, RandomKey key, DType dtype) {
  VAPO_CHECK(count >= 1 && width >= 1, "[embedding] {} rows of width {}: both must be at least 1", count, width);
  weight = Var::leaf(randn({count, width}, key, dtype), "weight");
}

void Embedding::parameters(const ParameterVisitor& visit) { visit("weight", weight); }

namespace {
// 10000^(−i/half), kept for every call after the first: a forward pass then copies nothing to the GPU.
Tensor frequencies(int64_t half, TensorOptions o) {
  static std::mutex lock;
  static auto* const made = new std::map<std::tuple<int64_t, DType, Device>, Tensor>;
  std::lock_guard guard(lock);
  Tensor& found = (*made)[{half, o.dtype, o.device}];
  if (!found.defined()) {
    std::vector<double> f(static_cast<size_t>(half));
    for (int64_t i = 0; i < half; ++i)
      f[static_cast<size_t>(i)] = std::exp(-std::log(10000.0) * static_cast<double>(i) / static_cast<double>(half));
    found = Tensor::from(f, {half}).to(o.dtype).to(o.device);
  }
  return found;
}
}  // namespace

Var time_embedding(const Var& t, int64_t width, double time_scale) {
  VAPO_CHECK(width >= 2 && width % 2 == 0, "[time_embedding] width {} must be even and at least 2", width);
  VAPO_CHECK(t.rank() == 1, "[time_embedding] t has shape {}, expected (N)", t.shape().str());
  int64_t half = width / 2;
  Var column = reshape(time_scale == 1 ? t : time_scale * t, {t.dim(0), 1});
  Var angle = column * frequencies(half, {t.dtype(), t.device()});  // (N,1) × (half) → (N,half)
  return concat({cos(angle), sin(angle)}, 1);
}

}  // namespace vapo::nn

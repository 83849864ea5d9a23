#include "vapo/sampling/inpainting.h"

#include <optional>

#include "vapo/wrapped_potential.h"

namespace vapo {
namespace {

Tensor as(const Tensor& x, TensorOptions options) { return x.to(options.dtype).to(options.device); }

class InpaintingPotential : public WrappedPotential {
 public:
  InpaintingPotential(std::shared_ptr<Potential> base, const KnownPixels& known, std::optional<Path> path,
                      const Tensor& noise)
      : WrappedPotential(std::move(base)), path_(path) {
    VAPO_CHECK(known.values.rank() >= 2, "[inpainting] known pixels of shape {}, expected (N,…)",
               known.values.shape().str());
    Tensor mask = as(known.mask, known.values.options());
    for (double m : as(mask, {DType::f64}).to_vector<double>())
      if (m != 0 && m != 1) throw InputError(fmt::format("inpainting: a mask of 0 and 1 holds {}", m));
    if (path_) check_can_be_renoised(*path_);
    free_ = 1 - mask;
    held_ = mask * known.values;
    if (path_) noise_ = mask * as(noise, known.values.options());
  }

  bool autonomous() const override { return !path_ && WrappedPotential::autonomous(); }

 private:
  Var wrapped(const Function& f, const Var& x, const Var& t, const Tensor& y) const override {
    return f(hold(x, t), t, y);
  }

  Var hold(const Var& x, const Var& t) const {
    Var unknown = x * free_;
    VAPO_CHECK(unknown.shape() == x.shape(), "[inpainting] x has shape {}, the mask {}", x.shape().str(),
               free_.shape().str());
    if (!path_) return held_ + unknown;
    Shape each{x.dim(0)};
    while (each.rank() < x.rank()) each.push_back(1);
    PathVars p = path_variables(*path_, reshape(t, each));
    return p.mu * held_ + p.sigma * noise_ + unknown;
  }

  std::optional<Path> path_;
  Tensor free_, held_, noise_;  // 1 − m, m⊙x̄, m⊙ε
};

Tensor mask_of(int64_t height, int64_t width, const auto& known) {
  Tensor mask = Tensor::empty({height, width, 1});
  for (int64_t i = 0; i < height; ++i)
    for (int64_t j = 0; j < width; ++j) mask.mutable_data<float>()[i * width + j] = known(i, j) ? 1 : 0;
  return mask;
}

}  // namespace

Tensor completed(const Tensor& x, const KnownPixels& known) {
  Tensor mask = as(known.mask, x.options());
  return mask * as(known.values, x.options()) + (1 - mask) * x;
}

void check_can_be_renoised(const Path& path) {
  if (!path.no_density().empty())  // ε is then not N(0, 1) beside x̄, or x̄ not by itself in a pixel
    throw InputError(fmt::format("inpainting: known pixels cannot be as noisy as the path has them at t: {}",
                                 path.no_density()));
}

std::shared_ptr<Potential> inpainting(std::shared_ptr<Potential> base, const KnownPixels& known) {
  return std::make_shared<InpaintingPotential>(std::move(base), known, std::nullopt, Tensor());
}

std::shared_ptr<Potential> inpainting_renoised(std::shared_ptr<Potential> base, const KnownPixels& known,
                                               const Path& path, const Tensor& noise) {
  return std::make_shared<InpaintingPotential>(std::move(base), known, path, noise);
}

Tensor box_mask(int64_t height, int64_t width) {
  auto middle = [](int64_t i, int64_t size) { return i >= size / 4 && i < size / 4 + (size + 1) / 2; };
  return mask_of(height, width, [&](int64_t i, int64_t j) { return !(middle(i, height) && middle(j, width)); });
}

Tensor half_mask(int64_t height, int64_t width) {
  return mask_of(height, width, [&](int64_t, int64_t j) { return j < width / 2; });
}

Tensor random_mask(int64_t n, int64_t height, int64_t width, const RandomKey& key) {
  return kernel::dropout_mask({n, height, width, 1}, 0.5, key).to(DType::f32);
}

}  // namespace vapo

#include "vapo/particles.h"

#include <cmath>
#include <map>
#include <mutex>
#include <numbers>

#include "autograd/ops.h"
#include "vapo/potential.h"

namespace vapo {
namespace {

using std::numbers::pi;

// λ = π²(i²/H² + j²/W²) of the frequencies (W,H), those across first.
Tensor dissipation_rates(int64_t height, int64_t width) {
  Tensor out = Tensor::empty({width, height}, DType::f64);
  for (int64_t j = 0; j < width; ++j)
    for (int64_t i = 0; i < height; ++i) {
      double down = pi * static_cast<double>(i) / static_cast<double>(height);
      double across = pi * static_cast<double>(j) / static_cast<double>(width);
      out.mutable_data<double>()[j * height + i] = down * down + across * across;
    }
  return out;
}

// What make() gives, kept for every call after the first: a training step then copies nothing to the GPU.
template <class Make>
Tensor kept(std::tuple<int64_t, int64_t, Device> key, const Make& make) {
  static std::mutex lock;
  static auto* const made = new std::map<std::tuple<int64_t, int64_t, Device>, Tensor>;
  std::lock_guard guard(lock);
  Tensor& found = (*made)[key];
  if (!found.defined()) found = make().to(std::get<Device>(key));
  return found;
}

// V M Vᵀ x̄ and V M' Vᵀ x̄ as rows, M = t e^{−λτ}, τ = ½b²(1 − t)²: M' = (1 + t(1 − t) b²λ) e^{−λτ}.
struct Blurred {
  Tensor x, v;
};
// In f64, so that no precision of products rounds the data.
Blurred blurred(const Path& path, const Tensor& data, const Tensor& t) {
  if (data.rank() != 4)
    throw InputError(
        fmt::format("path.kind = \"blurring\" is of images (N,H,W,C), and the data is {}", data.shape().str()));
  NoGradGuard off;
  int64_t n = data.dim(0), height = data.dim(1), width = data.dim(2);
  Device device = data.device();
  Var down = dct_basis(height, device), across = dct_basis(width, device);
  Var rates = kept({height, width, device}, [&] { return dissipation_rates(height, width); });
  // (N,C,H,W) → over rows → (N,C,W,H) → over columns
  Var spectrum = linear(permute(Var(data.to(DType::f64)), {0, 3, 1, 2}), across);
  spectrum = linear(permute(spectrum, {0, 1, 3, 2}), down);
  Var time = reshape(Var(t.to(DType::f64)), {n, 1, 1, 1}), left = 1 - time;
  double b2 = path.blur * path.blur;
  Var decay = exp((-0.5 * b2) * square(left) * rates);
  auto pixels = [&](const Var& factor) {
    Var y = linear(factor * spectrum, permute(down, {1, 0}));
    y = linear(permute(y, {0, 1, 3, 2}), permute(across, {1, 0}));
    return rows(permute(y, {0, 2, 3, 1}).value()).to(data.dtype());
  };
  return {pixels(time * decay), pixels(affine(b2 * (time * left) * rates, 1, 1) * decay)};
}

}  // namespace

Tensor dct_basis(int64_t n, Device device) {
  return kept({n, 0, device}, [n] {
    Tensor out = Tensor::empty({n, n}, DType::f64);
    double size = static_cast<double>(n);
    for (int64_t k = 0; k < n; ++k)
      for (int64_t i = 0; i < n; ++i)
        out.mutable_data<double>()[k * n + i] =
            std::sqrt((k == 0 ? 1 : 2) / size) *
            std::cos(pi * static_cast<double>(k) * (static_cast<double>(i) + 0.5) / size);
    return out;
  });
}

Particles particles_of(const Path& path, const Tensor& images, const Tensor& noise, const Tensor& t) {
  Tensor data = rows(images), eps = rows(noise);
  PathFactors p = path_factors(path, t);
  if (path.kind == Path::Kind::blurring) {
    Blurred b = blurred(path, images, t);
    return {p, (b.x + p.sigma * eps).reshape(images.shape()), b.v + p.dsigma * eps};
  }
  return {p, (p.mu * data + p.sigma * eps).reshape(images.shape()), p.dmu * data + p.dsigma * eps};
}

}  // namespace vapo

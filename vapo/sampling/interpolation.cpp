#include "vapo/sampling/interpolation.h"

#include <algorithm>
#include <cmath>

#include "tensor/check.h"

namespace vapo {
namespace {

// out (points,width): a and b at the ends, between them ½(‖a‖ + ‖b‖)·(sin((1−s)θ)â + sin(sθ)b̂)/sin θ
template <class T>
void arc(const T* a, const T* b, T* out, int64_t width, int64_t points) {
  double aa = 0, bb = 0, ab = 0;
  for (int64_t i = 0; i < width; ++i) {
    double p = static_cast<double>(a[i]), q = static_cast<double>(b[i]);
    aa += p * p, bb += q * q, ab += p * q;
  }
  double na = std::sqrt(aa), nb = std::sqrt(bb), cosine = std::clamp(ab / (na * nb), -1.0, 1.0);
  if (!(na > 0 && nb > 0) || cosine < -1 + 1e-12)
    throw InputError("interpolation: two noises in opposite directions, or one that is 0. Hint: another seed");
  double angle = std::acos(cosine), sine = std::sin(angle), norm = 0.5 * (na + nb);
  for (int64_t k = 0; k < points; ++k, out += width) {
    double s = static_cast<double>(k) / static_cast<double>(points - 1);
    double wa = 1 - s, wb = s;  // along a straight line where the angle is too small to divide by
    if (sine > 1e-12) wa = std::sin((1 - s) * angle) / sine, wb = std::sin(s * angle) / sine;
    for (int64_t i = 0; i < width; ++i)
      out[i] = static_cast<T>(norm * (wa * static_cast<double>(a[i]) / na + wb * static_cast<double>(b[i]) / nb));
    if (k == 0) std::copy(a, a + width, out);
    if (k == points - 1) std::copy(b, b + width, out);
  }
}

}  // namespace

Tensor slerp(const Tensor& u, const Tensor& v, int64_t points) {
  if (points < 2) throw InputError(fmt::format("interpolation: {} points, at least the 2 ends", points));
  VAPO_CHECK(u.rank() >= 1 && u.shape() == v.shape() && u.dtype() == v.dtype(), "[slerp] from {} {} to {} {}",
             name_of(u.dtype()), u.shape().str(), name_of(v.dtype()), v.shape().str());
  Shape shape = u.shape();
  int64_t n = shape[0], width = n == 0 ? 0 : u.numel() / n;
  shape[0] = n * points;
  Tensor a = u.to(Device::cpu), b = v.to(Device::cpu), out = Tensor::empty(shape, u.dtype());
  dispatch_floating(u.dtype(), [&]<class T>() {
    for (int64_t k = 0; k < n; ++k)
      arc(a.data<T>() + k * width, b.data<T>() + k * width, out.mutable_data<T>() + k * points * width, width,
          points);
  });
  return out.to(u.device());
}

}  // namespace vapo

// Resizing along one axis at a time. Antialiased, columns first: each pixel of the result is a weighted mean of
// those below a triangle around its centre, as wide as it is apart from its neighbours, in pixels of the source.
// For feature networks, rows first: between two pixels.

#include <algorithm>
#include <cmath>
#include <vector>

#include "data/pictures/image_file.h"
#include "tensor/check.h"
#include "tensor/parallel.h"

namespace vapo::data {
namespace {

// Of a weight; 255 times their sum fits into 32 bits. As many as PIL takes, so that ties are rounded as there.
constexpr int fraction_bits = 22;

struct Taps {
  int64_t first;
  std::vector<int32_t> weights;  // of first, first + 1, …; their sum is 1 but for rounding
};

// Pixel i of `to` has its centre at (i + ½)·from/to of the source, where pixel j is centred at j + ½.
std::vector<Taps> taps_of(int64_t from, int64_t to) {
  double scale = static_cast<double>(from) / static_cast<double>(to), support = std::max(scale, 1.0);
  std::vector<Taps> out;
  for (int64_t i = 0; i < to; ++i) {
    double centre = (static_cast<double>(i) + 0.5) * scale, sum = 0;
    int64_t first = std::max<int64_t>(0, static_cast<int64_t>(centre - support + 0.5));
    int64_t last = std::min(from, static_cast<int64_t>(centre + support + 0.5));
    std::vector<double> w;
    for (int64_t j = first; j < last; ++j) {
      w.push_back(std::max(0.0, 1 - std::abs(static_cast<double>(j) + 0.5 - centre) / support));
      sum += w.back();
    }
    Taps& taps = out.emplace_back(Taps{first, {}});
    for (double v : w) taps.weights.push_back(static_cast<int32_t>(std::lround(v / sum * (1 << fraction_bits))));
  }
  return out;
}

// x as (outer, n, inner) along its middle axis to (outer, m, inner).
Tensor resize_axis(const Tensor& x, int64_t outer, int64_t n, int64_t m, int64_t inner) {
  std::vector<Taps> taps = taps_of(n, m);
  Tensor out = Tensor::empty({outer, m, inner}, DType::u8);
  const uint8_t* from = x.data<uint8_t>();
  uint8_t* to = out.mutable_data<uint8_t>();
  parallel_for(outer * m, std::max<int64_t>(1, (1 << 14) / inner), 1, [&](int64_t begin, int64_t end) {
    std::vector<int32_t> sums(static_cast<size_t>(inner));
    for (int64_t row = begin; row < end; ++row) {
      const Taps& t = taps[static_cast<size_t>(row % m)];
      const uint8_t* source = from + (row / m * n + t.first) * inner;
      std::fill(sums.begin(), sums.end(), 1 << (fraction_bits - 1));
      for (int32_t w : t.weights) {
        for (int64_t k = 0; k < inner; ++k) sums[static_cast<size_t>(k)] += w * source[k];
        source += inner;
      }
      for (int64_t k = 0; k < inner; ++k)
        to[row * inner + k] = static_cast<uint8_t>(std::min(sums[static_cast<size_t>(k)] >> fraction_bits, 255));
    }
  });
  return out;
}

struct Between {  // two pixels, and the share of the second
  int64_t first, second;
  double share;
};
std::vector<Between> between(int64_t from, int64_t to, FeatureResize resize) {
  double scale = static_cast<double>(from) / static_cast<double>(to);
  std::vector<Between> out;
  for (int64_t i = 0; i < to; ++i) {
    double at = static_cast<double>(i) * scale;
    if (resize == FeatureResize::pytorch_fid) at = std::max(0.0, at + 0.5 * scale - 0.5);
    auto first = std::min(static_cast<int64_t>(at), from - 1);
    out.push_back({first, std::min(first + 1, from - 1), at - static_cast<double>(first)});
  }
  return out;
}

template <class From, class To>
void resize_into(const Tensor& pixels, const Tensor& out, FeatureResize resize) {
  int64_t h = pixels.dim(1), w = pixels.dim(2), c = pixels.dim(3), height = out.dim(1), width = out.dim(2);
  std::vector<Between> down = between(h, height, resize), along = between(w, width, resize);
  To scale = resize == FeatureResize::tf1 ? 1 / To(128) : 1 / To(127.5), shift = -1;
  const From* from = pixels.data<From>();
  To* to = out.mutable_data<To>();
  parallel_for(pixels.dim(0) * height, 8, 1, [&](int64_t begin, int64_t end) {
    std::vector<To> row(static_cast<size_t>(w * c));
    for (int64_t r = begin; r < end; ++r) {
      const Between& y = down[static_cast<size_t>(r % height)];
      const From* image = from + r / height * h * w * c;
      const From *upper = image + y.first * w * c, *lower = image + y.second * w * c;
      for (int64_t k = 0; k < w * c; ++k) {
        auto a = static_cast<To>(upper[k]), b = static_cast<To>(lower[k]);
        row[static_cast<size_t>(k)] = (a + (b - a) * static_cast<To>(y.share)) * scale + shift;
      }
      To* pixel = to + r * width * 3;
      for (const Between& x : along) {
        const To *left = row.data() + x.first * c, *right = row.data() + x.second * c;
        for (int64_t k = 0; k < 3; ++k) {
          int64_t channel = c == 3 ? k : 0;
          *pixel++ = left[channel] + (right[channel] - left[channel]) * static_cast<To>(x.share);
        }
      }
    }
  });
}
}  // namespace

Tensor resize_for_features(const Tensor& pixels, int64_t height, int64_t width, FeatureResize resize) {
  DType t = pixels.dtype();
  VAPO_CHECK((t == DType::u8 || t == DType::f32 || t == DType::f64) && pixels.rank() == 4 && pixels.dim(1) >= 1 &&
                 pixels.dim(2) >= 1 && (pixels.dim(3) == 1 || pixels.dim(3) == 3),
             "[resize_for_features] {} {}: expects u8 (N,H,W,C), C = 1 or 3", name_of(t), pixels.shape().str());
  VAPO_CHECK(height >= 1 && width >= 1, "[resize_for_features] to {} × {} pixels", height, width);
  Tensor out = Tensor::empty({pixels.dim(0), height, width, 3}, t == DType::f64 ? DType::f64 : DType::f32);
  if (t == DType::u8)
    resize_into<uint8_t, float>(pixels, out, resize);
  else if (t == DType::f32)
    resize_into<float, float>(pixels, out, resize);
  else
    resize_into<double, double>(pixels, out, resize);
  return out;
}

Tensor resize_antialiased(const Tensor& image, int64_t height, int64_t width) {
  VAPO_CHECK(image.dtype() == DType::u8 && image.rank() == 3 && image.numel() > 0,
             "[resize_antialiased] {} {}: expects u8 (H,W,C)", name_of(image.dtype()), image.shape().str());
  VAPO_CHECK(height >= 1 && width >= 1, "[resize_antialiased] to {} × {} pixels", height, width);
  int64_t h = image.dim(0), w = image.dim(1), c = image.dim(2);
  Tensor x = image;
  if (width != w) x = resize_axis(x, h, w, width, c);
  if (height != h) x = resize_axis(x, 1, h, height, width * c);
  return x.reshape({height, width, c});
}

}  // namespace vapo::data

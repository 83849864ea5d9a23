// Synthetic sets in the plane. Most are curves drawn evenly and blurred by Gaussian noise, so that their density is
// an integral along the curves.

#include <algorithm>
#include <cmath>
#include <numbers>

#include "data/sets/points.h"
#include "tensor/kernels.h"
#include "tensor/parallel.h"

namespace vapo::data {
namespace {

using std::numbers::pi;

struct Point {
  double x, y;
};

// The draws that every set is made of: which part, where on it, and the noise.
struct Draw {
  Tensor part, place, noise;
  static RandomKey at(RandomKey key, uint32_t purpose) {
    key.stream += (purpose + 1) << 24;  // far from the streams of other draws of the same step
    return key;
  }
  Draw(int64_t n, int64_t parts, RandomKey key)
      : part(randint({n}, at(key, 0), parts)),
        place(rand({n, 2}, at(key, 1), 0, 1, DType::f64)),
        noise(randn({n, 2}, at(key, 2), DType::f64)) {}
};

template <class F>
Tensor points_of(int64_t n, DType dtype, const F& f) {
  Tensor out = Tensor::empty({n, 2}, DType::f64);
  double* y = out.mutable_data<double>();
  for (int64_t i = 0; i < n; ++i) {
    Point p = f(i);
    y[2 * i] = p.x, y[2 * i + 1] = p.y;
  }
  return out.to(dtype);
}

void check_points(const Tensor& x) {
  VAPO_CHECK(x.rank() == 2 && x.dim(1) == 2, "[log_density] points must be (N,2), got {}", x.shape().str());
}

template <class F>
Tensor for_each_point(const Tensor& points, const F& f) {
  check_points(points);
  Tensor x = points.to(DType::f64), out = Tensor::empty({x.dim(0)}, DType::f64);
  const double* p = x.data<double>();
  double* y = out.mutable_data<double>();
  parallel_for(x.dim(0), 16, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = f(Point{p[2 * i], p[2 * i + 1]});
  });
  return out;
}

// Equal weights on `parts` curves c_k(u), u in [0,1), blurred by Gaussian noise. u is uniform, or has the density
// 2u, which spreads points evenly along a spiral.
struct Curves {
  Point (*at)(int64_t part, double u);
  int64_t parts;
  double longest;  // bound of |c'(u)|
  bool linear_density = false;
};

// scikit-learn's: an upper half circle about (0,0), a lower one about (1,½).
Point moon(int64_t part, double u) {
  double a = pi * u;
  return part == 0 ? Point{std::cos(a), std::sin(a)} : Point{1 - std::cos(a), 0.5 - std::sin(a)};
}
// Circles of radius ½, 1, 1½, 2.
Point ring(int64_t part, double u) {
  double r = 0.5 * static_cast<double>(part + 1);
  return {r * std::cos(2 * pi * u), r * std::sin(2 * pi * u)};
}
// Two Archimedean arms of 1½ turns and radius 2.
Point spiral(int64_t part, double u) {
  double a = 3 * pi * u, r = (part == 0 ? 2 : -2) * u;
  return {r * std::cos(a), r * std::sin(a)};
}
// Centres on a circle of radius 2.
Point eighth(int64_t part, double) {
  double a = pi / 4 * static_cast<double>(part);
  return {2 * std::cos(a), 2 * std::sin(a)};
}

class BlurredCurves : public PointSet {
 public:
  BlurredCurves(const Curves& curves, double noise) : curves_(curves), noise_(noise) {
    // Gauss–Legendre with 5 nodes on panels no longer than a third of the blur: log p is exact to 1e-9 where it is
    // above −30, to 1e-7 of itself below.
    constexpr double at[] = {-0.9061798459386640, -0.5384693101056831, 0, 0.5384693101056831, 0.9061798459386640};
    constexpr double weight[] = {0.2369268850561891, 0.4786286704993665, 0.5688888888888889, 0.4786286704993665,
                                 0.2369268850561891};
    constexpr double most_panels = 10'000;
    double panels = noise > 0 ? std::max(1.0, std::ceil(3 * curves.longest / noise)) : INFINITY;
    if (panels > most_panels) return;  // noise too fine to integrate over: no density
    double normal = 1 / (2 * pi * noise * noise * panels * static_cast<double>(curves.parts));
    for (int64_t k = 0; k < curves.parts; ++k)
      for (double i = 0; i < panels; ++i)
        for (int j = 0; j < 5; ++j) {
          double u = (i + 0.5 * (1 + at[j])) / panels;
          nodes_.push_back(curves.at(k, u));
          weights_.push_back(0.5 * weight[j] * normal * (curves.linear_density ? 2 * u : 1));
        }
  }
  Tensor sample(int64_t n, RandomKey key, DType dtype) const override {
    Draw d(n, curves_.parts, key);
    return points_of(n, dtype, [&](int64_t i) {
      double u = d.place.data<double>()[2 * i];
      Point p = curves_.at(d.part.data<int64_t>()[i], curves_.linear_density ? std::sqrt(u) : u);
      const double* e = d.noise.data<double>() + 2 * i;
      return Point{p.x + noise_ * e[0], p.y + noise_ * e[1]};
    });
  }
  bool has_density() const override { return !nodes_.empty(); }
  Tensor log_density(const Tensor& x) const override {
    if (!has_density()) return {};
    double scale = -0.5 / (noise_ * noise_);
    return for_each_point(x, [&](Point p) {
      double nearest = INFINITY, sum = 0;  // relative to the nearest node, so that far points do not underflow
      for (const Point& c : nodes_)
        nearest = std::min(nearest, (p.x - c.x) * (p.x - c.x) + (p.y - c.y) * (p.y - c.y));
      for (size_t i = 0; i < nodes_.size(); ++i) {
        double dx = p.x - nodes_[i].x, dy = p.y - nodes_[i].y, e = scale * (dx * dx + dy * dy - nearest);
        if (e > -40) sum += weights_[i] * std::exp(e);
      }
      return scale * nearest + std::log(sum);
    });
  }

 private:
  Curves curves_;
  double noise_;
  std::vector<Point> nodes_;
  std::vector<double> weights_;
};

// The eight squares of side 1 of one colour of the board [−2,2]², blurred.
class Checkerboard : public PointSet {
 public:
  explicit Checkerboard(double noise) : noise_(noise) {}
  Tensor sample(int64_t n, RandomKey key, DType dtype) const override {
    Draw d(n, 8, key);
    return points_of(n, dtype, [&](int64_t i) {
      Point c = corner(d.part.data<int64_t>()[i]);
      const double *u = d.place.data<double>() + 2 * i, *e = d.noise.data<double>() + 2 * i;
      return Point{c.x + u[0] + noise_ * e[0], c.y + u[1] + noise_ * e[1]};
    });
  }
  bool has_density() const override { return true; }
  Tensor log_density(const Tensor& x) const override {
    return for_each_point(x, [&](Point p) {
      double sum = 0;
      for (int64_t k = 0; k < 8; ++k) sum += 0.125 * side(p.x - corner(k).x) * side(p.y - corner(k).y);
      return std::log(sum);
    });
  }

 private:
  static Point corner(int64_t k) {
    int64_t row = k / 2, column = 2 * (k % 2) + row % 2;
    return {static_cast<double>(column - 2), static_cast<double>(row - 2)};
  }
  // The density at z of a uniform on [0,1) plus noise.
  double side(double z) const {
    if (noise_ == 0) return z >= 0 && z < 1 ? 1 : 0;
    double scale = 1 / (noise_ * std::numbers::sqrt2);
    return 0.5 * (z < 0.5 ? std::erfc(-z * scale) - std::erfc((1 - z) * scale)
                          : std::erfc((z - 1) * scale) - std::erfc(z * scale));
  }
  double noise_;
};

// Five Gaussian arms, twisted by an angle that grows with the distance from the centre. No density in closed form.
class Pinwheel : public PointSet {
 public:
  explicit Pinwheel(double noise) : noise_(noise) {}
  Tensor sample(int64_t n, RandomKey key, DType dtype) const override {
    Draw d(n, 5, key);
    Tensor shape = randn({n, 2}, Draw::at(key, 3), DType::f64);
    return points_of(n, dtype, [&](int64_t i) {
      const double *s = shape.data<double>() + 2 * i, *e = d.noise.data<double>() + 2 * i;
      double r = 1 + 0.3 * s[0], w = 0.05 * s[1];
      double a = 2 * pi / 5 * static_cast<double>(d.part.data<int64_t>()[i]) + 0.25 * std::exp(r);
      double c = std::cos(a), q = std::sin(a);
      return Point{2 * (c * r - q * w) + noise_ * e[0], 2 * (q * r + c * w) + noise_ * e[1]};
    });
  }

 private:
  double noise_;
};

}  // namespace

std::vector<std::string> point_set_names() {
  return {"two_moons", "eight_gaussians", "checkerboard", "spirals", "rings", "pinwheel"};
}

std::unique_ptr<PointSet> make_point_set(const std::string& name, double noise) {
  if (!(noise >= 0) || !std::isfinite(noise))
    throw InputError(fmt::format("set '{}': noise must not be negative, got {}", name, noise));
  if (name == "two_moons") return std::make_unique<BlurredCurves>(Curves{moon, 2, pi}, noise);
  if (name == "eight_gaussians") return std::make_unique<BlurredCurves>(Curves{eighth, 8, 0}, noise);
  if (name == "checkerboard") return std::make_unique<Checkerboard>(noise);
  if (name == "spirals") return std::make_unique<BlurredCurves>(Curves{spiral, 2, 19, true}, noise);
  if (name == "rings") return std::make_unique<BlurredCurves>(Curves{ring, 4, 4 * pi}, noise);
  if (name == "pinwheel") return std::make_unique<Pinwheel>(noise);
  std::string names;
  for (const std::string& s : point_set_names()) names += (names.empty() ? "" : ", ") + s;
  throw InputError(fmt::format("unknown set '{}': use one of {}", name, names));
}

}  // namespace vapo::data

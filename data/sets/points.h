#pragma once
// D-dimensional points: synthetic sets in the plane, and the split of rows.

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tensor/random.h"
#include "tensor/tensor.h"

namespace vapo::data {

// A synthetic set of points in the plane, in the units of its usual construction (extent of a few units).
class PointSet {
 public:
  virtual ~PointSet() = default;
  virtual Tensor sample(int64_t n, RandomKey key, DType dtype = DType::f32) const = 0;  // (n,2), independent draws
  // The exact log-density (N), f64, of points (N,2); undefined where the set has none.
  virtual Tensor log_density(const Tensor&) const { return {}; }
  virtual bool has_density() const { return false; }
};
// two_moons, eight_gaussians, checkerboard, spirals, rings, pinwheel; noise: standard deviation added to each
// point. Throws InputError listing the names, or for a negative noise. All but pinwheel have a density; the sets
// that are curves (moons, spirals, rings) have one while the noise is above about 0.005.
std::unique_ptr<PointSet> make_point_set(const std::string& name, double noise);
std::vector<std::string> point_set_names();

// Rows for training and rows held out, a function of the seed alone. fraction in [0,1).
struct Split {
  Tensor train, held_out;
  Tensor held_out_places;  // i64: in x
};
Split split_rows(const Tensor& x, double held_out_fraction, uint64_t seed);

}  // namespace vapo::data

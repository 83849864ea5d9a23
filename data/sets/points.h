#pragma once
// D-dimensional points: synthetic sets in the plane, tables from files.

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

// A table of numbers: rows × columns, f64.
struct Table {
  Tensor values;                     // (rows, columns)
  std::vector<std::string> columns;  // from a header line; empty where there is none
};
// .npy (rank 2; rank 1 = one column) or text (comma, semicolon, tab or space separated; a first line of words alone
// is a header; lines that begin with # are skipped; no quotes among the numbers). Throws IoError/InputError naming
// file, line and column: not a number, NaN or infinite, ragged rows, fewer than 2 rows.
Table read_table(const std::filesystem::path& path);
Table parse_csv(std::string_view text, const std::string& name);

// Rows for training and rows held out, a function of the seed alone. fraction in [0,1).
struct Split {
  Tensor train, held_out;
};
Split split_rows(const Tensor& x, double held_out_fraction, uint64_t seed);

}  // namespace vapo::data

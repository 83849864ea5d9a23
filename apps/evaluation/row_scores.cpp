#include "apps/evaluation/row_scores.h"

#include <fmt/format.h>

#include <cmath>
#include <numbers>

#include "apps/evaluation/model_images.h"
#include "apps/run/parts.h"
#include "apps/run/ranks.h"
#include "data/writers/save.h"
#include "tensor/check.h"
#include "tensor/finite.h"
#include "tensor/kernels.h"
#include "vapo/model_density.h"
#include "vapo/sampling/composition.h"
#include "vapo/scores.h"

namespace vapo::app {
namespace {

Tensor column(const Tensor& x) { return x.to(Device::cpu).to(DType::f64).reshape({x.numel(), 1}); }

Tensor joined(std::initializer_list<Tensor> columns) {
  std::vector<Tensor> list = columns;
  return kernel::concat(list, 1);
}

// (N,2): E and ‖∇E‖.
Tensor as_columns(const EnergyScores& s) {
  return joined({column(s.energy), kernel::affine(column(s.mass), -1, 0)});
}

void save(const std::string& file, std::vector<std::string> names, std::initializer_list<Tensor> columns,
          const RowNames& rows) {
  if (!ranks().leads()) return;
  data::SavedRows out{.values = joined(columns),
                      .columns = std::move(names),
                      .index_name = rows.name,
                      .index = rows.numbers,
                      .index_text = rows.text};
  if (auto bad = non_finite(out.values))
    throw DivergedError(fmt::format("{}: not written, for a score is {} {}", file, bad->name(), bad->where()));
  data::save_rows(file, out);
}

}  // namespace

void save_point_scores(const std::string& file, const Model& model, const Tensor& points,
                       const Tensor& log_likelihood, const RowNames& rows) {
  double t = marginal_time(model, {});
  Energy energy = t == model.recipe.energy.marginal_t ? model.marginal()
                                                      : blurred_data_energy(*model.potential, model.path(), t);
  EnergyScores scores = energy_scores_at(energy, model, points);
  save(file, {"log_likelihood", "energy", "gradient_norm"}, {column(log_likelihood), as_columns(scores)}, rows);
}

Tensor image_energies(const Model& model, const Tensor& u, const Tensor& labels, int64_t batch_size,
                      const std::filesystem::path& part) {
  double t = marginal_time(model, {});
  auto make = [&](int64_t first, int64_t count) {
    auto some = [&](const Tensor& x) { return kernel::slice(x, 0, first, first + count, 1); };
    std::shared_ptr<Potential> phi = model.potential;
    if (labels.defined()) phi = conditioned(phi, model.recipe.classes(), some(labels));
    return as_columns(
        energy_scores(blurred_data_energy(*phi, model.path(), t), as_input(some(u)).to(model.device)));
  };
  return rows_in_parts(part, u.dim(0), batch_size, "energies: images", make);
}

void save_image_scores(const std::string& file, const Model& model, const Tensor& bits_per_dim,
                       const Tensor& energies, const RowNames& images) {
  double nats_per_bit = -std::numbers::ln2 * static_cast<double>(model.dims());
  Tensor bits = column(bits_per_dim);
  save(file, {"log_likelihood", "bits_per_dim", "energy", "gradient_norm"},
       {kernel::affine(bits, nats_per_bit, 0), bits, energies}, images);
}

}  // namespace vapo::app

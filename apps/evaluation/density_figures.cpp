#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "apps/evaluation/density.h"
#include "apps/run/command.h"
#include "data/pictures/figure.h"
#include "tensor/io/atomic_file.h"
#include "tensor/kernels.h"

namespace vapo::app {
namespace {

namespace fs = std::filesystem;
using data::Grid;
using data::Panel;

Tensor first_rows(const Tensor& x, int64_t n) { return x.dim(0) <= n ? x : kernel::slice(x, 0, 0, n, 1); }

std::vector<double> values_of(const Tensor& x) {
  std::vector<double> out;
  for (int64_t i = 0; i < x.numel(); ++i) out.push_back(x.at(i));
  return out;
}

// Poster, Fig. 1: particles from noise to data at several times with Φ behind, and their trajectories.
void draw_flow(Evaluation& evaluation, const Model& model, uint64_t seed) {
  constexpr int64_t kParticles = 1500, kTrajectories = 150;
  const std::vector<double> shown = {0.1, 0.4, 0.7, 0.9, 0.975};  // at t = 1 the cosine path leaves no potential
  Tensor noise = prior_noise(model, kParticles, seed);
  OdeOptions options{.method = OdeMethod::rk45, .rtol = 1e-3, .atol = 1e-3, .times = {}};
  for (int i = 1; i <= 40; ++i) options.times.push_back(i / 40.0);
  OdeResult flow = integrate(flow_field(*model.potential), noise, model.recipe.sample.t_start, 1, options);

  std::vector<Tensor> positions = {model.standardization.undo(noise.to(Device::cpu).to(DType::f64))};
  for (const Tensor& x : flow.at_times)
    positions.push_back(model.standardization.undo(x.to(Device::cpu).to(DType::f64)));
  Grid window = Grid::around(positions.front(), 100);
  data::Figure figure("Potential flow dx/dt = grad Phi(x,t): from noise to data", 2, 3);
  figure.add("trajectories, t from 0 to 1", "x1", "x2")
      .square(window)
      .trails(
          [&] {
            std::vector<Tensor> few;
            for (const Tensor& x : positions) few.push_back(first_rows(x, kTrajectories));
            return few;
          }(),
          "#999999")
      .points(first_rows(positions.front(), kTrajectories), "#1f77b4", 0.35)
      .points(first_rows(positions.back(), kTrajectories), "#d62728", 0.35);
  Tensor centres = window.centres();
  for (double t : shown) {
    Energy potential = [&, t](const Var& x) {
      return (*model.potential)(
          x, Tensor::full({x.dim(0)}, std::max(t, model.recipe.sample.t_start), {DType::f32, model.device}));
    };
    std::vector<double> phi = values_of(energy_at(potential, model, centres));
    size_t index = static_cast<size_t>(std::lround(t * 40));
    figure.add(fmt::format("t = {:.3g}: particles on Phi", t), "x1", "x2")
        .square(window)
        .heat(window, phi)
        .contours(window, phi)
        .points(positions[index], "#d62728", 0.2);
  }
  evaluation.draw(
      figure, "flow",
      "Particles carried from noise to data by the gradient of the potential, which is drawn behind them.");
}

// Poster, Fig. 2: densities beside the true one, and Langevin samples.
void draw_densities(Evaluation& evaluation, const DensityResult& r) {
  double area = r.grid.cell_area();
  auto density_of = [&](std::vector<double> shares) {
    for (double& p : shares) p /= area;
    return shares;
  };
  data::Figure figure("Density estimation", 2, 3);
  if (r.true_shares.empty()) {
    figure.add("data", "x1", "x2").square(r.grid).points(first_rows(r.reference, 5000), "#2171b5", 0.35);
  } else {
    figure.add("true density", "x1", "x2").square(r.grid).heat(r.grid, density_of(r.true_shares));
  }
  figure.add(r.law, "x1", "x2").square(r.grid).heat(r.grid, density_of(r.law_shares));
  figure.add("Boltzmann energy: exp((4 Phi + f |x|^2) / g^2)", "x1", "x2")
      .square(r.grid)
      .heat(r.grid, density_of(r.boltzmann_shares));
  figure.add("SGLD samples of " + r.law, "x1", "x2")
      .square(r.grid)
      .points(first_rows(r.sgld_samples, 5000), "#d62728", 0.2);
  figure.add("SGLD: first steps of some chains", "x1", "x2").square(r.grid).trails(r.sgld_trails, "#d62728");
  figure.add("data", "x1", "x2").square(r.grid).points(first_rows(r.reference, 5000), "#2171b5", 0.2);
  evaluation.draw(
      figure, "density",
      fmt::format("Densities of {0} and of the Boltzmann energy beside that of the data, and samples of "
                  "Langevin dynamics (SGLD) in {0}.",
                  r.law));
}

void draw_sgld(Evaluation& evaluation, const SgldTrace& trace) {
  data::Figure figure("Long-run SGLD", 1, 2, 640, 400);
  figure.add("mean energy E[E(x)]", "step", "nats").curve(trace.step, trace.mean_energy, "", "#2171b5");
  figure.add("mean squared gradient E|grad E|^2", "step", "")
      .from_zero()
      .curve(trace.step, trace.mean_squared_gradient, "", "#d62728");
  evaluation.draw(figure, "sgld", "The long run of SGLD: mean energy and mean squared gradient by step.");
}

// Beside its log for whoever looks there: of that folder's page it is no part, which has these curves itself.
void draw_loss(Evaluation& evaluation, const fs::path& metrics) {
  std::error_code error;
  if (!fs::exists(metrics, error)) return;
  std::vector<double> step, loss, norm;
  std::string text = read_whole_file(metrics);
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    Json line = Json::parse(text.substr(begin, end - begin), nullptr, false);
    if (!line.is_object() || !line.value("loss", Json()).is_number()) continue;
    step.push_back(line.value("step", 0.0));
    loss.push_back(line.value("loss", 0.0));
    norm.push_back(line.value("gradient_norm", 0.0));
  }
  if (step.empty()) return;
  data::Figure figure("Training", 1, 2, 640, 400);
  figure.add("loss (mean since the last line of the log)", "step", "").curve(step, loss, "", "#2171b5");
  figure.add("norm of the gradient", "step", "").logarithmic_y().curve(step, norm, "", "#d62728");
  if (evaluation.has(metrics.filename())) {
    draw_or_tell(figure, evaluation.folder(), "loss");
  } else {
    evaluation.draw(figure, "loss", "Loss and norm of the gradient while it was trained.");
  }
}

}  // namespace

void draw_figures(Evaluation& evaluation, const Model& model, const DensityResult& result, uint64_t seed,
                  const fs::path& metrics) {
  draw_flow(evaluation, model, seed);
  draw_densities(evaluation, result);
  draw_sgld(evaluation, result.sgld);
  draw_loss(evaluation, metrics);
}

}  // namespace vapo::app

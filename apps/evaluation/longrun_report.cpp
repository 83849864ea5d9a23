#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>

#include "apps/evaluation/longrun.h"
#include "data/pictures/figure.h"
#include "data/pictures/image_file.h"
#include "tensor/io/npy.h"
#include "tensor/kernels.h"

namespace vapo::app {
namespace {

constexpr const char* kColours[] = {"#2171b5", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#17becf"};

// Of the values after burn-in, or nothing where they cannot be used.
data::Chains kept_of(const data::Chains& values, int64_t burn_in) {
  data::Chains kept;
  for (const std::vector<double>& v : values) {
    auto skip = std::min(static_cast<size_t>(burn_in), v.size());
    kept.emplace_back(v.begin() + static_cast<std::ptrdiff_t>(skip), v.end());
    bool usable = kept.back().size() >= 4 &&
                  std::all_of(kept.back().begin(), kept.back().end(), [](double x) { return std::isfinite(x); });
    if (!usable) return {};
  }
  return kept;
}

// The last half of a series: its mean, and whether it is level.
struct LastHalf {
  double first = NAN, mean = NAN;  // first: of the whole series
  std::string verdict = "too short";
};
LastHalf last_half(const std::vector<double>& series) {
  LastHalf out;
  if (series.empty()) return out;
  std::span<const double> half = std::span(series).subspan(series.size() / 2);
  out.first = series[0];
  out.mean = std::accumulate(half.begin(), half.end(), 0.0) / static_cast<double>(half.size());
  if (!std::isfinite(out.mean)) return out.verdict = "not finite", out;
  if (half.size() < 4) return out;
  data::Trend t = data::trend(half);
  out.verdict = t.level() ? "level" : t.slope > 0 ? "rises" : "falls";
  return out;
}

data::ChainStatistics statistics_after(const data::Chains& values, int64_t burn_in) {
  data::Chains kept = kept_of(values, burn_in);
  return kept.empty() ? data::ChainStatistics{NAN, NAN, NAN, {}} : data::chain_statistics(kept);
}

// States (times,N,…) as NAME.npy (N,times,…): of images as pixels, and as a picture.
void show_states(Evaluation& evaluation, const LongRuns& all, const std::string& name, const Tensor& states) {
  constexpr int64_t kRows = 16;
  if (!states.defined()) return;
  if (!all.of_images) {
    write_npy(evaluation.file(name + ".npy"), kernel::permute(states, {1, 0, 2}));
    return;
  }
  Tensor x = kernel::permute(states, {1, 0, 2, 3, 4});  // particle by particle
  Tensor pixels = data::to_pixels(x);
  write_npy(evaluation.file(name + ".npy"), pixels);
  int64_t rows = std::min(kRows, x.dim(0)), times = x.dim(1);
  Tensor few = kernel::slice(pixels, 0, 0, rows, 1).reshape({rows * times, x.dim(2), x.dim(3), x.dim(4)});
  data::write_png(evaluation.file(name + ".png"), data::image_grid(few, times));
  std::string where;
  for (int64_t i = 0; i < times; ++i)
    where +=
        fmt::format("{}{:.4g}", i ? ", " : "", static_cast<double>(all.shown[static_cast<size_t>(i)]) * all.unit);
  evaluation.figure(name + ".png", fmt::format("{}: a particle in each row, {} {}", name,
                                               all.ode ? "at t =" : "after steps", where));
}

void add_curve(data::Panel& panel, const std::vector<double>& y, double unit, const std::string& label,
               size_t colour) {
  std::vector<double> xs, ys;
  for (size_t i = 0; i < y.size(); ++i) {
    if (!std::isfinite(y[i])) continue;
    xs.push_back(static_cast<double>(i) * unit);
    ys.push_back(y[i]);
  }
  if (!xs.empty()) panel.curve(xs, ys, label, kColours[colour % std::size(kColours)]);
}

void draw_curves(Evaluation& evaluation, const LongRuns& all) {
  data::Figure figure(all.ode ? "Long-run flow" : "Long-run SGLD", all.ode ? 1 : 2, all.ode ? 3 : 2, 560, 400);
  std::string axis = all.ode ? "t" : "step", f = all.function;
  data::Panel& gradient = figure.add("E|grad F|^2, F = " + f, axis, "").logarithmic_y();
  data::Panel& value = figure.add("E|F|, F = " + f, axis, "");
  data::Panel* outside =
      all.of_images ? &figure.add("share of pixels outside [-1,1]", axis, "").from_zero() : nullptr;
  data::Panel* correlation = all.ode ? nullptr : &figure.add("autocorrelation of F after burn-in", "lag", "");
  bool any = false;
  for (size_t i = 0; i < all.runs.size(); ++i) {
    const LongRun& run = all.runs[i];
    any = any || !run.chain.mean_absolute_value.empty();
    add_curve(gradient, run.chain.mean_squared_gradient, all.unit, run.name, i);
    add_curve(value, run.chain.mean_absolute_value, all.unit, run.name, i);
    if (outside) add_curve(*outside, run.chain.outside, all.unit, run.name, i);
    if (correlation) {
      std::vector<double> rho = statistics_after(run.chain.values, all.burn_in).autocorrelation;
      add_curve(*correlation, rho.empty() ? std::vector<double>{1} : rho, 1, run.name, i);
    }
  }
  if (!any) return;
  evaluation.draw(figure, "curves", "Means over the particles, before every step");
}

}  // namespace

void report_long_runs(Evaluation& evaluation, const LongRuns& all) {
  std::vector<std::vector<Json>> rows;
  int64_t level_gradients = 0, level_values = 0, drifts = 0;
  std::string gradients;  // from and to, of each run
  for (const LongRun& run : all.runs) {
    const Chain& c = run.chain;
    LastHalf gradient = last_half(c.mean_squared_gradient), value = last_half(c.mean_absolute_value);
    if (c.mean_squared_gradient.empty() && !c.mean_absolute_value.empty()) gradient.verdict = "not measured";
    bool whole = c.ended.empty();
    level_gradients += whole && gradient.verdict == "level";
    level_values += whole && value.verdict == "level";
    gradients += fmt::format("{}{:.3g} to {:.3g}", gradients.empty() ? "" : ", ", gradient.first, gradient.mean);
    std::vector<Json> row = {run.start};
    if (!all.ode) row.push_back(run.temperature);
    auto steps = static_cast<int64_t>(c.mean_absolute_value.size());
    row.insert(row.end(),
               {steps, gradient.first, gradient.mean, gradient.verdict, value.first, value.mean, value.verdict});
    if (all.of_images) row.push_back(c.outside.empty() ? Json() : Json(c.outside.back()));
    if (!all.ode) {
      data::ChainStatistics s = statistics_after(c.values, all.burn_in);
      int64_t kept = std::max<int64_t>(0, steps - all.burn_in) * static_cast<int64_t>(c.values.size());
      data::Chains after = kept_of(c.values, all.burn_in);
      data::Drift drift = after.empty() ? data::Drift{NAN, NAN} : data::drift(after);
      drifts += drift.is_seen();
      row.insert(row.end(),
                 {s.effective_samples, kept, s.autocorrelation_time, s.r_hat, drift.mean, drift.standard_error});
    }
    rows.push_back(row);
    show_states(evaluation, all, run.name, c.shown);
    show_states(evaluation, all, run.name + "-denoised", run.denoised);
    if (!whole) evaluation.remark(fmt::format("{} ended after {} steps: {}", run.name, steps, c.ended));
  }
  std::vector<std::string> columns = {"start"};
  if (!all.ode) columns.push_back("temperature");
  columns.insert(columns.end(), {"steps", "E|grad F|^2 at first", "in the last half", "and there it",
                                 "E|F| at first", "in the last half", "and there it"});
  if (all.of_images) columns.push_back("outside [-1,1] at last");
  if (!all.ode)
    columns.insert(columns.end(), {"effective samples of F", "of", "autocorrelation time (steps)", "R-hat",
                                   "drift of F", "its standard error"});
  evaluation.table("Long runs, F = " + all.function, columns, rows);
  draw_curves(evaluation, all);

  std::string of = fmt::format(" of {}", all.runs.size());
  evaluation.summary("runs", all.runs.size());
  evaluation.summary("steps", all.steps);
  evaluation.summary("level_gradients", level_gradients);
  evaluation.summary("level_values", level_values);
  evaluation.remark(
      "Level: the slope of the last half of the run, by least squares through the means of 20 blocks, is within 2 "
      "of its "
      "standard errors of 0. Where the memory of a run is longer than a block, more is called a drift than there "
      "is");
  const std::string& because = all.not_comparable_because;
  if (all.ode) {
    evaluation.beside_poster("ODE to t = 20: E|grad Phi|^2 becomes level", "no", level_gradients > 0 ? "yes" : "no",
                             because);
    evaluation.beside_poster("ODE to t = 20: E|Phi| becomes level", "no", level_values > 0 ? "yes" : "no", because);
    return;
  }
  evaluation.beside_poster("SGLD: the mean gradient norm", "decays to zero", gradients, because);
  evaluation.beside_poster("SGLD: the mean energy norm becomes level", "yes", std::to_string(level_values) + of,
                           because);
  evaluation.summary("drifting", drifts);
  evaluation.remark(
      fmt::format("Drift: the mean over the particles of F in the second half of what is left after {} steps, less "
                  "that in the first. "
                  "Beyond 2 of its standard errors, in {} of {} runs, the chains are still on their way: it widens "
                  "the spread within "
                  "them, and R-hat is flattered",
                  all.burn_in, drifts, all.runs.size()));
  evaluation.remark(
      "A chain with the law e^{E/lambda} has E|grad E|^2 = -lambda E[Laplacian of E] > 0: at equilibrium the "
      "gradient's "
      "norm is not 0 unless the temperature is");
  evaluation.remark(fmt::format(
      "Effective samples: of E over all particles after {} steps, by Geyer's initial monotone sequence on the "
      "autocorrelation of all chains together (Vehtari et al. 2021)",
      all.burn_in));
}

}  // namespace vapo::app

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "apps/evaluation/model_images.h"
#include "apps/evaluation/ood.h"
#include "data/measures/histogram.h"
#include "data/measures/roc.h"
#include "data/pictures/figure.h"
#include "vapo/streams.h"

namespace vapo::app {
namespace {

constexpr const char* kColours[] = {"#08306b", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#17becf"};

// Poster: CIFAR-10 in distribution.
struct PosterSet {
  const char *set, *name;
  double vapo;
  size_t images;  // of the whole test part
};
constexpr PosterSet kPosterSets[] = {{"interpolated", "interpolated CIFAR-10", .78, 9'999},
                                     {"cifar100", "CIFAR-100", .67, 10'000},
                                     {"celeba", "CelebA", .84, 19'962},
                                     {"svhn", "SVHN", .61, 26'032}};

// Why what was scored is not the poster's set; empty where it is.
std::string not_the_set(const PosterSet& poster, const SetScores& scored) {
  size_t n = scored.values[0].size(), colon = scored.name.find(':');
  std::string part = colon == std::string::npos ? "test" : scored.name.substr(colon + 1);
  if (part != "test") return fmt::format("it is the {} part of {}, not the test part", part, poster.name);
  if (n != poster.images) return fmt::format("{} images of {}, not {}", n, poster.name, poster.images);
  return "";
}

// From a low to a high quantile of all sets, so that a few far values do not flatten the rest.
void add_panel(data::Figure& figure, const OodResult& r, size_t score) {
  constexpr double kBeyond = 0.005;
  constexpr int64_t kBins = 50;
  std::vector<double> all = r.in.values[score];
  for (const SetScores& set : r.out) all.insert(all.end(), set.values[score].begin(), set.values[score].end());
  double low = data::quantile(all, kBeyond), high = data::quantile(all, 1 - kBeyond);
  if (!(low < high)) high = low + 1;
  data::Panel& panel = figure.add(r.scores[score], "", "density").from_zero().legend_left();
  size_t colour = 0;
  auto add = [&](const SetScores& set) {
    data::Histogram h = data::histogram(set.values[score], low, high, kBins);
    panel.curve(h.outline_x(), h.outline_y(), set.name, kColours[colour++ % std::size(kColours)]);
  };
  add(r.in);
  for (const SetScores& set : r.out) add(set);
}

void draw_histograms(Evaluation& evaluation, const OodResult& r) {
  int columns = static_cast<int>(std::min<size_t>(r.scores.size(), 4));
  int rows = (static_cast<int>(r.scores.size()) + columns - 1) / columns;
  data::Figure figure("Scores: higher is more in-distribution", rows, columns, 520, 340);
  for (size_t s = 0; s < r.scores.size(); ++s) add_panel(figure, r, s);
  evaluation.draw(figure, "histograms",
                  "Each score over each set; the half per cent of all at either end lies in the outermost "
                  "bins");
}

}  // namespace

void report_ood(Evaluation& evaluation, const OodResult& r) {
  std::vector<std::string> columns = {"score"};
  for (const SetScores& set : r.out) columns.push_back(set.name);
  std::vector<std::vector<Json>> table, intervals;
  for (size_t s = 0; s < r.scores.size(); ++s) {
    std::vector<Json>& row = table.emplace_back(std::vector<Json>{r.scores[s]});
    for (size_t k = 0; k < r.out.size(); ++k) {
      const std::vector<double>&in = r.in.values[s], &out = r.out[k].values[s];
      double area = data::auroc(in, out);
      uint64_t draw = 2 * kResamples * (s * r.out.size() + k);
      data::Interval interval =
          data::auroc_interval(in, out, {.resamples = kResamples, .key = {r.seed, kBootstrapStream, draw}});
      row.push_back(area);
      intervals.push_back({r.scores[s], r.out[k].name, in.size(), out.size(), area, interval.low, interval.high});
    }
  }
  evaluation.summary("in", r.in.name);
  evaluation.summary("n", r.in.values[0].size());
  evaluation.summary("score", r.scores[0]);
  for (size_t k = 0; k < r.out.size(); ++k) evaluation.summary("auroc " + r.out[k].name, table[0][k + 1]);
  evaluation.table("AUROC of each score: " + r.in.name + " against other sets", columns, table);
  evaluation.table(fmt::format("The same with 95 % bootstrap intervals ({} resamples of both sets)", kResamples),
                   {"score", "out of distribution", "n in", "n out", "AUROC", "low", "high"}, intervals);
  for (const PosterSet& poster : kPosterSets)
    for (size_t k = 0; k < r.out.size(); ++k)
      if (r.out[k].name == poster.set || r.out[k].name.starts_with(std::string(poster.set) + ":"))
        evaluation.beside_poster(
            fmt::format("AUROC, {} (in distribution: CIFAR-10)", poster.name), poster.vapo, table[0][k + 1],
            r.not_comparable_because.empty() ? not_the_set(poster, r.out[k]) : r.not_comparable_because);
  if (r.in.name == "cifar10" || r.in.name == "cifar10:test") {
    Json none;
    evaluation.table("AUROC in the poster's table, CIFAR-10 in distribution",
                     {"model", "interpolated", "CIFAR-100", "CelebA", "SVHN"},
                     {{"VAPO", .78, .67, .84, .61},
                      {"CDRL", .75, .78, .84, .82},
                      {"DRL", none, .44, .64, .88},
                      {"CLEL", .72, .72, .77, .98}});
  }
  draw_histograms(evaluation, r);
}

}  // namespace vapo::app

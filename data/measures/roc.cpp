#include "data/measures/roc.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "data/measures/histogram.h"
#include "tensor/check.h"
#include "tensor/parallel.h"

namespace vapo::data {
namespace {

void check_scores(std::span<const double> scores, const char* side) {
  if (scores.empty()) throw InputError(fmt::format("auroc: no scores {} distribution", side));
  for (size_t i = 0; i < scores.size(); ++i)
    if (std::isnan(scores[i]))
      throw InputError(fmt::format("auroc: score {} of those {} distribution is not a number", i, side));
}

// The distinct values of both sets in rising order, and which of them each score is.
struct Groups {
  std::vector<uint32_t> in, out;
  size_t count = 0;
};

Groups groups_of(std::span<const double> in, std::span<const double> out) {
  check_scores(in, "in");
  check_scores(out, "out of");
  std::vector<uint32_t> order(in.size() + out.size());
  std::iota(order.begin(), order.end(), 0u);
  auto value = [&](uint32_t i) { return i < in.size() ? in[i] : out[i - in.size()]; };
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return value(a) < value(b); });
  Groups g{.in = std::vector<uint32_t>(in.size()), .out = std::vector<uint32_t>(out.size())};
  for (size_t k = 0; k < order.size(); ++k) {
    if (k == 0 || value(order[k]) != value(order[k - 1])) ++g.count;
    uint32_t i = order[k], group = static_cast<uint32_t>(g.count - 1);
    (i < in.size() ? g.in[i] : g.out[i - in.size()]) = group;
  }
  return g;
}

// U/(n₁n₀) = Σ over groups, in₍g₎·(out below g + ½ out₍g₎); counts how often each value is there.
double area(const std::vector<uint32_t>& in, const std::vector<uint32_t>& out) {
  double u = 0, below = 0, n1 = 0;
  for (size_t g = 0; g < in.size(); ++g) {
    u += in[g] * (below + 0.5 * out[g]);
    below += out[g];
    n1 += in[g];
  }
  return u / (n1 * below);
}

}  // namespace

double auroc(std::span<const double> in, std::span<const double> out) {
  Groups g = groups_of(in, out);
  std::vector<uint32_t> in_counts(g.count), out_counts(g.count);
  for (uint32_t i : g.in) ++in_counts[i];
  for (uint32_t i : g.out) ++out_counts[i];
  return area(in_counts, out_counts);
}

Interval auroc_interval(std::span<const double> in, std::span<const double> out, const BootstrapOptions& o) {
  if (o.resamples < 1 || !(o.confidence > 0 && o.confidence < 1))
    throw InputError(fmt::format("bootstrap: {} resamples, confidence {} (in (0,1))", o.resamples, o.confidence));
  Groups g = groups_of(in, out);
  std::vector<double> areas(static_cast<size_t>(o.resamples));
  parallel_for(o.resamples, 1, 1, [&](int64_t begin, int64_t end) {
    std::vector<uint32_t> counts[2];
    for (int64_t r = begin; r < end; ++r) {
      for (size_t side = 0; side < 2; ++side) {
        const std::vector<uint32_t>& groups = side == 0 ? g.in : g.out;
        counts[side].assign(g.count, 0);
        RandomKey key = o.key;
        key.step += static_cast<uint64_t>(2 * r) + side;
        auto n = static_cast<int64_t>(groups.size());
        Tensor drawn = randint({n}, key, n);
        for (int64_t i : std::span(drawn.data<int64_t>(), groups.size())) ++counts[side][groups[i]];
      }
      areas[static_cast<size_t>(r)] = area(counts[0], counts[1]);
    }
  });
  return {quantile(areas, (1 - o.confidence) / 2), quantile(areas, (1 + o.confidence) / 2)};
}

}  // namespace vapo::data

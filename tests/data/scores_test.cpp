// AUROC against scikit-learn and by definition, its bootstrap's coverage; chains whose law is known.

#include <doctest/doctest.h>

#include <cmath>

#include "data/measures/chains.h"
#include "data/measures/histogram.h"
#include "data/measures/roc.h"
#include "tensor/check.h"

using namespace vapo;
using namespace vapo::data;

namespace {

template <class F>
std::vector<double> values(int64_t n, F&& f) {
  std::vector<double> out;
  for (int64_t i = 0; i < n; ++i) out.push_back(f(i));
  return out;
}
double real(int64_t i) { return static_cast<double>(i); }

std::vector<double> normals(int64_t n, uint64_t step, double mean = 0) {
  Tensor z = randn({n}, {.seed = 11, .stream = 1, .step = step}, DType::f64);
  return values(n, [&](int64_t i) { return mean + z.at(i); });
}

// x_{s+1} = φx_s + √(1 − φ²)ξ, from its stationary law N(mean, 1).
std::vector<double> ar1(int64_t n, double phi, uint64_t step, double mean = 0) {
  std::vector<double> x = normals(n, step);
  for (size_t s = 1; s < x.size(); ++s) x[s] = phi * x[s - 1] + std::sqrt(1 - phi * phi) * x[s];
  for (double& v : x) v += mean;
  return x;
}

double by_definition(const std::vector<double>& in, const std::vector<double>& out) {
  double sum = 0;
  for (double a : in)
    for (double b : out) sum += a > b ? 1 : a == b ? 0.5 : 0;
  return sum / static_cast<double>(in.size() * out.size());
}

}  // namespace

TEST_CASE("the AUROC is scikit-learn's, and that of the definition") {
  // roc_auc_score of scikit-learn 1.9.1: many ties; few; a handful
  auto in = values(503, [](int64_t i) { return real((7 * i * i + 3 * i) % 41); });
  auto out = values(401, [](int64_t j) { return real((5 * j * j + j) % 37); });
  CHECK(std::abs(auroc(in, out) - 0.6740802070370793) < 1e-12);
  CHECK(std::abs(auroc(in, out) - by_definition(in, out)) < 1e-12);
  auto far = values(1000, [](int64_t i) { return real((7 * i * i * i + 3 * i + 11) % 10007) - 2500; });
  auto near = values(700, [](int64_t j) { return -0.5 * real((5 * j * j + j) % 10007); });
  CHECK(std::abs(auroc(far, near) - 0.9310828571428572) < 1e-12);
  CHECK(std::abs(auroc(std::vector<double>{1, 2, 2}, std::vector<double>{2, 0}) - 2.0 / 3) < 1e-15);

  CHECK(auroc(in, in) == 0.5);
  CHECK(auroc(out, in) == doctest::Approx(1 - auroc(in, out)).epsilon(1e-14));
  CHECK(auroc(std::vector<double>{INFINITY, 1e300}, std::vector<double>{-INFINITY, 5}) == 1);
  auto raised = in;
  for (double& v : raised) v = std::exp(v / 7);  // ranks alone count
  auto raised_out = out;
  for (double& v : raised_out) v = std::exp(v / 7);
  CHECK(auroc(raised, raised_out) == auroc(in, out));
}

TEST_CASE("scores that are none are refused, with their side") {
  std::vector<double> good = {1, 2}, bad = {1, NAN}, none;
  CHECK_THROWS_WITH_AS(auroc(bad, good), doctest::Contains("score 1 of those in distribution"), InputError);
  CHECK_THROWS_WITH_AS(auroc(good, bad), doctest::Contains("out of distribution is not a number"), InputError);
  CHECK_THROWS_WITH_AS(auroc(none, good), doctest::Contains("no scores in distribution"), InputError);
  CHECK_THROWS_WITH_AS(auroc(good, none), doctest::Contains("no scores out of distribution"), InputError);
  CHECK_THROWS_AS(auroc_interval(good, bad, {}), InputError);
  CHECK_THROWS_AS(auroc_interval(good, good, {.resamples = 0}), InputError);
}

TEST_CASE("the bootstrap's intervals hold the true area as often as they should") {
  // N(1,1) against N(0,1): P(in > out) = Φ(1/√2). 95 % of 300 intervals within 4 standard errors, √(.95·.05/300),
  // and a little below for sets this small.
  double truth = 0.5 * std::erfc(-0.5);
  int covered = 0;
  double width = 0;
  for (uint64_t k = 0; k < 300; ++k) {
    auto in = normals(60, 2 * k, 1), out = normals(80, 2 * k + 1);
    Interval i = auroc_interval(in, out, {.resamples = 300, .key = {.seed = 5, .step = 600 * k}});
    CHECK(i.low < i.high);
    covered += i.low <= truth && truth <= i.high;
    width += (i.high - i.low) / 300;
  }
  CHECK(covered >= 300 * 0.90);
  CHECK(covered <= 300 * 0.99);
  // Hanley & McNeil's standard error for a = Φ(1/√2): about 0.042 with 60 and 80
  CHECK(width == doctest::Approx(2 * 1.96 * 0.042).epsilon(0.1));

  auto in = normals(60, 1000, 1), out = normals(80, 1001);
  Interval a = auroc_interval(in, out, {.key = {.seed = 5}}), b = auroc_interval(in, out, {.key = {.seed = 5}});
  CHECK(a.low == b.low);
  CHECK(a.high == b.high);
  Interval wide = auroc_interval(in, out, {.confidence = 0.99, .key = {.seed = 5}});
  CHECK(wide.low < a.low);
  CHECK(wide.high > a.high);
  CHECK(auroc_interval(in, out, {.key = {.seed = 6}}).low != a.low);
}

TEST_CASE("quantiles and histograms") {
  std::vector<double> v = {3, 1, 2, 10};
  CHECK(quantile(v, 0) == 1);
  CHECK(quantile(v, 1) == 10);
  CHECK(quantile(v, 0.5) == 2.5);
  CHECK(quantile(v, 0.25) == 1.75);
  CHECK_THROWS_AS(quantile({}, 0.5), InputError);
  Histogram h = histogram(std::vector<double>{-5, 0.1, 0.9, 1.0, 1.5, 2, 99}, 0, 2, 4);
  std::vector<double> shares = {2, 1, 1, 3};  // −5 in the first; 2 and 99 in the last
  for (size_t i = 0; i < 4; ++i) CHECK(h.density[i] == doctest::Approx(shares[i] / 7 / 0.5));
  CHECK(h.outline_x() == std::vector<double>{0, 0, 0.5, 0.5, 1, 1, 1.5, 1.5, 2, 2});
  CHECK(h.outline_y().front() == 0);
  CHECK(h.outline_y()[4] == h.density[1]);
  CHECK(h.outline_y().size() == h.outline_x().size());
}

TEST_CASE("effective samples of an autoregressive chain: C·S(1 − φ)/(1 + φ)") {
  for (double phi : {-0.5, 0.0, 0.9}) {
    CAPTURE(phi);
    constexpr int64_t n = 20000;
    Chains chains;
    for (uint64_t c = 0; c < 4; ++c) chains.push_back(ar1(n, phi, 2000 + c));
    ChainStatistics s = chain_statistics(chains);
    CHECK(s.effective_samples == doctest::Approx(4 * n * (1 - phi) / (1 + phi)).epsilon(0.1));
    CHECK(s.effective_samples * s.autocorrelation_time == doctest::Approx(4 * n));
    CHECK(s.r_hat == doctest::Approx(1).epsilon(1e-2));
    CHECK(s.autocorrelation[0] == 1);
    CHECK(s.autocorrelation[1] == doctest::Approx(phi).epsilon(0.03).scale(1));
    // one chain alone; shifted and scaled, which changes nothing
    Chains one = {chains[0]}, moved = one;
    for (double& v : moved[0]) v = 1000 - 3 * v;
    double alone = chain_statistics(one).effective_samples;
    CHECK(alone == doctest::Approx(n * (1 - phi) / (1 + phi)).epsilon(0.2));
    CHECK(chain_statistics(moved).effective_samples == doctest::Approx(alone).epsilon(1e-6));
  }
}

TEST_CASE("a drift is told from the spread of independent chains, and one that flatters R-hat is seen") {
  Chains still, moving;
  for (uint64_t c = 0; c < 12; ++c) {
    std::vector<double> noise = randn({200}, {.seed = 8, .step = c}, DType::f64).to_vector<double>();
    still.push_back(noise);
    for (size_t s = 0; s < 200; ++s) noise[s] += 0.02 * static_cast<double>(s);
    moving.push_back(noise);
  }
  // Differences of means of 100 have variance 2/100; of 12 chains the mean has that by 12
  Drift none = drift(still), seen = drift(moving);
  CHECK(std::abs(none.mean) < 3 * std::sqrt(0.02 / 12));
  CHECK(none.standard_error == doctest::Approx(std::sqrt(0.02 / 12)).epsilon(0.5));
  CHECK(!none.is_seen());
  CHECK(seen.mean == doctest::Approx(none.mean + 2).epsilon(1e-9));  // 100 steps of 0.02
  CHECK(seen.is_seen());
  CHECK(chain_statistics(moving).r_hat < 1.02);  // and R-hat does not know
  CHECK(std::isnan(drift({{1, 2, 3, 4}}).standard_error));
  CHECK(!drift({{1, 2, 3, 4}}).is_seen());
  CHECK_THROWS_AS(drift({}), InputError);
  CHECK_THROWS_AS(drift({{1, 2, 3, 4}, {1, 2, 3}}), InputError);
}

TEST_CASE("chains that sit in different places are worth little") {
  Chains apart = {ar1(1000, 0.3, 1), ar1(1000, 0.3, 2, 8), ar1(1000, 0.3, 3, -8)};
  ChainStatistics s = chain_statistics(apart);
  CHECK(s.r_hat > 4);
  CHECK(s.effective_samples < 10);
  CHECK(std::isnan(chain_statistics({{2, 2, 2, 2, 2}}).effective_samples));  // nothing varies
  CHECK_THROWS_AS(chain_statistics({}), InputError);
  CHECK_THROWS_AS(chain_statistics({{1, 2, 3}}), InputError);
  CHECK_THROWS_AS(chain_statistics({{1, 2, 3, 4}, {1, 2, 3}}), InputError);
  CHECK_THROWS_AS(chain_statistics({{1, 2, NAN, 4}}), InputError);
}

TEST_CASE("a trend is told from noise") {
  // 1000 numbers of variance 1: the slope's standard error is √(12/1000³)
  double error = std::sqrt(12.0) / std::pow(1000, 1.5);
  int level = 0;
  for (uint64_t k = 0; k < 200; ++k) {
    auto flat = normals(1000, 3000 + k);
    Trend t = trend(flat);
    level += t.level();
    CHECK(t.standard_error == doctest::Approx(error).epsilon(0.6));
    for (size_t i = 0; i < flat.size(); ++i) flat[i] += 6 * error * static_cast<double>(i);
    Trend rising = trend(flat);
    CHECK(rising.slope - t.slope == doctest::Approx(6 * error).epsilon(0.01));
    CHECK(!rising.level() == (rising.slope > 2 * rising.standard_error));
  }
  CHECK(level >= 200 * 0.87);  // 94 % of Student's t with 18 degrees of freedom; 4 standard errors
  CHECK(level < 200);
  Trend line = trend(values(50, [](int64_t i) { return 2.0 - 0.5 * real(i); }));
  CHECK(line.slope == doctest::Approx(-0.5).epsilon(0.02));  // 20 blocks of 2 or 3
  CHECK(trend(values(40, [](int64_t) { return 7.0; })).level());
  CHECK(!trend(values(40, [](int64_t i) { return 0.1 * real(i); })).level());
  CHECK_THROWS_AS(trend(std::vector<double>{1, 2, 3}), InputError);
  CHECK_THROWS_AS(trend(std::vector<double>{1, 2, INFINITY, 4}), InputError);
}

// The Fréchet distance: closed forms, other programs' values, and what has none.

#include <doctest/doctest.h>
#include <stdlib.h>

#include <cmath>

#include "data/measures/frechet.h"
#include "data/readers/npz.h"
#include "tensor/check.h"
#include "tensor/kernels.h"
#include "tests/data/waves.h"

using namespace vapo;
using namespace vapo::data;

namespace {

FrechetDistance distance(const Tensor& x, const Tensor& y) {
  return frechet_distance(feature_statistics(x), feature_statistics(y));
}

FeatureStatistics gaussian(const std::vector<double>& mean, const std::vector<double>& covariance) {
  auto d = static_cast<int64_t>(mean.size());
  return {Tensor::from(mean, {d}), Tensor::from(covariance, {d, d}), 100};
}

}  // namespace

TEST_CASE("means and covariances: divisor N − 1, over blocks of rows, from any dtype") {
  FeatureStatistics s = feature_statistics(Tensor::from(std::vector<float>{1, 10, 2, 14, 6, 12}, {3, 2}));
  CHECK(s.count == 3);
  CHECK(s.mean.to_vector<double>() == std::vector<double>{3, 12});
  CHECK(s.covariance.to_vector<double>() == std::vector<double>{7, 1, 1, 4});
  // 0, 1, …, N−1 beside its negative, far from 0: variance N(N+1)/12
  constexpr int64_t n = 5000;
  s = feature_statistics(rows(n, 2, [](double i, double k) { return 1e6 + (k == 0 ? i : -i); }));
  double variance = n * (n + 1.0) / 12;
  CHECK(s.count == n);
  CHECK(s.mean.at(1) == doctest::Approx(1e6 - (n - 1) / 2.0).epsilon(1e-12));
  for (int64_t i = 0; i < 4; ++i)
    CHECK(s.covariance.at(i) == doctest::Approx(i == 0 || i == 3 ? variance : -variance).epsilon(1e-12));
}

TEST_CASE("normal laws have a closed form") {
  // commuting covariances: |m₁−m₂|² + Σ(√λ − √μ)²
  FrechetDistance f = frechet_distance(gaussian({1, -2, 0.5}, {4, 0, 0, 0, 9, 0, 0, 0, 0.25}),
                                       gaussian({0, 0, 0}, {1, 0, 0, 0, 16, 0, 0, 0, 0}));
  CHECK(f.means == doctest::Approx(5.25));
  CHECK(f.covariances == doctest::Approx(1 + 1 + 0.25).epsilon(1e-12));
  CHECK(f.value == doctest::Approx(7.5).epsilon(1e-12));
  CHECK(f.clamped == 0);
  // in the plane tr √(S₁S₂) = √(tr S₁S₂ + 2√(det S₁ det S₂))
  f = frechet_distance(gaussian({0, 0}, {2, 1, 1, 3}), gaussian({0, 0}, {5, -2, -2, 1}));
  CHECK(f.value == doctest::Approx(11 - 2 * std::sqrt(9 + 2 * std::sqrt(5.0 * 1))).epsilon(1e-12));
}

TEST_CASE("values of other programs, well conditioned and of deficient rank") {
  // SciPy 1.17: np.cov, scipy.linalg.sqrtm of the product
  CHECK(distance(waves(40, 6), other_waves(30, 6)).value == doctest::Approx(0.7198205804134925).epsilon(1e-12));
  CHECK(distance(waves(4, 6), other_waves(30, 6)).value == doctest::Approx(2.501699361798698).epsilon(1e-6));
  CHECK(distance(waves(4, 6), other_waves(3, 6)).value == doctest::Approx(2.9823966758985576).epsilon(1e-6));
  CHECK(distance(waves(5, 40), other_waves(4, 40)).value == doctest::Approx(274.08234439079115).epsilon(1e-6));
  // the last three with 40 digits (mpmath), by the singular values of the centred rows: sqrtm has 8 digits there
  CHECK(distance(waves(4, 6), other_waves(30, 6)).value == doctest::Approx(2.5016993789949511).epsilon(1e-12));
  CHECK(distance(waves(4, 6), other_waves(3, 6)).value == doctest::Approx(2.9823967106802629).epsilon(1e-12));
  FrechetDistance f = distance(waves(5, 40), other_waves(4, 40));
  CHECK(f.value == doctest::Approx(274.08234515270976).epsilon(1e-12));
  CHECK(f.clamped > 0);
  CHECK(f.clamped < 1e-12);
}

TEST_CASE("0 for equal sets, the same from either side, unchanged by a rotation") {
  for (int64_t n : {40, 8}) {
    CHECK(std::abs(distance(waves(n, 30), waves(n, 30)).value) < 1e-12);
    double there = distance(waves(n, 30), other_waves(20, 30)).value;
    CHECK(there > 0.1);
    CHECK(distance(other_waves(20, 30), waves(n, 30)).value == doctest::Approx(there).epsilon(1e-12));
  }
  Tensor rotation = Tensor::from(std::vector<double>{0.6, 0.8, -0.8, 0.6}, {2, 2});
  CHECK(distance(kernel::matmul(waves(9, 2), rotation), kernel::matmul(other_waves(7, 2), rotation)).value ==
        doctest::Approx(distance(waves(9, 2), other_waves(7, 2)).value).epsilon(1e-12));
  CHECK(distance(Tensor::ones({3, 2}), Tensor::zeros({4, 2})).value == 2);  // of constants: the means alone
}

TEST_CASE("statistics in .npz: mu, sigma, count; files of others and what is refused") {
  std::string pattern = (std::filesystem::temp_directory_path() / "vapo-frechet-XXXXXX").string();
  REQUIRE(::mkdtemp(pattern.data()));
  std::filesystem::path file = std::filesystem::path(pattern) / "s.npz";
  FeatureStatistics s = feature_statistics(waves(9, 3));
  write_feature_statistics(file, s);
  FeatureStatistics back = read_feature_statistics(file);
  CHECK(back.mean.to_vector<double>() == s.mean.to_vector<double>());
  CHECK(back.covariance.to_vector<double>() == s.covariance.to_vector<double>());
  CHECK(back.count == 9);
  Tensor mu = s.mean.to(DType::f32), sigma = s.covariance.to(DType::f32);
  write_npz(file, {{"mu", mu}, {"sigma", sigma}});
  back = read_feature_statistics(file);
  CHECK(back.count == 0);
  CHECK(frechet_distance(back, s).value < 1e-6);
  auto refused = [&](const Arrays& arrays, const char* part) {
    write_npz(file, arrays);
    CHECK_THROWS_WITH_AS(read_feature_statistics(file), doctest::Contains(part), InputError);
    CHECK_THROWS_WITH_AS(read_feature_statistics(file), doctest::Contains("s.npz"), InputError);
  };
  refused({{"mu", mu}}, "no array 'sigma'");
  refused({{"sigma", sigma}}, "no array 'mu'");
  refused({{"mu", sigma}, {"sigma", sigma}}, "mu (3,3) and sigma (3,3)");
  refused({{"mu", Tensor::zeros({2})}, {"sigma", sigma}}, "mu (2) and sigma (3,3)");
  refused({{"mu", mu}, {"sigma", Tensor::full({3, 3}, NAN)}}, "finite");
  for (double count : {-1.0, 1e300, double(NAN)})
    refused({{"mu", mu}, {"sigma", sigma}, {"count", Tensor::full({1}, count, DType::f64)}}, "count");
  refused({{"mu", mu}, {"sigma", sigma}, {"count", Tensor::zeros({2})}}, "count");
  std::filesystem::remove_all(pattern);
}

TEST_CASE("what is no covariance shows in what is taken for 0") {
  CHECK(frechet_distance(gaussian({0, 0}, {1, 2, 2, 1}), gaussian({0, 0}, {1, 0, 0, 1})).clamped ==
        doctest::Approx(3));  // of Cholesky: 1 − 2²/1
}

TEST_CASE("widths of the Inception network's features, of few images") {
  // |cov(x)| of rank 9 and of rank 6: as exact as in small widths, and no more work than the ranks ask for
  Tensor x = waves(10, 2048), y = other_waves(7, 2048);
  CHECK(std::abs(distance(x, x).value) < 1e-9);
  double there = distance(x, y).value,
         narrow = distance(kernel::slice(x, 1, 0, 40, 1), kernel::slice(y, 1, 0, 40, 1)).value;
  CHECK(distance(y, x).value == doctest::Approx(there).epsilon(1e-12));
  // columns that are 0 on both sides change nothing
  auto padded = [](const Tensor& t) {
    return kernel::unslice(kernel::slice(t, 1, 0, 40, 1), {t.dim(0), 2048}, 1, 7, 1);
  };
  CHECK(distance(padded(x), padded(y)).value == doctest::Approx(narrow).epsilon(1e-12));
}

TEST_CASE("too few rows, other widths and values that are not finite are refused") {
  auto refused = [](const Tensor& x, const char* part) {
    CHECK_THROWS_WITH_AS(feature_statistics(x), doctest::Contains(part), InputError);
  };
  refused(Tensor::zeros({1, 3}), "(1,3)");
  refused(Tensor::zeros({0, 3}), "(0,3)");
  refused(Tensor::zeros({3, 0}), "(3,0)");
  refused(Tensor::zeros({4, 3, 2}), "(4,3,2)");
  Tensor x = Tensor::zeros({3000, 3});
  x.mutable_data<float>()[2500 * 3 + 1] = NAN;
  refused(x, "row 2501, column 2: the value is nan");
  x.mutable_data<float>()[7] = -INFINITY;
  refused(x, "row 3, column 2: the value is -inf");
  CHECK_THROWS_WITH_AS(distance(waves(5, 3), waves(5, 4)), doctest::Contains("3 features and of 4"), InputError);
  CHECK_THROWS_AS(frechet_distance({}, {}), Error);
}

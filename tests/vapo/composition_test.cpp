#include "vapo/sampling/composition.h"

#include <doctest/doctest.h>

#include "autograd/check_grads.h"
#include "gaussian_flow.h"
#include "tensor/random.h"
#include "tiny_networks.h"
#include "vapo/energy.h"
#include "vapo/likelihood.h"
#include "vapo/networks/mlp.h"
#include "vapo/preconditioned.h"
#include "vapo/sampling/sgld.h"

using namespace vapo;
using namespace vapo::testing;

namespace {

constexpr int64_t classes = 3;
using PotentialPtr = std::shared_ptr<Potential>;

Tensor labels(std::vector<int64_t> y) {
  int64_t n = static_cast<int64_t>(y.size());
  return Tensor::from(y, {n});
}

std::unique_ptr<MlpPotential> network(DType dtype = DType::f64) {
  return std::make_unique<MlpPotential>(MlpOptions{.hidden = {6, 5}, .time_embedding = 4, .classes = classes}, 1,
                                        dtype);
}
PotentialPtr preconditioned() { return std::make_shared<PreconditionedPotential>(network(), cosine_path); }
PotentialPtr image_network(DType dtype) {
  UnetOptions options = tiny;
  options.classes = classes;
  return perturbed<UnetPotential>(options, dtype);
}

// Counts the samples of each call.
class Counted : public MlpPotential {
 public:
  using MlpPotential::MlpPotential;
  Var operator()(const Var& x, const Var& t, const Tensor& y,
                 const std::optional<RandomKey>& dropout) const override {
    calls.push_back(x.dim(0));
    return MlpPotential::operator()(x, t, y, dropout);
  }
  mutable std::vector<int64_t> calls;
};

// Φ* of N(m_y, s²I) for class y, of N(0, s²I) for none: a sum of weights 1 is Φ* of N(Σ w_i m_i, s²I) in x.
class Gaussians : public Potential {
 public:
  Var operator()(const Var& x, const Var& t, const Tensor& y, const std::optional<RandomKey>&) const override {
    GaussianFlow flow;
    PathVars p = path_variables(path, reshape(t, {t.dim(0), 1}));
    double s2 = flow.s * flow.s;
    Var c = (s2 * (p.mu * p.dmu) + p.sigma * p.dsigma) / (s2 * square(p.mu) + square(p.sigma));
    Var m = index_select(means, 0, y);
    return sum(p.dmu * m * x, {1}) + 0.5 * sum(c * square(x - p.mu * m), {1});
  }
  void parameters(const nn::ParameterVisitor&) override {}
  static GaussianFlow flow_to(std::vector<double> mean) { return {.path = path, .m = std::move(mean)}; }

  static inline const Path path = cosine_path;
  Tensor means = Tensor::from(std::vector<double>{1, 0, -0.5, 2, 0.3, -1, 0, 0}, {classes + 1, 2});
};

struct Case {
  PotentialPtr phi;
  std::vector<std::pair<Tensor, double>> sum;  // what it should be; undefined labels: none
};
std::vector<Case> cases(const PotentialPtr& base) {
  Tensor y = labels({2, 0, 1}), z = labels({1}), v = labels({0, 2, 2});
  return {
      {conditioned(base, classes, y), {{y, 1}}},
      {guided(base, classes, y, 3), {{y, 4}, {{}, -3}}},
      {composed(base, classes, {{y, 0.2}, {z, 0.5}, {v, 0.3}}), {{y, 0.2}, {labels({1, 1, 1}), 0.5}, {v, 0.3}}},
      {composed(base, classes, {{y, 1.5}, {v, -0.5}}, 2), {{y, 4.5}, {v, -1.5}, {{}, -2}}},
      {composed_against_none(base, classes, {{y, 0.9}, {v, 0.7}}, 1), {{y, 0.9}, {v, 0.7}, {{}, -0.6}}},
      {composed_against_none(base, classes, {{y, 1}}, 0.5), {{y, 1}, {{}, -0.5}}},
  };
}

// Σ w_i f(labels_i), f a tensor
template <class F>
Tensor weighted(const Case& c, const F& f) {
  Var total;
  for (const auto& [y, w] : c.sum) {
    Var term = w * Var(f(y));
    total = total.defined() ? total + term : term;
  }
  return total.value();
}

}  // namespace

TEST_CASE("values and gradients of sums are the sums of single calls") {
  for (const PotentialPtr& base : {PotentialPtr(network()), preconditioned(), image_network(DType::f64)}) {
    Shape shape = dynamic_cast<UnetPotential*>(base.get()) ? Shape{3, 4, 6, 1} : Shape{3, 2};
    Tensor x = randn(shape, {.seed = 2}, DType::f64), t = Tensor::from(std::vector<double>{0.2, 0.5, 0.9}, {3});
    for (const Case& c : cases(base)) {
      Tensor value = weighted(c, [&](const Tensor& y) { return (*base)(x, t, y).value(); });
      CHECK(largest_difference((*c.phi)(x, t).value(), value) < 1e-12);
      Tensor slope = weighted(c, [&](const Tensor& y) { return gradient(*base, x, t, y); });
      CHECK(largest_difference(gradient(*c.phi, x, t), slope) < 1e-12);
    }
  }
}

TEST_CASE("they have derivatives of any order, in x and t") {
  Tensor inputs[] = {randn({3, 2}, {.seed = 2}, DType::f64), Tensor::from(std::vector<double>{0.2, 0.5, 0.9}, {3})};
  std::vector<Case> all = cases(preconditioned());
  all.push_back({tempered(all[2].phi, 0.7), {}});
  for (const Case& c : all) {
    CHECK(check_grads([&](std::span<const Var> in) { return std::vector<Var>{(*c.phi)(in[0], in[1])}; }, inputs) <
          1e-6);
    if (!c.phi->log_density(inputs[0], inputs[1]).defined()) continue;
    CHECK(check_grads([&](std::span<const Var> in) { return std::vector<Var>{c.phi->log_density(in[0], in[1])}; },
                      inputs) < 1e-6);
  }
}

TEST_CASE("one call of the network, as large as it must be; the ends have the bits of single classes") {
  auto base = std::make_shared<Counted>(MlpOptions{.time_embedding = 4, .classes = classes}, 1);
  Tensor x = randn({5, 2}, {.seed = 2}), a = labels({0}), b = labels({2, 2, 2, 2, 2}),
         all_a = labels({0, 0, 0, 0, 0});
  auto calls = [&](const PotentialPtr& phi) {
    base->calls.clear();
    gradient(*phi, x, 0.4);
    return base->calls;
  };
  CHECK(calls(guided(base, classes, b, 2)) == std::vector<int64_t>{10});
  CHECK(calls(guided(base, classes, b, 0)) == std::vector<int64_t>{5});
  CHECK(calls(composed(base, classes, {{a, 0.5}, {b, 0.5}})) == std::vector<int64_t>{10});
  CHECK(calls(composed(base, classes, {{a, 1}, {b, 0}})) == std::vector<int64_t>{5});
  CHECK(calls(composed(base, classes, {{a, 0.5}, {b, 0.5}}, 1)) == std::vector<int64_t>{15});

  for (const PotentialPtr& network : {PotentialPtr(base), image_network(DType::f32)}) {
    if (network != base) x = randn({5, 4, 6, 1}, {.seed = 3});
    Tensor of_a = gradient(*network, x, 0.4, all_a), of_b = gradient(*network, x, 0.4, b);
    CHECK(largest_difference(of_a, of_b) > 1e-3);
    CHECK(largest_difference(gradient(*guided(network, classes, b, 0), x, 0.4), of_b) == 0);
    CHECK(largest_difference(gradient(*composed(network, classes, {{a, 1}, {b, 0}}), x, 0.4), of_a) == 0);
    CHECK(largest_difference(gradient(*composed(network, classes, {{a, 0}, {b, 1}}), x, 0.4), of_b) == 0);
    CHECK(largest_difference(gradient(*guided(network, classes, b, -1), x, 0.4), gradient(*network, x, 0.4)) == 0);
    Tensor guided_a = gradient(*guided(network, classes, a, 0.1), x, 0.4);
    CHECK(largest_difference(gradient(*composed(network, classes, {{a, 1}, {b, 0}}, 0.1), x, 0.4), guided_a) == 0);
  }
}

TEST_CASE("log-densities are sums where the weights sum to 1, and what the potential implies") {
  PotentialPtr base = preconditioned();
  Tensor x = randn({3, 2}, {.seed = 2}, DType::f64), t = Tensor::full({3}, 0.6, DType::f64);
  int undefined = 0;
  for (const Case& c : cases(base)) {
    Var u = c.phi->log_density(x, t);
    if (!u.defined()) {
      ++undefined;
      continue;
    }
    CHECK(largest_difference(
              u.value(), weighted(c, [&](const Tensor& y) { return base->log_density(x, t, y).value(); })) < 1e-12);
    double f = cosine_path.f(0.6), g2 = cosine_path.g_squared(0.6);
    Var implied = (2 * (*c.phi)(x, t) + f * sum(square(Var(x)), {1})) / g2;
    CHECK(largest_difference(u.value(), implied.value()) < 1e-10);
    CHECK(largest_difference(energy_gradient(marginal_energy(*c.phi, cosine_path, 0.6), x).value, u.value()) == 0);
  }
  CHECK(undefined == 1);  // against none with w₀ = ½
  CHECK(!conditioned(network(), classes, labels({1}))->log_density(x, t).defined());
}

TEST_CASE("every sampler, the energies and the likelihood take them") {
  auto base = std::make_shared<Gaussians>();
  Tensor y = labels({0}), z = labels({1}), x0 = randn({4, 2}, {.seed = 4}, DType::f64);
  struct Row {
    PotentialPtr phi;
    std::vector<double> mean;
  };
  for (const Row& row : {Row{guided(base, classes, y, 1.5), {2.5, 0}},
                         Row{composed(base, classes, {{y, 0.25}, {z, 0.75}}), {-0.125, 1.5}},
                         Row{composed_against_none(base, classes, {{y, 1}, {z, 1}}), {0.5, 2}}}) {
    GaussianFlow flow = Gaussians::flow_to(row.mean);
    Tensor expected = flow.carried(x0, 0, 1);
    Field field = [&](const Tensor& x, double t) { return gradient(*row.phi, x, t); };
    TimedField each = [&](const Tensor& x, const Tensor& t) { return gradient(*row.phi, x, t); };
    for (auto [method, error] : {std::pair(OdeMethod::euler, 2e-2), std::pair(OdeMethod::heun, 1e-3),
                                 std::pair(OdeMethod::rk23, 1e-5), std::pair(OdeMethod::rk45, 1e-5)}) {
      OdeOptions options{.method = method, .rtol = 1e-7, .atol = 1e-7, .steps = 200};
      CHECK(largest_difference(integrate(field, x0, 0, 1, options).x, expected) < error);
      CHECK(largest_difference(integrate_each(each, x0, 0, 1, options).x, expected) < error);
    }
    LikelihoodResult p = log_likelihood(*row.phi, Gaussians::path, expected, {.t_prior = 0});
    CHECK(largest_difference(p.log_likelihood, flow.log_density(expected, 1)) < 1e-3);
    // without noise SGLD climbs to the mode, μ(t) times the mean
    Tensor climbed = sgld(marginal_energy(*row.phi, Gaussians::path, 0.9), x0,
                          {.step_size = 0.1, .temperature = 0, .steps = 400});
    Tensor mode = (cosine_path.at(0.9).mu * Var(flow.mean())).value();
    CHECK(largest_difference(climbed, kernel::broadcast_to(mode, x0.shape())) < 1e-6);
  }
}

TEST_CASE("a temperature divides potential, log-density and energy") {
  PotentialPtr base = preconditioned(), warm = tempered(base, 2.5);
  Tensor x = randn({3, 2}, {.seed = 2}, DType::f64), t = Tensor::full({3}, 0.6, DType::f64), y = labels({0, 1, 2});
  CHECK(largest_difference((*warm)(x, t, y).value(), ((*base)(x, t, y) / 2.5).value()) < 1e-12);
  Energy energy = marginal_energy(*base, cosine_path, 0.6), of_warm = marginal_energy(*warm, cosine_path, 0.6);
  CHECK(largest_difference(of_warm(x).value(), tempered(energy, 2.5)(x).value()) < 1e-12);
  CHECK(largest_difference(of_warm(x).value(), (energy(x) / 2.5).value()) < 1e-12);
  CHECK_THROWS_AS(tempered(base, 0), InputError);
  CHECK_THROWS_AS(tempered(base, NAN), InputError);
  CHECK_THROWS_AS(tempered(energy, -1), InputError);
}

TEST_CASE("a sample has the same bits whatever its batch") {
  PotentialPtr base = image_network(DType::f32), phi = never_alone(guided(base, classes, labels({1}), 2));
  Tensor x = randn({7, 4, 6, 1}, {.seed = 5}), whole = gradient(*phi, x, 0.3);
  Tensor values = (*phi)(x, Tensor::full({7}, 0.3)).value();
  for (int64_t size : {1, 2, 3})
    for (int64_t i = 0; i + size <= 7; ++i) {
      auto part = [&](const Tensor& all) { return kernel::slice(all, 0, i, i + size, 1); };
      CHECK(largest_difference(gradient(*phi, part(x), 0.3), part(whole)) == 0);
      CHECK(largest_difference((*phi)(part(x), Tensor::full({size}, 0.3)).value(), part(values)) == 0);
    }
  PotentialPtr with_labels = never_alone(base);
  CHECK(largest_difference(gradient(*with_labels, kernel::slice(x, 0, 2, 3, 1), 0.3, labels({2})),
                           kernel::slice(gradient(*base, x, 0.3, labels({2, 2, 2, 2, 2, 2, 2})), 0, 2, 3, 1)) == 0);
}

TEST_CASE("parameters, dropout and recomputation are the base's") {
  auto base = image_network(DType::f64);
  PotentialPtr phi = tempered(never_alone(guided(base, classes, labels({1}), 1)), 2);
  CHECK(nn::parameter_count(*phi) == nn::parameter_count(*base));
  CHECK(!phi->autonomous());
  Tensor x = randn({2, 4, 6, 1}, {.seed = 5}, DType::f64), t = Tensor::full({2}, 0.3, DType::f64);
  RandomKey key{.seed = 3};
  Tensor plain = (*phi)(x, t).value();
  CHECK(largest_difference((*phi)(x, t, {}, key).value(), plain) > 1e-6);
  CHECK(largest_difference((*tempered(base, 2))(x, t, {}, key).value(), (0.5 * (*base)(x, t, {}, key)).value()) ==
        0);
  phi->set_recompute(true);
  CHECK(largest_difference((*phi)(x, t).value(), plain) == 0);
}

TEST_CASE("labels and weights that cannot be") {
  PotentialPtr base = network(), none = std::make_shared<MlpPotential>(MlpOptions{}, 1, DType::f64);
  Tensor x = randn({2, 2}, {.seed = 2}, DType::f64), y = labels({1});
  CHECK_THROWS_AS(conditioned(base, classes, labels({3})), InputError);
  CHECK_THROWS_AS(guided(base, classes, labels({0, -1}), 1), InputError);
  CHECK_THROWS_AS(conditioned(none, 0, y), InputError);
  CHECK_THROWS_AS(composed(base, classes, {{y, 0.5}, {y, 0.4}}), InputError);
  CHECK_THROWS_AS(composed(base, classes, {{y, 0.5}, {y, 0.5 + 2e-6}}), InputError);
  CHECK_NOTHROW(composed(base, classes, {{y, 0.5}, {y, 0.5 + 5e-7}}));
  CHECK_THROWS_AS(composed(base, classes, {{y, NAN}, {y, 1}}), InputError);
  CHECK_THROWS_AS(guided(base, classes, y, INFINITY), InputError);
  CHECK_THROWS_AS(composed_against_none(base, classes, {{y, NAN}}), InputError);
  CHECK_THROWS_AS(composed_against_none(base, classes, {}, 0), InputError);
  CHECK_THROWS_AS(gradient(*conditioned(base, classes, labels({1, 1, 1})), x, 0.5), Error);
  CHECK_THROWS_AS(gradient(*conditioned(base, classes, y), x, 0.5, labels({1, 1})), Error);
}

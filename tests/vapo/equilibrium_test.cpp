// The equilibrium phase: its contrast, its gradient, what it converges to where that is known, and that a
// training which was stopped in the middle of it goes on with the same bits.

#include "vapo/training/equilibrium.h"

#include <doctest/doctest.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>

#include "equilibrium_setting.h"
#include "labelled_points.h"
#include "tensor/finite.h"
#include "tensor/operators.h"
#include "tensor/random.h"
#include "vapo/networks/mlp.h"
#include "vapo/training/point_batches.h"
#include "vapo/training/trainer.h"

using namespace vapo;
using namespace vapo::testing;
using Kind = EquilibriumOptions::Energy;

namespace {

struct Learning {
  Learning(Potential& phi, nn::OptimizerOptions options)
      : parameters(all_of(phi)), optimizer(nn::named_parameters(phi), options) {}
  static std::vector<Var> all_of(Potential& phi) {
    std::vector<Var> out;
    for (const nn::NamedParameter& p : nn::named_parameters(phi)) out.push_back(*p.parameter);
    return out;
  }
  Learner learner(int64_t parts = 1) { return {parameters, optimizer, {}, nullptr, {.parts = parts}}; }
  std::vector<Var> parameters;
  nn::Optimizer optimizer;
};

const EquilibriumPhase::FlowTerm no_flow = [](const TrainingStep::Add&) {};

}  // namespace

TEST_CASE("the contrast is the difference of means by group, without the trimmed, and gives their coefficients") {
  EquilibriumOptions o = some(Kind::marginal);
  std::vector<double> e = {1, 2, 3, 8, 10, 20};  // four chains, two data
  ContrastOfEnergies plain = contrast_of(e, 4, o);
  CHECK(plain.value == doctest::Approx(3.5 - 15));
  CHECK(plain.coefficients == std::vector<float>{0.25f, 0.25f, 0.25f, 0.25f, -0.5f, -0.5f});
  CHECK(plain.spread_data == doctest::Approx(std::sqrt(50)));
  // Of labels: chains 0, 2 against the first datum, chain 1 against the second, and chain 3 has none of its own.
  ContrastOfEnergies labelled = contrast_of(e, 4, o, {0, 1, 0, 2, 0, 1});
  CHECK(labelled.value == doctest::Approx((1.0 + 3 - 2 * 10 + 2 - 20) / 3));
  CHECK(labelled.coefficients[0] == doctest::Approx(1.0 / 3));
  CHECK(labelled.coefficients[3] == 0);
  CHECK(labelled.coefficients[4] == doctest::Approx(-2.0 / 3));
  CHECK(labelled.coefficients[5] == doctest::Approx(-1.0 / 3));
  CHECK(labelled.energy_chains ==
        doctest::Approx(2));  // of the three, and of data as often as chains have their label
  CHECK(labelled.energy_data == doctest::Approx(40.0 / 3));
  CHECK(labelled.spread_chains == doctest::Approx(std::sqrt(2)));  // about the means of their labels
  CHECK(labelled.spread_data == 0);
  CHECK(contrast_of(e, 4, o, {0, 0, 0, 0, 1, 1}).coefficients == std::vector<float>(6, 0));
  o.trim = 0.25;  // the chain of energy 1 is left out of the mean, and not of what is logged
  ContrastOfEnergies trimmed = contrast_of(e, 4, o);
  CHECK(trimmed.value == doctest::Approx(13.0 / 3 - 15));
  CHECK(trimmed.coefficients[0] == 0);
  CHECK(trimmed.energy_chains == doctest::Approx(3.5));
  o.trim = 0;
  o.times = {0.5, 0.8};  // chains 0, 2 against the first datum, 1, 3 against the second
  CHECK(contrast_of(e, 4, o).value == doctest::Approx(0.5 * (2 - 10) + 0.5 * (5 - 20)));
  o.clamp = 5;
  CHECK(contrast_of(e, 4, o).coefficients == std::vector<float>(6, 0));
  o.weight = 0.1;  // λ times the contrast is −1.15: above −5
  CHECK(contrast_of(e, 4, o).coefficients[0] == 0.25f);
}

TEST_CASE("an update descends the gradient of flow and contrast, as differences have it, in any number of parts") {
  for (Kind kind : {Kind::marginal, Kind::potential})
    for (int64_t parts : {1, 3}) {
      CAPTURE(static_cast<int>(kind));
      CAPTURE(parts);
      MlpPotential phi({.hidden = {6, 5}, .time_embedding = 0}, 3, DType::f64);
      GaussianFlow flow{.path = linear_path};
      Tensor data = gaussian_data(flow, 9, 0);
      EquilibriumOptions o = some(kind);
      o.times = {0.6, 0.8};
      o.weight = 0.7;
      o.trim = 0.3;
      o.schedule = {.base = 1};
      EquilibriumPhase phase({.potential = phi, .path = flow.path, .sample = {2}}, o);
      LossBatch batch{.data = data,
                      .t = rand({9}, {.seed = 1}, 0.1, 0.9, DType::f64),
                      .eps = randn({9, 2}, {.seed = 2}, DType::f64)};
      Learning sgd(phi, {.kind = nn::OptimizerOptions::Kind::sgd});
      std::vector<Tensor> before;
      for (const Var& p : sgd.parameters) before.push_back(p.value().clone());
      auto flow_term = [&](const TrainingStep::Add& add) { add(vapo_loss(phi, flow.path, batch, {})); };
      StepReport report = phase.update(0, data, {}, flow_term, sgd.learner(parts));
      std::vector<Tensor> moved;  // by −g
      for (size_t i = 0; i < before.size(); ++i) moved.push_back(before[i] - sgd.parameters[i].value());

      Tensor negatives = phase.chains().states();
      States positives = phase.chains().positives(0, data, {});
      std::vector<double> times;
      for (int64_t k = 0; k < 8; ++k) times.push_back(o.time_of(k));
      Tensor t = Tensor::from(times, {8});
      auto place = [&](double h, uint64_t seed) {  // θ + h·d; returns the loss there
        for (size_t i = 0; i < before.size(); ++i)
          kernel::copy_into(sgd.parameters[i].value(),
                            before[i] + h * randn(before[i].shape(), {.seed = seed, .step = i}, DType::f64));
        std::vector<double> e = phase.chains().energy(negatives, t, {}).value().to_vector<double>(),
                            of_data =
                                phase.chains().energy(positives.x, positives.t, {}).value().to_vector<double>();
        e.insert(e.end(), of_data.begin(), of_data.end());
        return vapo_loss(phi, flow.path, batch, {}).total.item() + o.weight * contrast_of(e, 8, o).value;
      };
      CHECK(place(0, 0) == doctest::Approx(report.loss).epsilon(1e-9));
      for (uint64_t seed : {5, 6, 7}) {
        double h = 1e-5, slope = (place(h, seed) - place(-h, seed)) / (2 * h), product = 0;
        for (size_t i = 0; i < moved.size(); ++i) {
          Tensor d = randn(moved[i].shape(), {.seed = seed, .step = i}, DType::f64);
          product += kernel::sum(d * moved[i], {}, false).item();
        }
        CHECK(product == doctest::Approx(slope).epsilon(1e-4));
      }
    }
}

TEST_CASE("the contrast alone moves a perturbed potential of Gaussian data to the one that is known") {
  for (const Path& path : all_paths) {
    CAPTURE(static_cast<int>(path.kind));
    GaussianFlow flow{.path = path};
    QuadraticPotential phi(flow, 1, 0.3, {0.4, -0.5});  // the minimiser is a = b = 0
    EquilibriumOptions o = some(Kind::marginal);
    o.times = {0.5, 0.8};
    o.buffer = o.batch_size = 256;
    o.step_size = 0.1;
    o.chain_steps = 5;
    o.renewed = 0.02;
    o.schedule = {.kind = nn::Schedule::Kind::cosine, .base = 2e-2};
    o.steps = 400;
    EquilibriumPhase phase({.potential = phi, .path = path, .sample = {2}, .seed = 1}, o);
    Learning adam(phi, {.beta1 = 0.5});
    for (int64_t n = 0; n < o.steps; ++n)
      phase.update(n, gaussian_data(flow, 256, static_cast<uint64_t>(n)), {}, no_flow, adam.learner());
    CHECK(std::abs(phi.a.item()) < 0.05);
    CHECK(std::abs(phi.b.value().at(0)) < 0.05);
    CHECK(std::abs(phi.b.value().at(1)) < 0.05);
    CHECK(phase.chains().acceptance() > 0.9);
  }
}

TEST_CASE("the contrast of a potential at a temperature moves it to the Gaussian's, its chains heated from noise") {
  GaussianFlow flow{.path = linear_path};
  double T = 0.5;
  Bowl phi(-0.6, {0.5, 0.5});
  EquilibriumOptions o = some(Kind::potential);
  o.buffer = o.batch_size = 256;
  o.temperature = T;
  o.step_size = 0.05;
  o.chain_steps = 8;
  o.renewed = 0.02;
  o.schedule = {.kind = nn::Schedule::Kind::cosine, .base = 3e-2};
  o.steps = 400;
  EquilibriumPhase phase({.potential = phi, .path = flow.path, .sample = {2}, .seed = 1}, o);
  Learning adam(phi, {.beta1 = 0.5});
  for (int64_t n = 0; n < o.steps; ++n)
    phase.update(n, gaussian_data(flow, 256, static_cast<uint64_t>(n)), {}, no_flow, adam.learner());
  double precision = T / (flow.s * flow.s);
  CHECK(phi.a.item() == doctest::Approx(-precision).epsilon(0.06));
  CHECK(phi.b.value().at(0) == doctest::Approx(precision * flow.m[0]).epsilon(0.12));
  CHECK(phi.b.value().at(1) == doctest::Approx(precision * flow.m[1]).epsilon(0.2));
}

TEST_CASE("energies that run away are an error with the numbers, and so are ones that are not finite") {
  Bowl phi(4, {0, 0});  // a hill: chains leave in every direction
  GaussianFlow flow{.path = linear_path};
  EquilibriumOptions o = some(Kind::potential);
  o.data_share = 1;
  o.renewed = 0;
  o.schedule.base = 0;
  Learning adam(phi, {});
  Tensor data = gaussian_data(flow, 8, 0);
  auto run = [&](double limit, int64_t updates) {
    o.limit = limit;
    EquilibriumPhase phase({.potential = phi, .path = flow.path, .sample = {2}}, o);
    int64_t n = 0;
    try {
      for (; n < updates; ++n) phase.update(n, data, {}, no_flow, adam.learner());
    } catch (const DivergedError& e) {
      return fmt::format("{}: {}", n, e.what());
    }
    return std::string("held");
  };
  CHECK(run(5, 200).starts_with("19: energies run away: at update 20"));
  CHECK(run(0, 40) == "held");
  CHECK(run(0, 20000).find(": a smaller equilibrium.") != std::string::npos);
}

TEST_CASE("chains at rest around data that are all alike do not run away") {
  Bowl phi(-4, {0, 0});
  EquilibriumOptions o = some(Kind::potential);
  o.limit = 5;
  o.schedule.base = 0;
  Learning adam(phi, {});
  EquilibriumPhase phase({.potential = phi, .path = linear_path, .sample = {2}}, o);
  Tensor data = Tensor::zeros({8, 2}, DType::f64);
  for (int64_t n = 0; n < 60; ++n) phase.update(n, data, {}, no_flow, adam.learner());
  CHECK(phase.last().measured[2] == std::pair<std::string, double>("spread_data", 0));
}

namespace {

struct Scratch {
  std::filesystem::path folder = std::filesystem::temp_directory_path() / fmt::format("vapo-phase-{}", getpid());
  Scratch() { std::filesystem::create_directories(folder); }
  ~Scratch() { std::filesystem::remove_all(folder); }
  std::filesystem::path operator()(const char* name) const { return folder / name; }
};

Recipe two_phases(Kind energy) {
  Recipe r;
  r.potential.mlp.hidden = {12, 12};
  r.potential.mlp.time_embedding = energy == Kind::potential ? 0 : 4;
  r.potential.form =
      energy == Kind::potential ? PotentialOptions::Form::raw : PotentialOptions::Form::preconditioned;
  r.train.steps = 4;
  r.train.batch_size = 16;
  r.train.schedule.base = 1e-2;
  r.equilibrium = some(energy);
  if (energy == Kind::marginal) r.equilibrium.times = {0.5, 0.8};
  r.equilibrium.fade = 0.8;
  return r;
}

PointBatches points() { return {randn({100, 2}, {.seed = 4}, DType::f64), {.batch_size = 16}}; }

// All that a checkpoint holds, in order.
std::vector<float> contents_of(const std::filesystem::path& file) {
  std::vector<float> out;
  for (const auto& [name, tensor] : read_safetensors(file).tensors)
    for (float v : tensor.to(DType::f32).to_vector<float>()) out.push_back(v);
  return out;
}

}  // namespace

TEST_CASE("a training stopped in the middle of the phase goes on with the bits of one that was not") {
  Scratch file;
  for (Kind energy : {Kind::marginal, Kind::potential})
    for (int64_t stop : {4, 5, 9}) {
      Recipe recipe = two_phases(energy);
      PointBatches a = points(), b = points(), c = points();
      Trainer whole(recipe, a), first(recipe, b), again(recipe, c);
      while (whole.steps_done() < recipe.steps()) whole.step();
      while (first.steps_done() < stop) first.step();
      CHECK(whole.equilibrium_begun());
      CHECK(first.equilibrium_begun() == (stop > 4));
      whole.save(file("whole"));
      first.save(file("first"));
      nn::CheckpointReader checkpoint(file("first"));
      c.restore(checkpoint.info(), "first");
      again.load(checkpoint);
      while (again.steps_done() < recipe.steps()) again.step();
      again.save(file("again"));
      CHECK(contents_of(file("whole")) == contents_of(file("again")));
      CHECK(contents_of(file("whole")) != contents_of(file("first")));
      CHECK(largest_difference(whole.equilibrium()->chains().states(), again.equilibrium()->chains().states()) ==
            0);
      CHECK(whole.window().mean(whole.last()).measured.size() == 8);
    }
}

TEST_CASE("the phase begins with the averaged weights, and on a finished training with those and its moments") {
  Scratch file;
  Recipe recipe = two_phases(Kind::marginal);
  recipe.equilibrium.schedule.base = 0;  // weights stay as they were at its beginning
  PointBatches a = points(), b = points();
  Trainer both(recipe, a);
  while (both.steps_done() < 4) both.step();
  both.save(file("flow"));
  Tensor average =
      both.averaged().potential->operator()(Tensor::ones({1, 2}), Tensor::full({1}, 0.5)).value().clone();
  both.step();
  both.save(file("both"));
  Tensor x = Tensor::ones({1, 2}), t = Tensor::full({1}, 0.5);
  CHECK((*open_model(file("both"), {.last_weights = true}).potential)(x, t).item() == average.item());
  CHECK((*open_model(file("flow"), {.last_weights = true}).potential)(x, t).item() != average.item());
  recipe.train.steps = 0;
  Trainer alone(recipe, b);
  alone.start_from(nn::CheckpointReader(file("flow")), true);
  alone.save(file("begun"));
  TensorFile had = read_safetensors(file("flow")), has = read_safetensors(file("begun"));
  CHECK(has.metadata.at("optimizer_steps") == "4");
  for (const auto& [name, tensor] : had.tensors)
    if (name.starts_with("optimizer.")) CHECK(largest_difference(tensor, has.tensors.at(name)) == 0);
  alone.step();
  CHECK(alone.equilibrium_begun());
}

TEST_CASE("the phase shows its own share of samples without their class") {
  for (auto [drop, least, most] : {std::array{-1., 0., 0.}, {1., 1., 1.}, {0.5, 0.2, 0.8}}) {
    Recipe recipe = two_phases(Kind::marginal);
    recipe.potential.mlp.classes = 3;
    recipe.train.label_drop = 0, recipe.train.steps = 1, recipe.train.batch_size = 32;
    recipe.equilibrium.label_drop = drop;
    recipe.equilibrium.batch_size = recipe.equilibrium.buffer = 16;
    LabelledPoints source;
    Trainer trainer(recipe, source);
    trainer.step(), trainer.step();
    Scratch file;
    trainer.save(file("run"));
    std::vector<int64_t> y =
        read_safetensors(file("run")).tensors.at("extra.equilibrium.labels.0000").to_vector<int64_t>();
    double without = static_cast<double>(std::count(y.begin(), y.end(), 3)) / 16;
    CHECK(without >= least);
    CHECK(without <= most);
  }
}

TEST_CASE("a recipe whose phase makes no sense is refused by key") {
  auto refused = [](auto&& change) -> std::string {
    Recipe r = two_phases(Kind::marginal);
    r.equilibrium.times = {0.8};
    change(r);
    try {
      check(r);
      PointBatches source = points();
      Trainer trainer(r, source);
    } catch (const InputError& e) {
      return e.what();
    }
    return "";
  };
  CHECK(refused([](Recipe&) {}) == "");
  auto names = [](const std::string& message, const char* key) { return message.find(key) != std::string::npos; };
  CHECK(names(refused([](Recipe& r) { r.equilibrium.times = {0.8, 1}; }), "equilibrium.times: 1 must"));
  CHECK(names(refused([](Recipe& r) { r.equilibrium.times = {0.6, 0.7, 0.8}; }), "equilibrium.batch_size = 8"));
  CHECK(names(refused([](Recipe& r) { r.equilibrium.buffer = 20; }), "equilibrium.buffer = 20"));
  CHECK(names(refused([](Recipe& r) { r.equilibrium.clamp_states = true; }), "equilibrium.clamp_states"));
  CHECK(names(refused([](Recipe& r) { r.equilibrium.energy = Kind::potential; }), "equilibrium.energy"));
  CHECK(names(refused([](Recipe& r) { r.equilibrium.ema_decay = 1; }), "equilibrium.ema_decay"));
  CHECK(names(refused([](Recipe& r) { r.equilibrium.trim = 1; }), "equilibrium.trim"));
  CHECK(names(refused([](Recipe& r) { r.equilibrium.label_drop = -0.5; }), "equilibrium.label_drop = -0.5"));
  CHECK(names(refused([](Recipe& r) {
                r.loss.estimator = LossOptions::Estimator::published;
                r.loss.weight = LossOptions::Weight::one;
              }),
              "equilibrium.fade"));
}

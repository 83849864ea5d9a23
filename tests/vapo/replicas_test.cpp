// Training by several ranks, which are threads here: what is trained does not depend on their number, to the bit.

#include <doctest/doctest.h>

#include "tensor/operators.h"
#include "tensor/parallel.h"
#include "tensor/random.h"
#include "tests/distributed/threads_communicator.h"
#include "vapo/training/point_batches.h"
#include "vapo/training/trainer.h"

using namespace vapo;
using namespace vapo::testing;

namespace {

constexpr int64_t kSteps = 6;

struct Trained {
  std::vector<float> parameters;
  std::vector<double> losses;
  bool operator==(const Trained&) const = default;
};

Trained trained(const Recipe& recipe, Communicator* ranks) {
  PointBatches source(randn({100, 2}, {.seed = 4}, DType::f64), {.batch_size = recipe.train.batch_size});
  Trainer trainer(recipe, source, {.ranks = ranks});
  Trained out;
  for (int64_t k = 0; k < recipe.steps(); ++k) out.losses.push_back(trainer.step().loss);
  for (const nn::NamedParameter& p : nn::named_parameters(*trainer.averaged().potential))
    for (float v : p.parameter->value().to_vector<float>()) out.parameters.push_back(v);
  return out;
}

Recipe recipe_of(LossOptions::Estimator estimator) {
  Recipe r;
  r.potential.form = PotentialOptions::Form::raw;
  r.potential.mlp.hidden = {12, 12};
  r.potential.mlp.time_embedding = 4;
  r.path.kind = Path::Kind::linear;
  r.loss.estimator = estimator;
  r.loss.weight = LossOptions::Weight::one;
  r.train.steps = kSteps;
  r.train.batch_size = 48;
  r.train.shards = 8;
  r.train.schedule.base = 1e-2;
  return r;
}

void same_at_any_number(const Recipe& recipe, std::initializer_list<int64_t> numbers) {
  Trained one = trained(recipe, nullptr);
  CHECK(one.losses.front() != one.losses.back());
  for (int64_t size : numbers) {
    CAPTURE(size);
    std::vector<Trained> of(static_cast<size_t>(size));
    on_ranks(size, [&](Communicator& ranks) { of[static_cast<size_t>(ranks.rank())] = trained(recipe, &ranks); });
    for (const Trained& t : of) CHECK(t == one);
  }
}

}  // namespace

TEST_CASE("any number of ranks trains the same, by every loss") {
  set_num_threads(1);  // of each rank
  for (auto estimator : {LossOptions::Estimator::inner_product, LossOptions::Estimator::covariance,
                         LossOptions::Estimator::published}) {
    CAPTURE(std::string(name_of(estimator)));
    same_at_any_number(recipe_of(estimator), {1, 2, 4, 8});
  }
  Recipe pairs = recipe_of(LossOptions::Estimator::inner_product);
  pairs.loss.antithetic = true;
  pairs.train.accumulate = 4;  // fewer parts than shards: the shards
  same_at_any_number(pairs, {2, 8});
  pairs.train.accumulate = 24;
  same_at_any_number(pairs, {3, 6});
  // Parts one after the other are added in another order.
  Recipe in_turn = recipe_of(LossOptions::Estimator::inner_product);
  Trained tree = trained(in_turn, nullptr);
  in_turn.train.shards = 0, in_turn.train.accumulate = 8;
  CHECK(trained(in_turn, nullptr).parameters != tree.parameters);
}

TEST_CASE("and so does the equilibrium phase, also where parts have nothing") {
  Recipe r = recipe_of(LossOptions::Estimator::inner_product);
  r.train.steps = 2;
  r.equilibrium.steps = 4;
  r.equilibrium.times = {0.5, 0.8};
  r.equilibrium.buffer = 16, r.equilibrium.batch_size = 8;
  r.equilibrium.chain_steps = 2;
  same_at_any_number(r, {2, 4, 8});
  r.train.batch_size = 8;
  r.equilibrium.batch_size = 2, r.equilibrium.buffer = 2;  // 10 energies in 8 parts of 2: three have none
  same_at_any_number(r, {4, 8});
}

TEST_CASE("fast sums differ from exact ones by rounding alone, and all ranks have the same") {
  for (auto estimator : {LossOptions::Estimator::inner_product, LossOptions::Estimator::published}) {
    Recipe r = recipe_of(estimator);
    r.train.optimizer.kind = nn::OptimizerOptions::Kind::sgd;  // no division by gradients that are all rounding
    Trained exact = trained(r, nullptr);
    r.train.reduction = TrainingOptions::Reduction::fast;
    for (auto [size, shards] : {std::pair<int64_t, int64_t>{2, 2}, {3, 3}, {2, 6}}) {  // the last: three parts each
      CAPTURE(size);
      r.train.shards = shards;
      std::vector<Trained> of(static_cast<size_t>(size));
      on_ranks(size, [&](Communicator& ranks) { of[static_cast<size_t>(ranks.rank())] = trained(r, &ranks); });
      for (const Trained& t : of) CHECK(t == of[0]);
      CHECK(of[0].losses.back() == doctest::Approx(exact.losses.back()).epsilon(1e-4));
      for (size_t i = 0; i < exact.parameters.size(); ++i)
        CHECK(of[0].parameters[i] == doctest::Approx(exact.parameters[i]).epsilon(1e-3));
    }
  }
  Recipe r = recipe_of(LossOptions::Estimator::inner_product);
  r.train.steps = 2;
  r.train.reduction = TrainingOptions::Reduction::fast, r.train.shards = 4;
  r.equilibrium = {.steps = 3, .times = {0.8}, .buffer = 8, .batch_size = 2, .chain_steps = 2};
  std::vector<Trained> of(4);  // 50 energies in 4 parts
  on_ranks(4, [&](Communicator& ranks) { of[static_cast<size_t>(ranks.rank())] = trained(r, &ranks); });
  for (const Trained& t : of) CHECK(t == of[0]);
}

TEST_CASE("ranks that the shards do not fit are refused, with the key") {
  auto refused = [](const Recipe& recipe, int64_t size) {
    std::string message = "taken";
    try {
      on_ranks(size, [&](Communicator& ranks) { trained(recipe, &ranks); });
    } catch (const InputError& e) {
      message = e.what();
    }
    return message;
  };
  Recipe r = recipe_of(LossOptions::Estimator::inner_product);
  CHECK(refused(r, 3).starts_with("train.shards = 8 cannot be shared out among 3 ranks"));
  r.train.shards = 0;
  CHECK(refused(r, 2).starts_with("train.shards = 0: nothing to share out among 2 ranks"));
  r.train.shards = 12;  // of three each no branch of the tree is made
  CHECK(refused(r, 4).starts_with("train.shards = 12 cannot be shared out among 4 ranks"));
  r.train.reduction = TrainingOptions::Reduction::fast;
  CHECK(refused(r, 5) ==
        "train.shards = 12 cannot be shared out among 5 ranks: each must have as many. Hint: train.shards = 5, "
        "with a train.batch_size that it divides");
  r.train.reduction = TrainingOptions::Reduction::exact;
  r.train.shards = 5;
  CHECK(refused(r, 1) == "train.batch_size = 48 cannot be divided into train.shards = 5 equal parts");
  r.train.shards = 8, r.train.accumulate = 12;
  CHECK(refused(r, 1) == "train.accumulate = 12 and train.shards = 8: one must divide the other");
}

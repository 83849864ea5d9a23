#include "vapo/training/point_choices.h"

#include <doctest/doctest.h>

#include "tensor/kernels.h"
#include "tensor/random.h"

using namespace vapo;

namespace {

Recipe tiny() {
  Recipe r;
  r.potential.mlp.hidden = {16, 16};
  r.train.batch_size = 64;
  r.train.steps = 40;
  return r;
}

// Two columns of correlation 0.9998, in units of their own.
Tensor narrow(int64_t rows) {
  Tensor z = randn({rows, 2}, {.seed = 9}, DType::f64), x = z.clone();
  for (int64_t i = 0; i < rows; ++i)
    x.mutable_data<double>()[2 * i + 1] = 100 + 5 * (z.at(2 * i) + 0.02 * z.at(2 * i + 1));
  return x;
}

bool says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("sizes grow with the rows and noise falls, within bounds") {
  for (int64_t columns : {1, 3, 30, 300}) {
    PointSizes before = sizes_for(2, columns);
    for (int64_t rows : {10, 100, 1000, 1999, 2000, 9999, 10'000, 100'000, 10'000'000}) {
      CAPTURE(rows);
      PointSizes s = sizes_for(rows, columns);
      CHECK(s.most_steps >= before.most_steps);
      CHECK(s.batch_size >= before.batch_size);
      CHECK(s.hidden[0] >= before.hidden[0]);
      CHECK(s.views[0].jitter <= before.views[0].jitter);
      CHECK(s.views.size() <= before.views.size());
      for (const PointView& v : s.views) CHECK((v.jitter > 0 && v.jitter <= 0.4));
      before = s;
    }
    CHECK(before.most_steps <= 30'000);
  }
  CHECK(sizes_for(100, 30).views[0].jitter > sizes_for(100, 2).views[0].jitter);
}

TEST_CASE("what is set stays, and where all is set nothing is tried") {
  Recipe recipe = tiny();
  PointOptions options{.batch_size = 64, .jitter = 0.3};
  auto never = [](int64_t) { FAIL("a trial of what is set"); };
  CHECK(choose_auto(recipe, options, narrow(100), Device::cpu, never).empty());
  CHECK(options.jitter == 0.3);
  CHECK(options.standardize == Standardize::columns);
  CHECK(recipe.train.steps == 40);
  CHECK(recipe.train.schedule.total_steps == 0);

  recipe.potential.mlp.hidden = {};
  recipe.train.batch_size = kAuto;
  std::string chosen = choose_auto(recipe, options, narrow(100), Device::cpu, never);
  CHECK(says(chosen, "100 rows of 2 columns"));
  CHECK(says(chosen, "model.hidden = [128, 128, 128]"));
  CHECK(says(chosen, "train.batch_size = 256"));
  CHECK_FALSE(says(chosen, "train.steps"));
  CHECK(options.batch_size == 256);
}

TEST_CASE("a trial takes the correlations out where rows left out are likelier so") {
  Tensor rows = narrow(150);
  Recipe recipe = tiny();
  PointOptions options{.standardize = Standardize::automatic, .jitter = kAuto};
  int64_t trainings = 0;
  std::string chosen =
      choose_auto(recipe, options, rows, Device::cpu, [&](int64_t planned) { trainings = planned; });
  CHECK(trainings == 12);  // three fifths in turn, four views
  CHECK(options.standardize == Standardize::whiten);
  CHECK(options.jitter > 0);
  CHECK(says(chosen, "data.standardize = whiten"));
  CHECK(says(chosen, "data.jitter = 0."));
  CHECK(says(chosen, "rows left out then have"));
  Recipe again = tiny();
  PointOptions same{.standardize = Standardize::automatic, .jitter = kAuto};
  CHECK(choose_auto(again, same, rows, Device::cpu, [](int64_t) {}) == chosen);
}

TEST_CASE("steps end where rows left out are likeliest, and the learning rate falls as it did in the trial") {
  Tensor rows = randn({24, 6}, {.seed = 3}, DType::f64);  // few, in many columns: soon learned by heart
  Recipe recipe = tiny();
  recipe.potential.mlp.hidden = {64, 64};
  recipe.train.steps = kAuto;
  recipe.train.schedule.base = 3e-3;
  PointOptions options{.jitter = 0.02};
  std::string chosen = choose_auto(recipe, options, rows, Device::cpu, [](int64_t) {});
  CHECK(recipe.train.steps > 0);
  CHECK(recipe.train.steps < 1000);
  CHECK(recipe.train.schedule.total_steps == 3000);
  CHECK(says(chosen, fmt::format("train.steps = {} of 3000", recipe.train.steps)));

  // Too few rows to leave any out, so many that none is learned by heart, and a look without a trial: the most steps.
  rows = kernel::concat(std::vector<Tensor>{rows, randn({17'976, 6}, {.seed = 4}, DType::f64)}, 0);
  for (int64_t n : {5, 24, 18'000}) {
    Recipe untried = tiny();
    untried.train.steps = kAuto;
    PointOptions own{.standardize = Standardize::automatic, .jitter = kAuto};
    Tensor some = kernel::slice(rows, 0, 0, n, 1);
    std::function<void(int64_t)> none;
    if (n != 24) none = [](int64_t) { FAIL("a trial"); };
    choose_auto(untried, own, some, Device::cpu, none);
    CHECK(untried.train.steps == (n > 10'000 ? 10'062 : 3000));
    CHECK(own.standardize == (n > 10'000 ? Standardize::whiten : Standardize::columns));
    CHECK((own.jitter > 0.1) == (n < 10'000));
  }
}

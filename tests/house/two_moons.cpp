// two_moons CONFIG STEPS CHECKPOINT: trains as `vapo train CONFIG --set train.steps=STEPS --set equilibrium.steps=4` does, with the installed
// library alone, and prints the mean log-likelihood of 2000 fresh points as `vapo likelihood` finds it.

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "data/measures/statistics.h"
#include "data/sets/points.h"
#include "tensor/io/atomic_file.h"
#include "vapo/model_density.h"
#include "vapo/streams.h"
#include "vapo/toml.h"
#include "vapo/training/point_batches.h"
#include "vapo/training/trainer.h"
using namespace vapo;

int main(int, char** arguments) {
  Recipe recipe = parse_recipe(read_whole_file(arguments[1]), arguments[1], UnknownKeys::ignore);
  recipe.train.steps = std::atoll(arguments[2]), recipe.equilibrium.steps = 4;
  std::shared_ptr<data::PointSet> moons = data::make_point_set("two_moons", 0.1);
  PointBatches points([=](int64_t n, RandomKey key, DType dtype) { return moons->sample(n, key, dtype); },
                      {.batch_size = recipe.train.batch_size, .seed = static_cast<uint64_t>(recipe.train.seed)});
  Trainer trainer(recipe, points);
  while (trainer.steps_done() < recipe.steps()) trainer.step();
  trainer.save(arguments[3]);

  Tensor fresh = moons->sample(2000, {.seed = 0, .stream = kFreshStream}, DType::f64);
  Likelihoods p = log_density(open_model(arguments[3]), fresh);
  data::Estimate nats = data::mean_of(p.log_likelihood);
  std::printf("%.17g\n", nats.mean);
}

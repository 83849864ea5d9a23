// A potential of points of one's own: trained, saved, opened again, sampled from and asked for densities.
// An argument names the checkpoint to write (default: three_clusters.safetensors).

#include <cstdio>

#include "tensor/kernels.h"
#include "tensor/random.h"
#include "vapo/model_density.h"
#include "vapo/sampling/draw_samples.h"
#include "vapo/training/point_batches.h"
#include "vapo/training/trainer.h"
using namespace vapo;

// Three clusters in the plane, 0.3 wide: rows (n,2).
Tensor clusters(int64_t n, uint64_t seed) {
  Tensor centres = Tensor::from(std::vector<double>{-2, 0, 2, 0, 0, 3}, {3, 2});
  Tensor noise = kernel::affine(randn({n, 2}, {.seed = seed}, DType::f64), 0.3, 0);
  Tensor which = randint({n}, {.seed = seed, .stream = 1}, 3);
  return kernel::binary(kernel::Binary::add, kernel::index_select(centres, 0, which), noise);
}

int main(int argc, char** argv) {
  const char* file = argc > 1 ? argv[1] : "three_clusters.safetensors";
  Recipe recipe;  // every option has the value that `vapo help keys` shows
  recipe.potential.mlp.hidden = {96, 96};
  recipe.train.steps = 3000;
  recipe.train.batch_size = 256;
  recipe.train.schedule = {.kind = nn::Schedule::Kind::cosine, .base = 5e-3, .warmup_steps = 50};
  recipe.train.ema_decay = 0.995;
  recipe.energy.marginal_t = 0.97;

  PointBatches points(clusters(2000, 0), {.batch_size = recipe.train.batch_size});
  Trainer trainer(recipe, points);
  while (trainer.steps_done() < recipe.train.steps) trainer.step();
  trainer.save(file);
  std::printf("%d parameters, %d steps\n", static_cast<int>(trainer.parameters()),
              static_cast<int>(trainer.steps_done()));

  Model model = open_model(file);
  Tensor fresh = clusters(500, 1);
  Tensor log_p = log_density(model, fresh, {.tolerance = 1e-4}).log_likelihood;
  Samples samples = draw_samples(model, 1000);
  Tensor at = Tensor::from(std::vector<double>{-2, 0, 0, 0}, {2, 2});  // in a cluster, and between two
  Tensor energy = energy_at(model.marginal(), model, at);
  std::printf("log-likelihood of fresh points %.1f nats (of the law itself: -1.5)\n",
              kernel::sum(log_p, {}, false).item() / 500);
  std::printf("%d samples of %d columns\n", static_cast<int>(samples.x.dim(0)), static_cast<int>(samples.x.dim(1)));
  std::printf("a cluster's centre is likelier than the middle: %s\n",
              energy.at(0) > energy.at(1) + 3 ? "yes" : "no");
}

// Prints:
// > 11233 parameters, 3000 steps
// > log-likelihood of fresh points -1.6 nats (of the law itself: -1.5)
// > 1000 samples of 2 columns
// > a cluster's centre is likelier than the middle: yes

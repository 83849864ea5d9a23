// sample_and_score CHECKPOINT [POINTS.npy]: what any checkpoint of points gives: samples, their likelihood, and
// that of points of one's own. Of `vapo train` or of examples/train_potential.

#include <cstdio>

#include "tensor/io/npy.h"
#include "tensor/kernels.h"
#include "vapo/model_density.h"
#include "vapo/sampling/draw_samples.h"
using namespace vapo;

void print(const char* what, const Model& model, const Tensor& points) {
  Likelihoods p = log_density(model, points, {.tolerance = 1e-4});
  double n = static_cast<double>(points.dim(0)), mean = kernel::sum(p.log_likelihood, {}, false).item() / n;
  std::printf("%s: %d points, %.1f nats\n", what, static_cast<int>(n), mean);
}

int main(int argc, char** argv) try {
  if (argc < 2) throw InputError("sample_and_score CHECKPOINT [POINTS.npy]");
  Model model = open_model(argv[1]);
  std::printf("%s of step %d, points of %d columns, path %s\n", model.averaged ? "averaged weights" : "weights",
              static_cast<int>(model.step), static_cast<int>(model.dims()),
              std::string(name_of(model.path().kind)).c_str());

  SamplerOptions heun = model.recipe.sample;
  heun.set_method("heun");
  heun.ode.steps = 20;
  print("samples", model, draw_samples(model, heun, {.n = 200, .seed = 3}).x.to(DType::f64));
  if (argc > 2) print(argv[2], model, read_npy(argv[2]));
} catch (const Error& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}

// Prints, of the checkpoint that train_potential writes:
// > averaged weights of step 3000, points of 2 columns, path cosine
// > samples: 200 points, -1.8 nats

// checkpoint-potential CHECKPOINT BATCH AGAIN PHI: loads an image network with its averages and its optimizer,
// saves all of it to AGAIN, and writes to PHI Φ of BATCH's x (N,H,W,C), t (N) and, where it is there, y (N):
// "param" by the parameters, "ema" by the averages.

#include <cstdio>

#include "nn/checkpoint.h"
#include "tensor/io/safetensors.h"
#include "vapo/toml.h"

using namespace vapo;

int main(int argc, char** argv) try {
  if (argc != 5) throw Error("checkpoint-potential CHECKPOINT BATCH AGAIN PHI");
  nn::CheckpointReader reader(argv[1]);
  const nn::CheckpointInfo& info = reader.info();
  Recipe recipe = parse_recipe(info.config, argv[1], UnknownKeys::ignore);
  std::vector<int64_t> image = info.extra.at("data.image_shape").to_vector<int64_t>();
  auto potential = make_potential(recipe, Shape(std::span<const int64_t>(image)));
  nn::Ema ema(nn::named_parameters(*potential), recipe.train.ema_decay, recipe.train.ema_ramp);
  nn::Optimizer optimizer(nn::named_parameters(*potential), recipe.train.optimizer);
  reader.load_training_state(*potential, &ema, optimizer);
  nn::save_checkpoint(argv[3], {potential.get(), &ema, &optimizer, info.step, info.seed, info.config, info.extra});

  TensorFile batch = read_safetensors(argv[2]), phi;
  auto evaluate = [&] {
    return (*potential)(Var(batch.tensors.at("x")), Var(batch.tensors.at("t")), batch.tensors["y"]).value();
  };
  phi.tensors["param"] = evaluate();
  reader.load_ema_as_parameters(*potential);
  phi.tensors["ema"] = evaluate();
  write_safetensors(argv[4], phi);
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}

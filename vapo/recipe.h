#pragma once
// Everything that makes a potential and its training what they are: the options of each part, held together. A
// checkpoint keeps a recipe as TOML, so that its potential can be made again.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "nn/optimizer.h"
#include "nn/schedule.h"
#include "vapo/keys.h"
#include "vapo/loss.h"
#include "vapo/networks/mlp.h"
#include "vapo/networks/unet.h"
#include "vapo/networks/wide_resnet.h"
#include "vapo/path.h"
#include "vapo/preconditioned.h"
#include "vapo/sampling/ode.h"
#include "vapo/sampling/sgld.h"
#include "vapo/times.h"
#include "vapo/training/equilibrium_options.h"

namespace vapo {

// Φ itself. What a network must know of its data (in_features; height, width, in_channels) is set by make_potential.
struct PotentialOptions {
  enum class Network { mlp, unet, wide_resnet };
  enum class Form { preconditioned, raw };  // raw: the network is Φ
  Network network = Network::mlp;
  Form form = Form::preconditioned;
  PreconditionedPotential::Reference reference = PreconditionedPotential::Reference::gaussian;
  MlpOptions mlp = {};
  UnetOptions unet = {};
  WideResnetOptions wide_resnet = {};
};
constexpr auto names_of(PotentialOptions::Network) {
  using Network = PotentialOptions::Network;
  return name_table<Network>(
      "network", {{"mlp", Network::mlp}, {"unet", Network::unet}, {"wide_resnet", Network::wide_resnet}});
}
constexpr auto names_of(PotentialOptions::Form) {
  using Form = PotentialOptions::Form;
  return name_table<Form>("potential", {{"preconditioned", Form::preconditioned}, {"raw", Form::raw}});
}

struct TrainingOptions {
  // How ranks sum their gradients: as TreeSum has it, the same bits at any number of them; or as their library does it best,
  // beside what is still computed, the same bits at one number.
  enum class Reduction { exact, fast };
  int64_t steps = 10000;  // of the whole training
  int64_t batch_size = 512;
  int64_t accumulate = 1;  // parts of a batch, one after the other (LossParts)
  // Parts whose gradients are added as neighbours, sums of neighbours and so on (TreeSum), among which ranks are divided:
  // the same bits at any number of them, and of threads. 0: none, for one rank alone.
  int64_t shards = 0;
  Reduction reduction = Reduction::exact;
  int64_t parts() const { return std::max({accumulate, shards, int64_t{1}}); }  // of a batch
  bool recompute = false;                                                       // Potential::set_recompute
  double label_drop = 0.2;     // of a network with classes: the share of samples that are shown without theirs
  nn::Schedule schedule = {};  // total_steps 0: `steps`
  nn::OptimizerOptions optimizer = {};
  nn::ClipOptions clip = {.kind = nn::ClipOptions::Kind::norm};
  double ema_decay = 0.999;  // 0: no average
  bool ema_ramp = true;
  double t_min = 1e-5, t_max = 1;  // times are in [t_min, t_max)
  int64_t seed = 0;
  nn::Schedule learning_rate() const;  // the schedule with its total_steps
};

constexpr auto names_of(TrainingOptions::Reduction) {
  using enum TrainingOptions::Reduction;
  return name_table<TrainingOptions::Reduction>("reduction", {{"exact", exact}, {"fast", fast}});
}

enum class EnergyKind { marginal, boltzmann, potential };
constexpr auto names_of(EnergyKind) {
  using enum EnergyKind;
  return name_table<EnergyKind>("energy",
                                {{"marginal", marginal}, {"boltzmann", boltzmann}, {"potential", potential}});
}
struct SamplerOptions {
  bool langevin = false;   // Langevin dynamics, in the place of the flow
  int64_t batch_size = 0;  // samples made at once; 0: 4096 points, 64 images, more on a GPU
  double t_start = 1e-5, t_end = 1;
  OdeOptions ode = {};                       // of the flow
  EnergyKind energy = EnergyKind::marginal;  // of sgld
  SgldOptions sgld = {};
  std::optional<double> energy_t = {};  // of the marginal energy; none: EnergyOptions
  bool denoise = false;                 // sgld: between the flow from noise to that time, and from there to t_end
  double heat =
      0;  // euler: T of noise √(2hT·heat_at(t)) in every step h (vapo/sampling/sgld.h); of autonomous potentials
  std::string_view method() const;  // of the ODE; "sgld" of Langevin dynamics
  void set_method(std::string_view name);
  SamplerOptions of_the_flow() const;  // the same with the flow, by rk45, in the place of Langevin dynamics
};
std::vector<std::string> sampler_names();  // what method() may be

struct EnergyOptions {
  enum class Boltzmann { given, path };  // where f and g² of the Boltzmann energy come from
  double marginal_t = 1;                 // the time whose marginal energy stands for the data's
  Boltzmann boltzmann = Boltzmann::given;
  double boltzmann_t = 1, f = -1, g_squared = 1;
};
constexpr auto names_of(EnergyOptions::Boltzmann) {
  using Boltzmann = EnergyOptions::Boltzmann;
  return name_table<Boltzmann>("Boltzmann energy", {{"given", Boltzmann::given}, {"path", Boltzmann::path}});
}

struct Recipe {
  PotentialOptions potential;
  Path path;
  Times times;
  LossOptions loss = {.weight = LossOptions::Weight::preconditioned};
  TrainingOptions train;
  SamplerOptions sample;
  EnergyOptions energy;
  EquilibriumOptions equilibrium;
  int64_t classes() const;                                           // of its network; 0: not conditional
  int64_t steps() const { return train.steps + equilibrium.steps; }  // of both phases
};

// By part, in the order in which a config shows them: [model] and the networks' own tables, [path], [loss],
// [train], [equilibrium], [sample], [energy].
void add_keys(Keys& keys, PotentialOptions& options);
void add_keys(Keys& keys, Path& path);
void add_keys(Keys& keys, Times& times);  // of [path] too
void add_keys(Keys& keys, LossOptions& options);
void add_keys(Keys& keys, TrainingOptions& options);
void add_keys(Keys& keys, SamplerOptions& options);
void add_keys(Keys& keys, EnergyOptions& options);
void add_keys(Keys& keys, EquilibriumOptions& options);
Keys keys_of(Recipe& recipe);  // all of them

// Throws InputError naming the key whose value makes no sense beside others.
void check(const Recipe& recipe);
void check_equilibrium(const Recipe& recipe);  // of that part; check does it too

// Φ for samples of the shape (D) of points or (H,W,C) of images, initialised by train.seed. Throws InputError
// naming the key where network and samples do not fit.
std::unique_ptr<Potential> make_potential(const Recipe& recipe, const Shape& sample);

}  // namespace vapo

#include "vapo/recipe.h"

#include "tensor/check.h"

namespace vapo {
namespace {

using Network = PotentialOptions::Network;

constexpr double kMost = 1e9;   // of counts
constexpr double kHuge = 1e30;  // of reals
constexpr double kEver = 1e12;  // of steps
constexpr const char* sgld_name = "sgld";
constexpr const char* kHeads = "What Phi is of the last layer F: |x - F|^2/2, x.F, or (linear) the sum of F";
constexpr const char* kScale = "Times Phi: a larger one for a last layer that shall stay small";

void add(Keys& keys, std::initializer_list<Key> more) { keys.insert(keys.end(), more); }

void add_keys(Keys& keys, UnetOptions& o) {
  add(keys,
      {key("unet.base_width", o.base_width, from(1, 65536), "Channels of the first level, before its multiplier"),
       key("unet.multipliers", o.multipliers, from(1, 4096),
           "Of the base width, one a level; each level is half as large"),
       key("unet.blocks_per_level", o.blocks_per_level, from(1, 1024),
           "Residual blocks a level, and one more on the way up"),
       key("unet.attention_downsamplings", o.attention_downsamplings, from(1, 65536),
           "Attention after the blocks at size divided by these; always in the middle", true),
       key("unet.heads", o.heads, from(1, 65536), "Of attention"),
       key("unet.head_width", o.head_width, from(-1, 65536),
           "Channels of a head, which then gives their number; -1: unet.heads heads"),
       key("unet.dropout", o.dropout, from(0, 0.99), "In the blocks, in training"),
       key("unet.conv_resample", o.conv_resample, "A 3x3 convolution where the size changes"),
       key("unet.resblock_updown", o.resblock_updown, "The size changes inside a residual block"),
       key("unet.new_attention_order", o.new_attention_order,
           "Heads before queries, keys and values in the channels"),
       key("unet.scale_shift", o.scale_shift, "Time and class scale and shift the features; false: they are added"),
       key("unet.groups", o.groups, from(1, 65536), "Of every group norm"),
       key("unet.classes", o.classes, from(0, kMost), "Of labels that the network is told; 0: none"),
       key("unet.time", o.time, "false: autonomous, Phi does not depend on t"),
       key("unet.time_scale", o.time_scale, above(0, kHuge),
           "Of t before its sinusoids: a larger one tells near times apart"),
       key("unet.head", o.head, kHeads), key("unet.output_scale", o.output_scale, above(0, 1e6), kScale)});
}

void add_keys(Keys& keys, WideResnetOptions& o) {
  add(keys, {key("wide_resnet.base_width", o.base_width, from(1, 65536), "Channels before the first stage"),
             key("wide_resnet.depth", o.depth, from(10, 10000), "Layers: 6 n + 4, for n blocks a stage"),
             key("wide_resnet.widen", o.widen, from(1, 1024), "Times the base width: channels of the first stage"),
             key("wide_resnet.norm", o.norm, "Before each convolution"),
             key("wide_resnet.groups", o.groups, from(1, 65536), "Of a group norm"),
             key("wide_resnet.activation", o.activation, "Between layers"),
             key("wide_resnet.dropout", o.dropout, from(0, 0.99), "Between a block's convolutions, in training"),
             key("wide_resnet.head", o.head, kHeads),
             key("wide_resnet.output_scale", o.output_scale, above(0, 1e6), kScale),
             key("wide_resnet.classes", o.classes, from(0, kMost), "Of labels that the network is told; 0: none"),
             key("wide_resnet.time", o.time, "false: autonomous, Phi does not depend on t")});
}

template <class... T>
[[noreturn]] void refuse(fmt::format_string<T...> text, T&&... values) {
  throw InputError(fmt::format(text, std::forward<T>(values)...));
}

void check_below_one(const char* name, double value, const char* why) {
  if (value >= 1) refuse("{} = {} must be below 1: {}", name, value, why);
}

void check_schedule(const nn::Schedule& s) {
  if (s.kind == nn::Schedule::Kind::cosine && s.total_steps > 0 && s.warmup_steps >= s.total_steps)
    refuse("train.warmup_steps = {} must be below train.schedule_steps = {}", s.warmup_steps, s.total_steps);
  if (s.kind == nn::Schedule::Kind::step && s.step_every < 1)
    refuse("train.step_every = {} must be 1 or more with train.schedule = \"step\"", s.step_every);
}

// The shares of the loss that hold Φ to anything: without them it falls without end, or to a constant.
void check_loss(const LossOptions& l) {
  if (l.estimator != LossOptions::Estimator::published) return;
  if (l.first_weight == 0 && l.second_weight == 0)
    refuse("loss.first_weight and loss.second_weight are both 0: nothing in the loss knows of the data");
  if (l.dirichlet_weight == 0 && l.second != LossOptions::SecondTerm::dist)
    refuse("loss.dirichlet_weight = 0 with loss.second_term = \"{}\": the loss then has no lower bound",
           name_of(l.second));
}

void check_times(const Recipe& r) {
  if (r.times.kind == Times::Kind::uniform || !r.times.unbiased) return;
  if (r.times.uniform_share == 0)
    refuse(
        "path.times_unbiased = true with path.times_uniform = 0: the weights 1/p(t) have no bound. Hint: "
        "path.times_uniform = 0.1, and none is above 10");
  if (r.loss.estimator == LossOptions::Estimator::published)
    refuse(
        "path.times_unbiased = true with loss.estimator = \"published\": that loss divides by deviations over "
        "the whole batch, and is no mean that weights could leave as it is");
}

// What needs one μ(t) for all of a sample, or the density that only such a path has.
void check_blurring(const Recipe& r) {
  if (r.path.kind != Path::Kind::blurring) return;
  constexpr const char* with = "with path.kind = \"blurring\"";
  if (r.potential.network == Network::mlp)
    refuse("model.kind = \"mlp\" {}: points have no neighbours. Hint: unet, wide_resnet", with);
  if (r.potential.form == PotentialOptions::Form::preconditioned)
    refuse("model.potential = \"preconditioned\" {}: {}. Hint: raw", with, r.path.no_density());
  if (r.loss.weight == LossOptions::Weight::preconditioned)
    refuse("loss.weight = \"preconditioned\" {}: its frequencies have no g^2 in common. Hint: one", with);
}

// What takes noise and data for independent.
void check_coupling(const Recipe& r) {
  if (r.path.coupling == Path::Coupling::independent) return;
  auto needs = [](bool holds, const char* key, std::string_view is, const char* why) {
    if (!holds) refuse("{} = \"{}\" with path.coupling = \"optimal\": {}", key, is, why);
  };
  needs(r.path.kind == Path::Kind::linear, "path.kind", name_of(r.path.kind),
        "pairs of least |data - noise|^2 make the velocities of the linear path alone small");
  needs(r.loss.estimator == LossOptions::Estimator::inner_product, "loss.estimator", name_of(r.loss.estimator),
        "it takes noise and data for independent. Hint: inner_product");
  needs(r.potential.form == PotentialOptions::Form::raw, "model.potential", name_of(r.potential.form),
        "its U is a log-density only where noise and data are independent. Hint: raw");
  if (r.loss.antithetic)
    refuse("loss.antithetic = true with path.coupling = \"optimal\": the opposite noise is far from its sample");
}

void check_optimizer(const nn::OptimizerOptions& o) {
  if (o.kind == nn::OptimizerOptions::Kind::sgd) {
    check_below_one("train.momentum", o.momentum, "its sum has no end");
    if (o.nesterov && o.momentum == 0) refuse("train.nesterov = true needs train.momentum above 0");
    return;
  }
  check_below_one("train.beta1", o.beta1, "the first moment would never move");
  check_below_one("train.beta2", o.beta2, "the second moment would never move");
  if (o.eps <= 0) refuse("train.eps = {} must be above 0 with train.optimizer = \"{}\"", o.eps, name_of(o.kind));
}

std::unique_ptr<Potential> make_network(const Recipe& r, const Shape& sample) {
  const PotentialOptions& o = r.potential;
  auto seed = static_cast<uint64_t>(r.train.seed);
  bool images = o.network != Network::mlp;
  if (sample.rank() != (images ? 3 : 1)) {
    throw InputError(fmt::format("model.kind = \"{}\" is for {}, and a sample of the data has shape {}",
                                 name_of(o.network), images ? "images (H,W,C)" : "points (D)", sample.str()));
  }
  auto of_images = [&](auto options) {
    options.height = sample[0], options.width = sample[1], options.in_channels = sample[2];
    return options;
  };
  switch (o.network) {
    case Network::unet:
      return std::make_unique<UnetPotential>(of_images(o.unet), seed);
    case Network::wide_resnet:
      return std::make_unique<WideResnetPotential>(of_images(o.wide_resnet), seed);
    case Network::mlp:
      break;
  }
  MlpOptions mlp = o.mlp;
  mlp.in_features = sample[0];
  if (mlp.time_embedding % 2 != 0)
    throw InputError(fmt::format("model.time_embedding = {}: must be even", mlp.time_embedding));
  return std::make_unique<MlpPotential>(mlp, seed);
}

}  // namespace

void add_keys(Keys& keys, PotentialOptions& o) {
  add(keys, {key("model.kind", o.network,
                 "The network: mlp of points; unet, wide_resnet of images, each with a table of its own"),
             or_auto(key("model.hidden", o.mlp.hidden, from(1, 65536), "mlp: widths of the hidden layers")),
             key("model.activation", o.mlp.activation, "mlp: between layers"),
             key("model.time_embedding", o.mlp.time_embedding, from(0, 65536),
                 "mlp: sinusoids of t, an even number; 0: autonomous, Phi does not depend on t"),
             key("model.time_scale", o.mlp.time_scale, above(0, kHuge), "mlp: of t before its sinusoids"),
             key("model.potential", o.form,
                 "preconditioned: Phi = (g^2 U - f |x|^2)/2, U a log-density; raw: the network is Phi"),
             key("model.reference", o.reference,
                 "preconditioned: the Gaussian beside which the network learns U, or none")});
  add_keys(keys, o.unet);
  add_keys(keys, o.wide_resnet);
}

void add_keys(Keys& keys, Path& p) {
  add(keys,
      {key("path.kind", p.kind,
           "From noise to data: x = mu(t) data + sigma(t) noise; blurring: of images, and data that sharpens"),
       key("path.omega", p.omega, above(0, kHuge), "tempered: deviation of the prior noise"),
       key("path.nu", p.nu, above(0, kHuge), "tempered: deviation of the noise that the data keeps"),
       key("path.blur", p.blur, above(0, 1e3), "blurring: deviation of the blur at t = 0, in pixels"),
       key("path.coupling", p.coupling,
           "Of noise and data in a batch: as they are drawn, or the pairs of least squared distance, within a "
           "class")});
}

void add_keys(Keys& keys, Times& t) {
  add(keys,
      {key("path.times", t.kind,
           "Of the path's times, how training draws them: those in the middle more often, or all"),
       key("path.times_mean", t.mean, from(-20, 20), "logit_normal: mean of logit t, above 0 nearer to the data"),
       key("path.times_deviation", t.deviation, above(0, 20), "logit_normal: deviation of logit t"),
       key("path.times_uniform", t.uniform_share, from(0, 1), "logit_normal: share of times drawn uniformly"),
       key("path.times_unbiased", t.unbiased,
           "logit_normal: times weigh 1/p(t), and the loss stays that of uniform ones; else it weighs p(t)")});
}

void add_keys(Keys& keys, LossOptions& l) {
  add(keys,
      {key("loss.estimator", l.estimator,
           "inner_product and covariance: the variational loss, by parts or not; published: the paper's four "
           "terms"),
       key("loss.weight", l.weight, "Of a time: preconditioned makes it the error of the noise"),
       key("loss.antithetic", l.antithetic, "Each sample with its noise and the opposite one: the batch doubles"),
       key("loss.first_term", l.first, "published: what its first term is"),
       key("loss.second_term", l.second, "published: what its second term is"),
       key("loss.first_weight", l.first_weight, from(0, kHuge), "published: of the first term"),
       key("loss.second_weight", l.second_weight, from(0, kHuge), "published: of the second term"),
       key("loss.dirichlet_weight", l.dirichlet_weight, from(0, kHuge), "published: of the gradient's square"),
       key("loss.time_weight", l.time_weight, from(0, kHuge), "published: of the derivative in t")});
}

void add_keys(Keys& keys, TrainingOptions& t) {
  add(keys,
      {or_auto(key("train.steps", t.steps, from(0, kEver), "Of the whole training")),
       or_auto(key("train.batch_size", t.batch_size, from(1, 1e7), "Samples a step")),
       key("train.accumulate", t.accumulate, from(1, 1024),
           "Parts of a batch, one after the other: less memory, the same loss and gradients"),
       key("train.shards", t.shards, from(0, 65536),
           "Parts of a batch that are shared out among ranks (mpirun -n N vapo train), and whose gradients are "
           "added in an order that is the same for any number of them; 0: 8 where there are several ranks, else "
           "none"),
       key("train.reduction", t.reduction,
           "How ranks sum gradients: exact, the same bits at any number of ranks; or fast, beside what is "
           "computed, the same bits at one number"),
       key("train.recompute", t.recompute,
           "Image networks keep no activations inside blocks: less memory, more time"),
       key("train.label_drop", t.label_drop, from(0, 1), "With classes: the share of samples shown without theirs"),
       key("train.learning_rate", t.schedule.base, from(0, 1e38), "At its highest"),
       key("train.schedule", t.schedule.kind, "Of the learning rate"),
       key("train.schedule_steps", t.schedule.total_steps, from(0, kEver), "cosine: its length; 0: train.steps"),
       key("train.warmup_steps", t.schedule.warmup_steps, from(0, kEver), "In which the learning rate rises"),
       key("train.final_fraction", t.schedule.final_fraction, from(0, 1),
           "cosine: of the learning rate at its end"),
       key("train.step_every", t.schedule.step_every, from(0, kEver), "step: steps between two changes"),
       key("train.step_factor", t.schedule.step_factor, above(0, 1), "step: of the learning rate at each change"),
       key("train.optimizer", t.optimizer.kind, "What moves the weights"),
       key("train.beta1", t.optimizer.beta1, from(0, 1), "adam, adamw, lamb: decay of the first moment"),
       key("train.beta2", t.optimizer.beta2, from(0, 1), "adam, adamw, lamb: decay of the second moment"),
       key("train.eps", t.optimizer.eps, from(0, 1), "adam, adamw, lamb: added to the root of the second moment"),
       key("train.weight_decay", t.optimizer.weight_decay, from(0, kHuge),
           "adam, sgd: added to the gradient; adamw, lamb: decoupled"),
       key("train.momentum", t.optimizer.momentum, from(0, 1), "sgd: share of the last move that is kept"),
       key("train.nesterov", t.optimizer.nesterov, "sgd: Nesterov's momentum"),
       key("train.clip", t.clip.kind, "Of gradients: by their norm, by value, or by Adam's deviation"),
       key("train.clip_limit", t.clip.limit, above(0, kHuge), "norm: the largest; value: the largest of an entry"),
       key("train.ema_decay", t.ema_decay, from(0, 1),
           "Of the averaged weights, which samplers use; 0: no average"),
       key("train.ema_ramp", t.ema_ramp, "The average follows faster at first"),
       key("train.t_min", t.t_min, from(0, 1), "Times are not below this"),
       key("train.t_max", t.t_max, from(0, 1), "Times are below this"),
       key("train.seed", t.seed, from(0, 9e15), "Of the weights and of all that is drawn")});
}

void add_keys(Keys& keys, SamplerOptions& s) {
  add(keys,
      {{"sample.method",
        Choice{sampler_names(), [&s] { return std::string(s.method()); },
               [&s](const std::string& name) { s.set_method(name); }},
        "An ODE method, or Langevin dynamics"},
       key("sample.batch_size", s.batch_size, from(0, 1e6), "At once; 0: 4096 points, 64 images, more on GPU"),
       key("sample.steps", s.ode.steps, from(1, kMost), "euler, heun: how many"),
       key("sample.rtol", s.ode.rtol, from(1e-30, 1), "rk23, rk45: relative tolerance"),
       key("sample.atol", s.ode.atol, from(1e-30, 1e6), "rk23, rk45: absolute tolerance"),
       key("sample.t_start", s.t_start, from(0, 1), "Where the flow begins"),
       key("sample.t_end", s.t_end, from(0, 1e6), "Where it ends; beyond 1 the potential stays as at 1"),
       key("sample.energy", s.energy, "sgld: what it climbs"),
       key("sample.sgld_steps", s.sgld.steps, from(0, kMost), "sgld: how many"),
       key("sample.step_size", s.sgld.step_size, above(0, kHuge),
           "sgld: eta of x + eta grad E + sqrt(2 eta T) noise"),
       key("sample.averaged_noise", s.sgld.averaged_noise,
           "sgld: a step's noise is the mean of its own and the next one's: a law without the steps' error of "
           "first order"),
       key("sample.temperature", s.sgld.temperature, from(0, kHuge), "sgld: T; 0 climbs the energy"),
       key("sample.denoise", s.denoise,
           "sgld of the marginal energy: the flow brings noise to its time, and the chains' states from there to "
           "data"),
       key("sample.heat", s.heat, from(0, kHuge),
           "euler, of an autonomous potential: temperature of noise in every step, from 0 at t = 0.9 to this at t "
           "= 1 and "
           "after it")});
}

void add_keys(Keys& keys, EnergyOptions& e) {
  add(keys,
      {key("energy.marginal_t", e.marginal_t, from(0, 1), "The time whose marginal energy stands for the data's"),
       key("energy.boltzmann", e.boltzmann, "f and g^2 given here, or those of the path at energy.boltzmann_t"),
       key("energy.boltzmann_t", e.boltzmann_t, from(0, 1), "t of the Boltzmann energy (4 Phi + f |x|^2)/g^2"),
       key("energy.f", e.f, from(-kHuge, kHuge), "of the Boltzmann energy"),
       key("energy.g_squared", e.g_squared, above(0, kHuge), "of the Boltzmann energy")});
}

Keys keys_of(Recipe& r) {
  Keys keys;
  add_keys(keys, r.potential);
  add_keys(keys, r.path);
  add_keys(keys, r.times);
  add_keys(keys, r.loss);
  add_keys(keys, r.train);
  add_keys(keys, r.equilibrium);
  add_keys(keys, r.sample);
  add_keys(keys, r.energy);
  return keys;
}

nn::Schedule TrainingOptions::learning_rate() const {
  nn::Schedule out = schedule;
  if (out.total_steps == 0) out.total_steps = steps;
  return out;
}

std::vector<std::string> sampler_names() {
  std::vector<std::string> names = all_names<OdeMethod>();
  names.push_back(sgld_name);
  return names;
}

std::string_view SamplerOptions::method() const { return langevin ? sgld_name : name_of(ode.method); }

void SamplerOptions::set_method(std::string_view name) {
  langevin = name == sgld_name;
  if (!langevin) ode.method = from_name<OdeMethod>(name);
}

SamplerOptions SamplerOptions::of_the_flow() const {
  SamplerOptions out = *this;
  if (langevin) out.set_method("rk45");
  return out;
}

int64_t Recipe::classes() const {
  switch (potential.network) {
    case Network::unet:
      return potential.unet.classes;
    case Network::wide_resnet:
      return potential.wide_resnet.classes;
    case Network::mlp:
      break;
  }
  return potential.mlp.classes;
}

void check(const Recipe& r) {
  const TrainingOptions& t = r.train;
  check_schedule(t.schedule);
  check_loss(r.loss);
  check_times(r);
  check_blurring(r);
  check_coupling(r);
  if (std::string why = r.path.no_density();
      !why.empty() && r.sample.langevin && r.sample.energy == EnergyKind::marginal)
    refuse("sample.method = \"sgld\" with sample.energy = \"marginal\": {}", why);
  check_below_one("train.ema_decay", t.ema_decay, "the average would never move (0 = no average)");
  check_optimizer(t.optimizer);
  check_equilibrium(r);
  if (t.t_min >= t.t_max) refuse("train.t_min = {} must be below train.t_max = {}", t.t_min, t.t_max);
  if (r.sample.t_start >= r.sample.t_end)
    refuse("sample.t_start = {} must be below sample.t_end = {}", r.sample.t_start, r.sample.t_end);
  if (r.sample.heat > 0 && !r.sample.langevin && r.sample.ode.method != OdeMethod::euler)
    refuse("sample.heat = {} needs steps of one length: sample.method = \"euler\"", r.sample.heat);
  if (r.sample.denoise && r.sample.langevin && r.sample.energy != EnergyKind::marginal)
    refuse("sample.denoise = true needs sample.energy = \"marginal\", whose states the flow knows");
  if (r.classes() > 0 && t.label_drop == 1)
    refuse("train.label_drop = 1 with {}.classes = {}: no image would be shown with its class",
           name_of(r.potential.network), r.classes());
}

std::unique_ptr<Potential> make_potential(const Recipe& r, const Shape& sample) {
  std::unique_ptr<Potential> network = make_network(r, sample);
  if (r.potential.form == PotentialOptions::Form::raw) return network;
  return std::make_unique<PreconditionedPotential>(std::move(network), r.path, r.potential.reference);
}

}  // namespace vapo

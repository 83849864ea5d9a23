#include "vapo/training/equilibrium_chains.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tensor/finite.h"
#include "tensor/operators.h"
#include "tensor/random.h"
#include "vapo/sampling/draw_samples.h"
#include "vapo/sampling/sgld.h"
#include "vapo/streams.h"

namespace vapo {
namespace {

Tensor rows_of(const Tensor& x, const std::vector<int64_t>& index) {
  return kernel::index_select(x, 0, Tensor::from(index, {static_cast<int64_t>(index.size())}).to(x.device()));
}

// Numbers of the samples of x, one each, to broadcast over it.
Tensor for_each(const std::vector<double>& values, const Tensor& x) {
  Shape shape{x.dim(0)};
  for (int i = 1; i < x.rank(); ++i) shape.push_back(1);
  return Tensor::from(values, shape).to(x.dtype()).to(x.device());
}

std::vector<double> row_squares(const Tensor& x) {  // ‖x‖² of each
  Tensor here = rows(x.to(Device::cpu).to(DType::f64));
  return kernel::sum(here * here, {1}, false).to_vector<double>();
}

// The mean over chains of min(1, e^{(E(x')−E(x))/T} q(x|x')/q(x'|x)), q(x'|x) = N(x + η∇E(x), 2ηT).
double mean_acceptance(const Tensor& x, const EnergyGradient& before, const Tensor& moved,
                       const EnergyGradient& after, const std::vector<double>& eta,
                       const std::vector<double>& temperature) {
  Tensor step = for_each(eta, x);
  std::vector<double> there = row_squares(moved - x - step * before.gradient),
                      back = row_squares(x - moved - step * after.gradient),
                      gain = (after.value - before.value).to(DType::f64).to_vector<double>();
  double sum = 0, count = 0;
  for (size_t j = 0; j < eta.size(); ++j) {
    double T = temperature[j];
    if (!(T > 0)) continue;
    double log_chance = gain[j] / T + (there[j] - back[j]) / (4 * eta[j] * T);
    sum += std::exp(std::min(0.0, log_chance));
    ++count;
  }
  return count > 0 ? sum / count : NAN;
}

std::string name_of_block(const char* what, size_t block) {
  return fmt::format("equilibrium.{}.{:04}", what, block);
}

}  // namespace

EquilibriumChains::EquilibriumChains(const EquilibriumSetting& setting, const EquilibriumOptions& options)
    : setting_(setting),
      options_(options),
      slope_(
          [this](std::span<const Tensor> at) {
            EnergyGradient e = energy_gradient([&](const Var& x) { return energy(x, at[1], at[2]); }, at[0]);
            return std::vector{e.gradient, e.value};
          },
          setting.recorded),
      acceptance_(NAN),
      jumped_(NAN) {
  if (!options.marginal() && !setting.potential.autonomous())
    throw InputError(
        "equilibrium.energy = \"potential\" is for a potential that is raw and not told the time. Hint: "
        "equilibrium.energy = \"marginal\", at times below 1");
  if (options.clamp_states && setting.sample.rank() != 3)
    throw InputError("equilibrium.clamp_states = true is for images, whose pixels lie in [-1,1]");
  for (double t : options.times)
    if (options.marginal() && !(setting.path.at(t).mu > 0 && setting.path.at(t).sigma > 0))
      throw InputError(fmt::format("equilibrium.times: at t = {} the path leaves no density. Hint: 0 < t < 1", t));
}

RandomKey EquilibriumChains::key(uint32_t stream, int64_t step) const {
  return {setting_.seed, stream, static_cast<uint64_t>(step)};
}

Tensor EquilibriumChains::times(int64_t count, DType dtype) const {
  std::vector<double> t;
  for (int64_t k = 0; k < count; ++k) t.push_back(options_.time_of(k));
  return Tensor::from(t, {count}).to(dtype).to(setting_.device);
}

// μx̄ + σε at the times of an energy that is marginal; x̄ itself of Φ, which is of t = 1.
Tensor EquilibriumChains::noised(const Tensor& data, const Tensor& t, const Tensor& noise) const {
  if (!options_.marginal()) return data;
  PathFactors p = path_factors(setting_.path, t);
  return (p.mu * rows(data) + p.sigma * rows(noise)).reshape(data.shape());
}

// By ten of Heun's steps from noise to t.
Tensor EquilibriumChains::carried(const Tensor& noise, const Tensor& labels, double t) const {
  constexpr double first = 1e-5;
  OdeOptions steps{.method = OdeMethod::heun, .steps = 10, .times = {}};
  return integrate(flow_field(setting_.potential, labels), setting_.path.prior_scale() * noise, first, t, steps).x;
}

States EquilibriumChains::positives(int64_t n, const Tensor& data, const Tensor& labels) const {
  Tensor t = times(data.dim(0), data.dtype()), noise;
  if (options_.marginal()) noise = randn(data.shape(), key(kPositiveStream, n), data.options());
  return {noised(data, t, noise), t, labels};
}

Var EquilibriumChains::energy(const Var& x, const Tensor& t, const Tensor& labels) const {
  if (options_.marginal()) return marginal_energy(setting_.potential, setting_.path, t, labels)(x);
  return setting_.potential(x, t, labels);
}

// Chain j begins with the label of sample j, and at it, or with it at noise; all of a block that is new, else some.
void EquilibriumChains::begin(Block& block, int64_t n, const Tensor& data, const Tensor& labels) const {
  int64_t count = options_.batch_size;
  std::vector<float> chance = rand({2, count}, key(kBirthStream, n)).to_vector<float>();
  std::vector<int64_t> sample(static_cast<size_t>(count)), place(sample.size());
  for (int64_t j = 0; j < count; ++j) sample[static_cast<size_t>(j)] = j % data.dim(0);
  std::iota(place.begin(), place.end(), 0);
  bool all = !block.at.x.defined();
  Tensor shown = rows_of(data, sample), t = times(count, data.dtype());
  Tensor noise = randn(shown.shape(), key(kBirthNoiseStream, n), shown.options());
  Tensor fresh_labels = labels.defined() ? rows_of(labels, sample) : labels;
  // What states may come of: the old ones, those at data, and those at noise, time by time.
  std::vector<Tensor> sources = {all ? shown : block.at.x, noised(shown, t, noise)};
  std::vector<std::vector<int64_t>> at_noise(static_cast<size_t>(options_.rungs()));
  std::vector<bool> fresh(sample.size());
  if (all) block.clock.resize(sample.size());
  for (size_t j = 0; j < sample.size(); ++j) {
    auto k = static_cast<int64_t>(j);
    fresh[j] = all || chance[j] < options_.renewed;
    if (!fresh[j]) continue;
    bool from_data = chance[j + sample.size()] < options_.data_share;
    if (from_data)
      place[j] = count + k;
    else
      at_noise[j % at_noise.size()].push_back(k);
    block.clock[j] = from_data ? 1 : heat_begins;
  }
  int64_t next = 2 * count;
  for (size_t rung = 0; rung < at_noise.size(); ++rung) {
    if (at_noise[rung].empty()) continue;
    Tensor y = fresh_labels.defined() ? rows_of(fresh_labels, at_noise[rung]) : fresh_labels;
    double until = options_.marginal() ? options_.times[rung] : heat_begins;
    sources.push_back(carried(rows_of(noise, at_noise[rung]), y, until));
    for (int64_t j : at_noise[rung]) place[static_cast<size_t>(j)] = next++;
  }
  block.at.x = rows_of(kernel::concat(sources, 0), place);
  block.at.t = t;
  if (!labels.defined()) return;
  for (size_t j = 0; j < place.size(); ++j) place[j] = static_cast<int64_t>(j) + (fresh[j] ? count : 0);
  block.at.labels =
      all ? fresh_labels : rows_of(kernel::concat(std::vector{block.at.labels, fresh_labels}, 0), place);
}

// Of step s of update n. With averaged noise a block goes on with the ξ that its last move ended with.
Tensor EquilibriumChains::noise(int64_t n, int64_t s, const Tensor& x) const {
  int64_t each = options_.chain_steps + 1, blocks = options_.buffer / options_.batch_size;
  auto xi = [&](int64_t step) { return randn(x.shape(), key(kChainStream, step), x.options()); };
  if (!options_.averaged_noise) return xi(n * each + s);
  Tensor own = xi(s == 0 && n >= blocks ? (n - blocks) * each + options_.chain_steps : n * each + s);
  return 0.5 * (own + xi(n * each + s + 1));
}

double EquilibriumChains::temperature_at(double clock) const {
  return options_.own_temperature() * (options_.marginal() ? 1 : heat_at(clock));
}

// ∇E and E at x, of the energies and labels of these states.
EnergyGradient EquilibriumChains::slope(const Tensor& x, const States& of) {
  const Replicas& r = setting_.replicas;
  int64_t n = x.dim(0);
  std::vector<Tensor> gradients, values;
  auto take = [&](Tensor gradient, Tensor value) {
    gradients.push_back(std::move(gradient)), values.push_back(std::move(value));
  };
  auto nothing = [&](int64_t count) {  // in the place of other ranks' rows
    if (count == 0) return;
    Shape shape = x.shape();
    shape[0] = count;
    take(Tensor::zeros(shape, x.options()), Tensor::zeros({count}, x.options()));
  };
  Replicas::Rows first = r.rows_of(0, n), last = r.rows_of(r.own_parts() - 1, n);
  nothing(first.first);
  for (int64_t part = 0; part < r.own_parts(); ++part) {
    Replicas::Rows at = r.rows_of(part, n);
    if (at.count == 0) continue;
    auto own = [&](const Tensor& all) {
      return all.defined() && r.parts > 1 ? kernel::slice(all, 0, at.first, at.first + at.count, 1) : all;
    };
    const Tensor in[] = {own(x), own(of.t), own(of.labels)};
    std::vector<Tensor> found = slope_(in);
    take(found[0], found[1]);
  }
  nothing(n - last.first - last.count);
  EnergyGradient all{kernel::concat(gradients, 0), kernel::concat(values, 0)};
  if (r.ranks) r.ranks->all_reduce({&all.gradient, &all.value});
  return all;
}

void EquilibriumChains::run(Block& block, int64_t n) {
  std::vector<double> eta;
  for (size_t j = 0; j < block.clock.size(); ++j) {
    double t = options_.time_of(static_cast<int64_t>(j));
    eta.push_back(options_.step_size_at(setting_.path, t));
  }
  Tensor step = for_each(eta, block.at.x);
  acceptance_ = NAN;
  for (int64_t s = 0; s < options_.chain_steps; ++s) {
    Tensor x = block.at.x;
    EnergyGradient e = slope(x, block.at);
    std::vector<double> temperature, deviation;
    for (size_t j = 0; j < eta.size(); ++j) {
      double T = temperature_at(block.clock[j]);
      temperature.push_back(T);
      deviation.push_back(std::sqrt(2 * eta[j] * T));
      block.clock[j] = std::min(1.0, block.clock[j] + eta[j]);
    }
    Tensor drifted = x + step * e.gradient, scale = for_each(deviation, x);
    block.at.x = drifted + scale * noise(n, s, x);
    if (auto bad = non_finite(block.at.x))
      throw DivergedError(
          fmt::format("the chains of update {} of the equilibrium phase are {} {}. Hint: a smaller "
                      "equilibrium.step_size, or a larger equilibrium.weight",
                      n + 1, bad->name(), bad->where()));
    if (s + 1 < options_.chain_steps || !(*std::max_element(temperature.begin(), temperature.end()) > 0)) continue;
    Tensor proposal = drifted + scale * randn(x.shape(), key(kProposalStream, n), x.options());
    acceptance_ = mean_acceptance(x, e, proposal, slope(proposal, block.at), eta, temperature);
  }
}

// Chains that are not at their temperature yet stay.
void EquilibriumChains::jump(Block& block, int64_t n, const Tensor& data) {
  jumped_ = NAN;
  if (options_.jumps == 0) return;
  auto chains = static_cast<size_t>(options_.batch_size);
  auto samples = static_cast<double>(data.dim(0));
  Tensor zero = Tensor::zeros(data.shape(), data.options());
  auto energies = [&](const Tensor& x) {
    return energy(x, block.at.t, block.at.labels).value().to(DType::f64).to_vector<double>();
  };
  std::vector<double> now = energies(block.at.x);
  double taken = 0, tried = 0;
  for (int64_t k = 0; k < options_.jumps; ++k) {
    Tensor drawn = rand({3, options_.batch_size}, key(kJumpStream, n * options_.jumps + k), 0, 1, DType::f64);
    std::vector<double> u = drawn.to_vector<double>();
    std::vector<int64_t> to(chains), from(chains);
    for (size_t j = 0; j < chains; ++j) {
      to[j] = static_cast<int64_t>(u[j] * samples), from[j] = static_cast<int64_t>(u[chains + j] * samples);
    }
    Tensor there = noised(rows_of(data, to), block.at.t, rows_of(zero, to)),
           here = noised(rows_of(data, from), block.at.t, rows_of(zero, from));
    Tensor proposal = block.at.x + (there - here);
    std::vector<double> found = energies(proposal);
    std::vector<int64_t> place(chains);
    for (size_t j = 0; j < chains; ++j) {
      auto own = static_cast<int64_t>(j);
      place[j] = own;
      double T = temperature_at(block.clock[j]);
      if (!(T > 0) || T < options_.own_temperature()) continue;
      ++tried;
      if (std::log(u[2 * chains + j]) >= (found[j] - now[j]) / T) continue;
      ++taken, place[j] = own + options_.batch_size, now[j] = found[j];
    }
    block.at.x = rows_of(kernel::concat(std::vector{block.at.x, proposal}, 0), place);
  }
  if (tried > 0) jumped_ = taken / tried;
}

const States& EquilibriumChains::move(int64_t n, const Tensor& data, const Tensor& labels) {
  NoGradGuard off;
  auto index = static_cast<size_t>(n % (options_.buffer / options_.batch_size));
  if (index >= blocks_.size()) blocks_.resize(index + 1);
  Block& block = blocks_[index];
  begin(block, n, data, labels);
  run(block, n);
  jump(block, n, data);
  if (options_.clamp_states) block.at.x = clamp(Var(block.at.x), -1, 1).value();
  return block.at;
}

Tensor EquilibriumChains::states() const {
  std::vector<Tensor> all;
  for (const Block& block : blocks_) all.push_back(block.at.x.to(Device::cpu));
  return all.empty() ? Tensor() : kernel::concat(all, 0);
}

void EquilibriumChains::store(std::map<std::string, Tensor>& extra) const {
  for (size_t i = 0; i < blocks_.size(); ++i) {
    extra[name_of_block("chains", i)] = blocks_[i].at.x.to(Device::cpu);
    extra[name_of_block("clock", i)] = Tensor::from(blocks_[i].clock, {options_.batch_size});
    if (blocks_[i].at.labels.defined()) extra[name_of_block("labels", i)] = blocks_[i].at.labels.to(Device::cpu);
  }
}

void EquilibriumChains::restore(const std::map<std::string, Tensor>& extra, const std::string& file) {
  Shape expected{options_.batch_size};
  for (int64_t size : setting_.sample) expected.push_back(size);
  auto tensor = [&](const char* what, size_t block, const Shape& shape, DType dtype) {
    auto it = extra.find(name_of_block(what, block));
    if (it == extra.end() || it->second.shape() != shape || it->second.dtype() != dtype)
      throw InputError(fmt::format("{}: extra.{} is not the {} {} of the equilibrium phase", file,
                                   name_of_block(what, block), name_of(dtype), shape.str()));
    return it->second;
  };
  blocks_.clear();
  auto most = static_cast<size_t>(options_.buffer / options_.batch_size);
  for (size_t i = 0; i < most && extra.contains(name_of_block("chains", i)); ++i) {
    Block block{
        {tensor("chains", i, expected, DType::f32).to(setting_.device), times(options_.batch_size, DType::f32), {}},
        tensor("clock", i, {options_.batch_size}, DType::f64).to_vector<double>()};
    if (setting_.classes > 0)
      block.at.labels = tensor("labels", i, {options_.batch_size}, DType::i64).to(setting_.device);
    blocks_.push_back(std::move(block));
  }
}

}  // namespace vapo

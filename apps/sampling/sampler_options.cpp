#include "apps/sampling/sampler_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "apps/run/contents.h"
#include "apps/run/exit_code.h"
#include "tensor/precision.h"

namespace vapo::app {
namespace {

template <class T>
void override_by(T& value, const std::optional<T>& given) {
  if (given) value = *given;
}

}  // namespace

void SamplerFlags::add_to(CLI::App& command) {
  command.add_option("--batch-size", batch_size, "Samples made at once (default: the config's)")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000}));
  command.add_option("--method", method, "euler, heun, rk23, rk45 or sgld (default: the config's)")
      ->check(CLI::IsMember(sampler_names()));
  command.add_option("--steps", steps, "Of euler, heun and sgld")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000'000}));
  command.add_option("--rtol", rtol, "Relative tolerance of rk23 and rk45")->check(real_from(1e-30, 1.0));
  command.add_option("--atol", atol, "Absolute tolerance of rk23 and rk45")->check(real_from(1e-30, 1e6));
  command.add_flag("--per-sample-norm", own_steps,
                   "rk23 and rk45 with an error norm and steps of its own for every sample, which then does not "
                   "depend on its batch");
  command.add_option("--t-end", t_end, "Where the flow ends; beyond 1 the potential stays as at 1")
      ->check(real_from(0.0, 1e6));
  add_choice(command, "--energy", energy,
             "Of sgld: marginal, boltzmann, or potential: Phi itself, after the equilibrium phase");
  command.add_option("--t", t, "Of sgld: the time of the marginal energy (default: the config's)")
      ->check(real_from(0.0, 1.0));
  command.add_flag("--denoise", denoise,
                   "Of sgld at --t: the flow brings noise there, and the chains' states from there to data");
  command.add_flag("--averaged-noise", averaged_noise,
                   "Of sgld: a step's noise is the mean of its own and the next one's: no error of first order in "
                   "the step size");
  command.add_option("--step-size", step_size, "Of sgld")->check(real_from(1e-12, 1e6));
  command
      .add_option("--temperature", temperature,
                  "Of sgld; 0 climbs the energy. Of euler, for an autonomous potential: noise in every step, from "
                  "none at t = "
                  "0.9 to this at t = 1 and up to --t-end")
      ->check(real_from(0.0, 1e12));
  command.add_option("--seed", seed, "Sample k of a seed starts from the same noise for every n")
      ->check(CLI::Range(int64_t{0}, int64_t{9'000'000'000'000'000}))
      ->capture_default_str();
  command.add_flag("--no-graph", no_graph,
                   "On a GPU: launch every evaluation anew instead of replaying a recorded one");
  command.add_flag("--last-weights", last_weights, "Use the last weights instead of their average");
}

SamplerOptions SamplerFlags::over(const vapo::Model& model) const {
  SamplerOptions s = model.recipe.sample;
  if (method) s.set_method(*method);
  override_by(s.energy, energy);
  override_by(s.langevin ? s.sgld.steps : s.ode.steps, steps);
  override_by(s.ode.rtol, rtol);
  override_by(s.ode.atol, atol);
  override_by(s.t_end, t_end);
  override_by(s.sgld.step_size, step_size);
  s.sgld.averaged_noise |= averaged_noise;
  override_by(s.langevin ? s.sgld.temperature : s.heat, temperature);
  if (t) s.energy_t = t;
  s.denoise |= denoise;
  override_by(s.batch_size, batch_size);
  if (s.batch_size == 0 && model.device != Device::cpu) s.batch_size = batch_of(model, s);  // depends on the device
  return s;
}

SampleRequest SamplerFlags::request(int64_t n) const {
  return {.n = n, .seed = static_cast<uint64_t>(seed), .own_steps = own_steps, .recorded = !no_graph};
}

Json sampler_facts(const SamplerOptions& s, const SamplerFlags& options) {
  Json out = {{"seed", options.seed}, {"precision", std::string(name_of(precision()))}, {"method", s.method()}};
  if (s.langevin) {
    out.update({{"steps", s.sgld.steps},
                {"energy", s.energy},
                {"step_size", s.sgld.step_size},
                {"temperature", s.sgld.temperature}});
    if (s.energy_t) out["t"] = *s.energy_t;
    if (s.denoise) out["denoise"] = true;
    if (s.sgld.averaged_noise) out["averaged_noise"] = true;
    return out;
  }
  out.update({{"t_start", s.t_start}, {"t_end", s.t_end}});
  if (s.heat > 0) out["temperature"] = s.heat;
  if (!is_adaptive(s.ode.method)) {
    out["steps"] = s.ode.steps;
  } else {
    out.update({{"rtol", s.ode.rtol}, {"atol", s.ode.atol}, {"per_sample_norm", options.own_steps}});
    if (!options.own_steps) out["batch_size"] = s.batch_size;
  }
  return out;
}

void ClassOptions::add_to(CLI::App& command) {
  command.add_option("--class", classes,
                     "Images of this class, by number or name; of several in turn: 0,3,7 or all (default: none)");
  add_guidance(command, guidance);
}

Tensor ClassOptions::labels(const Model& model, int64_t n) const {
  if (classes.empty()) {
    if (guidance) throw UsageError("--guidance: towards which class? Hint: --class");
    return {};
  }
  std::vector<int64_t> list = classes_from(classes, model, "--class"), y;
  for (int64_t i = 0; i < n; ++i) y.push_back(list[static_cast<size_t>(i) % list.size()]);
  return Tensor::from(y, {n});
}

void add_guidance(CLI::App& command, std::optional<double>& guidance) {
  command.add_option("--guidance", guidance, "w of (1+w)·Φ(x,t,y) − w·Φ(x,t,none) (default: 0)")
      ->check(real_from(-1e4, 1e4));
}

namespace {

// The number of one class, given as that or by its name.
int64_t class_from(const std::string& text, const std::vector<std::string>& names, int64_t classes,
                   const std::string& option) {
  auto name = std::find(names.begin(), names.end(), text);
  int64_t number = 0;
  auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || stop != text.data() + text.size()) {
    if (name != names.end()) return name - names.begin();
    if (names.empty())
      throw UsageError(fmt::format("{} {}: expected numbers with commas between them", option, text));
    throw InputError(fmt::format("{} {}: the model has classes {}", option, text, text_of_classes(names)));
  }
  if (number < 0 || number >= classes)
    throw InputError(fmt::format("{} {}: the model has classes 0 to {}", option, number, classes - 1));
  if (name != names.end() && name - names.begin() != number)
    note(fmt::format("{} {}: the class of that number, '{}'; the class '{}' has number {}", option, number,
                     names[static_cast<size_t>(number)], text, name - names.begin()));
  return number;
}

}  // namespace

std::vector<int64_t> classes_from(const std::string& text, const Model& model, const std::string& option) {
  int64_t classes = model.recipe.classes();
  if (classes == 0)
    throw InputError(fmt::format("{}: the model has no classes; leave out {}", model.file.string(), option));
  std::vector<std::string> names = class_names(model.contents);
  if (static_cast<int64_t>(names.size()) > classes) names.resize(static_cast<size_t>(classes));
  std::vector<int64_t> out;
  bool one_name = std::find(names.begin(), names.end(), text) != names.end();  // that may hold a comma
  for (size_t at = 0, end = 0; text != "all" && at <= text.size(); at = end + 1) {
    end = one_name ? text.size() : std::min(text.find(',', at), text.size());
    out.push_back(class_from(text.substr(at, end - at), names, classes, option));
  }
  for (int64_t y = 0; text == "all" && y < classes; ++y) out.push_back(y);
  return out;
}

std::vector<double> numbers_from(const std::string& text, const std::string& option) {
  std::vector<double> out;
  const char *at = text.data(), *end = at + text.size();
  while (true) {
    double value = 0;
    auto [stop, error] = std::from_chars(at, end, value);
    if (error != std::errc() || (stop != end && *stop != ','))
      throw UsageError(fmt::format("{} {}: expected numbers with commas between them", option, text));
    out.push_back(value);
    if (stop == end) return out;
    at = stop + 1;
  }
}

}  // namespace vapo::app

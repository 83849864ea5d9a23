#pragma once
// Options that the commands which draw samples share.

#include <optional>
#include <string>
#include <vector>

#include "apps/run/command.h"
#include "apps/sampling/sampling.h"

namespace vapo::app {

// How samples are drawn, over what the model's config says.
struct SamplerFlags {
  std::optional<std::string> method;
  std::optional<EnergyKind> energy;
  std::optional<int64_t> steps, batch_size;
  std::optional<double> rtol, atol, t_end, step_size, temperature, t;
  int64_t seed = 0;
  bool own_steps = false, no_graph = false, last_weights = false, denoise = false, averaged_noise = false;

  void add_to(CLI::App& command);
  SamplerOptions over(const vapo::Model& model) const;
  SampleRequest request(int64_t n) const;
};
// What samples depend on besides model, potential and start: method and its settings, seed, precision.
Json sampler_facts(const SamplerOptions& sample, const SamplerFlags& options);

// --class and --guidance.
struct ClassOptions {
  std::string classes;
  std::optional<double> guidance;

  void add_to(CLI::App& command);
  // Sample i gets the class i mod their number; undefined without --class. Throws InputError for a model without
  // classes and for a class that it does not have, UsageError for --guidance without --class.
  Tensor labels(const Model& model, int64_t n) const;
  double weight() const { return guidance.value_or(0); }
};
void add_guidance(CLI::App& command, std::optional<double>& guidance);

// "3", "0,1,7", "all"; or names, where the model knows those of its classes: a number is one whatever they are.
// Throws UsageError, naming `option`, for anything else, InputError as above.
std::vector<int64_t> classes_from(const std::string& text, const Model& model, const std::string& option);
// "a,b,c". Throws UsageError naming `option`.
std::vector<double> numbers_from(const std::string& text, const std::string& option);

}  // namespace vapo::app

// vapo frechet: the Fréchet distance of samples to real images, in the features of a classifier.

#include <fmt/format.h>

#include "apps/command.h"
#include "apps/image_features.h"
#include "data/frechet.h"
#include "tensor/check.h"
#include "tensor/kernels.h"
#include "tensor/random.h"

namespace vapo::app {
namespace {

struct FrechetOptions {
  CommonOptions common;
  std::string features, reference, samples, data, save;
  int64_t seed = 0;
  bool halves = false;
};

data::FeatureStatistics statistics_of(const Tensor& features, const std::string& name) {
  int64_t n = features.dim(0), width = features.dim(1);
  if (n < 2) throw InputError(fmt::format("{}: too few images: {}, a covariance needs 2", name, n));
  if (n <= width)
    note(fmt::format("{}: {} images for {} features: the distance is far larger than that of the laws", name, n,
                     width));
  return data::feature_statistics(features);
}

struct Side {  // real images or samples
  std::string name;
  Tensor features;  // undefined where the statistics come from a file
  data::FeatureStatistics statistics;
};

bool names_a_set(const std::string& name) { return !name.ends_with(".npy") && !name.ends_with(".npz"); }
std::string set_of(const std::string& name) { return name.substr(0, name.find(':')); }

Side side_of(const ImageClassifier& classifier, const std::string& name, const std::string& path) {
  if (name.ends_with(".npz")) {
    Side side{name, {}, data::read_feature_statistics(name)};
    int64_t width = side.statistics.mean.dim(0), expected = classifier.network->options().features;
    if (width != expected)
      throw InputError(fmt::format("{}: statistics of {} features, the classifier {} has {}", name, width,
                                   classifier.file, expected));
    return side;
  }
  Tensor features = features_of(classifier, read_named_images(name, path, data::Subset::train));
  return {name, features, statistics_of(features, name)};
}

// Between two random halves: what samples as good as the data would reach, with as many.
data::FrechetDistance between_halves(const Side& side, uint64_t seed) {
  if (!side.features.defined())
    throw InputError(fmt::format("{}: --halves needs the images, not their statistics", side.name));
  int64_t n = side.features.dim(0), half = n / 2;
  Tensor order = randperm(n, {seed, 0, 0});
  auto part = [&](int64_t begin) {
    Tensor rows = kernel::index_select(side.features, 0, kernel::slice(order, 0, begin, begin + half, 1));
    return statistics_of(rows, "half of " + side.name);
  };
  return data::frechet_distance(part(0), part(half));
}

int frechet(const FrechetOptions& options) {
  if (options.samples.empty() && !options.halves && options.save.empty())
    throw UsageError("frechet: what of the images? Hint: --samples, --halves or --save-ref");
  Device device = options.common.apply();
  ImageClassifier classifier = open_classifier(options.features, device);
  Stopwatch watch;
  Side real = side_of(classifier, options.reference, options.data);
  Json result = {{"features", classifier.file},
                 {"width", real.statistics.mean.dim(0)},
                 {"ref", real.name},
                 {"ref_n", real.statistics.count}};
  if (!options.samples.empty()) {
    bool other_set = names_a_set(options.reference) && set_of(options.samples) != set_of(options.reference);
    Side samples = side_of(classifier, options.samples, other_set ? "" : options.data);
    data::FrechetDistance f = data::frechet_distance(real.statistics, samples.statistics);
    result["samples"] = samples.name;
    result["samples_n"] = samples.statistics.count;
    result["distance"] = f.value;
    result["of_means"] = f.means;
    result["of_covariances"] = f.covariances;
    result["clamped"] = f.clamped;
  }
  if (options.halves) {
    data::FrechetDistance f = between_halves(real, static_cast<uint64_t>(options.seed));
    result["half_n"] = real.features.dim(0) / 2;
    result["halves_distance"] = f.value;
    result["halves_clamped"] = f.clamped;
  }
  if (!options.save.empty()) {
    data::write_feature_statistics(options.save, real.statistics);
    result["saved"] = options.save;
  }
  result["seconds"] = watch.seconds();
  print_result(result, options.common.json);
  return 0;
}

}  // namespace

void add_frechet(CLI::App& app, Action& action) {
  auto o = std::make_shared<FrechetOptions>();
  CLI::App* command =
      app.add_subcommand("frechet", "Fréchet distance of samples to real images, in a classifier's features");
  command->add_option("--features", o->features, "The classifier, as vapo classifier train wrote it")->required();
  command
      ->add_option("--ref", o->reference,
                   "Real images: NAME, NAME:train (the default), NAME:test, a file .npy; or statistics, .npz")
      ->required();
  command->add_option("--samples", o->samples, "Samples: .npy, u8 (N,H,W,C) of 0..255; or as for --ref");
  command->add_option("--data", o->data,
                      "Where the set lies, of --ref where the two differ (default: $VAPO_DATA/…)");
  command->add_option("--save-ref", o->save,
                      "Write the statistics of the real images: .npz with mu, sigma and count");
  command->add_flag("--halves", o->halves, "Also between two random halves of the real images: a floor");
  command->add_option("--seed", o->seed, "Of the halves")
      ->check(CLI::Range(int64_t{0}, int64_t{9'000'000'000'000'000}))
      ->capture_default_str();
  o->common.add_to(*command);
  command->callback([o, &action] { action = [o] { return frechet(*o); }; });
}

}  // namespace vapo::app

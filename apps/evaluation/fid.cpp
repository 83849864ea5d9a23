// vapo fid: how far samples are from real images, in the features of a network. FID, KID and Inception Score in
// Inception's; in those of a classifier the Fréchet distance.

#include <fmt/format.h>

#include <algorithm>

#include "apps/evaluation/fid_sides.h"
#include "apps/run/command.h"
#include "apps/run/exit_code.h"
#include "apps/run/ranks.h"
#include "apps/sampling/image_parts.h"
#include "apps/sampling/sampler_options.h"
#include "data/measures/sample_scores.h"
#include "data/writers/save.h"
#include "tensor/kernels.h"
#include "tensor/precision.h"
#include "tensor/random.h"

namespace vapo::app {
namespace {

struct FidOptions {
  CommonOptions common;
  SamplerFlags sampler;
  ClassOptions of_class;
  FeatureChoice network;
  FolderFlags images;
  std::string reference, samples, resize = "tf1", data, save, out;
  std::optional<int64_t> n;
  bool halves = false;
};

constexpr int64_t kDrawn = 10'000, kTheSamples = 50'000;  // the published code's number, and that of *the* FID

// What the command finds, to an evaluation's folder or, without one, to standard output.
class Outcome {
 public:
  Outcome(std::optional<Evaluation> evaluation, Json request)
      : evaluation_(std::move(evaluation)), request_(std::move(request)) {}
  const Evaluation* folder() const { return evaluation_ ? &*evaluation_ : nullptr; }
  Evaluation* folder() { return evaluation_ ? &*evaluation_ : nullptr; }
  void add(const std::string& name, const Json& value) {
    summary_[name] = value;
    if (evaluation_) evaluation_->summary(name, value);
  }
  const Json& summary() const { return summary_; }
  void remark(const std::string& text) {
    note(text);
    remarks_.push_back(text);
    if (evaluation_) evaluation_->remark(text);
  }
  void finish(bool as_json) {
    if (evaluation_) return evaluation_->finish(as_json);
    Json all = {{"command", "fid"}, {"request", request_}, {"summary", summary_}, {"remarks", remarks_}};
    print_result(as_json ? all : summary_, as_json);
  }

 private:
  std::optional<Evaluation> evaluation_;
  Json request_, summary_ = Json::object(), remarks_ = Json::array();
};

std::string set_of(const std::string& name) { return name.substr(0, name.find(':')); }
bool is_training_part(const std::string& reference) {
  return names_a_set(reference) && (reference == set_of(reference) || reference.ends_with(":train"));
}

Json request_of(const FidOptions& options, const FeatureNetwork& network) {
  Json request = {{"ref", options.reference},
                  {"ref_file", file_facts(options.reference)},
                  {"data", options.data},
                  {"features", options.network.features},
                  {"features_file", file_facts(network.file())},
                  {"samples", options.samples},
                  {"halves", options.halves}};
  if (network.is_inception()) request["resize"] = options.resize;
  if (options.images.size > 0) request["size"] = options.images.size;
  if (options.images.skip_unreadable) request["skip_unreadable"] = true;
  return request;
}

void say_how_many(Outcome& outcome, const Side& side, int64_t width) {
  if (side.statistics.count > 0 && side.statistics.count <= width)
    outcome.remark(
        fmt::format("{}: {} images for {} features: their covariance is of deficient rank, and the distance far "
                    "larger than that of the laws",
                    side.name, side.statistics.count, width));
}

// Between two random halves: what samples as good as the data would reach, with as many.
void add_halves(Outcome& outcome, const Side& side, uint64_t seed) {
  if (!side.has_features())
    throw InputError(fmt::format("{}: --halves needs the images, not their statistics", side.name));
  int64_t n = side.features.features.dim(0), half = n / 2;
  Tensor order = randperm(n, {seed, 0, 0});
  auto part = [&](int64_t begin) {
    Tensor chosen = kernel::slice(order, 0, begin, begin + half, 1);
    return statistics_of(kernel::index_select(side.features.features, 0, chosen), "half of " + side.name);
  };
  data::FrechetDistance f = data::frechet_distance(part(0), part(half));
  outcome.add("half_n", half);
  outcome.add("halves_distance", f.value);
  outcome.add("halves_clamped", f.clamped);
}

// FID, KID and Inception Score; of other features the Fréchet distance alone. Returns the distance.
double add_distances(Outcome& outcome, const FeatureNetwork& network, const Side& real, const Side& samples,
                     uint64_t seed) {
  data::FrechetDistance f = data::frechet_distance(real.statistics, samples.statistics);
  outcome.add(network.is_inception() ? "fid" : "frechet_distance", f.value);
  outcome.add("of_means", f.means);
  outcome.add("of_covariances", f.covariances);
  outcome.add("clamped", f.clamped);
  if (!network.is_inception()) return f.value;
  if (real.has_features() && samples.has_features()) {
    data::KernelDistance k =
        data::kernel_distance(real.features.features, samples.features.features, {.seed = seed});
    outcome.add("kid", k.mean);
    outcome.add("kid_deviation", k.deviation);
    outcome.add("kid_subsets", k.subsets);
    outcome.add("kid_subset_size", k.subset_size);
    if (k.subset_size < data::KernelDistanceOptions{}.subset_size)
      outcome.remark(fmt::format("KID: {} of {} images, for there are no more",
                                 k.subsets == 1 ? "one subset" : "subsets", k.subset_size));
  } else {
    outcome.remark("No KID: a file of statistics has no features");
  }
  if (samples.has_features()) {
    data::InceptionScore s = data::inception_score(samples.features.logits, {.seed = seed});
    outcome.add("inception_score", s.mean);
    outcome.add("inception_score_deviation", s.deviation);
    outcome.add("inception_score_splits", s.splits);
  }
  return f.value;
}

// The poster's FIDs of CIFAR-10; one of them where it is known whose samples these are.
void add_poster(Evaluation& evaluation, const FeatureNetwork& network, const Side& real, const Side& samples,
                const Model* model, double distance) {
  std::string because;
  if (!network.is_inception())
    because = fmt::format("a Fréchet distance of {}'s features, not of Inception's", network.file());
  else if (set_of(real.name) != "cifar10" || !is_training_part(real.name))
    because = fmt::format("the reference is {}, not cifar10:train", real.name);
  else if (samples.statistics.count < kDrawn)
    because = fmt::format("{} samples, and fewer than {} bias it upwards", samples.statistics.count, kDrawn);
  for (auto [autonomous, name, fid] : {std::tuple{true, "FID of VAPO, autonomous, CIFAR-10", 14.5},
                                       {false, "FID of VAPO, time-varying, CIFAR-10", 6.72}})
    if (!model || model->potential->autonomous() == autonomous)
      evaluation.beside_poster(name, fid, distance, because);
}

void say_what_it_is(Outcome& outcome, const Side& real, const Side& samples) {
  if (samples.statistics.count == kTheSamples && is_training_part(real.name)) return;
  outcome.remark(fmt::format("{} samples against {}: what is called the FID is of 50,000 against the training set",
                             samples.statistics.count, real.name));
}

void add_table(Evaluation& evaluation, const FeatureNetwork& network, const Json& found) {
  auto row = [&](const char* name, const std::string& key, const char* deviation, const char* about) {
    Json spread = *deviation && found.contains(deviation) ? found[deviation] : Json(nullptr);
    return std::vector<Json>{name, found[key], spread, about};
  };
  std::vector<std::vector<Json>> rows;
  if (found.contains("fid")) rows.push_back(row("FID", "fid", "", "smaller is better"));
  if (found.contains("frechet_distance"))
    rows.push_back(row("Fréchet distance", "frechet_distance", "", "smaller is better"));
  if (found.contains("kid"))
    rows.push_back(row("KID", "kid", "kid_deviation", "smaller is better; deviation over subsets"));
  if (found.contains("inception_score"))
    rows.push_back(row("Inception Score", "inception_score", "inception_score_deviation",
                       "larger is better; of the logits without their bias; deviation over splits"));
  if (found.contains("halves_distance"))
    rows.push_back(row("between halves of the reference", "halves_distance", "", "what real images reach"));
  evaluation.table(fmt::format("In the features of {}", network.file()), {"measure", "value", "deviation", ""},
                   std::move(rows));
}

int fid(FidOptions options) {
  if (options.samples.empty() && !options.halves && options.save.empty())
    throw UsageError("fid: what of the images? Hint: --samples, --halves or --save-ref");
  if (!options.save.empty()) data::check_target(options.save, data::Contents::statistics, "--save-ref");
  Device device = options.common.apply();
  options.network.resize = from_name<data::FeatureResize>(options.resize);
  std::unique_ptr<FeatureNetwork> network = open_feature_network(options.network, device);
  auto seed = static_cast<uint64_t>(options.sampler.seed);
  Stopwatch watch;

  bool draws = !options.samples.empty() && names_a_model(options.samples);
  std::optional<Model> model;
  SampleRequest drawing;
  SamplerOptions sampler;
  Json request = request_of(options, *network);
  request["n"] = options.n ? Json(*options.n) : Json(nullptr);
  request["device"] = std::string(name_of(device));
  request["precision"] = std::string(name_of(precision()));
  request["seed"] = options.sampler.seed;
  if (draws) {
    model = open_model(options.samples, options.sampler.last_weights, device);
    check_of_images(*model, "fid");
    sampler = options.sampler.over(*model);
    drawing = options.sampler.request(options.n.value_or(kDrawn));
    drawing.labels = options.of_class.labels(*model, drawing.n);
    drawing.guidance = options.of_class.weight();
    request["n"] = drawing.n;
    request["class"] = options.of_class.classes;
    request["guidance"] = drawing.guidance;
    request.update(model_request(*model));
    request.update(sampler_facts(sampler, options.sampler));
  } else {
    request["samples_file"] = file_facts(options.samples);
  }
  std::optional<Evaluation> evaluation;
  if (draws)
    evaluation.emplace(evaluation_folder(*model, options.out, "fid"), "fid", request);
  else if (!options.out.empty())
    evaluation.emplace(evaluation_folder(options.out, "fid"), "fid", request);
  Outcome outcome(std::move(evaluation), request);

  SideRequest asked{
      .network = *network, .evaluation = outcome.folder(), .part = "ref", .images = options.images, .seed = seed};
  Side real = side_of(asked, options.reference, options.data, {}), samples;
  asked.part = "samples";
  DrawnImages drawn;
  if (draws) {
    drawn = draw_images(*outcome.folder(), "samples", *model, sampler, drawing);
    samples = side_of(asked, NamedImages{options.samples, {.pixels = drawn.pixels}});
  } else if (!options.samples.empty()) {
    bool other_set = names_a_set(options.reference) && set_of(options.samples) != set_of(options.reference);
    samples = side_of(asked, options.samples, other_set ? "" : options.data, options.n);
  }
  if (!ranks().leads()) return kDone;  // what is shared out are samples and features
  outcome.add("features", network->file());
  outcome.add("width", network->width());
  outcome.add("ref", real.name);
  outcome.add("ref_n", real.statistics.count);
  if (network->is_inception()) outcome.add("resize", options.resize);
  say_how_many(outcome, real, network->width());

  if (!options.samples.empty()) {
    if (draws) {
      summarise_sampling(*outcome.folder(), *model, sampler, drawing.n, options.sampler.seed, drawn.nfe,
                         drawn.seconds);
      int64_t shown = std::min<int64_t>(drawing.n, 100);
      write_picture(*outcome.folder(), "samples", kernel::slice(drawn.pixels, 0, 0, shown, 1), 10);
      outcome.folder()->figure("samples.png",
                               fmt::format("The first {} of {} samples, not chosen", shown, drawing.n));
    }
    outcome.add("samples", samples.name);
    outcome.add("samples_n", samples.statistics.count);
    outcome.add("seed", options.sampler.seed);
    double distance = add_distances(outcome, *network, real, samples, seed);
    say_how_many(outcome, samples, network->width());
    if (network->is_inception()) say_what_it_is(outcome, real, samples);
    if (outcome.folder())
      add_poster(*outcome.folder(), *network, real, samples, model ? &*model : nullptr, distance);
  }
  if (options.halves) add_halves(outcome, real, seed);
  if (!options.save.empty()) {
    data::write_feature_statistics(options.save, real.statistics);
    outcome.add("saved", options.save);
  }
  if (outcome.folder()) add_table(*outcome.folder(), *network, outcome.summary());
  outcome.add("seconds", watch.seconds());
  outcome.finish(options.common.json);
  return 0;
}

}  // namespace

void add_fid(CLI::App& app, Action& action) {
  auto o = std::make_shared<FidOptions>();
  CLI::App* command = app.add_subcommand(
      "fid", "How far samples are from real images: FID, KID, Inception Score; a classifier's Fréchet distance");
  command
      ->add_option("--ref", o->reference,
                   "Real images: NAME, NAME:train (the default), NAME:test, a folder of pictures, .npy or .npz; or "
                   "their statistics, .npz with mu and sigma")
      ->required();
  command->add_option("--samples", o->samples,
                      "Samples: as for --ref; or a run or a checkpoint, from which they are drawn");
  command
      ->add_option("-n,--number", o->n, "So many samples, of images at random (default: all; 10000 from a model)")
      ->check(CLI::Range(int64_t{2}, int64_t{100'000'000}));
  command->add_option("--features", o->network.features, "inception, or what vapo classifier train wrote")
      ->capture_default_str();
  command->add_option("--inception", o->network.inception,
                      "Its weights, from tools/convert_inception.py (default: $VAPO_DATA/inception.safetensors)");
  command->add_option("--resize", o->resize, "Images to Inception's size: tf1 or pytorch-fid")
      ->check(CLI::IsMember(all_names<data::FeatureResize>()))
      ->capture_default_str();
  command->add_option("--data", o->data,
                      "Where the set lies, of --ref where the two differ (default: $VAPO_DATA/…)");
  o->images.add_to(*command, true);
  command->add_option("--save-ref", o->save,
                      "Write the statistics of the real images: .npz with mu, sigma and count");
  command->add_flag("--halves", o->halves, "Also between two random halves of the real images: a floor");
  command->add_option("--out", o->out,
                      "Folder of the results (default: evaluations/fid beside the model; without one none)");
  o->of_class.add_to(*command);
  o->sampler.add_to(*command);
  o->common.add_to(*command);
  command->callback([o, &action] { action = [o] { return fid(*o); }; });
}

}  // namespace vapo::app

#include "apps/run/image_features.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/run/command.h"
#include "apps/run/contents.h"
#include "apps/run/json_file.h"
#include "data/pictures/image_file.h"
#include "data/pictures/image_kinds.h"
#include "data/readers/npz.h"
#include "nn/checkpoint.h"
#include "tensor/io/printable.h"
#include "tensor/kernels.h"

namespace vapo::app {
namespace {

ClassifierOptions options_from(const Json& json) {
  ClassifierOptions o;
  o.height = json.at("height").get<int64_t>();
  o.width = json.at("width").get<int64_t>();
  o.channels = json.at("channels").get<int64_t>();
  o.classes = json.at("classes").get<int64_t>();
  o.widths = json.at("widths").get<std::vector<int64_t>>();
  o.features = json.at("features").get<int64_t>();
  o.groups = json.at("groups").get<int64_t>();
  o.dropout = json.at("dropout").get<double>();
  return o;
}

// f(network, a batch of inputs), the results stacked, on the CPU.
template <class F>
Tensor in_batches(const ImageClassifier& c, const NamedImages& images, const F& f) {
  constexpr int64_t kBatch = 256;
  const Tensor& pixels = images.set.pixels;
  const ClassifierOptions& o = c.network->options();
  Shape expected{pixels.dim(0), o.height, o.width, o.channels};
  if (pixels.shape() != expected)
    throw InputError(fmt::format("{}: images {}, the classifier {} takes {}", images.name, pixels.shape().str(),
                                 c.file, expected.str()));
  NoGradGuard no_grad;
  std::vector<Tensor> parts;
  for (int64_t begin = 0; begin < pixels.dim(0); begin += kBatch) {
    int64_t end = std::min(pixels.dim(0), begin + kBatch);
    Tensor x = as_input(kernel::slice(pixels, 0, begin, end, 1)).to(c.device);
    parts.push_back(f(*c.network, x).value().to(Device::cpu));
  }
  return kernel::concat(parts, 0);
}

}  // namespace

void save_classifier(const std::filesystem::path& file, Classifier& classifier, const std::string& set,
                     uint64_t seed, int64_t steps) {
  const ClassifierOptions& o = classifier.options();
  Json config = {{"kind", "classifier"},   {"set", set},           {"height", o.height}, {"width", o.width},
                 {"channels", o.channels}, {"classes", o.classes}, {"widths", o.widths}, {"features", o.features},
                 {"groups", o.groups},     {"dropout", o.dropout}};
  nn::save_checkpoint(file, {.module = &classifier, .step = steps, .seed = seed, .config = config.dump()});
}

ImageClassifier open_classifier(const std::filesystem::path& file, Device device) {
  nn::CheckpointReader reader(file);
  Json config = Json::object();
  try {
    config = parse_object(reader.info().config, "config");
  } catch (const InputError&) {  // of points, or of anything
  }
  if (!config.contains("kind") || config["kind"] != "classifier")
    throw InputError(
        fmt::format("{}: a checkpoint, but of no classifier. Hint: vapo classifier train", file.string()));
  ImageClassifier out{.file = file.string(), .set = {}, .network = {}, .device = device};
  try {
    out.set = config.at("set").get<std::string>();
    out.network = std::make_unique<Classifier>(options_from(config), reader.info().seed);
  } catch (const Json::exception& e) {
    throw InputError(fmt::format("{}: its config is no classifier's: {}", file.string(), e.what()));
  } catch (const InputError& e) {
    throw InputError(fmt::format("{}: {}", file.string(), e.what()));
  }
  reader.load_parameters(*out.network);
  nn::to(*out.network, device);
  return out;
}

void FolderFlags::add_to(CLI::App& command, bool with_size) {
  command.add_flag("--skip-unreadable", skip_unreadable,
                   "Of folders and celeba: go on without broken files, and count them");
  if (with_size)
    command.add_option("--size", size, "Images of folders and celeba become so many pixels a side")
        ->check(CLI::Range(int64_t{1}, int64_t{4096}));
}

data::ImageOptions FolderFlags::options(int64_t of_model) const {
  return {.size = of_model > 0 ? of_model : size,
          .skip_unreadable = skip_unreadable,
          .skip_hint = "--skip-unreadable",
          .size_hint = "--size 64 brings all to one size"};
}

bool names_a_set(const std::string& name) {
  std::vector<std::string> sets = data::image_set_names();
  return std::find(sets.begin(), sets.end(), name.substr(0, name.find(':'))) != sets.end();
}

void tell(const std::string& name, const data::ImageSet& set) {
  if (!set.skipped.empty())
    note(fmt::format("{}: {} files could not be read and are left out, the first of them {}", name,
                     set.skipped.size(), set.skipped.front()));
  int64_t left_out = 0;
  for (const data::LeftOut& kind : set.left_out) left_out += kind.count;
  if (left_out > 0)
    note(fmt::format("{}: {} files left out that are no images, or of kinds that are not read: {}", name, left_out,
                     data::text_of(set.left_out)));
  for (const std::string& remark : set.remarks) note(fmt::format("{}: {}", name, remark));
}

namespace {

data::ImageSet read_named(const std::string& name, const std::string& path, data::Subset usual,
                          const data::ImageOptions& options) {
  if (name.ends_with(".npy")) return data::read_image_array(name);
  if (name.ends_with(".npz")) return data::image_set_of(data::read_npz(name, {"arr_0", "arr_1"}), name);
  std::error_code error;
  if (!names_a_set(name) && std::filesystem::is_directory(name, error))
    return data::read_image_folder(name, options);
  if (!names_a_set(name) && (std::filesystem::is_regular_file(name, error) || data::is_image_name(name))) {
    Tensor x = data::read_image(name);
    return {.pixels = x.reshape({1, x.dim(0), x.dim(1), x.dim(2)})};
  }
  if (name.find('/') != std::string::npos) throw IoError(fmt::format("{}: no such file or folder", name));
  size_t colon = name.find(':');
  if (colon == std::string::npos) return data::read_images(name, path, usual, options);
  std::string part = name.substr(colon + 1);
  using data::Subset;
  for (auto [known, subset] :
       {std::pair{"train", Subset::train}, {"validation", Subset::validation}, {"test", Subset::test}})
    if (part == known) return data::read_images(name.substr(0, colon), path, subset, options);
  throw InputError(fmt::format("{}: '{}' is no part of a set: train, validation, test", name, part));
}

}  // namespace

NamedImages read_named_images(const std::string& name, const std::string& path, data::Subset usual,
                              const data::ImageOptions& options) {
  NamedImages images{name, read_named(name, path, usual, options)};
  tell(name, images.set);
  return images;
}

Tensor labels_for(const Model& model, const NamedImages& images) {
  int64_t classes = model.recipe.classes();
  if (classes == 0)
    throw InputError(fmt::format("{}: the model has no classes; leave out --with-labels", model.file.string()));
  if (!images.set.labels.defined())
    throw InputError(fmt::format("{}: its images have no labels; leave out --with-labels", images.name));
  std::vector<int64_t> labels = images.set.labels.to_vector<int64_t>();
  std::vector<std::string> ours = class_names(model.contents), theirs = images.set.classes;
  bool by_name = !ours.empty() && !theirs.empty() && ours != theirs;
  for (int64_t& label : labels) {
    if (by_name) {
      const std::string& name = theirs[static_cast<size_t>(label)];
      auto found = std::find(ours.begin(), ours.end(), name);
      if (found == ours.end())
        throw InputError(fmt::format("{}: class '{}' is none of the model's: {}", images.name, printable(name, 40),
                                     text_of_classes(ours)));
      label = found - ours.begin();
    }
    if (label < 0 || label >= classes)
      throw InputError(fmt::format("{}: label {}, the model has classes 0 to {}", images.name, label, classes - 1));
  }
  if (by_name) note(fmt::format("{}: classes are matched by name with the model's", images.name));
  return Tensor::from(labels, images.set.labels.shape());
}

Tensor as_input(const Tensor& pixels) { return kernel::affine(pixels.to(DType::f32), 1 / 127.5, -1); }

Tensor features_of(const ImageClassifier& classifier, const NamedImages& images) {
  return in_batches(classifier, images,
                    [](const Classifier& network, const Var& x) { return network.features(x); });
}

Tensor logits_of(const ImageClassifier& classifier, const NamedImages& images) {
  return in_batches(classifier, images, [](const Classifier& network, const Var& x) { return network.logits(x); });
}

Reading reading_of(const Tensor& logits) {
  constexpr double sure = 0.9;
  auto classes = static_cast<size_t>(logits.dim(1));
  Reading out{.read_as = std::vector<int64_t>(classes)};
  std::vector<double> chances = kernel::softmax(logits).to(DType::f64).to_vector<double>();
  int64_t count = 0;
  for (auto row = chances.begin(); row != chances.end(); row += std::ssize(out.read_as)) {
    auto most = std::max_element(row, row + std::ssize(out.read_as));
    ++out.read_as[static_cast<size_t>(most - row)];
    count += *most >= sure;
  }
  out.sure = static_cast<double>(count) / static_cast<double>(logits.dim(0));
  return out;
}

Verdict judge(const ImageClassifier& classifier, const NamedImages& images) {
  const Tensor& labels = images.set.labels;
  if (!labels.defined()) throw InputError(fmt::format("{}: its images have no labels", images.name));
  int64_t classes = classifier.network->options().classes;
  for (int64_t i = 0; i < labels.numel(); ++i) {
    int64_t label = labels.data<int64_t>()[i];
    if (label < 0 || label >= classes)
      throw InputError(fmt::format("{}: image {} has label {}, the classifier {} has {} classes", images.name, i,
                                   label, classifier.file, classes));
  }
  Tensor logits = logits_of(classifier, images);
  Verdict out{
      .count = labels.numel(), .errors = 0, .cross_entropy = cross_entropy(logits, labels).item(), .accuracy = 0};
  Tensor predicted = predicted_labels(logits);
  for (int64_t i = 0; i < out.count; ++i) out.errors += predicted.data<int64_t>()[i] != labels.data<int64_t>()[i];
  out.accuracy = 1 - static_cast<double>(out.errors) / static_cast<double>(out.count);
  out.reading = reading_of(logits);
  return out;
}

}  // namespace vapo::app

#include "apps/evaluation/model_images.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/run/image_dataset.h"
#include "tensor/check.h"
#include "tensor/kernels.h"
#include "vapo/streams.h"

namespace vapo::app {
namespace {

void check(const Model& model, const NamedImages& images) {
  if (images.set.count() == 0) throw InputError(fmt::format("{}: no images", images.name));
  if (images.set.image_shape() != model.sample)
    throw InputError(fmt::format("{}: images of {}, the model {} is of {}", images.name,
                                 images.set.image_shape().str(), model.file.string(), model.sample.str()));
}

bool is_all_train(const std::string& set) { return set == "image_folder" || set == "image_array"; }

data::ImageSplit own_split(const Model& model, const FolderFlags& flags) {
  const Config& c = model.config;
  return data::split_images(read_images(c, data::Subset::train, &flags), c.data.held_out,
                            static_cast<uint64_t>(c.train.seed));
}

NamedImages own_images(const Model& model, const FolderFlags& flags) {
  const std::string& set = model.config.data.set;
  if (!is_all_train(set)) return {set + ":test", read_images(model.config, data::Subset::test, &flags)};
  data::ImageSet held_out = own_split(model, flags).held_out;
  if (!held_out.pixels.defined() || held_out.count() == 0)
    throw InputError(fmt::format("{} has no test part, and the run of {} held out none of it. Hint: name a set",
                                 set, model.file.string()));
  return {set + ", held out", held_out};
}

NamedImages read_for(const Model& model, const std::string& name, const FolderFlags& flags) {
  if (name.empty()) return own_images(model, flags);
  bool square = model.sample[0] == model.sample[1];
  data::ImageOptions options = flags.options(square ? model.sample[0] : 0);
  options.size_hint = "images of the model's size, " + model.sample.str();
  const Config::Data& own = model.config.data;
  std::string set = name.substr(0, name.find(':'));
  bool is_own = set == own.set;
  if (is_own) {
    options.size = own.size;
    options.crop = own.crop;
    options.skip_unreadable |= own.skip_unreadable;
  }
  return read_named_images(name, is_own ? own.path : "",
                           is_own && is_all_train(own.set) ? data::Subset::train : data::Subset::test, options);
}

}  // namespace

NamedImages images_for(const Model& model, const std::string& name, const FolderFlags& flags) {
  if (!model.of_images())
    throw InputError(fmt::format("{}: a model of points; this is for images", model.file.string()));
  NamedImages images = read_for(model, name, flags);
  check(model, images);
  return images;
}

NamedImages training_images_of(const Model& model, const FolderFlags& flags) {
  NamedImages images{model.config.data.set + ", trained on", own_split(model, flags).train};
  check(model, images);
  return images;
}

Tensor some_of(int64_t n, int64_t limit, uint64_t seed) {
  if (limit == 0 || limit >= n) return Tensor::arange(n);
  std::vector<int64_t> order = randperm(n, {seed, kChoiceStream, 0}).to_vector<int64_t>();
  order.resize(static_cast<size_t>(limit));
  std::sort(order.begin(), order.end());
  return Tensor::from(order, {limit});
}

double marginal_time(const Model& model, std::optional<double> given, const char* option) {
  constexpr double kEarlier = 0.95;  // of the linear path: blurred by 0.05, some six grey levels
  if (std::string why = model.path().no_density(); !why.empty())
    throw InputError(fmt::format("{}: there is no marginal energy: {}", model.file.string(), why));
  double t = given.value_or(model.recipe.energy.marginal_t);
  bool known = model.recipe.potential.form == PotentialOptions::Form::preconditioned ||
               (t > 0 && model.path().g_squared(t) > 0);
  if (known) return t;
  if (given) throw InputError(fmt::format("{} {}: the path leaves no density there. Hint: 0 < t < 1", option, t));
  return kEarlier;
}

}  // namespace vapo::app

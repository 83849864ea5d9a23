#include "apps/evaluation/ood_sets.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "apps/evaluation/model_images.h"
#include "apps/run/dataset.h"
#include "tensor/check.h"
#include "tensor/kernels.h"
#include "vapo/scores.h"
#include "vapo/streams.h"

namespace vapo::app {
namespace {

constexpr int64_t kFresh = 2000;  // points of a set that has no end

struct Named {
  std::string name;
  Tensor values;
};
// Where sets come from: `named` reads one ("": the run's own), `training` what the model was trained on.
struct Reader {
  std::function<Named(const std::string& name)> named;
  std::function<Named()> training;
};

Reader images_of(const Model& model, const OodSources& sources) {
  auto values = [](const NamedImages& images) { return Named{images.name, images.set.pixels}; };
  return {[&, values](const std::string& name) { return values(images_for(model, name, sources.images)); },
          [&, values] { return values(training_images_of(model, sources.images)); }};
}

Reader points_of(const Model& model, const OodSources& sources) {
  auto own = std::make_shared<PointDataset>(model.config);
  auto fresh = [seed = sources.seed](const data::PointSet& set, int64_t n, uint64_t draw) {
    return set.sample(n, {seed, kFreshStream, draw}, DType::f64);
  };
  int64_t n = sources.limit > 0 ? sources.limit : kFresh;
  auto named = [=, &model](const std::string& name) -> Named {
    std::vector<std::string> sets = data::point_set_names();
    if (std::count(sets.begin(), sets.end(), name) > 0)
      return {name, fresh(*data::make_point_set(name, model.config.data.noise), n, 2)};
    if (!name.empty()) return {name, read_table_for(model, name).values};
    if (own->set()) return {"fresh points of " + own->name(), fresh(*own->set(), n, 0)};
    tell_if_changed(model, *own);
    if (const Tensor& rows = own->held_out_rows(); !rows.defined() || rows.dim(0) == 0)
      throw InputError(fmt::format("{}: no rows were held out. Hint: --in FILE", own->name()));
    return {own->name() + ", held out", own->held_out_rows()};
  };
  auto training = [=, most = sources.training] {
    const Tensor& rows = own->train_rows();
    return Named{own->name() + ", trained on", rows.defined() ? rows : fresh(*own->set(), most, 1)};
  };
  return {named, training};
}

OodSet chosen(const Named& of, int64_t limit, uint64_t seed) {
  Tensor index = some_of(of.values.dim(0), limit, seed);
  return {of.name, kernel::index_select(of.values, 0, index), index};
}

}  // namespace

OodSets read_ood_sets(const Model& model, const OodSources& s) {
  Reader reader = model.of_images() ? images_of(model, s) : points_of(model, s);
  Named in = reader.named(s.in);
  OodSets sets{.in = chosen(in, s.limit, s.seed), .training = {}, .out = {}};
  for (const std::string& name : s.out) {
    if (std::count(s.out.begin(), s.out.end(), name) > 1)
      throw InputError(fmt::format("--out {}: named twice", name));
    if (name != "interpolated") {
      sets.out.push_back(chosen(reader.named(name), s.limit, s.seed));
      continue;
    }
    if (in.values.dim(0) < 3)
      throw InputError(fmt::format("{}: {} are too few for means of neighbours", in.name, in.values.dim(0)));
    Tensor means = neighbour_means(model.of_images() ? in.values.to(DType::f32) : in.values);
    sets.out.push_back(chosen({name, means}, s.limit, s.seed));
  }
  sets.training = chosen(reader.training(), s.training, s.seed);
  for (const OodSet* set : {&sets.in, &sets.training})
    if (set->index.numel() < 2)
      throw InputError(fmt::format("{}: fewer than 2 {}", set->name, model.of_images() ? "images" : "points"));
  return sets;
}

}  // namespace vapo::app

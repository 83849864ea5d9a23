#include "apps/run/dataset.h"

#include <fmt/format.h>

#include "apps/run/command.h"
#include "apps/run/contents.h"
#include "apps/run/image_dataset.h"
#include "apps/run/model.h"
#include "tensor/check.h"
#include "vapo/streams.h"
#include "vapo/training/point_choices.h"

namespace vapo::app {

std::unique_ptr<Dataset> open_dataset(const Config& config) {
  if (is_of_images(config)) return std::make_unique<ImageDataset>(config);
  return std::make_unique<PointDataset>(config);
}

void Dataset::store(std::map<std::string, Tensor>& extra) const {
  BatchSource::store(extra);
  store_contents(contents_, extra);
}

void tell_if_changed(const Model& model, const Dataset& dataset) {
  std::string change = what_changed(model.contents, dataset.contents());
  if (change.empty()) return;
  note(fmt::format("{} has changed since {} was trained: {}. What is held out of it now may have been trained on",
                   dataset.name(), model.file.string(), change));
}

namespace {
PointOptions options_of(const Config& config) {
  const Config::Data& d = config.data;
  return {.batch_size = config.train.batch_size,
          .seed = static_cast<uint64_t>(config.train.seed),
          .standardize = d.standardize,
          .jitter = d.jitter,
          .name = d.path.empty() ? d.set : d.path};
}
}  // namespace

PointDataset::PointDataset(const Config& config) {
  const Config::Data& d = config.data;
  PointOptions options = options_of(config);
  if (!d.path.empty()) {
    Tensor table = data::read_table(d.path).values;
    contents_ = contents_of(table.to(DType::f64));
    data::Split split = data::split_rows(table, d.held_out, options.seed);
    train_rows_ = split.train;
    held_out_rows_ = split.held_out;
  } else if (!d.set.empty()) {
    set_ = data::make_point_set(d.set, d.noise);
    if (d.points > 0) train_rows_ = set_->sample(d.points, {options.seed, kTrainingSetStream, 0}, DType::f64);
  } else {
    throw InputError("no data: the config has neither data.set nor data.path. Hint: --set data.path=FILE");
  }
  if (train_rows_.defined()) {
    batches_ = std::make_unique<PointBatches>(train_rows_, options);
  } else {
    auto draw = [this](int64_t n, RandomKey key, DType dtype) { return set_->sample(n, key, dtype); };
    batches_ = std::make_unique<PointBatches>(draw, options);
  }
}

void PointDataset::choose_auto(Config& config, Device device, bool with_trial) {
  PointOptions options = options_of(config);
  std::function<void(int64_t)> before_trial = [](int64_t trainings) {
    note(fmt::format("choosing by the likelihood of rows left out of {} short trainings", trainings));
  };
  if (!with_trial) before_trial = nullptr;
  std::string chosen = vapo::choose_auto(config, options, train_rows_, device, before_trial);
  if (chosen.empty()) return;
  config.data.standardize = options.standardize;
  config.data.jitter = options.jitter;
  batches_ = std::make_unique<PointBatches>(train_rows_, options);
  note(chosen);
}

std::string PointDataset::description() const { return fmt::format("{} of {} columns", name(), sample_shape()[0]); }

void PointDataset::store(std::map<std::string, Tensor>& extra) const {
  batches_->store(extra);
  store_contents(contents_, extra);
}

void PointDataset::restore(const nn::CheckpointInfo& info, const std::string& file) {
  batches_->restore(info, file);
}

}  // namespace vapo::app

#include "apps/run/dataset.h"

#include <fmt/format.h>

#include "apps/run/command.h"
#include "apps/run/contents.h"
#include "apps/run/image_dataset.h"
#include "apps/run/model.h"
#include "tensor/check.h"
#include "tensor/kernels.h"

namespace vapo::app {

std::unique_ptr<Dataset> open_dataset(const Config& config) {
  if (is_of_images(config)) return std::make_unique<ImageDataset>(config);
  return std::make_unique<PointDataset>(config);
}

Batch Dataset::held_out(int64_t, int64_t) const { fail("[held_out] {} holds nothing out", name()); }

void tell_if_changed(const Model& model, const Dataset& dataset) {
  std::string change = what_changed(model.contents, dataset.contents());
  if (change.empty()) return;
  note(fmt::format("{} has changed since {} was trained: {}. What is held out of it now may have been trained on",
                   dataset.name(), model.file.string(), change));
}

PointDataset::PointDataset(const Config& config)
    : seed_(static_cast<uint64_t>(config.train.seed)),
      batch_size_(config.train.batch_size),
      jitter_(config.data.jitter) {
  const Config::Data& d = config.data;
  if (!d.path.empty()) {
    name_ = d.path;
    Tensor table = data::read_table(d.path).values;
    contents_ = contents_of(table.to(DType::f64));
    data::Split split = data::split_rows(table, d.held_out, seed_);
    train_rows_ = split.train;
    held_out_rows_ = split.held_out;
  } else if (!d.set.empty()) {
    name_ = d.set;
    set_ = data::make_point_set(d.set, d.noise);
    if (d.points > 0) train_rows_ = set_->sample(d.points, {seed_, kTrainingSetStream, 0}, DType::f64);
  } else {
    throw InputError("no data: the config has neither data.set nor data.path. Hint: --set data.path=FILE");
  }
  constexpr int64_t kEnough = 100'000;  // points to learn the mean and the scale of an endless set from
  if (set_ && !train_rows_.defined()) {
    Tensor x = set_->sample(kEnough, {seed_, kStandardizationStream, 0}, DType::f64);
    standardization_ = d.standardize ? data::Standardization::learn(x) : data::Standardization::identity(x.dim(1));
  } else {
    standardization_ = d.standardize ? data::Standardization::learn(train_rows_)
                                     : data::Standardization::identity(train_rows_.dim(1));
  }
  prepare_rows();
}

void PointDataset::prepare_rows() {
  if (train_rows_.defined()) prepared_ = standardization_.apply(train_rows_).to(DType::f32);
}

std::string PointDataset::description() const { return fmt::format("{} of {} columns", name_, dims()); }

void PointDataset::store(std::map<std::string, Tensor>& extra) const {
  extra["data.mean"] = standardization_.mean;
  extra["data.scale"] = standardization_.scale;
  store_contents(contents_, extra);
}

void PointDataset::restore(const nn::CheckpointInfo& info, const std::string& file) {
  data::Standardization s = standardization_of(info, file);
  if (s.mean.numel() != dims()) {
    throw InputError(fmt::format("{}: the data has {} columns, the checkpoint was trained on {}", name_, dims(),
                                 s.mean.numel()));
  }
  standardization_ = std::move(s);
  prepare_rows();
}

Batch PointDataset::batch(int64_t step) {
  RandomKey key{seed_, kDataStream, static_cast<uint64_t>(step)};
  int64_t n = batch_size_;
  Tensor x = prepared_.defined() ? kernel::index_select(prepared_, 0, randint({n}, key, prepared_.dim(0)))
                                 : standardization_.apply(set_->sample(n, key, DType::f32));
  if (jitter_ == 0) return {x, {}};
  Tensor noise = kernel::affine(randn(x.shape(), {seed_, kJitterStream, key.step}), jitter_, 0);
  return {kernel::binary(kernel::Binary::add, x, noise), {}};
}

}  // namespace vapo::app

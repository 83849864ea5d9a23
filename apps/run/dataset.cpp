#include "apps/run/dataset.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "apps/run/command.h"
#include "apps/run/contents.h"
#include "apps/run/described.h"
#include "apps/run/image_dataset.h"
#include "apps/run/model.h"
#include "tensor/check.h"
#include "tensor/io/printable.h"
#include "vapo/streams.h"

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

std::string listed(const std::vector<std::string>& names) {
  return printable(fmt::format("{}", fmt::join(names, ", ")), 300);
}

std::vector<std::string> names_in(const data::TableFile& file) {
  std::vector<std::string> out;
  for (const data::Column& c : file.columns()) out.push_back(c.name);
  return out;
}

std::vector<data::NameOrNumber> found_by_name(const Model& model, const data::TableFile& file,
                                              std::vector<std::string>& notes) {
  std::vector<std::string> there = names_in(file), lacking, others;
  std::vector<data::NameOrNumber> places;
  for (const std::string& name : model.columns) {
    auto found = std::find(there.begin(), there.end(), name);
    places.push_back(found - there.begin() + 1);
    if (found == there.end()) lacking.push_back(name);
  }
  if (!lacking.empty())
    throw InputError(
        fmt::format("{}: no column {}: it has {}, and {} was trained on {}. Hint: name the columns alike",
                    file.name(), listed(lacking), listed(there), model.file.string(), listed(model.columns)));
  for (const std::string& name : there)
    if (std::count(model.columns.begin(), model.columns.end(), name) == 0) others.push_back(name);
  if (!others.empty()) notes.push_back(fmt::format("columns that the model has not: {}", listed(others)));
  std::erase_if(there, [&](const std::string& name) { return std::count(others.begin(), others.end(), name) > 0; });
  if (there != model.columns)
    notes.push_back(fmt::format("its columns are brought into the model's order: {}", listed(model.columns)));
  return places;
}

}  // namespace

data::Table read_table_for(const Model& model, const std::string& path) {
  data::TableFile file(path);
  data::TableOptions options{.missing = model.config.data.missing};
  std::vector<std::string> notes;
  auto width = static_cast<int64_t>(file.columns().size());
  if (!model.columns.empty() && file.has_header()) {
    options.columns = found_by_name(model, file, notes);
  } else {
    if (width != model.dims()) options.columns = model.config.data.columns;
    if (!model.columns.empty() || file.has_header())
      notes.push_back(fmt::format("columns are taken by their places: {}",
                                  file.has_header() ? listed(names_in(file)) : "as " + listed(model.columns)));
  }
  data::Table table;
  try {
    table = file.choose(options);
  } catch (const InputError& e) {  // whose hint is how to train on other columns
    std::string what = e.what();
    throw InputError(fmt::format("{}. Hint: {} must hold a number in every row",
                                 what.substr(0, what.find(". Hint:")),
                                 model.columns.empty() ? "its columns" : listed(model.columns)));
  }
  if (table.values.dim(1) != model.dims())
    throw InputError(fmt::format("{}: {} columns, the model has {}{}", path, table.values.dim(1), model.dims(),
                                 model.columns.empty() ? "" : ": " + listed(model.columns)));
  notes.insert(notes.begin(), table.notes.begin(), table.notes.end());
  for (const std::string& line : notes) note(fmt::format("{}: {}", path, line));
  return table;
}

PointDataset::PointDataset(const Config& config) {
  const Config::Data& d = config.data;
  PointOptions options{.batch_size = config.train.batch_size,
                       .seed = static_cast<uint64_t>(config.train.seed),
                       .standardize = d.standardize,
                       .jitter = d.jitter,
                       .name = d.path.empty() ? d.set : d.path};
  if (!d.path.empty()) {
    data::TableFile file(d.path);
    table_ = file.choose({.columns = d.columns, .missing = d.missing});
    facts_ = facts_of(file, &table_);
    contents_ = contents_of(table_);
    data::Split split = data::split_rows(table_.values, d.held_out, options.seed);
    table_.values = {};
    train_rows_ = split.train;
    held_out_rows_ = split.held_out;
    for (int64_t place : split.held_out_places.to_vector<int64_t>())
      held_out_numbers_.push_back(table_.rows[static_cast<size_t>(place)]);
    facts_["held_out"] = held_out_rows_.dim(0);
  } else if (!d.set.empty()) {
    set_ = data::make_point_set(d.set, d.noise);
    facts_ = facts_of_points(set_->has_density(), d.noise, d.points);
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

std::string PointDataset::description() const { return fmt::format("{} of {} columns", name(), sample_shape()[0]); }

std::vector<std::string> PointDataset::notes() const {
  std::vector<std::string> out;
  for (const std::string& line : table_.notes) out.push_back(fmt::format("{}: {}", name(), line));
  return out;
}

void PointDataset::store(std::map<std::string, Tensor>& extra) const {
  batches_->store(extra);
  store_contents(contents_, extra);
}

void PointDataset::restore(const nn::CheckpointInfo& info, const std::string& file) {
  batches_->restore(info, file);
}

}  // namespace vapo::app

#pragma once
// The data of a run, as its training draws from it.

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "apps/run/config.h"
#include "data/readers/table.h"
#include "data/sets/points.h"
#include "vapo/training/point_batches.h"

namespace vapo::app {

struct Model;

class Dataset : public BatchSource {
 public:
  virtual std::string description() const = 0;                    // name, count and shape, for a person
  const std::string& contents() const { return contents_; }       // contents.h; "" of a synthetic set
  const nlohmann::ordered_json& facts() const { return facts_; }  // what was understood (described.h)
  // What was guessed of its files, left out or dropped: lines for a person.
  virtual std::vector<std::string> notes() const { return {}; }
  void store(std::map<std::string, Tensor>& extra) const override;

 protected:
  std::string contents_;
  nlohmann::ordered_json facts_;
};
// Of points or of images, as data.set and data.path say. Throws what the readers throw; InputError where neither is named.
std::unique_ptr<Dataset> open_dataset(const Config& config);

// A note where the model was trained on other rows or images: what is held out now may have been trained on.
void tell_if_changed(const Model& model, const Dataset& dataset);

// A file's rows as points of the model: its columns found by name where both have names, by place where not. Throws
// what TableFile throws, and InputError naming the columns where those of the model are not all there. Tells what was
// guessed, matched or left out.
data::Table read_table_for(const Model& model, const std::string& file);

// A synthetic set or a table, standardised for training.
class PointDataset : public Dataset {
 public:
  explicit PointDataset(const Config& config);

  const std::string& name() const override { return batches_->name(); }
  std::string description() const override;
  Shape sample_shape() const override { return batches_->sample_shape(); }
  Batch batch(int64_t step) override { return batches_->batch(step); }
  void store(std::map<std::string, Tensor>& extra) const override;
  void restore(const nn::CheckpointInfo& info, const std::string& file) override;

  const data::PointSet* set() const { return set_.get(); }  // null for a table
  std::vector<std::string> notes() const override;
  const data::Table& table() const { return table_; }  // less its values; of a table
  // What is auto in the config is chosen, and told, and batches are as it says from then on. Without a trial where
  // training is not to follow.
  void choose_auto(Config& config, Device device, bool with_trial);
  const Standardization& standardization() const { return batches_->standardization(); }
  // f64, original units; undefined for a set of fresh points
  const Tensor& train_rows() const { return train_rows_; }
  const Tensor& held_out_rows() const { return held_out_rows_; }                      // the same; of a table
  const std::vector<int64_t>& held_out_numbers() const { return held_out_numbers_; }  // their rows in it, from 1

 private:
  std::unique_ptr<data::PointSet> set_;
  data::Table table_;
  Tensor train_rows_, held_out_rows_;
  std::vector<int64_t> held_out_numbers_;
  std::unique_ptr<PointBatches> batches_;
};

}  // namespace vapo::app

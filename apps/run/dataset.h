#pragma once
// The data of a run, as its training draws from it.

#include <map>
#include <memory>
#include <string>

#include "apps/run/config.h"
#include "data/points.h"
#include "nn/checkpoint.h"

namespace vapo::app {

struct Model;

// Streams of random numbers: one per purpose, so that no two draws of a run share bits.
enum Stream : uint32_t {
  kDataStream = 101,
  kTimeStream,
  kNoiseStream,
  kJitterStream,
  kStandardizationStream,
  kTrainingSetStream,
  kSampleStream,
  kSgldStream,
  kProbeStream,
  kFreshStream,
  kLabelStream,
  kValidationTimeStream,
  kValidationNoiseStream,
  kLoaderStream,  // and the two after it
  kMaskStream = kLoaderStream + 3,
  kDropoutStream = 1 << 20  // and one for every block of every part of a batch
};

struct Batch {
  Tensor x;       // f32 (n,D) or (n,H,W,C), in the units that the network sees
  Tensor labels;  // i64 (n), or undefined
};

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual const std::string& name() const = 0;
  virtual std::string description() const = 0;   // name, count and shape, for a person
  virtual Shape sample_shape() const = 0;        // (D) or (H,W,C)
  virtual int64_t classes() const { return 0; }  // labels are below this; 0 = there are none
  virtual Batch batch(int64_t step) = 0;         // train.batch_size samples: the training batch of one step
  // Samples that training never sees, in an order that stays: `count` from `first` on.
  virtual int64_t held_out_count() const { return 0; }
  virtual Batch held_out(int64_t first, int64_t count) const;
  const std::string& contents() const { return contents_; }  // contents.h; "" of a synthetic set
  // What a checkpoint keeps of the data, and takes back when a run goes on from it.
  virtual void store(std::map<std::string, Tensor>& extra) const = 0;
  virtual void restore(const nn::CheckpointInfo& info, const std::string& file) = 0;

 protected:
  std::string contents_;
};
// Of points or of images, as data.set and data.path say. Throws what the readers throw; InputError where neither is
// named.
std::unique_ptr<Dataset> open_dataset(const Config& config);

// A note where the model was trained on other rows or images: what is held out now may have been trained on.
void tell_if_changed(const Model& model, const Dataset& dataset);

// A synthetic set or a table, standardised for training.
class PointDataset : public Dataset {
 public:
  explicit PointDataset(const Config& config);

  const std::string& name() const override { return name_; }
  std::string description() const override;
  Shape sample_shape() const override { return {dims()}; }
  Batch batch(int64_t step) override;
  void store(std::map<std::string, Tensor>& extra) const override;
  void restore(const nn::CheckpointInfo& info, const std::string& file) override;

  int64_t dims() const { return standardization_.mean.numel(); }
  const data::PointSet* set() const { return set_.get(); }  // null for a table
  // f64, original units; undefined for a set of fresh points
  const Tensor& train_rows() const { return train_rows_; }
  const Tensor& held_out_rows() const { return held_out_rows_; }  // the same; of a table

 private:
  void prepare_rows();
  std::string name_;
  uint64_t seed_;
  int64_t batch_size_;
  double jitter_;
  std::unique_ptr<data::PointSet> set_;
  Tensor train_rows_, held_out_rows_;
  Tensor prepared_;  // the training rows, f32, standardised
  data::Standardization standardization_;
};

}  // namespace vapo::app

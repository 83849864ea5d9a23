#pragma once
// The data of a run: a synthetic set or a table, standardised for training.

#include <memory>

#include "apps/config.h"
#include "data/points.h"

namespace vapo::app {

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
  kFreshStream
};

class Dataset {
 public:
  // Reads the table or makes the set. Throws what the readers throw; InputError where neither is named.
  explicit Dataset(const Config& config);

  int64_t dims() const { return standardization_.mean.numel(); }
  // x̄ (n,D), f32, standardised: the training batch of one step.
  Tensor batch(int64_t n, uint64_t step) const;
  const data::Standardization& standardization() const { return standardization_; }
  void set_standardization(data::Standardization s);  // of the checkpoint that a run goes on from

  const data::PointSet* set() const { return set_.get(); }  // null for a table
  const std::string& name() const { return name_; }
  const Tensor& train_rows() const {
    return train_rows_;
  }  // f64, original units; undefined for a set of fresh points
  const Tensor& held_out_rows() const { return held_out_rows_; }  // the same; of a table

 private:
  void prepare_rows();
  std::string name_;
  uint64_t seed_;
  double jitter_;
  std::unique_ptr<data::PointSet> set_;
  Tensor train_rows_, held_out_rows_;
  Tensor prepared_;  // the training rows, f32, standardised
  data::Standardization standardization_;
};

}  // namespace vapo::app

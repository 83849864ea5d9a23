#pragma once
// Batches of D-dimensional points, standardised: rows of a table, drawn with replacement, or fresh draws.

#include <functional>

#include "tensor/random.h"
#include "vapo/standardization.h"
#include "vapo/training/batch_source.h"

namespace vapo {

struct PointOptions {
  int64_t batch_size = 512;  // the recipe's train.batch_size
  uint64_t seed = 0;         // the recipe's train.seed
  Standardize standardize = Standardize::columns;
  double jitter = 0;  // deviation of noise on every row of a batch, after standardisation; 1 on constant columns
  std::string name = "points";
};

class PointBatches : public BatchSource {
 public:
  // n points (n,D), independent draws, a function of the key.
  using Draw = std::function<Tensor(int64_t n, RandomKey key, DType dtype)>;

  PointBatches(const Tensor& rows, PointOptions options);  // (N,D), in their own units
  PointBatches(Draw draw, PointOptions options);
  const std::string& name() const override { return options_.name; }
  Shape sample_shape() const override { return standardization_.mean.shape(); }
  Batch batch(int64_t step) override;
  const Standardization& standardization() const { return standardization_; }
  void store(std::map<std::string, Tensor>& extra) const override;
  void restore(const nn::CheckpointInfo& info, const std::string& file) override;

 private:
  void learn(const Tensor& x);
  void prepare();
  PointOptions options_;
  Draw draw_;
  Tensor rows_, prepared_;  // prepared: f32, standardised
  Tensor jitter_;  // (D) f32 where a column is constant; else undefined, and the jitter that of the options
  Standardization standardization_;
};

}  // namespace vapo

#include "vapo/training/point_batches.h"

#include "tensor/check.h"
#include "tensor/kernels.h"
#include "vapo/model.h"
#include "vapo/streams.h"

namespace vapo {

PointBatches::PointBatches(const Tensor& rows, PointOptions options) : options_(std::move(options)), rows_(rows) {
  VAPO_CHECK(rows.rank() == 2 && rows.dim(0) >= 1, "[points] rows {} must be (N,D) with N ≥ 1", rows.shape().str());
  learn(rows);
}

PointBatches::PointBatches(Draw draw, PointOptions options) : options_(std::move(options)), draw_(std::move(draw)) {
  constexpr int64_t enough = 100'000;  // points to learn the mean and the scale from
  learn(draw_(enough, {options_.seed, kStandardizationStream, 0}, DType::f64));
}

void PointBatches::learn(const Tensor& x) {
  standardization_ = Standardization::learn(x, options_.standardize);
  prepare();
}

void PointBatches::prepare() {
  int64_t dims = standardization_.mean.numel();
  jitter_ = {};
  for (int64_t k = 0; k < dims; ++k) {
    if (!standardization_.is_constant(k)) continue;
    if (!jitter_.defined()) jitter_ = Tensor::full({dims}, options_.jitter);
    jitter_.mutable_data<float>()[k] =
        1;  // a point would be no density: what undo leaves out is the prior's own law
  }
  if (rows_.defined()) prepared_ = standardization_.apply(rows_).to(DType::f32);
}

Batch PointBatches::batch(int64_t step) {
  RandomKey key{options_.seed, kDataStream, static_cast<uint64_t>(step)};
  int64_t n = options_.batch_size;
  Tensor x = prepared_.defined() ? kernel::index_select(prepared_, 0, randint({n}, key, prepared_.dim(0)))
                                 : standardization_.apply(draw_(n, key, DType::f32));
  if (options_.jitter == 0 && !jitter_.defined()) return {x};
  Tensor noise = randn(x.shape(), {options_.seed, kJitterStream, key.step});
  noise = jitter_.defined() ? kernel::binary(kernel::Binary::mul, noise, jitter_)
                            : kernel::affine(noise, options_.jitter, 0);
  return {kernel::binary(kernel::Binary::add, x, noise)};
}

void PointBatches::store(std::map<std::string, Tensor>& extra) const {
  extra["data.mean"] = standardization_.mean;
  extra["data.scale"] = standardization_.scale;
  if (standardization_.factor.defined()) extra["data.factor"] = standardization_.factor;
}

void PointBatches::restore(const nn::CheckpointInfo& info, const std::string& file) {
  BatchSource::restore(info, file);
  standardization_ = standardization_of(info, file);
  prepare();
}

}  // namespace vapo

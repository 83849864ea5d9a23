#pragma once
// Where training takes its samples from.

#include <map>
#include <string>

#include "nn/checkpoint.h"
#include "tensor/tensor.h"

namespace vapo {

struct Batch {
  Tensor x;            // f32 (n,D) or (n,H,W,C), in the units that the network sees; images in [−1,1]
  Tensor labels = {};  // i64 (n), or undefined
};

class BatchSource {
 public:
  virtual ~BatchSource() = default;
  virtual const std::string& name() const = 0;   // in messages
  virtual Shape sample_shape() const = 0;        // (D) or (H,W,C)
  virtual int64_t classes() const { return 0; }  // labels are below this; 0 = there are none
  // The batch of one step, of as many samples as the recipe's train.batch_size: a function of the step alone, so
  // that a run can go on from any.
  virtual Batch batch(int64_t step) = 0;
  // Samples that training never sees, in an order that stays: `count` from `first` on.
  virtual int64_t held_out_count() const { return 0; }
  virtual Batch held_out(int64_t first, int64_t count) const;
  // What a checkpoint keeps of the data, and takes back when training goes on from it: what open_model reads
  // (vapo/model.h). Throws InputError where the checkpoint was trained on samples of another shape.
  virtual void store(std::map<std::string, Tensor>& extra) const;
  virtual void restore(const nn::CheckpointInfo& info, const std::string& file);
};

}  // namespace vapo

#pragma once
// Points with labels for a trainer.

#include <string>

#include "tensor/operators.h"
#include "tensor/random.h"
#include "vapo/training/batch_source.h"

namespace vapo::testing {

// Points of classes, each near a place of its own.
class LabelledPoints : public BatchSource {
 public:
  const std::string& name() const override { return name_; }
  Shape sample_shape() const override { return {2}; }
  int64_t classes() const override { return 3; }
  Batch batch(int64_t step) override { return draw(32, static_cast<uint64_t>(step)); }
  int64_t held_out_count() const override { return 32; }
  Batch held_out(int64_t, int64_t count) const override { return draw(count, 1 << 20); }

 private:
  Batch draw(int64_t count, uint64_t step) const {
    Tensor y = randint({count}, {.seed = 2, .stream = 1, .step = step}, 3);
    Var place = 2 * reshape(Var(y.to(DType::f32)), {count, 1});
    return {(Var(randn({count, 2}, {.seed = 1, .stream = 1, .step = step})) + place).value(), y};
  }
  std::string name_ = "points";
};

}  // namespace vapo::testing

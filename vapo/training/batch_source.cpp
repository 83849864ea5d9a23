#include "vapo/training/batch_source.h"

#include "tensor/check.h"
#include "vapo/model.h"

namespace vapo {

Batch BatchSource::held_out(int64_t, int64_t) const { fail("[held_out] {} holds nothing out", name()); }

void BatchSource::store(std::map<std::string, Tensor>& extra) const {
  Shape s = sample_shape();
  if (s.rank() == 3) {
    extra["data.image_shape"] = Tensor::from(std::vector<int64_t>{s[0], s[1], s[2]}, {3});
    return;
  }
  Standardization none = Standardization::identity(s[0]);
  extra["data.mean"] = none.mean;
  extra["data.scale"] = none.scale;
}

void BatchSource::restore(const nn::CheckpointInfo& info, const std::string& file) {
  Shape ours = sample_shape();
  if (ours.rank() != 3) {
    int64_t columns = standardization_of(info, file).mean.numel();
    if (columns != ours[0])
      throw InputError(
          fmt::format("{}: the data has {} columns, the checkpoint was trained on {}", name(), ours[0], columns));
    return;
  }
  Shape theirs = image_shape_of(info, file);
  if (theirs != ours)
    throw InputError(fmt::format("{}: its images are {}, the checkpoint {} was trained on {}", name(), ours.str(),
                                 file, theirs.str()));
}

}  // namespace vapo

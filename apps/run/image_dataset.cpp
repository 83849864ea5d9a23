#include "apps/run/image_dataset.h"

#include <fmt/format.h>

#include "apps/run/command.h"
#include "apps/run/contents.h"
#include "apps/run/described.h"
#include "apps/run/model.h"
#include "data/pictures/image_file.h"
#include "tensor/check.h"
#include "tensor/kernels.h"
#include "vapo/streams.h"

namespace vapo::app {

data::ImageSet read_images(const Config& config, data::Subset subset, const FolderFlags* flags) {
  const Config::Data& d = config.data;
  data::ImageOptions options{.size = d.size,
                             .crop = d.crop,
                             .skip_unreadable = d.skip_unreadable,
                             .skip_hint = "--set data.skip_unreadable=true",
                             .size_hint = "--set data.size=64 brings all to one size"};
  if (flags) {
    options.skip_unreadable |= flags->skip_unreadable;
    options.skip_hint = flags->options().skip_hint;
  }
  data::ImageSet set = data::read_images(d.set, d.path, subset, options);
  tell(d.set, set);
  return set;
}

ImageDataset::ImageDataset(const Config& config) : name_(config.data.set) {
  const TrainingOptions& t = config.train;
  uint64_t seed = static_cast<uint64_t>(t.seed);
  data::ImageSet all = read_images(config);
  if (all.labels.defined())
    classes_ = static_cast<int64_t>(kernel::amax(all.labels.to(DType::f64), {}, false).item()) + 1;
  contents_ = contents_of(all);
  facts_ = facts_of(all);
  data::ImageSplit split = data::split_images(all, config.data.held_out, seed);
  held_out_ = std::move(split.held_out);
  facts_["held_out"] = held_out_count();
  train_ = std::make_shared<const data::ImageSet>(std::move(split.train));
  loader_ = std::make_unique<data::ImageLoader>(train_, data::LoaderOptions{.batch_size = t.batch_size,
                                                                            .seed = seed,
                                                                            .stream = kLoaderStream,
                                                                            .flip = config.data.flip,
                                                                            .dequantize = config.data.dequantize});
}

std::string ImageDataset::description() const {
  Shape s = sample_shape();
  return fmt::format("{}: {} images of {}×{}×{}, {} more held out", name_, train_->count(), s[0], s[1], s[2],
                     held_out_count());
}

Batch ImageDataset::batch(int64_t step) {
  data::ImageBatch b = loader_->batch(step);
  return {b.x, b.labels};
}

Batch ImageDataset::held_out(int64_t first, int64_t count) const {
  Tensor labels = held_out_.labels;
  return {data::from_pixels(kernel::slice(held_out_.pixels, 0, first, first + count, 1)),
          labels.defined() ? kernel::slice(labels, 0, first, first + count, 1) : labels};
}

}  // namespace vapo::app

#pragma once
// A set of images, split into training and validation images by the seed, through a loader that prepares batches ahead.

#include "apps/run/dataset.h"
#include "apps/run/image_features.h"
#include "data/sets/image_loader.h"

namespace vapo::app {

class ImageDataset : public Dataset {
 public:
  explicit ImageDataset(const Config& config);
  const std::string& name() const override { return name_; }
  std::string description() const override;
  Shape sample_shape() const override { return train_->image_shape(); }
  int64_t classes() const override { return classes_; }
  Batch batch(int64_t step) override;
  int64_t held_out_count() const override { return held_out_.pixels.defined() ? held_out_.count() : 0; }
  Batch held_out(int64_t first, int64_t count) const override;

 private:
  std::string name_;
  std::shared_ptr<const data::ImageSet> train_;
  data::ImageSet held_out_;
  int64_t classes_ = 0;
  std::unique_ptr<data::ImageLoader> loader_;
};

// The images of a config's set, and notes of what a person must be told of them; its training part unless told
// otherwise. Hints name --set, or the options of `flags` where a command takes those.
data::ImageSet read_images(const Config& config, data::Subset subset = data::Subset::train,
                           const FolderFlags* flags = nullptr);

}  // namespace vapo::app

// Image sets by name, and what their readers share.

#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>

#include "data/readers/archives.h"
#include "tensor/io/npy.h"
#include "tensor/io/printable.h"
#include "tensor/kernels.h"

namespace vapo::data {
namespace detail {

ImageSet concatenate(const std::vector<ImageSet>& parts) {
  if (parts.size() == 1) return parts[0];
  std::vector<Tensor> pixels, labels;
  for (const ImageSet& part : parts) pixels.push_back(part.pixels), labels.push_back(part.labels);
  return {.pixels = kernel::concat(pixels, 0), .labels = kernel::concat(labels, 0)};
}

void refuse_validation(Subset subset, const char* set) {
  if (subset == Subset::validation) refuse("{} has no validation part. Hint: hold out a part of train", set);
}

}  // namespace detail

namespace {

using Reader = ImageSet (*)(const std::filesystem::path&, Subset, const ImageOptions&);

struct Entry {
  const char* name;
  const char* folder;  // below $VAPO_DATA; null where a path must be given
  Reader reader;
};

template <ImageSet (*read)(const std::filesystem::path&, Subset)>
ImageSet of_fixed_size(const std::filesystem::path& folder, Subset subset, const ImageOptions&) {
  return read(folder, subset);
}

Tensor as_pixels(const Tensor& x, const std::string& file) {
  if (x.dtype() != DType::u8)
    detail::refuse("'{}' holds {}, expected u8 pixels. Hint: astype(\"uint8\") of values from 0 to 255", file,
                   name_of(x.dtype()));
  Tensor out = x.rank() == 3 ? x.reshape({x.dim(0), x.dim(1), x.dim(2), 1}) : x;
  if (out.rank() != 4 || out.numel() == 0 || (out.dim(3) != 1 && out.dim(3) != 3))
    detail::refuse("'{}': shape {}, expected images × rows × columns, and 1 or 3 channels last", file,
                   out.shape().str());
  return out;
}

void require_train(Subset subset, const char* set) {
  if (subset != Subset::train)
    detail::refuse("{} is all train. Hint: hold out a part of it, or name the other images by their path", set);
}

constexpr Entry entries[] = {
    {"mnist", "mnist", of_fixed_size<read_mnist>},
    {"fashion_mnist", "fashion-mnist", of_fixed_size<read_mnist>},
    {"cifar10", "cifar-10-batches-bin", of_fixed_size<read_cifar10>},
    {"cifar100", "cifar-100-binary", of_fixed_size<read_cifar100>},
    {"svhn", "svhn", of_fixed_size<read_svhn>},
    {"celeba", "celeba", read_celeba},
    {"image_folder", nullptr,
     [](const std::filesystem::path& path, Subset subset, const ImageOptions& options) {
       require_train(subset, "image_folder");
       return read_image_folder(path, options);
     }},
    {"image_array", nullptr,
     [](const std::filesystem::path& path, Subset subset, const ImageOptions&) {
       require_train(subset, "image_array");
       return read_image_array(path);
     }},
};

}  // namespace

std::vector<int64_t> ImageSet::class_counts() const {
  std::vector<int64_t> out;
  if (!labels.defined()) return out;
  out.resize(classes.size());
  for (int64_t label : labels.to_vector<int64_t>()) {
    if (label >= static_cast<int64_t>(out.size())) out.resize(static_cast<size_t>(label) + 1);
    ++out[static_cast<size_t>(label)];
  }
  return out;
}

ImageSet read_image_array(const std::filesystem::path& file) {
  return {.pixels = as_pixels(read_npy(file), file.string())};
}

ImageSet image_set_of(const std::map<std::string, Tensor>& arrays, const std::string& file) {
  auto pixels = arrays.find("arr_0"), labels = arrays.find("arr_1");
  if (pixels == arrays.end()) detail::refuse("'{}': no array 'arr_0' of images", file);
  ImageSet set{.pixels = as_pixels(pixels->second, file)};
  if (labels == arrays.end()) return set;
  set.labels = labels->second.dtype() == DType::u8 ? labels->second.to(DType::i64) : labels->second;
  if (set.labels.dtype() != DType::i64 || set.labels.shape() != Shape{set.count()})
    detail::refuse("'{}': arr_1 is {} {}, expected integer labels of {} images", file,
                   name_of(labels->second.dtype()), labels->second.shape().str(), set.count());
  return set;
}

std::vector<std::string> image_set_names() {
  std::vector<std::string> names;
  for (const Entry& entry : entries) names.emplace_back(entry.name);
  return names;
}

ImageSet read_images(const std::string& name, const std::filesystem::path& path, Subset subset,
                     const ImageOptions& options) {
  const Entry* entry =
      std::find_if(std::begin(entries), std::end(entries), [&](const Entry& e) { return name == e.name; });
  if (entry == std::end(entries))
    detail::refuse("no image set '{}'. Hint: one of {}", printable(name), fmt::join(image_set_names(), ", "));
  std::filesystem::path place = path;
  if (place.empty()) {
    if (!entry->folder) detail::refuse("{}: which? Hint: a path", name);
    const char* root = std::getenv("VAPO_DATA");
    if (!root || !*root)
      detail::refuse("{}: no path, and VAPO_DATA is not set. Hint: a path, or VAPO_DATA = the folder of {}", name,
                     entry->folder);
    place = std::filesystem::path(root) / entry->folder;
  }
  ImageSet set = entry->reader(place, subset, options);
  if (options.size > 0 && (set.pixels.dim(1) != options.size || set.pixels.dim(2) != options.size))
    detail::refuse("{} has images of {} × {}, and only celeba and image_folder bring theirs to another size, {}",
                   name, set.pixels.dim(1), set.pixels.dim(2), options.size);
  return set;
}

}  // namespace vapo::data

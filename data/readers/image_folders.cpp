// Image sets whose images are files: folders, CelebA.

#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <mutex>

#include "data/pictures/image_file.h"
#include "data/pictures/image_kinds.h"
#include "data/readers/archives.h"
#include "data/readers/folder_files.h"
#include "data/sets/images.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/printable.h"
#include "tensor/parallel.h"

namespace vapo::data {
namespace {

namespace fs = std::filesystem;

using detail::refuse;

// The centre square of `crop` pixels a side (0: the largest, where there is a size to bring it to), at that size.
Tensor centre_square(const Tensor& image, int64_t crop, int64_t size, const std::string& name) {
  int64_t h = image.dim(0), w = image.dim(1), side = crop > 0 ? crop : std::min(h, w);
  if (side > std::min(h, w))
    refuse("'{}': no square of {} pixels a side fits into {} × {} pixels", name, side, w, h);
  Tensor x = crop > 0 || size > 0 ? centre_crop(image, side, side) : image;
  return size > 0 ? resize_antialiased(x, size, size) : x;
}

void check_options(const ImageOptions& options) {
  VAPO_CHECK(options.size >= 0 && options.crop >= 0, "[read_images] size {}, crop {}", options.size, options.crop);
}

using Prepare = std::function<Tensor(const Tensor& image, const std::string& name)>;

struct Files {
  std::vector<std::string> names;
  std::vector<int64_t> labels = {};  // of each, or empty
};

template <class E>
[[noreturn]] void throw_with_hint(const E& error, const std::string& hint) {
  std::string what = error.what();
  throw E(fmt::format("{}{}{}", what, what.find("Hint: ") == what.npos ? ". Hint: " : ", or ", hint));
}

// The image of a file; undefined where it cannot be read and that is to be skipped.
Tensor read_or_skip(const std::string& name, const ImageOptions& options) {
  try {
    return read_image(name);
  } catch (const InputError& error) {
    if (!options.skip_unreadable) throw_with_hint(error, options.skip_hint);
  } catch (const IoError& error) {
    if (!options.skip_unreadable) throw_with_hint(error, options.skip_hint);
  }
  return {};
}

struct FirstImage {
  size_t file;
  Tensor image;
};
FirstImage first_image(const Files& files, const ImageOptions& options) {
  for (size_t i = 0; i < files.names.size(); ++i)
    if (Tensor x = read_or_skip(files.names[i], options); x.defined()) return {i, x};
  refuse("'{}': neither it nor any of the {} files after it can be read", files.names[0], files.names.size() - 1);
}

// All files as one set, decoded in parallel. Grey images among RGB become RGB. Of several files that cannot be used
// the first is named, whatever thread came upon it.
ImageSet read_files(const Files& files, const ImageOptions& options, const Prepare& prepare) {
  FirstImage first = first_image(files, options);
  const std::string& first_name = files.names[first.file];
  first.image = prepare(first.image, first_name);
  int64_t n = static_cast<int64_t>(files.names.size()), h = first.image.dim(0), w = first.image.dim(1);

  Tensor all = Tensor::empty({n, h, w, 3}, DType::u8);
  std::vector<uint8_t> skipped(static_cast<size_t>(n), 0);
  std::atomic<bool> colour = false;
  std::atomic<int64_t> failed = n;  // the first file that cannot be used
  std::exception_ptr error;
  std::mutex lock;
  auto place = [&](int64_t i) {
    const std::string& name = files.names[static_cast<size_t>(i)];
    Tensor x = read_or_skip(name, options);
    if (!x.defined()) {
      skipped[static_cast<size_t>(i)] = 1;
      return;
    }
    x = prepare(x, name);
    if (x.dim(0) != h || x.dim(1) != w)
      refuse("'{}' has {} × {} pixels, '{}' {} × {}. Hint: {}", name, x.dim(1), x.dim(0), first_name, w, h,
             options.size_hint);
    const uint8_t* from = x.data<uint8_t>();
    uint8_t* to = all.mutable_data<uint8_t>() + i * h * w * 3;
    if (x.dim(2) == 3) {
      colour = true;
      std::memcpy(to, from, x.bytes());
    } else {
      for (int64_t k = 0; k < h * w; ++k) to[3 * k] = to[3 * k + 1] = to[3 * k + 2] = from[k];
    }
  };
  parallel_for(n, 1, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end && i < failed; ++i) {
      try {
        place(i);
      } catch (...) {
        std::lock_guard guard(lock);
        if (i < failed) failed = i, error = std::current_exception();
      }
    }
  });
  if (error) std::rethrow_exception(error);

  ImageSet set;
  std::vector<int64_t> kept, labels;
  for (int64_t i = 0; i < n; ++i) {
    if (skipped[static_cast<size_t>(i)] != 0) {
      set.skipped.push_back(files.names[static_cast<size_t>(i)]);
      continue;
    }
    kept.push_back(i);
    set.files.push_back(files.names[static_cast<size_t>(i)]);
    if (!files.labels.empty()) labels.push_back(files.labels[static_cast<size_t>(i)]);
  }
  int64_t count = static_cast<int64_t>(kept.size()), channels = colour ? 3 : 1;
  if (!files.labels.empty()) set.labels = Tensor::from(labels, {count});
  if (count == n && channels == 3) {
    set.pixels = all;
    return set;
  }
  set.pixels = Tensor::empty({count, h, w, channels}, DType::u8);
  parallel_for(count, 1, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const uint8_t* from = all.data<uint8_t>() + kept[static_cast<size_t>(i)] * h * w * 3;
      uint8_t* to = set.pixels.mutable_data<uint8_t>() + i * h * w * channels;
      if (channels == 3) std::memcpy(to, from, static_cast<size_t>(h * w * 3));
      for (int64_t k = 0; channels == 1 && k < h * w; ++k) to[k] = from[3 * k];
    }
  });
  return set;
}

// The files of a part that are there, and how many are not.
Files celeba_part(const fs::path& table, const fs::path& images, int64_t part, std::vector<std::string>& missing) {
  Files out;
  for (const detail::PartOf& line : detail::parse_partition(read_whole_file(table), table.string())) {
    fs::path file = images / line.name;
    std::error_code error;
    if (line.part != part) continue;
    (fs::is_regular_file(file, error) ? out.names : missing).push_back(file.string());
  }
  return out;
}

[[noreturn]] void refuse_without_images(const fs::path& folder, const std::vector<LeftOut>& left_out) {
  std::string hint;
  for (const LeftOut& kind : left_out)
    if (hint.empty() && kind_by_ending(kind.first)) hint = ". " + conversion_hint(lower_case_ending(kind.first));
  refuse("'{}': no image in it or below ({}){}{}{}", folder.string(), kinds_read(),
         left_out.empty() ? "" : "; there are ", text_of(left_out), hint);
}

fs::path celeba_table(const fs::path& folder) {
  fs::path found;
  for (const fs::directory_entry& entry : detail::entries(folder)) {
    std::string name = entry.path().filename().string();
    if (name == "list_eval_partition.txt" || name == "list_eval_partition.csv") return entry.path();
    if (found.empty() && name.find("list_eval_partition") != name.npos) found = entry.path();
  }
  if (found.empty())
    throw IoError(fmt::format("'{}': no list_eval_partition.txt or .csv there, which says what is for training",
                              folder.string()));
  return found;
}

}  // namespace

std::vector<detail::PartOf> detail::parse_partition(std::string_view text, const std::string& name) {
  std::vector<PartOf> out;
  for (int64_t number = 1; !text.empty(); ++number) {
    size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
    size_t gap = line.find_first_of(" ,\t");
    if (line.empty() || (number == 1 && line.substr(gap + 1) == "partition")) continue;
    std::string_view value = line.substr(std::min(line.find_first_not_of(" ,\t", gap), line.size()));
    if (gap == 0 || (value != "0" && value != "1" && value != "2"))
      refuse("'{}' line {}: '{}' is not a file name and a part (0, 1 or 2)", name, number, printable(line));
    out.push_back({std::string(line.substr(0, gap)), value[0] - '0'});
  }
  return out;
}

ImageSet read_celeba(const fs::path& folder, Subset subset, const ImageOptions& options) {
  check_options(options);
  fs::path table = celeba_table(folder), images = folder / "img_align_celeba";
  std::error_code none;
  if (fs::is_directory(images / "img_align_celeba", none)) images /= "img_align_celeba";  // one of its mirrors
  if (!fs::is_directory(images, none)) throw IoError(fmt::format("'{}': no such folder", images.string()));
  int64_t part = subset == Subset::train ? 0 : subset == Subset::validation ? 1 : 2;
  std::vector<std::string> missing;
  Files files = celeba_part(table, images, part, missing);
  if (files.names.empty())
    refuse("'{}': none of the files that '{}' assigns to part {} is there", images.string(), table.string(), part);

  FirstImage first = first_image(files, options);
  const std::string& first_name = files.names[first.file];
  int64_t h = first.image.dim(0), w = first.image.dim(1), crop = options.crop;
  if (crop == 0 && w == 178 && h == 218) crop = 140;
  if (crop == 0 && w == 89 && h == 109) crop = 70;
  if (crop == 0)
    refuse(
        "'{}' has {} × {} pixels, the aligned images of CelebA 178 × 218 or, at half size, 89 × 109. Hint: a crop",
        files.names[0], w, h);
  ImageSet set = read_files(files, options, [&](const Tensor& x, const std::string& name) {
    if (x.dim(0) != h || x.dim(1) != w)
      refuse("'{}' has {} × {} pixels, '{}' {} × {}", name, x.dim(1), x.dim(0), first_name, w, h);
    return centre_square(x, crop, options.size > 0 ? options.size : 64, name);
  });
  if (!missing.empty())
    set.remarks.push_back(fmt::format("{} of {} images that '{}' lists are not there, the first of them {}",
                                      missing.size(), missing.size() + files.names.size(),
                                      table.filename().string(), fs::path(missing[0]).filename().string()));
  return set;
}

ImageSet read_image_folder(const fs::path& folder, const ImageOptions& options) {
  check_options(options);
  Files files;
  detail::FolderFiles found;
  std::vector<std::string> classes, beside, empty;  // of the images, those outside the subfolders
  for (const fs::directory_entry& entry : detail::entries(folder)) {
    std::error_code error;
    if (found.take(entry)) beside.push_back(entry.path().string());
    if (!entry.is_directory(error)) continue;
    std::vector<std::string> images = found.images_below(entry.path());
    classes.push_back(entry.path().filename().string());
    if (images.empty()) empty.push_back(fmt::format("{} = {}", classes.size() - 1, printable(classes.back(), 40)));
    files.names.insert(files.names.end(), images.begin(), images.end());
    files.labels.resize(files.names.size(), static_cast<int64_t>(classes.size()) - 1);
  }
  if (files.names.empty()) classes.clear(), empty.clear();  // folders of other things, beside the images
  if (!beside.empty() && !classes.empty()) {
    const std::string& first = classes[static_cast<size_t>(files.labels[0])];
    refuse("'{}' lies beside '{}', a folder of images and so a class. Hint: move it into one", beside[0],
           printable(first));
  }
  if (classes.empty()) files.names = beside;
  std::vector<LeftOut> left_out = found.left_out();
  if (files.names.empty()) refuse_without_images(folder, left_out);
  ImageSet set = read_files(files, options, [&](const Tensor& x, const std::string& name) {
    return centre_square(x, options.crop, options.size, name);
  });
  set.classes = classes;
  set.left_out = left_out;
  if (!empty.empty())
    set.remarks.push_back(fmt::format("{} of {} classes without images, which keep their numbers: {}", empty.size(),
                                      classes.size(), fmt::join(empty, ", ")));
  if (found.not_followed() > 0)
    set.remarks.push_back(
        fmt::format("{} links to folders that were read already are not followed", found.not_followed()));
  return set;
}

}  // namespace vapo::data

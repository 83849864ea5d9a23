// Image sets whose images are files: folders of PNG and JPEG, CelebA.

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <mutex>

#include "data/pictures/image_file.h"
#include "data/readers/archives.h"
#include "data/sets/images.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/printable.h"
#include "tensor/parallel.h"

namespace vapo::data {
namespace {

namespace fs = std::filesystem;

using detail::refuse;

// What a folder holds, in the order of names. Names that begin with a point are not looked at: other programs keep
// thumbnails and attributes there.
template <class Iterator>
std::vector<fs::directory_entry> entries(const fs::path& folder) {
  std::vector<fs::directory_entry> out;
  std::error_code error;
  Iterator i(folder, error);
  for (; !error && i != Iterator(); i.increment(error)) {
    if (!i->path().filename().string().starts_with('.'))
      out.push_back(*i);
    else if constexpr (std::is_same_v<Iterator, fs::recursive_directory_iterator>)
      i.disable_recursion_pending();
  }
  if (error) throw IoError(fmt::format("cannot read the folder '{}': {}", folder.string(), error.message()));
  std::sort(out.begin(), out.end());
  return out;
}

bool is_image(const fs::directory_entry& entry) {
  std::string ending = entry.path().extension().string();
  for (char& c : ending)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  std::error_code error;
  return (ending == ".png" || ending == ".jpg" || ending == ".jpeg") && !entry.is_directory(error);
}

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

// The image of a file; undefined where it cannot be read and that is to be skipped.
Tensor read_or_skip(const std::string& name, bool skip) {
  if (!skip) return read_image(name);
  try {
    return read_image(name);
  } catch (const InputError&) {
  } catch (const IoError&) {
  }
  return {};
}

struct FirstImage {
  size_t file;
  Tensor image;
};
FirstImage first_image(const Files& files, bool skip) {
  for (size_t i = 0; i < files.names.size(); ++i)
    if (Tensor x = read_or_skip(files.names[i], skip); x.defined()) return {i, x};
  refuse("'{}': neither it nor any of the {} files after it can be read", files.names[0], files.names.size() - 1);
}

// All files as one set, decoded in parallel. Grey images among RGB become RGB. Of several files that cannot be used
// the first is named, whatever thread came upon it.
ImageSet read_files(const Files& files, bool skip, const Prepare& prepare) {
  FirstImage first = first_image(files, skip);
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
    Tensor x = read_or_skip(name, skip);
    if (!x.defined()) {
      skipped[static_cast<size_t>(i)] = 1;
      return;
    }
    x = prepare(x, name);
    if (x.dim(0) != h || x.dim(1) != w)
      refuse("'{}' has {} × {} pixels, '{}' {} × {}. Hint: a size, to which all are brought", name, x.dim(1),
             x.dim(0), first_name, w, h);
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

// The files of a part that are there.
Files celeba_part(const fs::path& table, const fs::path& images, int64_t part) {
  Files out;
  for (const detail::PartOf& line : detail::parse_partition(read_whole_file(table), table.string())) {
    fs::path file = images / line.name;
    std::error_code error;
    if (line.part == part && fs::is_regular_file(file, error)) out.names.push_back(file.string());
  }
  return out;
}

fs::path celeba_table(const fs::path& folder) {
  fs::path found;
  for (const fs::directory_entry& entry : entries<fs::directory_iterator>(folder)) {
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
  Files files = celeba_part(table, images, part);
  if (files.names.empty())
    refuse("'{}': none of the files that '{}' assigns to part {} is there", images.string(), table.string(), part);

  FirstImage first = first_image(files, options.skip_unreadable);
  const std::string& first_name = files.names[first.file];
  int64_t h = first.image.dim(0), w = first.image.dim(1), crop = options.crop;
  if (crop == 0 && w == 178 && h == 218) crop = 140;
  if (crop == 0 && w == 89 && h == 109) crop = 70;
  if (crop == 0)
    refuse(
        "'{}' has {} × {} pixels, the aligned images of CelebA 178 × 218 or, at half size, 89 × 109. Hint: a crop",
        files.names[0], w, h);
  return read_files(files, options.skip_unreadable, [&](const Tensor& x, const std::string& name) {
    if (x.dim(0) != h || x.dim(1) != w)
      refuse("'{}' has {} × {} pixels, '{}' {} × {}", name, x.dim(1), x.dim(0), first_name, w, h);
    return centre_square(x, crop, options.size > 0 ? options.size : 64, name);
  });
}

ImageSet read_image_folder(const fs::path& folder, const ImageOptions& options) {
  check_options(options);
  Files files;
  std::vector<std::string> classes, beside;  // of the images, those outside the subfolders
  for (const fs::directory_entry& entry : entries<fs::directory_iterator>(folder)) {
    std::error_code error;
    if (is_image(entry)) beside.push_back(entry.path().string());
    if (!entry.is_directory(error)) continue;
    size_t before = files.names.size();
    for (const fs::directory_entry& file : entries<fs::recursive_directory_iterator>(entry.path()))
      if (is_image(file)) files.names.push_back(file.path().string());
    if (files.names.size() == before) continue;
    files.labels.resize(files.names.size(), static_cast<int64_t>(classes.size()));
    classes.push_back(entry.path().filename().string());
  }
  if (!beside.empty() && !classes.empty())
    refuse("'{}' lies beside '{}', a folder of images and so a class. Hint: move it into one", beside[0],
           printable(classes[0]));
  if (classes.empty()) files.names = beside;
  if (files.names.empty()) refuse("'{}': no .png, .jpg or .jpeg file in it or below", folder.string());
  ImageSet set = read_files(files, options.skip_unreadable, [&](const Tensor& x, const std::string& name) {
    return centre_square(x, options.crop, options.size, name);
  });
  set.classes = classes;
  return set;
}

}  // namespace vapo::data

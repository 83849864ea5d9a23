// One fuzz target for each reader of files below apps/, and for that of configs: VAPO_FUZZ says which. Whatever the
// bytes, a reader returns or throws InputError with one line that names the file; what it accepts, it accepts again
// after being written.

#include <zlib.h>

#include <cmath>
#include <string>
#include <string_view>

#include "apps/run/config.h"
#include "data/measures/frechet.h"
#include "data/pictures/codecs.h"
#include "data/pictures/image_file.h"
#include "data/readers/archives.h"
#include "data/readers/file_kind.h"
#include "data/readers/npz.h"
#include "data/readers/table.h"
#include "tensor/io/npy.h"
#include "tensor/io/safetensors.h"
#include "tests/fuzz/target.h"

namespace {

using namespace vapo;
using fuzz::require;

// The reader of headers alone accepts what the reader of all accepts, and tensors of other dtypes, and sees the same.
[[maybe_unused]] void read_safetensors(std::string_view bytes) {
  TensorFileHeader header;
  bool fine = fuzz::accepts(bytes, [&](const std::string& path) { header = read_safetensors_header(path); });
  TensorFile file;
  try {
    file = parse_safetensors(bytes, "the input", Unreadable::leave_out);
  } catch (const InputError&) {
    require(!fine, "a header that is read and refused");
    throw;
  }
  require(fine && header.metadata == file.metadata, "another header than that of the file");
  for (const auto& [name, entry] : header.tensors) {
    require(entry.bytes <= bytes.size() && file.tensors.contains(name) == entry.readable,
            "an entry without its tensor");
    if (!entry.readable) continue;
    const Tensor& x = file.tensors.at(name);
    require(x.defined() && x.bytes() <= 8 * bytes.size() && entry.shape == x.shape(),
            "a tensor larger than its file");
  }
}

// As an array, as a table and as images.
[[maybe_unused]] void read_npy(std::string_view bytes) {
  fuzz::accepts(bytes, [](const std::string& path) {
    require(data::read_image_array(path).pixels.rank() == 4, "pixels without a shape");
  });
  static const fuzz::Folder folder;
  try {
    data::Table table = data::read_table(folder.link(fuzz::as_file(bytes), "table.npy"));
    require(table.values.rank() == 2 && table.values.dim(0) >= 2, "a table without rows");
  } catch (const InputError& e) {
    fuzz::require_message(e, "table.npy");
  }
  NpyHeader header = parse_npy_header(bytes, "the input");
  Tensor x = parse_npy(bytes, "the input");
  require(x.bytes() <= 8 * bytes.size(), "a tensor larger than its file");
  require(header.readable && header.shape == x.shape() && header.bytes <= bytes.size(), "another header");
}

// What is made of arrays: images with labels, and statistics of features.
void use_arrays(const data::Arrays& arrays, const std::string& file) {
  try {
    data::ImageSet set = data::image_set_of(arrays, file);
    require(!set.labels.defined() || set.labels.shape() == Shape{set.count()}, "not a label for each image");
  } catch (const InputError& e) {
    fuzz::require_message(e, file);
  }
  data::FeatureStatistics s = data::feature_statistics_of(arrays, file);
  require(s.covariance.shape() == Shape{s.mean.dim(0), s.mean.dim(0)} && s.count >= 0, "statistics of two widths");
}

// An archive; or, for its check sums stop most of what is mutated, "name|length|" and an array so long, one after
// the other, as an archive would give them.
[[maybe_unused]] void read_npz(std::string_view bytes) {
  if (bytes.starts_with("PK")) {
    fuzz::accepts(bytes, [](const std::string& path) { use_arrays(data::read_npz(path), path); });
    return;
  }
  data::Arrays arrays;
  for (size_t bar; (bar = bytes.find('|')) != bytes.npos && bytes.size() >= bar + 3 && bytes[bar + 2] == '|';) {
    std::string name(bytes.substr(0, bar));
    size_t length = 8 * static_cast<unsigned char>(bytes[bar + 1]);
    arrays[name] = parse_npy(bytes.substr(bar + 3, length), "the input");
    bytes.remove_prefix(std::min(bytes.size(), bar + 3 + length));
  }
  use_arrays(arrays, "the input");
}

// What can be chosen of a table is finite, and the same after being written.
void use_table(const data::TableFile& file, const std::string& name) {
  for (const data::TableOptions& options :
       {data::TableOptions{}, data::TableOptions{{"numeric"}, data::Missing::drop},
        data::TableOptions{{2, 1}, {}}}) {
    data::Table table;
    try {
      table = file.choose(options);
    } catch (const InputError& e) {
      fuzz::require_message(e, name);
      continue;
    }
    int64_t rows = table.values.dim(0), columns = table.values.dim(1);
    require(rows >= 2 && rows + table.rows_dropped == file.rows(), "rows that are lost");
    require(table.columns.size() == (file.has_header() ? table.places.size() : 0) &&
                static_cast<int64_t>(table.places.size()) == columns,
            "more names than columns");
    for (const std::string& note : table.notes) require(note.find('\n') == note.npos, "a note of several lines");
    std::string text = "x";
    for (int64_t k = 1; k < columns; ++k) text += ",x";
    for (int64_t i = 0; i < table.values.numel(); ++i) {
      require(std::isfinite(table.values.at(i)), "a value that is not finite");
      text += fmt::format("{}{}", i % columns == 0 ? '\n' : ',', table.values.at(i));
    }
    require(data::parse_csv(text, name).values.to_vector<double>() == table.values.to_vector<double>(),
            "another table after writing");
  }
}

// As text, and, where the bytes are packed or of arrays, as a file.
[[maybe_unused]] void read_csv(std::string_view bytes) {
  auto kind = data::kind_of(bytes);
  require(!kind || (!kind->name.empty() && !kind->instead.empty()), "a kind without a name");
  if (kind || bytes.starts_with("\x1f\x8b") || bytes.starts_with("\x93NUMPY"))
    fuzz::accepts(bytes, [](const std::string& path) { use_table(data::TableFile(path), path); });
  use_table(data::TableFile::parse(bytes, "the input"), "the input");
}

[[maybe_unused]] void read_config(std::string_view bytes) {
  app::Config config = app::parse_config(bytes, "the input");
  require(app::parse_config(app::to_toml(config), "the input, written") == config, "another config after writing");
}

[[maybe_unused]] Tensor read_image(std::string_view bytes) {
  Tensor x = data::decode_image(std::as_bytes(std::span(bytes)), "the input");
  require(x.rank() == 3 && (x.dim(2) == 1 || x.dim(2) == 3) && x.numel() > 0, "no image");
  return x;
}

[[maybe_unused]] constexpr auto *read_jpeg = read_image, *read_webp = read_image, *read_gif = read_image,
                                *read_tiff = read_image, *read_bmp = read_image, *read_pnm = read_image;

[[maybe_unused]] void read_exif(std::string_view bytes) {
  int orientation = data::detail::exif_orientation(std::as_bytes(std::span(bytes)));
  require(orientation >= 1 && orientation <= 8, "no orientation");
}

// PNG's check sums stop most of what is mutated, so they are mended.
[[maybe_unused]] void read_png(std::string_view bytes) {
  auto big_endian = [](const char* p) {
    uint32_t v = 0;
    for (int i = 0; i < 4; ++i) v = v << 8 | static_cast<unsigned char>(p[i]);
    return v;
  };
  std::string mended(bytes);
  for (size_t at = 8; mended.size() >= at + 12;) {
    size_t length = big_endian(&mended[at]);
    if (length > mended.size() - at - 12) break;
    auto sum = crc32(0, reinterpret_cast<const Bytef*>(&mended[at + 4]), static_cast<uInt>(length + 4));
    for (size_t i = 0; i < 4; ++i) mended[at + 8 + length + i] = static_cast<char>(sum >> (24 - 8 * i));
    at += length + 12;
  }
  Tensor x = read_image(mended);
  if (x.numel() < 1 << 16)
    require(read_image(data::encode_png(x)).to_vector<uint8_t>() == x.to_vector<uint8_t>(),
            "another image after writing");
}

[[maybe_unused]] void read_idx(std::string_view bytes) {
  Tensor x = data::detail::parse_idx(bytes, "the input");
  require(x.dtype() == DType::u8 && x.numel() > 0, "no elements");
}

void require_images(const data::ImageSet& set, int64_t classes) {
  require(set.pixels.rank() == 4 && set.labels.shape() == Shape{set.count()}, "not a label for each image");
  for (int64_t i = 0; i < set.count(); ++i)
    require(set.labels.data<int64_t>()[i] < classes, "a label that no class has");
}

[[maybe_unused]] void read_cifar(std::string_view bytes) {
  bool fine = bytes.size() % 3073 != 0;
  require_images(data::detail::parse_cifar(bytes, fine ? 2 : 1, fine ? 100 : 10, "the input"), fine ? 100 : 10);
}

[[maybe_unused]] void read_mat(std::string_view bytes) {
  require_images(data::detail::parse_svhn(bytes, "the input"), 10);
}

// The texts beside images: names of classes, and CelebA's partition.
[[maybe_unused]] void read_names(std::string_view bytes) {
  try {
    require(data::detail::parse_class_names(bytes, 3, "the input").size() == 3, "another number of names");
  } catch (const InputError& e) {
    fuzz::require_message(e, "the input");
  }
  for (const data::detail::PartOf& file : data::detail::parse_partition(bytes, "the input"))
    require(!file.name.empty() && file.part >= 0 && file.part <= 2, "a file without a name or of no part");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    VAPO_FUZZ(std::string_view(reinterpret_cast<const char*>(data), size));
  } catch (const InputError& e) {
    fuzz::require_message(e, "the input");
  }
  return 0;
}

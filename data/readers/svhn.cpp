// SVHN's cropped digits, in MATLAB's format 5: a header of 128 bytes, then elements, each with a tag of type and
// size. A variable is an element that holds others: its flags, sizes, name and numbers. It may be packed by zlib.
// (libmatio reads it, too, but takes a rank of 10⁹ at its word, and brings HDF5, curl and Kerberos along.)

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "data/readers/archives.h"
#include "data/readers/inflate.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/printable.h"

namespace vapo::data {
namespace detail {
namespace {

enum Type : uint32_t { i8 = 1, u8, i16, u16, i32, u32, f32, f64 = 9, matrix = 14, packed = 15 };

template <class T>
T value_at(std::string_view bytes, size_t at) {
  T out;
  std::memcpy(&out, bytes.data() + at, sizeof(T));
  return out;
}

struct Element {
  uint32_t type;
  std::string_view bytes;
};

// Takes the first element off `rest`.
Element take_element(std::string_view& rest, const std::string& name) {
  if (rest.size() < 8) refuse("'{}': truncated in a tag. Hint: fetch it again", name);
  uint32_t type = value_at<uint32_t>(rest, 0);
  if (type >> 16 != 0) {  // up to four bytes within the tag
    Element e{type & 0xFFFF, rest.substr(4, type >> 16)};
    if (type >> 16 > 4) refuse("'{}': a damaged tag: {} bytes in four. Hint: fetch it again", name, type >> 16);
    rest.remove_prefix(8);
    return e;
  }
  size_t size = value_at<uint32_t>(rest, 4);
  rest.remove_prefix(8);
  if (size > rest.size())
    refuse("'{}': an element of {} bytes, the file holds {}: truncated. Hint: fetch it again", name, size,
           rest.size());
  Element e{type, rest.substr(0, size)};
  size_t end = type == packed ? size : (size + 7) / 8 * 8;
  rest.remove_prefix(std::min(end, rest.size()));
  return e;
}

struct Variable {
  std::string name;
  std::vector<int64_t> sizes;
  Element numbers;
  std::string sizes_str() const { return fmt::format("({})", fmt::join(sizes, ",")); }
};

Variable parse_variable(std::string_view matrix_bytes, const std::string& name) {
  Element flags = take_element(matrix_bytes, name);
  if (flags.type != u32 || flags.bytes.size() != 8) refuse("'{}': a variable without flags", name);
  Element sizes = take_element(matrix_bytes, name), variable_name = take_element(matrix_bytes, name);
  if (sizes.type != i32 || sizes.bytes.size() % 4 != 0 || variable_name.type != i8)
    refuse("'{}': a variable without sizes or name", name);
  Variable out{.name = printable(variable_name.bytes), .sizes = {}, .numbers = {}};
  for (size_t i = 0; i < sizes.bytes.size(); i += 4) out.sizes.push_back(value_at<int32_t>(sizes.bytes, i));
  // cells, structures, objects, text and sparse matrices come before the classes of numbers; 0x800: complex numbers
  uint32_t word = value_at<uint32_t>(flags.bytes, 0), kind = word & 0xFF;
  if (kind >= 6 && kind <= 15 && (word & 0x800) == 0) out.numbers = take_element(matrix_bytes, name);
  return out;
}

template <class T>
std::vector<double> doubles(std::string_view bytes) {
  std::vector<double> out(bytes.size() / sizeof(T));
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<double>(value_at<T>(bytes, i * sizeof(T)));
  return out;
}

// Numbers are kept in the smallest type that holds them, whatever the variable's class.
std::vector<double> doubles(const Element& e, const std::string& name) {
  switch (e.type) {
    case i8:
      return doubles<int8_t>(e.bytes);
    case u8:
      return doubles<uint8_t>(e.bytes);
    case i16:
      return doubles<int16_t>(e.bytes);
    case u16:
      return doubles<uint16_t>(e.bytes);
    case i32:
      return doubles<int32_t>(e.bytes);
    case u32:
      return doubles<uint32_t>(e.bytes);
    case f32:
      return doubles<float>(e.bytes);
    case f64:
      return doubles<double>(e.bytes);
    default:
      refuse("'{}': y holds no real numbers", name);
  }
}

Tensor pixels_of(const Variable& x, const std::string& name) {
  constexpr int64_t side = 32, channels = 3;
  int64_t n = x.sizes.size() == 4 ? x.sizes[3] : x.sizes.size() == 3 ? 1 : 0;  // MATLAB drops a last size of 1
  if (n < 1 || x.sizes[0] != side || x.sizes[1] != side || x.sizes[2] != channels)
    refuse("'{}': X has sizes {}, expected (32,32,3,N)", name, x.sizes_str());
  if (x.numbers.type != u8 || static_cast<int64_t>(x.numbers.bytes.size()) != n * side * side * channels)
    refuse("'{}': X holds {} bytes of type {}, sizes {} need as many unsigned bytes (type 2)", name,
           x.numbers.bytes.size(), x.numbers.type, x.sizes_str());
  Tensor out = Tensor::empty({n, side, side, channels}, DType::u8);
  const char* from = x.numbers.bytes.data();  // the first size, rows, runs fastest
  uint8_t* to = out.mutable_data<uint8_t>();
  for (int64_t i = 0; i < n; ++i, to += side * side * channels)
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t column = 0; column < side; ++column)
        for (int64_t row = 0; row < side; ++row)
          to[(row * side + column) * channels + c] = static_cast<uint8_t>(*from++);
  return out;
}

// 1 to 10, where 10 is the digit 0.
Tensor labels_of(const std::vector<double>& y, const std::string& name) {
  Tensor out = Tensor::empty({static_cast<int64_t>(y.size())}, DType::i64);
  for (size_t i = 0; i < y.size(); ++i) {
    if (!(y[i] >= 1 && y[i] <= 10 && y[i] == std::floor(y[i])))
      refuse("'{}': image {} (from 0) has label {}, expected 1 to 10", name, i, y[i]);
    out.mutable_data<int64_t>()[i] = static_cast<int64_t>(y[i]) % 10;
  }
  return out;
}

// What a packed element holds: the bytes of the one element inside, whose type is left in `type`.
std::string unpack(const Element& e, uint32_t& type, const std::string& name) {
  Inflater z(e.bytes, Inflater::Format::zlib, name);
  std::string tag = z.read(8);
  if (tag.size() < 8) refuse("'{}': truncated in a packed tag. Hint: fetch it again", name);
  type = value_at<uint32_t>(tag, 0);
  size_t size = value_at<uint32_t>(tag, 4);
  std::string bytes = z.read(size);
  if (bytes.size() < size || !z.read(1).empty())
    refuse("'{}': a variable of {} bytes, another number is packed. Hint: fetch it again", name, size);
  return bytes;
}

}  // namespace

ImageSet parse_svhn(std::string_view bytes, const std::string& name) {
  if (bytes.starts_with("MATLAB 7.3") || bytes.starts_with("\x89HDF"))
    refuse(
        "'{}': MATLAB's format 7.3 (HDF5), expected format 5. Hint: the file as it is published, or in MATLAB "
        "save(file, 'X', 'y', '-v7')",
        name);
  if (bytes.size() < 128 || bytes.substr(124, 4) != std::string_view("\0\1IM", 4))
    refuse("'{}': no file of MATLAB's format 5 (low byte first), by its header", name);
  ImageSet set;
  for (std::string_view rest = bytes.substr(128); !(set.pixels.defined() && set.labels.defined());) {
    if (rest.empty()) refuse("'{}': no variable {}", name, set.pixels.defined() ? "y" : "X");
    Element e = take_element(rest, name);
    std::string unpacked;
    if (e.type == packed) e.bytes = unpacked = unpack(e, e.type, name);
    if (e.type != matrix) continue;
    Variable v = parse_variable(e.bytes, name);
    if (v.name == "X") set.pixels = pixels_of(v, name);
    if (v.name == "y") set.labels = labels_of(doubles(v.numbers, name), name);
  }
  if (set.count() != set.labels.numel())
    refuse("'{}': {} images in X, {} labels in y", name, set.count(), set.labels.numel());
  return set;
}

}  // namespace detail

ImageSet read_svhn(const std::filesystem::path& folder, Subset subset) {
  detail::refuse_validation(subset, "svhn");
  std::filesystem::path file = folder / (subset == Subset::train ? "train_32x32.mat" : "test_32x32.mat");
  return detail::parse_svhn(read_whole_file(file), file.string());
}

}  // namespace vapo::data

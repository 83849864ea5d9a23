#include "tensor/io/npy.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "tensor/io/atomic_file.h"
#include "tensor/io/half.h"
#include "tensor/io/printable.h"
#include "tensor/kernels.h"

namespace vapo {
namespace {

template <class... Args>
[[noreturn]] void refuse(const std::string& name, fmt::format_string<Args...> format, Args&&... args) {
  throw InputError(
      fmt::format("'{}' is not a usable npy file: {}", name, fmt::format(format, std::forward<Args>(args)...)));
}

// The header is a Python dict with exactly the keys descr (a string), fortran_order (a bool) and shape (a tuple).
// No library of Debian's reads it, so this does, and nothing more.
struct Header {
  std::string descr;
  bool fortran_order = false;
  Shape shape;
};

class HeaderReader {
 public:
  HeaderReader(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  Header read() {
    Header h;
    bool seen[3] = {};
    expect('{');
    while (!accept('}')) {
      std::string key = string();
      expect(':');
      int which = key == "descr" ? 0 : key == "fortran_order" ? 1 : key == "shape" ? 2 : -1;
      if (which < 0 || seen[which]) refuse(name_, "unexpected key '{}' in its header", printable(key));
      seen[which] = true;
      if (which == 0) {
        if (peek() == '[') refuse(name_, "it holds records (a structured dtype), expected one number a cell");
        h.descr = string();
      } else if (which == 1) {
        h.fortran_order = boolean();
      } else {
        h.shape = tuple();
      }
      if (!accept(',') && peek() != '}') refuse(name_, "its header is malformed");
    }
    if (!(seen[0] && seen[1] && seen[2])) refuse(name_, "its header lacks descr, fortran_order or shape");
    skip_space();
    if (!text_.empty()) refuse(name_, "its header goes on after the dict");
    return h;
  }

 private:
  void skip_space() {
    while (!text_.empty() && (text_[0] == ' ' || text_[0] == '\n' || text_[0] == '\t')) text_.remove_prefix(1);
  }
  char peek() {
    skip_space();
    return text_.empty() ? '\0' : text_[0];
  }
  bool accept(char c) {
    if (peek() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!accept(c)) refuse(name_, "its header is malformed: expected '{}'", c);
  }
  std::string string() {
    char quote = peek();
    if (quote != '\'' && quote != '"') refuse(name_, "its header is malformed: expected a string");
    size_t end = text_.find(quote, 1);
    if (end == std::string_view::npos) refuse(name_, "its header is malformed: a string does not end");
    std::string out(text_.substr(1, end - 1));
    text_.remove_prefix(end + 1);
    return out;
  }
  bool boolean() {
    skip_space();
    for (bool value : {true, false}) {
      std::string_view word = value ? "True" : "False";
      if (!text_.starts_with(word)) continue;
      text_.remove_prefix(word.size());
      return value;
    }
    refuse(name_, "its header is malformed: fortran_order is no bool");
  }
  Shape tuple() {
    Shape shape;
    expect('(');
    while (!accept(')')) {
      skip_space();
      uint64_t n = 0;
      auto [rest, error] = std::from_chars(text_.data(), text_.data() + text_.size(), n);
      if (error != std::errc() || n > uint64_t{1} << 48) refuse(name_, "bad size in its shape");
      text_.remove_prefix(static_cast<size_t>(rest - text_.data()));
      if (shape.rank() == Shape::max_rank) refuse(name_, "more than {} dimensions", Shape::max_rank);
      shape.push_back(static_cast<int64_t>(n));
      if (!accept(',') && peek() != ')') refuse(name_, "its header is malformed: the shape");
    }
    return shape;
  }

  std::string_view text_;
  const std::string& name_;
};

struct Format {
  const char *code, *called;
  size_t bytes;
  DType dtype;
};
constexpr Format formats[] = {
    {"f4", "f32", 4, DType::f32}, {"f8", "f64", 8, DType::f64}, {"f2", "f16", 2, DType::f32},
    {"i8", "i64", 8, DType::i64}, {"i4", "i32", 4, DType::i64}, {"i2", "i16", 2, DType::i64},
    {"i1", "i8", 1, DType::i64},  {"u1", "u8", 1, DType::u8},   {"u2", "u16", 2, DType::i64},
    {"u4", "u32", 4, DType::i64}, {"u8", "u64", 8, DType::i64}, {"b1", "bool", 1, DType::i64}};

const Format* format_or_null(std::string_view code) {
  if (!code.empty() && std::string_view("<>|=").find(code[0]) != std::string_view::npos) code.remove_prefix(1);
  const Format* found =
      std::find_if(std::begin(formats), std::end(formats), [&](const Format& f) { return code == f.code; });
  return found == std::end(formats) ? nullptr : found;
}

const Format& format_of(const std::string& descr, const std::string& name) {
  if (descr.find('O') != std::string::npos)
    refuse(name, "it holds Python objects (dtype '{}'); save numbers, e.g. astype(\"float32\")", printable(descr));
  if (const Format* f = format_or_null(descr)) return *f;
  refuse(name, "dtype '{}' is not supported; save numbers, e.g. astype(\"float32\")", printable(descr));
}

template <class From, class To>
void read_as(const char* bytes, bool swap, const Tensor& out) {
  To* y = out.mutable_data<To>();
  for (int64_t i = 0; i < out.numel(); ++i) {
    std::array<char, sizeof(From)> one;
    std::memcpy(one.data(), bytes + static_cast<size_t>(i) * sizeof(From), sizeof(From));
    if (swap) std::reverse(one.begin(), one.end());
    y[i] = static_cast<To>(std::bit_cast<From>(one));
  }
}

Tensor read_elements(const Format& f, const char* bytes, bool swap, const Shape& shape, const std::string& name) {
  Tensor out = Tensor::empty(shape, f.dtype);
  std::string_view code = f.code;
  if (code == "f4")
    read_as<float, float>(bytes, swap, out);
  else if (code == "f8")
    read_as<double, double>(bytes, swap, out);
  else if (code == "i8")
    read_as<int64_t, int64_t>(bytes, swap, out);
  else if (code == "i4")
    read_as<int32_t, int64_t>(bytes, swap, out);
  else if (code == "i2")
    read_as<int16_t, int64_t>(bytes, swap, out);
  else if (code == "i1")
    read_as<int8_t, int64_t>(bytes, swap, out);
  else if (code == "u1")
    read_as<uint8_t, uint8_t>(bytes, swap, out);
  else if (code == "u2")
    read_as<uint16_t, int64_t>(bytes, swap, out);
  else if (code == "u4")
    read_as<uint32_t, int64_t>(bytes, swap, out);
  else if (code == "b1")
    read_as<uint8_t, int64_t>(bytes, swap, out);
  else if (code == "u8") {
    read_as<uint64_t, int64_t>(bytes, swap, out);
    for (int64_t i = 0; i < out.numel(); ++i)
      if (out.data<int64_t>()[i] < 0)
        refuse(name,
               "element {} is beyond the largest 64-bit signed integer; save numbers, e.g. astype(\"float64\")", i);
  } else {
    Tensor bits = Tensor::empty(shape, DType::i64);
    read_as<uint16_t, int64_t>(bytes, swap, bits);
    for (int64_t i = 0; i < out.numel(); ++i)
      out.mutable_data<float>()[i] = float_from_half(static_cast<uint16_t>(bits.data<int64_t>()[i]));
  }
  return out;
}

// The header of a file's bytes, of which the elements are left.
Header take_header(std::string_view& bytes, const std::string& name) {
  if (!bytes.starts_with("\x93NUMPY") || bytes.size() < 10) refuse(name, "it does not begin as one");
  int major = static_cast<unsigned char>(bytes[6]);
  if (major < 1 || major > 3) refuse(name, "version {} is unknown", major);
  size_t length_bytes = major == 1 ? 2 : 4, length = 0;
  if (bytes.size() < 8 + length_bytes) refuse(name, "truncated header");
  std::memcpy(&length, bytes.data() + 8, length_bytes);
  bytes.remove_prefix(8 + length_bytes);
  if (length > bytes.size())
    refuse(name, "its header has {} bytes, the file only {} more: truncated", length, bytes.size());
  Header h = HeaderReader(bytes.substr(0, length), name).read();
  bytes.remove_prefix(length);
  return h;
}

}  // namespace

NpyHeader parse_npy_header(std::string_view bytes, const std::string& name) {
  Header h = take_header(bytes, name);
  const Format* f = format_or_null(h.descr);
  return {f ? f->called : printable(h.descr), h.shape, bytes.size(), f != nullptr};
}

Tensor parse_npy(std::string_view bytes, const std::string& name) {
  Header h = take_header(bytes, name);
  const Format& f = format_of(h.descr, name);
  uint64_t expected = f.bytes;
  bool empty = false;
  for (int64_t d : h.shape) {
    empty |= d == 0;
    if (d > 0 && expected > std::numeric_limits<int64_t>::max() / static_cast<uint64_t>(d))
      refuse(name, "shape {} is too large", h.shape.str());
    if (d > 0) expected *= static_cast<uint64_t>(d);
  }
  if (empty) expected = 0;
  if (bytes.size() != expected)
    refuse(name, "shape {} of '{}' needs {} bytes, the file has {}", h.shape.str(), h.descr, expected,
           bytes.size());
  bool swap = h.descr[0] == '>';
  if (!h.fortran_order || h.shape.rank() < 2) return read_elements(f, bytes.data(), swap, h.shape, name);
  Shape reversed;
  Dims order;
  for (int i = h.shape.rank() - 1; i >= 0; --i) {
    reversed.push_back(h.shape[i]);
    order.push_back(i);
  }
  return kernel::permute(read_elements(f, bytes.data(), swap, reversed, name), order);
}

Tensor read_npy(const std::filesystem::path& path) { return parse_npy(read_whole_file(path), path.string()); }

std::string npy_header(const Tensor& x) {
  VAPO_CHECK(x.dtype() != DType::bf16, "[npy] the format has no bf16. Hint: convert to f32");
  const char* descr = x.dtype() == DType::f32   ? "<f4"
                      : x.dtype() == DType::f64 ? "<f8"
                      : x.dtype() == DType::i64 ? "<i8"
                                                : "|u1";
  std::string shape;
  for (int64_t d : x.shape()) shape += fmt::format("{}, ", d);
  if (x.rank() > 1)
    shape.resize(shape.size() - 2);
  else if (x.rank() == 1)
    shape.pop_back();
  std::string text = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", descr, shape);
  size_t total = (10 + text.size() + 1 + 63) / 64 * 64;  // the elements start at a multiple of 64
  text.resize(total - 11, ' ');
  text += '\n';
  return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(text.size() & 255) +
         static_cast<char>(text.size() >> 8) + text;
}

void write_npy(const std::filesystem::path& path, const Tensor& x) {
  std::string head = npy_header(x);
  write_file_atomically(
      path, std::array{std::string_view(head), std::string_view(static_cast<const char*>(x.raw()), x.bytes())});
}

}  // namespace vapo

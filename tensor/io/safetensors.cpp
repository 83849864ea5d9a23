#include "tensor/io/safetensors.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <vector>

#include "tensor/io/atomic_file.h"
#include "tensor/io/half.h"
#include "tensor/io/printable.h"
#include "tensor/kernels.h"

namespace vapo {
namespace {

using nlohmann::json;
static_assert(std::endian::native == std::endian::little, "tensor files are little-endian");

constexpr uint64_t largest_header = uint64_t{100} << 20;

template <class... Args>
[[noreturn]] void refuse(const std::string& name, fmt::format_string<Args...> format, Args&&... args) {
  throw InputError(fmt::format("'{}' is not a valid safetensors file: {}", name,
                               fmt::format(format, std::forward<Args>(args)...)));
}

// A JSON object whose keys are all different at every level; nlohmann keeps the last of equal ones without a word.
json parse_header(std::string_view text, const std::string& name) {
  std::vector<std::set<std::string>> open;
  std::string repeated;
  auto watch = [&](int depth, json::parse_event_t event, json& value) {
    if (depth > 8) refuse(name, "the header is nested too deeply");
    if (event == json::parse_event_t::object_start) open.emplace_back();
    if (event == json::parse_event_t::object_end) open.pop_back();
    if (event == json::parse_event_t::key && !open.back().insert(value.get<std::string>()).second &&
        repeated.empty())
      repeated = value.get<std::string>();
    return true;
  };
  json header;
  try {
    header = json::parse(text, watch);
  } catch (const json::exception& e) {
    refuse(name, "the header is not JSON ({})", std::string(e.what()).substr(0, 120));
  }
  if (!repeated.empty()) refuse(name, "the key '{}' appears twice in the header", printable(repeated));
  if (!header.is_object()) refuse(name, "the header is not a JSON object");
  return header;
}

struct FileType {
  const char* name;
  uint64_t bits;                    // of an element
  std::optional<DType> dtype = {};  // after reading
};
constexpr FileType file_types[] = {{"F32", 32, DType::f32},
                                   {"F64", 64, DType::f64},
                                   {"I64", 64, DType::i64},
                                   {"U8", 8, DType::u8},
                                   {"F16", 16, DType::f32},
                                   {"BF16", 16, DType::f32},
                                   {"I32", 32, DType::i64},
                                   {"I16", 16, DType::i64},
                                   {"I8", 8, DType::i64},
                                   {"U16", 16, DType::i64},
                                   {"U32", 32, DType::i64},
                                   {"BOOL", 8, DType::i64},
                                   {"U64", 64},
                                   {"C64", 64},
                                   {"F8_E5M2", 8},
                                   {"F8_E4M3", 8},
                                   {"F8_E8M0", 8},
                                   {"F8_E5M2FNUZ", 8},
                                   {"F8_E4M3FNUZ", 8},
                                   {"F6_E2M3", 6},
                                   {"F6_E3M2", 6},
                                   {"F4", 4}};

struct Entry {
  std::string name;
  const FileType* type;
  Shape shape;
  uint64_t begin, end;
};

Entry read_entry(const std::string& name_in_file, const json& e, uint64_t data_bytes, const std::string& name) {
  std::string key = printable(name_in_file);
  if (!e.is_object() || !e.contains("dtype") || !e.contains("shape") || !e.contains("data_offsets"))
    refuse(name, "tensor '{}' lacks dtype, shape or data_offsets", key);
  const json &dtype = e["dtype"], &shape = e["shape"], &offsets = e["data_offsets"];
  if (!dtype.is_string()) refuse(name, "tensor '{}': dtype is not a string", key);
  auto type = std::find_if(std::begin(file_types), std::end(file_types),
                           [&](const FileType& t) { return dtype == t.name; });
  if (type == std::end(file_types))
    refuse(name, "tensor '{}' has dtype '{}', which is not known; save it as F32, F64, I64 or U8", key,
           printable(dtype.get_ref<const std::string&>()));
  if (!shape.is_array() || shape.size() > Shape::max_rank)
    refuse(name, "tensor '{}': shape must be a list of at most {} sizes", key, Shape::max_rank);
  Entry out{name_in_file, type, {}, 0, 0};
  uint64_t bits = type->bits;
  bool empty = false;
  for (const json& d : shape) {
    if (!d.is_number_unsigned() || d.get<uint64_t>() > uint64_t{1} << 48)
      refuse(name, "tensor '{}': bad size in its shape", key);
    uint64_t n = d.get<uint64_t>();
    out.shape.push_back(static_cast<int64_t>(n));
    empty |= n == 0;
    if (n > 0 && bits > std::numeric_limits<uint64_t>::max() / n)
      refuse(name, "tensor '{}': shape {} is too large", key, out.shape.str());
    if (n > 0) bits *= n;
  }
  if (empty) bits = 0;
  if (bits % 8 != 0)
    refuse(name, "tensor '{}' of shape {} in {} does not fill whole bytes", key, out.shape.str(), type->name);
  uint64_t bytes = bits / 8;
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
      !offsets[1].is_number_unsigned())
    refuse(name, "tensor '{}': data_offsets must be two numbers", key);
  out.begin = offsets[0].get<uint64_t>(), out.end = offsets[1].get<uint64_t>();
  if (out.begin > out.end || out.end > data_bytes)
    refuse(name, "tensor '{}' ends at byte {} of {}: the file is truncated or damaged", key, out.end, data_bytes);
  if (out.end - out.begin != bytes)
    refuse(name, "tensor '{}' of shape {} needs {} bytes, its offsets give {}", key, out.shape.str(), bytes,
           out.end - out.begin);
  return out;
}

template <class From>
void widen(const char* from, const Tensor& to) {
  int64_t* y = to.mutable_data<int64_t>();
  for (int64_t i = 0; i < to.numel(); ++i) {
    From v;
    std::memcpy(&v, from + static_cast<size_t>(i) * sizeof(From), sizeof(From));
    y[i] = static_cast<int64_t>(v);
  }
}
void widen_half(const char* from, const Tensor& to, float (*convert)(uint16_t)) {
  float* y = to.mutable_data<float>();
  for (int64_t i = 0; i < to.numel(); ++i) {
    uint16_t v;
    std::memcpy(&v, from + 2 * i, 2);
    y[i] = convert(v);
  }
}

Tensor read_elements(const Entry& e, const char* data) {
  Tensor out = Tensor::empty(e.shape, *e.type->dtype);
  std::string_view t = e.type->name;
  if (t == "F16")
    widen_half(data, out, float_from_half);
  else if (t == "BF16")
    widen_half(data, out, float_from_bfloat16);
  else if (t == "I32")
    widen<int32_t>(data, out);
  else if (t == "I16")
    widen<int16_t>(data, out);
  else if (t == "I8")
    widen<int8_t>(data, out);
  else if (t == "U16")
    widen<uint16_t>(data, out);
  else if (t == "U32")
    widen<uint32_t>(data, out);
  else if (t == "BOOL")
    widen<uint8_t>(data, out);
  else if (out.bytes() > 0)
    std::memcpy(out.raw(), data, out.bytes());
  return out;
}

const char* file_name(DType t) {
  switch (t) {
    case DType::f32:
      return "F32";
    case DType::f64:
      return "F64";
    case DType::i64:
      return "I64";
    case DType::bf16:
      fail("[safetensors] bf16 tensors are not written. Hint: convert to f32");
    default:
      return "U8";
  }
}

struct Layout {
  std::vector<Entry> entries;  // in the order of the file
  std::map<std::string, std::string> metadata;
};

// Of the header in a file of `bytes`, whose first eight are `begin`.
uint64_t header_length(const char* begin, uint64_t bytes, const std::string& name) {
  if (bytes < 8) refuse(name, "it has {} bytes, a header needs at least 8", bytes);
  uint64_t length;
  std::memcpy(&length, begin, 8);
  if (length > largest_header)
    refuse(name, "its header would have {} bytes, at most {} are allowed", length, largest_header);
  if (length > bytes - 8) refuse(name, "its header has {} bytes, the file only {}: truncated", length, bytes - 8);
  return length;
}

Layout read_layout(std::string_view text, uint64_t data_bytes, const std::string& name) {
  json header = parse_header(text, name);
  Layout layout;
  for (const auto& [key, value] : header.items()) {
    if (key != "__metadata__") {
      layout.entries.push_back(read_entry(key, value, data_bytes, name));
      continue;
    }
    if (!value.is_object()) refuse(name, "__metadata__ is not an object");
    for (const auto& [k, v] : value.items()) {
      if (!v.is_string()) refuse(name, "metadata '{}' is not a string", printable(k));
      layout.metadata[k] = v.get<std::string>();
    }
  }
  std::sort(layout.entries.begin(), layout.entries.end(),
            [](const Entry& a, const Entry& b) { return std::tie(a.begin, a.end) < std::tie(b.begin, b.end); });
  uint64_t at = 0;
  for (const Entry& e : layout.entries) {
    if (e.begin != at)
      refuse(name, "tensor '{}' begins at byte {}, expected {}: tensors overlap or leave a gap", printable(e.name),
             e.begin, at);
    at = e.end;
  }
  if (at != data_bytes) refuse(name, "{} bytes after the last tensor belong to none", data_bytes - at);
  return layout;
}

TensorFileHeader header_of(Layout layout) {
  TensorFileHeader header{{}, std::move(layout.metadata)};
  for (const Entry& e : layout.entries)
    header.tensors[e.name] = {e.type->name, e.shape, e.end - e.begin, e.type->dtype.has_value()};
  return header;
}

}  // namespace

TensorFile parse_safetensors(std::string_view bytes, const std::string& name, Unreadable others) {
  uint64_t length = header_length(bytes.data(), bytes.size(), name);
  std::string_view data = bytes.substr(8 + length);
  Layout layout = read_layout(bytes.substr(8, length), data.size(), name);
  TensorFile file{{}, std::move(layout.metadata)};
  for (const Entry& e : layout.entries) {
    if (e.type->dtype)
      file.tensors[e.name] = read_elements(e, data.data() + e.begin);
    else if (others == Unreadable::refuse)
      refuse(name, "tensor '{}' has dtype '{}', which is not supported; save it as F32, F64, I64 or U8",
             printable(e.name), e.type->name);
  }
  return file;
}

TensorFileHeader parse_safetensors_header(std::string_view bytes, const std::string& name) {
  uint64_t length = header_length(bytes.data(), bytes.size(), name);
  return header_of(read_layout(bytes.substr(8, length), bytes.size() - 8 - length, name));
}

TensorFileHeader read_safetensors_header(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  if (!in) throw IoError(fmt::format("cannot open '{}': {}", path.string(), std::strerror(errno)));
  auto take = [&](size_t n) {
    std::string bytes(n, '\0');
    if (!in.read(bytes.data(), static_cast<std::streamsize>(n)))
      throw IoError(fmt::format("cannot read '{}'", path.string()));
    return bytes;
  };
  uint64_t size = static_cast<uint64_t>(in.tellg());
  in.seekg(0);
  uint64_t length = header_length(take(std::min<uint64_t>(size, 8)).data(), size, path.string());
  return header_of(read_layout(take(length), size - 8 - length, path.string()));
}

TensorFile read_safetensors(const std::filesystem::path& path) {
  return parse_safetensors(read_whole_file(path), path.string());
}

void write_safetensors(const std::filesystem::path& path, const TensorFile& file) {
  json header = json::object();
  if (!file.metadata.empty()) header["__metadata__"] = file.metadata;
  uint64_t at = 0;
  for (const auto& [name, x] : file.tensors) {
    VAPO_CHECK(x.defined(), "[write_safetensors] '{}': tensor '{}' is undefined", path.string(), printable(name));
    VAPO_CHECK(name != "__metadata__", "[write_safetensors] '{}': a tensor cannot be called '{}'", path.string(),
               name);
    json shape = json::array();
    for (int64_t d : x.shape()) shape.push_back(d);
    header[name] = {{"dtype", file_name(x.dtype())}, {"shape", shape}, {"data_offsets", {at, at + x.bytes()}}};
    at += x.bytes();
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const json::exception&) {
    fail("[write_safetensors] '{}': a name or a metadata value is not UTF-8", path.string());
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the elements start at a multiple of 8
  uint64_t length = text.size();
  std::string head(reinterpret_cast<const char*>(&length), 8);
  head += text;
  std::vector<std::string_view> pieces{head};
  std::vector<Tensor> here;
  for (const auto& [name, x] : file.tensors) {
    here.push_back(x.to(Device::cpu));
    pieces.emplace_back(static_cast<const char*>(here.back().raw()), x.bytes());
  }
  write_file_atomically(path, pieces);
}

}  // namespace vapo

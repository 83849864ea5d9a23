#pragma once
// The safetensors format: an 8-byte little-endian header length, a JSON header, the raw elements.

#include <filesystem>
#include <map>
#include <string>

#include "tensor/tensor.h"

namespace vapo {

struct TensorFile {
  std::map<std::string, Tensor> tensors;        // in name order
  std::map<std::string, std::string> metadata;  // the header's "__metadata__"
};

enum class Unreadable { refuse, leave_out };  // tensors of dtypes that this library has no numbers for

// Reads everything. dtypes F32, F64, I64, U8 as they are; F16, BF16 → f32; I32, I16, I8, U16, U32, BOOL → i64; the
// format's others (U64, C64, F8_…, F6_…, F4) are unreadable. Throws IoError where the file cannot be opened or read, InputError (naming the file and the tensor) for a
// truncated file, a header that is no JSON object, too large (> 100 MiB), with duplicate keys, wrong sizes,
// overlaps or gaps.
TensorFile read_safetensors(const std::filesystem::path& path);
TensorFile parse_safetensors(std::string_view bytes, const std::string& name,
                             Unreadable others = Unreadable::refuse);  // the same, from memory

struct TensorEntry {
  std::string dtype;  // the file's name of it: F32, BF16, F8_E4M3, …
  Shape shape;
  uint64_t bytes = 0;  // in the file
  bool readable = true;
};
struct TensorFileHeader {
  std::map<std::string, TensorEntry> tensors;  // by name
  std::map<std::string, std::string> metadata;
};
// The same of the header alone: quick, whatever the size of the file. Unreadable tensors are entries like others.
TensorFileHeader read_safetensors_header(const std::filesystem::path& path);
TensorFileHeader parse_safetensors_header(std::string_view bytes,
                                          const std::string& name);  // bytes: the whole file

// Writes to a temporary file beside `path`, fsyncs it, renames it over `path` and fsyncs the folder: a reader sees
// the old file or the new one, never a part. On failure nothing is left behind; throws IoError.
void write_safetensors(const std::filesystem::path& path, const TensorFile& file);

}  // namespace vapo

#pragma once
// NumPy's .npy, versions 1.0 to 3.0.

#include <filesystem>
#include <string>
#include <string_view>

#include "tensor/tensor.h"

namespace vapo {

// Numeric dtypes in either byte order and either memory order; f4, f8, i8, u1 as they are, f2 → f32, other integers
// and bool → i64. Throws IoError where the file cannot be read, InputError (naming it) for object or string dtypes,
// a bad header, or a length that is not the shape's.
Tensor read_npy(const std::filesystem::path& path);
Tensor parse_npy(std::string_view bytes, const std::string& name);
struct NpyHeader {
  std::string dtype;  // f32, i16, u8, bool, … of whatever byte order; NumPy's own code of what is no number, "<U5"
  Shape shape;
  uint64_t bytes = 0;  // of the elements
  bool readable = true;
};
// What the header says, also of text and other things that parse_npy refuses. Throws InputError, naming the file.
NpyHeader parse_npy_header(std::string_view bytes, const std::string& name);
std::string npy_header(const Tensor& x);  // what stands before the elements, which follow as they lie in memory
void write_npy(const std::filesystem::path& path, const Tensor& x);  // atomically, as write_safetensors

}  // namespace vapo

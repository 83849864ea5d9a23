#pragma once
// NumPy's .npz: a zip archive of .npy files.

#include <filesystem>
#include <map>
#include <string>

#include "tensor/tensor.h"

namespace vapo::data {

using Arrays = std::map<std::string, Tensor>;  // by name, without ".npy"

// Compressed. Written whole or not at all; throws IoError naming the file.
void write_npz(const std::filesystem::path& file, const Arrays& arrays);
// Throws IoError where it cannot be read, InputError where it is no zip archive or an entry is no array.
Arrays read_npz(const std::filesystem::path& file);

}  // namespace vapo::data

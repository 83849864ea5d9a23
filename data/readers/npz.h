#pragma once
// NumPy's .npz: a zip archive of .npy files.

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace vapo::data {

using Arrays = std::map<std::string, Tensor>;  // by name, without ".npy"

// Compressed. Written whole or not at all; throws IoError naming the file.
void write_npz(const std::filesystem::path& file, const Arrays& arrays);
// Those of `names` that are there, or all: others are not parsed, whatever they hold. Throws IoError where it cannot
// be read, InputError where it is no zip archive of .npy files or an array that is asked for is none of numbers.
Arrays read_npz(const std::filesystem::path& file, const std::vector<std::string>& names = {});
// f(name, the bytes of the .npy file that it is) for each; throws the same.
void for_npz_entries(const std::filesystem::path& file,
                     const std::function<void(const std::string& name, const std::string& bytes)>& f);
std::vector<std::string> npz_names(const std::filesystem::path& file);  // of all arrays; throws the same

}  // namespace vapo::data

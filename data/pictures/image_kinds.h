#pragma once
// Kinds of picture files: how each is known, and what reads it.

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "tensor/tensor.h"

namespace vapo::data {

struct ImageKind {
  std::string_view name;     // "JPEG"
  std::string_view endings;  // ".jpg .jpeg ", a blank after each
  // How files begin, one of those that are not empty; "?" is any byte. Sure where it is longer than two bytes: text
  // may begin with "BM" or "P5".
  std::string_view beginnings[6];
  Tensor (*decode)(std::span<const std::byte> bytes, const std::string& name);  // null: not read
  bool is_read() const { return decode != nullptr; }
};

constexpr size_t longest_beginning = 16;  // bytes of a file that tell its kind
// Null where no kind fits. `sure`: only by beginnings that are.
const ImageKind* kind_by_bytes(std::string_view first_bytes, bool sure = false);
const ImageKind* kind_by_ending(const std::filesystem::path& file);
bool is_image_name(const std::filesystem::path& file);  // by its ending, of a kind that is read
std::string kinds_read();                               // "PNG, JPEG, …"
// "Hint: convert them to PNG, as with ImageMagick: …" for files of a kind that is not read.
std::string conversion_hint(std::string_view ending);
std::string lower_case_ending(const std::filesystem::path& file);  // ".jpg"; "" without one

}  // namespace vapo::data

#pragma once
// The archives of image sets as bytes: what is behind the readers of images.h. All throw InputError naming `name`.

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

#include "data/sets/images.h"

namespace vapo::data::detail {

// Unsigned bytes of any rank; gzipped or not.
Tensor parse_idx(std::string_view bytes, const std::string& name);
// Records of `label_bytes` bytes, the last of them the label, below `classes`, and the three planes of 32×32 pixels.
ImageSet parse_cifar(std::string_view bytes, int64_t label_bytes, int64_t classes, const std::string& name);
// X (32,32,3,N) and y (N,1), 10 for the digit 0, in MATLAB's format 5, packed or not.
ImageSet parse_svhn(std::string_view bytes, const std::string& name);

// One name a line.
std::vector<std::string> parse_class_names(std::string_view text, size_t classes, const std::string& name);

// A line of CelebA's partition: FILE SPACE-OR-COMMA PART, after a line of column names or without one.
struct PartOf {
  std::string name;
  int64_t part;  // 0 train, 1 validation, 2 test
};
std::vector<PartOf> parse_partition(std::string_view text, const std::string& name);

template <class... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) {
  throw InputError(fmt::format(format, std::forward<Args>(args)...));
}

// The images of several files of one kind as one set.
ImageSet concatenate(const std::vector<ImageSet>& parts);
// train or test, for sets that have no other part.
void refuse_validation(Subset subset, const char* set);

}  // namespace vapo::data::detail

#pragma once
// What a file is by its first bytes, whatever its name ends with.

#include <optional>
#include <string_view>

namespace vapo::data {

struct FileKind {
  std::string_view name;     // "an Excel workbook (.xlsx)"
  std::string_view instead;  // what to do to have a table of its contents, as a command or in words
};
// Archives, workbooks, pictures, columnar and scientific formats, JSON, HTML, UTF-16, Git LFS pointers. Empty for
// what may be plain text, and for gzip and .npy, which are read.
std::optional<FileKind> kind_of(std::string_view bytes);

}  // namespace vapo::data

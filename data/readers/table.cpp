// Tables of numbers from text and from .npy.

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>

#include "data/sets/points.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/npy.h"
#include "tensor/io/printable.h"
#include "tensor/kernels.h"

namespace vapo::data {
namespace {

template <class... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) {
  throw InputError(fmt::format(format, std::forward<Args>(args)...));
}

std::string_view trim(std::string_view s) {
  auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!s.empty() && blank(s.front())) s.remove_prefix(1);
  while (!s.empty() && blank(s.back())) s.remove_suffix(1);
  return s;
}

// The separator of a line: the first of semicolon, comma and tab that it contains, else white space.
char separator_of(std::string_view line) {
  for (char c : {';', ',', '\t'})
    if (line.find(c) != std::string_view::npos) return c;
  return ' ';
}

std::vector<std::string_view> split(std::string_view line, char separator) {
  std::vector<std::string_view> out;
  if (separator == ' ') {
    for (line = trim(line); !line.empty(); line = trim(line)) {
      size_t end = std::min(line.find_first_of(" \t"), line.size());
      out.push_back(line.substr(0, end));
      line.remove_prefix(end);
    }
    return out;
  }
  for (;;) {
    size_t end = line.find(separator);
    out.push_back(trim(line.substr(0, end)));
    if (end == std::string_view::npos) return out;
    line.remove_prefix(end + 1);
  }
}

std::optional<double> number(std::string_view s) {
  if (s.starts_with('+') && !s.starts_with("+-")) s.remove_prefix(1);
  double value = 0;
  auto [rest, error] = std::from_chars(s.data(), s.data() + s.size(), value);
  if (s.empty() || error != std::errc() || rest != s.data() + s.size()) return {};
  return value;
}

void check_rows(int64_t rows, const std::string& name) {
  if (rows < 2) refuse("'{}': {} row{} of numbers, at least 2 are needed", name, rows, rows == 1 ? "" : "s");
}

}  // namespace

Table parse_csv(std::string_view text, const std::string& name) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // byte-order mark
  std::vector<double> values;
  Table table;
  size_t columns = 0;
  int64_t rows = 0;
  char separator = ' ';
  for (int64_t line_number = 1; !text.empty(); ++line_number) {
    size_t end = text.find('\n');
    std::string_view line = trim(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty() || line[0] == '#') continue;
    if (line.find('"') != std::string_view::npos && columns > 0)
      refuse("'{}' line {}: quoted fields are not supported; write plain numbers", name, line_number);
    if (columns == 0) separator = separator_of(line);
    std::vector<std::string_view> fields = split(line, separator);
    if (columns == 0) {
      columns = fields.size();
      bool header =
          std::none_of(fields.begin(), fields.end(), [](std::string_view f) { return number(f).has_value(); });
      if (header) {
        for (std::string_view f : fields) {
          if (f.size() >= 2 && f.front() == '"' && f.back() == '"') f = f.substr(1, f.size() - 2);
          table.columns.emplace_back(f);
        }
        continue;
      }
    }
    if (fields.size() != columns)
      refuse("'{}' line {}: {} fields, the lines before have {}", name, line_number, fields.size(), columns);
    for (size_t i = 0; i < columns; ++i) {
      std::optional<double> v = number(fields[i]);
      if (fields[i].empty()) refuse("'{}' line {}, column {}: the field is empty", name, line_number, i + 1);
      if (!v)
        refuse("'{}' line {}, column {}: '{}' is not a number (in the range of f64)", name, line_number, i + 1,
               printable(fields[i]));
      if (!std::isfinite(*v))
        refuse("'{}' line {}, column {}: the value is {}; every value must be finite", name, line_number, i + 1,
               *v);
      values.push_back(*v);
    }
    ++rows;
  }
  check_rows(rows, name);
  table.values = Tensor::from(values, {rows, static_cast<int64_t>(columns)});
  return table;
}

Table read_table(const std::filesystem::path& path) {
  std::string name = path.string();
  if (path.extension() != ".npy") return parse_csv(read_whole_file(path), name);
  Tensor x = read_npy(path);
  if (x.rank() == 1) x = x.reshape({x.numel(), 1});
  if (x.rank() != 2) refuse("'{}': shape {}, expected rows × columns", name, x.shape().str());
  if (x.dim(1) == 0) refuse("'{}': shape {} has no columns", name, x.shape().str());
  check_rows(x.dim(0), name);
  x = x.to(DType::f64);
  for (int64_t i = 0; i < x.numel(); ++i)
    if (!std::isfinite(x.data<double>()[i]))
      refuse("'{}' row {}, column {}: the value is {}; every value must be finite", name, i / x.dim(1) + 1,
             i % x.dim(1) + 1, x.at(i));
  return {x, {}};
}

}  // namespace vapo::data

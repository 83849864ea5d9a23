#pragma once
// Tables of numbers, column by column: from text (comma, semicolon, tab, bar or white space between the fields,
// gzipped or not), .npy, and .npz of one array.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tensor/names.h"
#include "tensor/tensor.h"

namespace vapo::data {

namespace detail {
struct Reading;
}

// A column of a file, as it was understood.
struct Column {
  enum class Kind { number, date, text, empty };
  std::string name;    // of the header; "column 3" where it has none. No two are alike
  bool named = false;  // by the header
  Kind kind = Kind::empty;
  double low = 0, high = 0;  // of its numbers
  int64_t missing = 0;       // cells without a value: empty, NA, NaN, null, …
  bool counts = false;       // 0, 1, 2, … or 1, 2, 3, … down the rows
  bool row_names = false;    // the first, without a name in the header: of text, or alone in quotes, as R writes it
  // The first cell of each sort and the line that it stands in (of arrays: the row); 0 where there is none.
  struct Cell {
    std::string text;
    int64_t line = 0;
  } first_text, first_missing, first_infinite;
  int64_t numbers = 0;  // cells
};
constexpr auto names_of(Column::Kind) {
  using K = Column::Kind;
  return name_table<K>("kind of column",
                       {{"number", K::number}, {"date", K::date}, {"text", K::text}, {"empty", K::empty}});
}

using NameOrNumber = std::variant<int64_t, std::string>;  // of a column; numbers begin with 1

enum class Missing { refuse, drop };  // rows without a value in a chosen column
constexpr auto names_of(Missing) {
  return name_table<Missing>("way with missing values", {{"refuse", Missing::refuse}, {"drop", Missing::drop}});
}

struct TableOptions {
  // In this order; none: all, and refused where one does not hold numbers; "numeric" alone: all that hold numbers,
  // but row names.
  std::vector<NameOrNumber> columns = {};
  Missing missing = Missing::refuse;
};

// What was chosen of a file.
struct Table {
  Tensor values;                     // (rows, columns) f64, finite
  std::vector<std::string> columns;  // their names; empty where the file has no header
  std::vector<int64_t> places;       // of each in the file's columns, from 0
  std::vector<int64_t> rows;         // of each in the file's rows of values, from 1
  int64_t rows_dropped = 0;          // for want of a value
  std::vector<std::string> notes;    // a line each: what was guessed, left out or dropped; without the file's name
};

// A whole file, of which columns can be chosen more than once.
class TableFile {
 public:
  // Throws IoError/InputError with one line that names the file, and the line and column where there is one: what is
  // no table (by its content: archives, workbooks, pictures, UTF-16, …), ragged rows, no rows.
  explicit TableFile(const std::filesystem::path& path);
  static TableFile parse(std::string_view text, const std::string& name);  // text alone, not packed

  const std::string& name() const { return name_; }
  bool has_header() const { return header_; }
  int64_t rows() const { return rows_; }
  const std::vector<Column>& columns() const { return columns_; }
  // Throws InputError: a column that is not there or holds no numbers (with those that do, and how to ask for them),
  // a value that is missing or infinite, fewer than 2 rows.
  Table choose(const TableOptions& options) const;

 private:
  friend class TableBuilder;
  TableFile() = default;
  static TableFile of_array(const Tensor& array, const std::string& name);
  void add(detail::Reading&& column);
  std::string name_, line_ = "line";  // what a row is called in messages
  bool header_ = false;
  int64_t rows_ = 0;
  std::vector<Column> columns_;
  std::vector<std::vector<double>> values_;  // of the columns of numbers, NaN where missing; else empty
  std::vector<std::string> notes_;
};

// As TableFile, then choose.
Table read_table(const std::filesystem::path& path, const TableOptions& options = {});
Table parse_csv(std::string_view text, const std::string& name, const TableOptions& options = {});

// `["a", "b"]`, as a config writes a choice of columns.
std::string as_setting(const std::vector<NameOrNumber>& columns);

}  // namespace vapo::data

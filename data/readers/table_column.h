#pragma once
// A column of a table while its cells come.

#include <string>
#include <string_view>
#include <vector>

#include "data/readers/table.h"

namespace vapo::data::detail {

struct Reading {
  Column column;
  std::vector<double> values;             // of its cells, NaN where missing; none once there was text
  Column::Cell first_comma, first_point;  // in numbers
  bool digits_alone = false, other_than_digits = false;  // in a cell below the first line

  // A number, which may be infinite, or NaN where the cell has none. Cells may come in any order.
  void see(double value, std::string_view cell, int64_t line);
  void see_text(std::string_view cell, int64_t line);
  static void keep(Column::Cell& first, std::string_view cell, int64_t line);

  bool has_text() const { return column.first_text.line > 0; }
  bool is_empty() const { return column.numbers == 0 && !has_text() && column.first_infinite.line == 0; }
  bool counts() const;  // 0, 1, 2, … or 1, 2, 3, … in all rows, three at least
};

}  // namespace vapo::data::detail

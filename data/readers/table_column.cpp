#include "data/readers/table_column.h"

#include <time.h>

#include <algorithm>
#include <cmath>

namespace vapo::data {
namespace {

bool is_date(const std::string& text) {
  if (text.size() < 4) return false;
  for (const char* format : {"%Y-%m-%d", "%Y/%m/%d", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%Y-%m", "%b %d %Y",
                             "%b %d, %Y", "%d %b %Y", "%b-%d-%Y", "%d-%b-%Y", "%H:%M"}) {
    tm unused{};
    const char* rest = strptime(text.c_str(), format, &unused);
    if (rest && (*rest == 0 || std::string_view(" T:Z").find(*rest) != std::string_view::npos)) return true;
  }
  return false;
}

}  // namespace

namespace detail {

void Reading::keep(Column::Cell& first, std::string_view cell, int64_t line) {
  constexpr size_t most = 60;
  if (first.line == 0 || line < first.line) first = {std::string(cell.substr(0, most)), line};
}

void Reading::see(double value, std::string_view cell, int64_t line) {
  if (std::isfinite(value)) [[likely]] {
    column.low = column.numbers == 0 ? value : std::min(column.low, value);
    column.high = column.numbers == 0 ? value : std::max(column.high, value);
    ++column.numbers;
  } else if (std::isnan(value)) {
    keep(column.first_missing, cell, line);
    ++column.missing;
  } else {
    keep(column.first_infinite, cell, line);
  }
  if (!has_text()) values.push_back(value);
}

void Reading::see_text(std::string_view cell, int64_t line) {
  keep(column.first_text, cell, line);
  values = {};
}

bool Reading::counts() const {
  for (size_t i = 1; i < values.size(); ++i)
    if (values[i] - values[i - 1] != 1) return false;
  return values.size() > 2 && (values[0] == 0 || values[0] == 1);
}

}  // namespace detail

void TableFile::add(detail::Reading&& reading) {
  using Kind = Column::Kind;
  Column& c = reading.column;
  if (reading.has_text())
    c.kind = is_date(c.first_text.text) ? Kind::date : Kind::text;
  else
    c.kind = reading.is_empty() ? Kind::empty : Kind::number;
  c.counts = c.kind == Kind::number && reading.counts();
  if (c.kind != Kind::number) reading.values = {};
  columns_.push_back(std::move(c));
  values_.push_back(std::move(reading.values));
}

}  // namespace vapo::data

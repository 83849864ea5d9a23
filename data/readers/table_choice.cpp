// The choice among the columns of a table.

#include "data/readers/table.h"

#include <algorithm>
#include <cmath>

#include "data/readers/archives.h"
#include "tensor/io/printable.h"

namespace vapo::data {

using detail::refuse;

namespace {

// `a, b and 7 more`, as many as go into a line.
std::string listed(const std::vector<std::string>& names) {
  constexpr size_t most = 300;
  std::string out;
  for (size_t i = 0; i < names.size(); ++i) {
    if (out.size() > most) return out + fmt::format(" and {} more", names.size() - i);
    out += (i > 0 ? ", " : "") + printable(names[i]);
  }
  return out;
}

std::string place_of(const Column& c, size_t index) {
  return fmt::format("column {}{}", index + 1, c.named ? fmt::format(" ({})", printable(c.name)) : "");
}

// A column of numbers as a setting names it: by its number where a shell could misread the name, or has not got it.
NameOrNumber asked_for(const Column& c, size_t index) {
  bool plain = c.named && std::all_of(c.name.begin(), c.name.end(), [](char x) {
                 return x >= ' ' && x < 127 && x != '\'' && x != '"' && x != '\\';
               });
  if (plain) return c.name;
  return static_cast<int64_t>(index) + 1;
}

bool is_index(const Column& c, size_t index, bool header) {
  return index == 0 && header && !c.named && (c.counts || c.row_names);
}

// What there is to choose, and how to ask for it.
std::string how_to_choose(const TableFile& file) {
  std::vector<std::string> names;
  std::vector<NameOrNumber> some;
  for (size_t i = 0; i < file.columns().size(); ++i) {
    const Column& c = file.columns()[i];
    if (c.kind != Column::Kind::number || is_index(c, i, file.has_header())) continue;
    names.push_back(c.name);
    if (some.size() < 12) some.push_back(asked_for(c, i));
  }
  if (names.empty()) return "No column holds numbers alone";
  return fmt::format(
      "Columns of numbers: {}. Hint: --set data.columns=numeric takes {}, --set 'data.columns={}' those "
      "that are named",
      listed(names), names.size() == 1 ? "it" : "them all", as_setting(some));
}

[[noreturn]] void refuse_text(const TableFile& file, size_t index, size_t others) {
  const Column& c = file.columns()[index];
  std::string more = others > 0 ? fmt::format(" (nor {} other column{})", others, others > 1 ? "s" : "") : "";
  if (c.kind == Column::Kind::empty)
    refuse("'{}' {}: it has no values{}. {}", file.name(), place_of(c, index), more, how_to_choose(file));
  if (c.kind == Column::Kind::number)
    refuse("'{}' {}: it has no name and stands in quotes where numbers do not: names of rows. {}", file.name(),
           place_of(c, index), how_to_choose(file));
  std::string what = c.kind == Column::Kind::date ? "is a date and not a number"
                     : c.row_names ? "is not a number; without a name, the column may be names of rows"
                                   : "is not a number";
  bool comma = c.first_text.text.find_first_not_of("0123456789+-,. ") == std::string::npos &&
               c.first_text.text.find(',') != std::string::npos;
  if (comma) what += ": a comma of decimals or of thousands? Write numbers with a point and no other separator";
  if (c.numbers > 0 && !comma) what += fmt::format("; {} other cells of the column are", c.numbers);
  refuse("'{}' line {}, {}: '{}' {}{}. {}", file.name(), c.first_text.line, place_of(c, index),
         printable(c.first_text.text), what, more, how_to_choose(file));
}

}  // namespace

std::string as_setting(const std::vector<NameOrNumber>& columns) {
  std::string out;
  for (const NameOrNumber& column : columns) {
    out += out.empty() ? "" : ", ";
    if (const int64_t* number = std::get_if<int64_t>(&column)) {
      out += fmt::format("{}", *number);
      continue;
    }
    out += '"';
    for (char c : std::get<std::string>(column)) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    out += '"';
  }
  return "[" + out + "]";
}

namespace {

// All of numbers, or, where that is asked for, those that there are: a note says which are left out.
std::vector<size_t> places_of_all(const TableFile& file, bool numeric, std::vector<std::string>& notes) {
  std::vector<size_t> out, others;
  std::vector<std::string> left_out;
  for (size_t i = 0; i < file.columns().size(); ++i) {
    const Column& c = file.columns()[i];
    bool index = numeric ? is_index(c, i, file.has_header()) : c.row_names;
    if (c.kind == Column::Kind::number && !index) {
      out.push_back(i);
      continue;
    }
    others.push_back(i);
    left_out.push_back(fmt::format("{} ({})", c.name, index ? "numbers or names of rows" : name_of(c.kind)));
  }
  if (others.empty()) return out;
  if (!numeric || out.empty()) refuse_text(file, others[0], others.size() - 1);
  notes.push_back(fmt::format("columns left out: {}", listed(left_out)));
  return out;
}

size_t place_of(const TableFile& file, const NameOrNumber& asked) {
  const std::vector<Column>& columns = file.columns();
  if (const int64_t* number = std::get_if<int64_t>(&asked)) {
    if (*number >= 1 && *number <= static_cast<int64_t>(columns.size())) return static_cast<size_t>(*number) - 1;
    std::string name = fmt::format("{}", *number);  // 2019, of a header of years
    for (size_t i = 0; i < columns.size(); ++i)
      if (columns[i].name == name) return i;
    refuse("'{}' has no column {}: they go from 1 to {}. {}", file.name(), *number, columns.size(),
           how_to_choose(file));
  }
  const std::string& name = std::get<std::string>(asked);
  auto found = std::find_if(columns.begin(), columns.end(), [&](const Column& c) { return c.name == name; });
  if (found != columns.end()) return static_cast<size_t>(found - columns.begin());
  refuse("'{}' has no column '{}'{}. {}", file.name(), printable(name),
         file.has_header() ? "" : ": no line of names was found, numbers from 1 choose", how_to_choose(file));
}

std::vector<size_t> places_of(const TableFile& file, const std::vector<NameOrNumber>& asked,
                              std::vector<std::string>& notes) {
  bool numeric = asked.size() == 1 && asked[0] == NameOrNumber("numeric");
  if (asked.empty() || numeric) return places_of_all(file, numeric, notes);
  std::vector<size_t> out;
  for (const NameOrNumber& one : asked) {
    size_t place = place_of(file, one);
    if (file.columns()[place].kind != Column::Kind::number) refuse_text(file, place, 0);
    if (std::count(out.begin(), out.end(), place) > 0)
      refuse("'{}': {} is asked for twice", file.name(), place_of(file.columns()[place], place));
    out.push_back(place);
  }
  return out;
}

// What is likely not meant as a dimension.
void tell_doubts(const TableFile& file, const std::vector<size_t>& places, const Table& table,
                 std::vector<std::string>& notes) {
  for (size_t k = 0; k < places.size(); ++k) {
    const Column& c = file.columns()[places[k]];
    const double* x = table.values.data<double>();
    int64_t width = table.values.dim(1), i = 1;
    while (i < table.values.dim(0) && x[i * width + static_cast<int64_t>(k)] == x[k]) ++i;
    if (i == table.values.dim(0))
      notes.push_back(fmt::format("{} holds {} in every row", place_of(c, places[k]), x[k]));
    bool without_name = file.has_header() && places[k] == 0 && !c.named;
    if (!(c.counts || without_name) || places.size() < 2) continue;
    std::vector<NameOrNumber> others;
    for (size_t place : places)
      if (place != places[k]) others.push_back(asked_for(file.columns()[place], place));
    std::string setting = as_setting(others), what = c.named ? "" : " has no name";
    if (c.counts)
      what +=
          fmt::format("{} counts {}, {}, {}, … down the rows", c.named ? "" : " and", c.low, c.low + 1, c.low + 2);
    notes.push_back(fmt::format(
        "{}{}: an index? {} leaves it out", place_of(c, places[k]), what,
        setting.size() < 300 ? fmt::format("--set 'data.columns={}'", setting) : "data.columns without it"));
  }
}

}  // namespace

Table TableFile::choose(const TableOptions& options) const {
  if (rows_ == 0) refuse("'{}': 0 rows of numbers, at least 2 are needed", name_);
  Table table{.values = {}, .columns = {}, .places = {}, .rows = {}, .notes = notes_};
  std::vector<size_t> places = places_of(*this, options.columns, table.notes);
  std::vector<char> whole(static_cast<size_t>(rows_), 1);
  std::vector<std::string> lacking;
  for (size_t place : places) {
    const Column& c = columns_[place];
    if (c.first_infinite.line > 0)
      refuse("'{}' {} {}, {}: the value is {}; every value must be finite, in the range of f64", name_, line_,
             c.first_infinite.line, place_of(c, place), printable(c.first_infinite.text));
    if (c.missing > 0) lacking.push_back(fmt::format("{} ({})", c.name, c.missing));
    if (c.missing > 0)
      for (size_t i = 0; i < whole.size(); ++i) whole[i] = whole[i] && !std::isnan(values_[place][i]);
  }
  int64_t rows = std::count(whole.begin(), whole.end(), 1);
  table.rows_dropped = rows_ - rows;
  if (table.rows_dropped > 0) {
    const size_t* first = std::find_if(places.data(), places.data() + places.size(),
                                       [&](size_t place) { return columns_[place].missing > 0; });
    std::string what =
        fmt::format("{} of {} rows have no value in: {}", table.rows_dropped, rows_, listed(lacking));
    const Column::Cell& cell = columns_[*first].first_missing;
    if (options.missing == Missing::refuse)
      refuse("'{}' {} {}, {}: {}; {}. Hint: --set data.missing=drop leaves such rows out", name_, line_, cell.line,
             place_of(columns_[*first], *first),
             cell.text.empty() ? "the field is empty" : fmt::format("the value is {}", printable(cell.text)), what);
    if (rows < 2) refuse("'{}': {} row{} left, at least 2 are needed: {}", name_, rows, rows == 1 ? "" : "s", what);
    table.notes.push_back(fmt::format("left out: {}", what));
  }
  if (rows < 2) refuse("'{}': {} row{} of numbers, at least 2 are needed", name_, rows, rows == 1 ? "" : "s");

  table.values = Tensor::zeros({rows, static_cast<int64_t>(places.size())}, DType::f64);
  double* out = table.values.mutable_data<double>();
  for (size_t i = 0; i < whole.size(); ++i)
    if (whole[i]) {
      for (size_t place : places) *out++ = values_[place][i];
      table.rows.push_back(static_cast<int64_t>(i) + 1);
    }
  for (size_t place : places) {
    table.places.push_back(static_cast<int64_t>(place));
    if (header_) table.columns.push_back(columns_[place].name);
  }
  tell_doubts(*this, places, table, table.notes);
  return table;
}

Table read_table(const std::filesystem::path& path, const TableOptions& options) {
  return TableFile(path).choose(options);
}

Table parse_csv(std::string_view text, const std::string& name, const TableOptions& options) {
  return TableFile::parse(text, name).choose(options);
}

}  // namespace vapo::data

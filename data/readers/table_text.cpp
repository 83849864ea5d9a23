// A table from text: which line is the header, what each column holds.

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <set>

#include "data/readers/archives.h"
#include "data/readers/table.h"
#include "data/readers/table_column.h"
#include "data/readers/table_rows.h"
#include "tensor/io/printable.h"

namespace vapo::data {

using detail::Reading;
using detail::refuse;
using detail::Rows;

namespace {

using Fields = std::vector<std::string_view>;
constexpr double none = std::numeric_limits<double>::quiet_NaN();

// What pandas takes for no value, and a few more; lower case.
constexpr std::string_view missing_words[] = {
    "",    "na",       "n/a",  "nan",   "-nan", "null",   "none",    "?",       ".",        "-",      "#n/a",
    "#na", "#n/a n/a", "<na>", "<nan>", "nil",  "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan", "missing"};

bool is_missing(std::string_view cell) {
  if (cell.size() > 10) return false;
  std::string lower(cell);
  for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  return std::find(std::begin(missing_words), std::end(missing_words), lower) != std::end(missing_words);
}

// Infinite where the cell says so or is beyond f64.
std::optional<double> number(std::string_view s) {
  if (s.size() > 1 && s[0] == '+' && s[1] != '-') s.remove_prefix(1);
  double value = 0;
  auto [rest, error] = std::from_chars(s.data(), s.data() + s.size(), value);
  if (rest != s.data() + s.size() || error == std::errc::invalid_argument) return {};
  return error == std::errc::result_out_of_range ? INFINITY : value;
}

// 3,14: digits on both sides or one of a single comma, no point.
std::optional<double> number_with_comma(std::string_view s) {
  size_t comma = s.find(',');
  if (comma == std::string_view::npos || s.size() > 60 || s.find('.') != std::string_view::npos) return {};
  std::string text(s);
  text[comma] = '.';
  return number(text);
}

bool all_digits(std::string_view s) {
  return !s.empty() && s.size() < 10 &&
         std::all_of(s.begin(), s.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::string listed(const Fields& fields) {
  std::string out;
  for (std::string_view f : fields) out += (out.empty() ? "" : ", ") + std::string(f);
  return printable(out);
}

}  // namespace

// Goes through the rows once. Whether the first holds names is known when all others have been seen.
class TableBuilder {
 public:
  TableBuilder(std::string_view text, const std::string& name) : text_(text) {
    table_.name_ = name;
    if (text_.starts_with("\xEF\xBB\xBF")) text_.remove_prefix(3);  // byte-order mark
    separator_ = detail::separator_of(text_, name);
  }

  TableFile build() {
    count_fields();
    Rows rows(text_, separator_, table_.name_);
    if (!skip_to_table(rows)) refuse("'{}': 0 rows of numbers, at least 2 are needed", table_.name_);
    first_.assign(rows.fields().begin(), rows.fields().end());
    first_.resize(width_);
    first_line_ = rows.line();
    first_in_quotes_ = rows.all_quoted();
    bool first_alone = rows.only_first_quoted();
    columns_.resize(width_);
    while (rows.next()) take(rows);
    if (is_header()) {
      set_names(first_);
    } else {
      for (size_t i = 0; i < width_; ++i) {
        Reading& c = columns_[i];
        see(c, first_[i], first_line_);  // the last of the values, and to be the first
        std::rotate(c.values.rbegin(), c.values.rbegin() + (c.values.empty() ? 0 : 1), c.values.rend());
      }
      ++table_.rows_;
      names_quoted_ += first_alone;
    }
    finish();
    return std::move(table_);
  }

 private:
  // The number of fields that most of the first rows have.
  void count_fields() {
    constexpr size_t enough = 100;
    std::vector<size_t> sizes;
    Rows rows(text_, separator_, table_.name_);
    while (sizes.size() < enough && rows.next()) sizes.push_back(rows.fields().size());
    auto most = std::max_element(sizes.begin(), sizes.end(), [&](size_t a, size_t b) {
      return std::count(sizes.begin(), sizes.end(), a) < std::count(sizes.begin(), sizes.end(), b);
    });
    if (most != sizes.end()) width_ = *most;
  }

  // Separators alone, as sheets write rows below their last; of one field it is a value in quotes that is missing.
  static bool is_hollow(const Fields& fields) {
    return fields.size() > 1 && fields[0].empty() &&
           std::all_of(fields.begin(), fields.end(), [](std::string_view f) { return f.empty(); });
  }

  bool fits(const Fields& fields) const {  // a separator at the end of the line adds nothing
    return fields.size() == width_ || (fields.size() == width_ + 1 && fields.back().empty());
  }

  // To the first row of the table: before it there may be a title, and names that are one too few, as R writes them.
  bool skip_to_table(Rows& rows) {
    int64_t skipped = 0;
    std::string what;
    while (rows.next()) {
      const Fields& f = rows.fields();
      if (is_hollow(f)) {
        ++hollow_;
        continue;
      }
      if (fits(f)) {
        if (skipped > 0)
          table_.notes_.push_back(fmt::format("left out, for the lines below have {} field{}: {}{}", width_,
                                              width_ == 1 ? "" : "s", what,
                                              skipped > 1 ? fmt::format(" and {} more", skipped - 1) : ""));
        return true;
      }
      auto is_text = [this](std::string_view cell) { return !is_missing(cell) && !read(cell); };
      if (std::none_of(f.begin(), f.end(), is_text)) ragged(rows);
      if (f.size() + 1 == width_)
        short_names_.assign(f.begin(), f.end());
      else
        short_names_.clear();
      if (skipped++ == 0) what = fmt::format("line {} ({})", rows.line(), listed(f));
    }
    return false;
  }

  [[noreturn]] void ragged(const Rows& rows) const {
    size_t n = rows.fields().size();
    refuse("'{}' line {}: {} field{}, other lines have {}", table_.name_, rows.line(), n, n == 1 ? "" : "s",
           width_);
  }

  void take(const Rows& rows) {
    const Fields& fields = rows.fields();
    if (!fits(fields)) ragged(rows);
    if (is_hollow(fields)) {
      ++hollow_;
      return;
    }
    for (size_t i = 0; i < width_; ++i) {
      Reading& c = columns_[i];
      see(c, fields[i], rows.line());
      if (!c.digits_alone || !c.other_than_digits)
        (all_digits(fields[i]) ? c.digits_alone : c.other_than_digits) = true;
    }
    ++table_.rows_;
    names_quoted_ += rows.only_first_quoted();
    if (rows.all_quoted()) ++rows_in_quotes_;
  }

  std::optional<double> read(std::string_view cell) const {
    std::optional<double> v = number(cell);
    return v || separator_ == ',' ? v : number_with_comma(cell);
  }

  void see(Reading& c, std::string_view cell, int64_t line) const {
    std::optional<double> v = number(cell);
    if (v && c.first_point.line == 0 && cell.find('.') != std::string_view::npos) c.keep(c.first_point, cell, line);
    if (!v && (v = read(cell))) c.keep(c.first_comma, cell, line);
    if (v)
      c.see(*v, cell, line);
    else if (is_missing(cell))
      c.see(none, cell, line);
    else
      c.see_text(cell, line);
  }

  // Whether the first line holds names, by its own cells and by what is below them.
  bool is_header() const {
    size_t over_numbers = 0, texts = 0, unlike_all = 0, unlike_some = 0;
    std::vector<double> numbers, below;
    for (size_t i = 0; i < width_; ++i) {
      const Reading& c = columns_[i];
      if (is_missing(first_[i])) continue;
      if (std::optional<double> v = read(first_[i])) {
        if (!all_digits(first_[i])) return false;
        numbers.push_back(*v);
        below.push_back(c.values.empty() ? none : c.values[0]);
        bool of_numbers = c.column.numbers > 0 && !c.has_text();
        unlike_all += of_numbers && !c.digits_alone;
        unlike_some += of_numbers && c.other_than_digits;
      } else {
        ++texts;
        over_numbers += c.column.numbers > 0 && !c.has_text();
      }
    }
    if (texts > 0 && (numbers.empty() || over_numbers > 0)) return true;
    if (numbers.empty() || table_.rows_ == 0) return false;
    if (first_in_quotes_ && rows_in_quotes_ == 0) return true;
    size_t n = numbers.size();
    if (n > 3 && unlike_all == n && in_equal_steps(numbers) && numbers[1] > numbers[0]) return true;  // wavelengths
    if (!count_on(numbers)) return false;
    if (first_[0].empty() && columns_[0].column.missing == 0) return true;  // pandas: no name for the index
    return n == 2 ? unlike_all == 2 : n > 2 && (unlike_some > 0 || (n > 4 && !in_equal_steps(below)));
  }

  static bool in_equal_steps(const std::vector<double>& x) {
    for (size_t i = 2; i < x.size(); ++i)
      if (x[i] - x[i - 1] != x[1] - x[0]) return false;
    return true;
  }
  // 0, 1, 2, … or 1, 2, 3, …, or years.
  static bool count_on(const std::vector<double>& x) {
    double step = x.size() > 1 ? x[1] - x[0] : 1;
    return in_equal_steps(x) && step > 0 && (x[0] >= 1500 ? x.back() <= 2200 : x[0] <= 1 && step == 1);
  }

  void set_names(const std::vector<std::string>& names) {
    table_.header_ = true;
    bool in_single = std::all_of(names.begin(), names.end(), [](const std::string& name) {
      return name.size() > 1 && name.front() == '\'' && name.back() == '\'';
    });
    for (size_t i = 0; i < width_; ++i) {
      std::string name = in_single ? names[i].substr(1, names[i].size() - 2) : names[i];
      bool made_up =
          name.empty() || name == fmt::format("Unnamed: {}", i);  // pandas, of a file read and written again
      if (!made_up) columns_[i].column.name = name, columns_[i].column.named = true;
    }
  }

  void tell_header() {
    auto is_number = [this](const std::string& cell) { return read(cell).has_value(); };
    bool any = std::any_of(first_.begin(), first_.end(), is_number);
    std::string cells = listed({first_.begin(), first_.end()});
    if (!table_.header_)
      tell(
          "no names of columns were found: {} rows from line {} on{}", table_.rows_, first_line_,
          first_.end() ==
                  std::find_if_not(first_.begin(), first_.end(), [](const auto& f) { return all_digits(f); })
              ? fmt::format(
                    ". If {} are names, say so by text in one of them, or leave the line out by # before it", cells)
              : "");
    else if (any && short_names_.empty())
      tell(
          "line {} is taken for the names of columns: {}; {} rows below it. If these are values, put a line of "
          "names before it",
          first_line_, cells, table_.rows_);
  }

  template <class... Args>
  void tell(fmt::format_string<Args...> format, Args&&... args) {
    table_.notes_.push_back(fmt::format(format, std::forward<Args>(args)...));
  }

  // Names one too few are those of all columns but the first, unless the last is empty: then separators end the lines.
  void use_short_names() {
    bool of_rows = columns_[0].has_text() || columns_[0].counts(), trailing = columns_.back().is_empty();
    if (!of_rows && !trailing) return;
    table_.notes_.clear();
    std::vector<std::string> names = short_names_;
    names.insert(trailing ? names.end() : names.begin(), "");
    set_names(names);
  }

  // Commas of decimals, unless the file has points in other numbers: then such cells are text.
  void settle_commas() {
    const Column::Cell *comma = nullptr, *point = nullptr;
    for (const Reading& c : columns_) {
      if (c.has_text()) continue;
      if (!comma && c.first_comma.line > 0) comma = &c.first_comma;
      if (!point && c.first_point.line > 0) point = &c.first_point;
    }
    if (!comma) return;
    if (!point) return tell("decimal commas, as in {}, are read as points", comma->text);
    tell(
        "{} in line {} and {} in line {}: which is the decimal point is not known, and columns with commas are "
        "text. "
        "Hint: write points and no other separators in numbers",
        comma->text, comma->line, point->text, point->line);
    for (Reading& c : columns_)
      if (c.first_comma.line > 0 && !c.has_text()) c.see_text(c.first_comma.text, c.first_comma.line);
  }

  void finish() {
    if (!short_names_.empty()) use_short_names();
    tell_header();
    settle_commas();
    if (hollow_ > 0) tell("{} line{} of separators alone: left out", hollow_, hollow_ == 1 ? "" : "s");
    while (columns_.size() > 1 && !columns_.back().column.named && columns_.back().is_empty()) columns_.pop_back();
    if (size_t empty = width_ - columns_.size(); empty > 0)
      tell("{} empty and without a name, for separators end the lines: left out",
           empty == 1 ? "the last column is" : fmt::format("the last {} columns are", empty));
    std::set<std::string> taken;
    for (size_t i = 0; i < columns_.size(); ++i) {
      Column& c = columns_[i].column;
      if (c.name.empty()) c.name = fmt::format("column {}", i + 1);
      std::string name = c.name;
      for (int64_t k = 1; taken.contains(c.name); ++k) c.name = fmt::format("{}.{}", name, k);
      if (c.name != name)
        tell("two columns are called {}: column {} is {} here", printable(name), i + 1, printable(c.name));
      taken.insert(c.name);
      bool without_name = i == 0 && table_.header_ && !c.named;
      c.row_names = without_name && (columns_[i].has_text() || names_quoted_ == table_.rows_);
      table_.add(std::move(columns_[i]));
    }
  }

  std::string_view text_;
  char separator_ = ' ';
  size_t width_ = 0;
  std::vector<Reading> columns_;
  std::vector<std::string> first_, short_names_;
  int64_t first_line_ = 0, hollow_ = 0, names_quoted_ = 0, rows_in_quotes_ = 0;
  bool first_in_quotes_ = false;
  TableFile table_;
};

TableFile TableFile::parse(std::string_view text, const std::string& name) {
  return TableBuilder(text, name).build();
}

}  // namespace vapo::data

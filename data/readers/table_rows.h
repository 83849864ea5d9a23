#pragma once
// The rows of a text as fields.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct csv_parser;

namespace vapo::data::detail {

std::string_view trim(std::string_view s);  // without blanks at both ends

// One row after the other; lines that are blank or begin with # are passed over, unless in quotes. `text` must
// outlive it. A quote that is not closed throws InputError naming `name` and its line.
class Rows {
 public:
  // separator: a character, ' ' for any white space, or none.
  Rows(std::string_view text, char separator, const std::string& name);
  bool next();                                                             // false at the end
  const std::vector<std::string_view>& fields() const { return fields_; }  // until next(); trimmed, without quotes
  int64_t line() const { return line_; }                                   // in which the row begins
  bool all_quoted() const { return quotes_ >= 2 * fields_.size() && quotes_ > 0; }
  bool only_first_quoted() const { return begins_quoted_ && !all_quoted(); }

 private:
  std::string_view take_line();
  void split(std::string_view line);
  void split_quoted(std::string_view line);
  std::string_view text_;
  char separator_, end_of_line_;
  std::string name_;
  int64_t line_ = 0, lines_ = 0;
  size_t quotes_ = 0;
  bool begins_quoted_ = false;
  std::vector<std::string_view> fields_;
  std::string unquoted_;  // what fields of a row with quotes look at
  std::unique_ptr<csv_parser, void (*)(csv_parser*)> parser_;
};

constexpr char no_separator = '\x1f';  // a line is a field

// The separator that gives most of the first rows the same number of fields, two or more.
char separator_of(std::string_view text, const std::string& name);

}  // namespace vapo::data::detail

#include "data/readers/table_rows.h"

#include <csv.h>

#include <algorithm>
#include <map>
#include <new>

#include "data/readers/archives.h"

namespace vapo::data::detail {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

struct Unquoted {  // what libcsv's calls leave
  std::string bytes;
  std::vector<size_t> ends;
  bool white_space, whole = false;
};

void take_field(void* bytes, size_t n, void* to) {
  auto& out = *static_cast<Unquoted*>(to);
  if (!bytes && out.white_space) return;  // between two blanks
  out.bytes.append(static_cast<const char*>(bytes ? bytes : ""), n);
  out.ends.push_back(out.bytes.size());
}
void take_end(int, void* to) { static_cast<Unquoted*>(to)->whole = true; }

}  // namespace

std::string_view trim(std::string_view s) {
  while (!s.empty() && is_blank(s.front())) s.remove_prefix(1);
  while (!s.empty() && is_blank(s.back())) s.remove_suffix(1);
  return s;
}

Rows::Rows(std::string_view text, char separator, const std::string& name)
    : text_(text),
      separator_(separator),
      end_of_line_(text.find('\n') == std::string_view::npos ? '\r' : '\n'),
      name_(name),
      parser_(new csv_parser, [](csv_parser* p) {
        csv_free(p);
        delete p;
      }) {
  csv_init(parser_.get(), CSV_EMPTY_IS_NULL);
  csv_set_delim(parser_.get(), static_cast<unsigned char>(separator));
}

std::string_view Rows::take_line() {
  size_t end = text_.find(end_of_line_);
  std::string_view line = text_.substr(0, end);
  text_.remove_prefix(end == std::string_view::npos ? text_.size() : end + 1);
  ++lines_;
  return line;
}

bool Rows::next() {
  while (!text_.empty()) {
    std::string_view line = take_line(), trimmed = trim(line);
    bool of_excel = lines_ == 1 && trimmed.starts_with("sep=") && trimmed.size() <= 5;  // which separator it wrote
    if (trimmed.empty() || trimmed[0] == '#' || of_excel) continue;
    line_ = lines_;
    fields_.clear();
    begins_quoted_ = trimmed[0] == '"';
    if (line.find('"') == std::string_view::npos) {
      quotes_ = 0;
      split(line);
    } else {
      split_quoted(line);
    }
    if (!fields_.empty()) return true;
  }
  return false;
}

// A line without quotes needs no parser, and most tables have no others: three times as quick.
void Rows::split(std::string_view line) {
  if (separator_ == ' ') {
    for (line = trim(line); !line.empty(); line = trim(line)) {
      size_t end = std::min(line.find_first_of(" \t"), line.size());
      fields_.push_back(line.substr(0, end));
      line.remove_prefix(end);
    }
    return;
  }
  for (;;) {
    size_t end = line.find(separator_);
    fields_.push_back(trim(line.substr(0, end)));
    if (end == std::string_view::npos) return;
    line.remove_prefix(end + 1);
  }
}

void Rows::split_quoted(std::string_view line) {
  Unquoted out{.bytes = {}, .ends = {}, .white_space = separator_ == ' '};
  std::string spaces;
  for (quotes_ = 0;; line = take_line()) {
    quotes_ += static_cast<size_t>(std::count(line.begin(), line.end(), '"'));
    if (separator_ == ' ') {
      spaces = line;
      std::replace(spaces.begin(), spaces.end(), '\t', ' ');
      line = spaces;
    }
    for (std::string_view piece : {line, std::string_view("\n")})
      if (csv_parse(parser_.get(), piece.data(), piece.size(), take_field, take_end, &out) != piece.size())
        throw std::bad_alloc();
    if (out.whole) break;
    if (text_.empty()) refuse("'{}' line {}: a quote is opened and never closed", name_, line_);
  }
  unquoted_ = std::move(out.bytes);
  size_t begin = 0;
  for (size_t end : out.ends) {
    fields_.push_back(trim(std::string_view(unquoted_).substr(begin, end - begin)));
    begin = end;
  }
}

char separator_of(std::string_view text, const std::string& name) {
  constexpr size_t enough = 50;  // rows
  char best = no_separator;
  size_t best_agreeing = 0;
  for (char candidate : {';', '\t', '|', ',', ' '}) {
    std::map<size_t, size_t> counts;  // of rows with so many fields
    size_t seen = 0;
    try {
      for (Rows rows(text, candidate, name); seen < enough && rows.next(); ++seen) ++counts[rows.fields().size()];
    } catch (const InputError&) {  // an open quote: told when all is read
    }
    for (auto [fields, agreeing] : counts)
      if (fields > 1 && agreeing > best_agreeing && 2 * agreeing >= seen)
        best = candidate, best_agreeing = agreeing;
  }
  return best;
}

}  // namespace vapo::data::detail

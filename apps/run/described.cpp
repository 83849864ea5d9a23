#include "apps/run/described.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>

#include "data/pictures/image_file.h"
#include "data/pictures/image_kinds.h"
#include "data/readers/folder_files.h"
#include "tensor/check.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/printable.h"
#include "tensor/parallel.h"

namespace vapo::app {
namespace {

namespace fs = std::filesystem;

std::string remark_on(const data::Column& c) {
  if (c.row_names) return "names of the rows";
  if (c.counts) return "counts the rows";
  return c.kind == data::Column::Kind::number && c.low == c.high ? "constant" : "";
}

Json facts_of_column(const data::Column& c, size_t number) {
  bool numbers = c.kind == data::Column::Kind::number;
  return {{"column", number},
          {"name", c.name},
          {"kind", std::string(name_of(c.kind))},
          {"low", numbers ? Json(c.low) : Json(nullptr)},
          {"high", numbers ? Json(c.high) : Json(nullptr)},
          {"missing", c.missing},
          {"remark", remark_on(c)}};
}

Json left_out_of(const std::vector<data::LeftOut>& kinds) {
  Json out = Json::array();
  for (const data::LeftOut& kind : kinds)
    out.push_back({{"kind", kind.kind}, {"files", kind.count}, {"first", kind.first}});
  return out;
}

// UTF-8 as it is, less what would act on a terminal.
std::string shown(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    bool control = static_cast<unsigned char>(text[i]) < 32 || text[i] == 127;
    bool of_two_bytes = text[i] == '\xC2' && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    out += control || of_two_bytes ? printable(text.substr(i, 1)) : text.substr(i, 1);
  }
  return out;
}
size_t width_of(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string cell(const Json& value) {
  if (value.is_null()) return "";
  if (value.is_number_float()) return fmt::format("{:.10g}", value.get<double>());
  return shown(value.is_string() ? value.get<std::string>() : value.dump());
}

// A line of names and one for each object, in columns: numbers to the right.
std::string as_table(const Json& objects) {
  std::vector<std::string> names;
  for (const auto& [name, value] : objects.front().items()) names.push_back(name);
  std::vector<std::string> lines(objects.size() + 1);
  for (const std::string& name : names) {
    bool numbers = true, empty = true;
    size_t width = width_of(name);
    for (const Json& o : objects) {
      numbers = numbers && (o[name].is_number() || o[name].is_null());
      empty = empty && cell(o[name]).empty();
      width = std::max(width, width_of(cell(o[name])));
    }
    if (empty) continue;
    auto add = [&](std::string& line, const std::string& text) {
      std::string gap(width - width_of(text), ' ');
      line += "  " + (numbers ? gap + text : text + gap);
    };
    add(lines[0], name);
    for (size_t i = 0; i < objects.size(); ++i) add(lines[i + 1], cell(objects[i][name]));
  }
  std::string out = fmt::format("{}", objects.size());
  for (std::string& line : lines) out += "\n" + line.substr(0, line.find_last_not_of(' ') + 1);
  return out;
}

}  // namespace

Json facts_of(const data::TableFile& file, const data::Table* chosen) {
  Json columns = Json::array();
  for (size_t i = 0; i < file.columns().size(); ++i) columns.push_back(facts_of_column(file.columns()[i], i + 1));
  Json out = {{"kind", "table"}, {"rows", file.rows()}, {"header", file.has_header()}, {"columns", columns}};
  if (!chosen) return out;
  Json used = Json::array();
  for (int64_t place : chosen->places) used.push_back(file.columns()[static_cast<size_t>(place)].name);
  out["used_rows"] = chosen->values.dim(0);
  out["used_columns"] = used;
  out["notes"] = chosen->notes;
  return out;
}

Json facts_of(const data::ImageSet& images) {
  Shape s = images.image_shape();
  Json out = {
      {"kind", "images"}, {"images", images.count()}, {"height", s[0]}, {"width", s[1]}, {"channels", s[2]}};
  std::vector<int64_t> counts = images.class_counts();
  Json classes = Json::array();
  for (size_t y = 0; y < counts.size(); ++y)
    classes.push_back(
        {{"class", y}, {"name", y < images.classes.size() ? images.classes[y] : ""}, {"images", counts[y]}});
  out["classes"] = classes;
  out["left_out"] = left_out_of(images.left_out);
  out["unreadable"] = images.skipped;
  out["notes"] = images.remarks;
  return out;
}

Json facts_of_points(bool density_known, double noise, int64_t points) {
  return {{"kind", "points of a known construction"},
          {"dims", 2},
          {"density_known", density_known},
          {"noise", noise},
          {"points", points > 0 ? Json(points) : Json("fresh ones at every step")}};
}

Json facts_of_folder(const std::string& folder) {
  data::detail::FolderFiles files;
  std::vector<std::string> names = files.images_below(folder);
  if (names.empty()) throw InputError(fmt::format("{}: no picture in it or below", folder));
  std::map<std::string, int64_t> formats, classes;
  std::map<std::array<int64_t, 3>, int64_t> sizes;
  std::vector<std::string> broken;
  std::mutex lock;
  parallel_for(static_cast<int64_t>(names.size()), 1, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const std::string& name = names[static_cast<size_t>(i)];
      std::string error, bytes;
      Shape shape;
      try {
        bytes = read_whole_file(name);
        shape = data::decode_image(std::as_bytes(std::span(bytes)), name).shape();
      } catch (const Error& e) {
        error = e.what();
      }
      const data::ImageKind* kind = data::kind_by_bytes(bytes);
      std::string within = fs::path(name).lexically_relative(folder).begin()->string();
      std::lock_guard guard(lock);
      if (!error.empty()) broken.push_back(error);
      if (error.empty())
        ++sizes[{shape[0], shape[1], shape[2]}], ++formats[std::string(kind ? kind->name : "another")];
      ++classes[fs::path(name).parent_path() == fs::path(folder) ? "" : within];
    }
  });
  std::sort(broken.begin(), broken.end());
  auto listed = [](const auto& counts, const auto& describe) {
    Json out = Json::array();
    for (const auto& [what, count] : counts) {
      Json row = describe(what);
      row["pictures"] = count;
      out.push_back(row);
    }
    return out;
  };
  auto most_first = [](Json list) {
    std::stable_sort(list.begin(), list.end(),
                     [](const Json& a, const Json& b) { return a["pictures"] > b["pictures"]; });
    return list;
  };
  auto by_name = [](const char* key) { return [key](const std::string& name) { return Json{{key, name}}; }; };
  Json out = {{"kind", "folder of pictures"}, {"pictures", names.size()}};
  out["formats"] = most_first(listed(formats, by_name("format")));
  out["sizes"] = most_first(listed(sizes, [](const auto& s) {
    return Json{{"height", s[0]}, {"width", s[1]}, {"channels", s[2]}};
  }));
  out["classes"] = classes.size() == 1 && classes.contains("") ? Json::array() : listed(classes, by_name("name"));
  out["left_out"] = left_out_of(files.left_out());
  out["unreadable"] = broken;
  return out;
}

Json for_a_person(const Json& facts) {
  Json out = Json::object();
  for (const auto& [name, value] : facts.items()) {
    if (!value.is_array()) {
      out[name] = value.is_string() ? Json(shown(value.get<std::string>())) : value;
    } else if (!value.empty() && value.front().is_object()) {
      out[name] = as_table(value);
    } else if (!value.empty()) {
      std::vector<std::string> items;
      for (const Json& item : value) items.push_back(cell(item));
      bool short_ones = std::all_of(items.begin(), items.end(), [](const std::string& s) { return s.size() < 40; });
      out[name] = short_ones ? fmt::format("{}", fmt::join(items, ", "))
                             : fmt::format("{}\n  {}", items.size(), fmt::join(items, "\n  "));
    }
  }
  return out;
}

}  // namespace vapo::app

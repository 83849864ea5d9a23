#include "apps/run/contents.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <zlib.h>

#include <nlohmann/json.hpp>
#include <span>

#include "tensor/io/printable.h"

namespace vapo::app {
namespace {

using Json = nlohmann::ordered_json;

template <class T>
uLong checksum(uLong before, const Tensor& x) {
  return crc32_z(before, reinterpret_cast<const Bytef*>(x.data<T>()), x.bytes());
}

std::string text_of(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

// `"cat" as class 3 of 10`: the first that the others do not have there.
std::string from_first_difference(const Json& names, const Json& others) {
  if (!names.is_array() || !others.is_array()) return printable(text_of(names), 60);
  size_t first = 0;
  while (first < names.size() && first < others.size() && names[first] == others[first]) ++first;
  if (first == names.size()) return fmt::format("{} classes", first);
  return fmt::format("{} as class {} of {}", printable(text_of(names[first]), 60), first, names.size());
}

}  // namespace

std::string contents_of(const data::Table& table) {
  Json out = {{"rows", table.values.dim(0)},
              {"columns", table.values.dim(1)},
              {"values", checksum<double>(0, table.values)}};
  if (!table.columns.empty()) out["names"] = table.columns;
  return text_of(out);
}

std::vector<std::string> columns_of(const std::string& contents) {
  Json json = Json::parse(contents, nullptr, false);
  std::vector<std::string> out;
  if (!json.is_object() || !json.contains("names") || !json["names"].is_array()) return out;
  for (const Json& name : json["names"]) {
    if (!name.is_string()) return {};
    out.push_back(name.get<std::string>());
  }
  return out;
}

std::string contents_of(const data::ImageSet& images) {
  uLong sum = checksum<uint8_t>(0, images.pixels);
  if (images.labels.defined()) sum = checksum<int64_t>(sum, images.labels);
  std::string shape = images.image_shape().str();
  return text_of({{"classes", images.classes}, {"images", images.count()}, {"shape", shape}, {"values", sum}});
}

std::vector<std::string> class_names(const std::string& contents) {
  Json json = Json::parse(contents, nullptr, false);
  std::vector<std::string> out;
  if (!json.is_object() || !json.contains("classes") || !json["classes"].is_array()) return out;
  for (const Json& name : json["classes"])
    out.push_back(name.is_string() ? name.get<std::string>() : text_of(name));
  return out;
}

std::string text_of_classes(const std::vector<std::string>& names) {
  constexpr size_t first = 16, last = 3;
  std::string out;
  for (size_t i = 0; i < names.size(); ++i) {
    if (names.size() > first + last && i == first) {
      out += ", …";
      i = names.size() - last;
    }
    out += fmt::format("{}{} = {}", out.empty() ? "" : ", ", i, printable(names[i], 40));
  }
  return out;
}

void store_contents(const std::string& contents, std::map<std::string, Tensor>& extra) {
  if (contents.empty()) return;
  std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(contents.data()), contents.size());
  extra["data.contents"] = Tensor::from(bytes, {static_cast<int64_t>(bytes.size())});
}

std::string stored_contents(const nn::CheckpointInfo& info) {
  auto found = info.extra.find("data.contents");
  if (found == info.extra.end() || found->second.dtype() != DType::u8) return "";
  std::vector<uint8_t> bytes = found->second.to_vector<uint8_t>();
  return {bytes.begin(), bytes.end()};
}

std::string what_changed(const std::string& then, const std::string& now) {
  Json before = Json::parse(then, nullptr, false), after = Json::parse(now, nullptr, false);
  if (!before.is_object() || !after.is_object()) return "";
  if (auto names = columns_of(now), had = columns_of(then); names != had && !names.empty() && !had.empty())
    return fmt::format("columns {}, and it had {}", printable(fmt::format("{}", fmt::join(names, ", "))),
                       printable(fmt::format("{}", fmt::join(had, ", "))));
  for (const char* key : {"classes", "rows", "columns", "images", "shape"}) {
    if (before.contains(key) != after.contains(key)) return "another kind of data";
    if (!before.contains(key) || before[key] == after[key]) continue;
    if (key == std::string_view("classes"))
      return fmt::format("{}, and it had {}", from_first_difference(after[key], before[key]),
                         from_first_difference(before[key], after[key]));
    if (key == std::string_view("shape"))
      return fmt::format("images of {}, and they were {}", printable(text_of(after[key])),
                         printable(text_of(before[key])));
    return fmt::format("{} {}, and it had {}", text_of(after[key]), key, text_of(before[key]));
  }
  if (before.value("values", Json()) != after.value("values", Json()))
    return before.contains("rows") ? "as many rows, and other values"
                                   : "as many images, and other pixels or labels";
  return "";
}

}  // namespace vapo::app

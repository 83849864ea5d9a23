// vapo info: what a file holds: a checkpoint, tensors, arrays, a picture, a table; or a folder of pictures.

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <sstream>

#include "apps/run/described.h"
#include "apps/run/run_folder.h"
#include "data/pictures/image_file.h"
#include "data/pictures/image_kinds.h"
#include "data/readers/file_kind.h"
#include "data/readers/folder_files.h"
#include "data/readers/npz.h"
#include "tensor/finite.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/npy.h"
#include "tensor/io/printable.h"
#include "tensor/io/safetensors.h"

namespace vapo::app {
namespace {

struct InfoOptions {
  CommonOptions common;
  std::string file;
};

struct Item {
  std::string dtype;
  Shape shape;
  uint64_t bytes = 0;  // in the file
};
struct Content {
  std::string kind;                   // checkpoint, safetensors, npy or npz
  std::map<std::string, Item> items;  // an array of a .npy is a tensor without a name
  TensorFile file = {};               // those of them that have numbers here, and the metadata
  Json facts = {};                    // of anything else, in the place of these
};

// The file's name of a dtype; of those that are read as they are, this library's.
std::string called(const std::string& dtype) {
  for (const char* same : {"F32", "F64", "I64", "U8"})
    if (dtype == same) return std::string(1, static_cast<char>(dtype[0] - 'A' + 'a')) + dtype.substr(1);
  return dtype;
}

Content of_safetensors(std::string_view bytes, const std::string& name) {
  Content out{"safetensors", {}, parse_safetensors(bytes, name, Unreadable::leave_out)};
  for (const auto& [key, entry] : parse_safetensors_header(bytes, name).tensors)
    out.items[key] = {called(entry.dtype), entry.shape, entry.bytes};
  if (out.file.metadata.contains("config") && out.file.metadata.contains("step")) out.kind = "checkpoint";
  return out;
}

void add_array(Content& out, const std::string& key, std::string_view bytes, const std::string& name) {
  NpyHeader header = parse_npy_header(bytes, name);
  out.items[key] = {header.dtype, header.shape, header.bytes};
  if (header.readable || out.kind == "npy") out.file.tensors[key] = parse_npy(bytes, name);
}

Content of_picture(const data::ImageKind& kind, std::string_view bytes, const std::string& name) {
  Shape s = data::decode_image(std::as_bytes(std::span(bytes)), name).shape();
  return {"picture",
          {},
          {},
          {{"kind", "picture"}, {"format", kind.name}, {"height", s[0]}, {"width", s[1]}, {"channels", s[2]}}};
}

Content read(const std::filesystem::path& path) {
  std::string bytes = read_whole_file(path), name = path.string(), ending = data::lower_case_ending(path);
  if (bytes.starts_with("\x93NUMPY") || ending == ".npy") {
    Content out{"npy", {}};
    add_array(out, "", bytes, name);
    return out;
  }
  std::optional<data::FileKind> kind = data::kind_of(bytes);
  if (kind && kind->name.find(".npz") != kind->name.npos) {
    Content out{"npz", {}};
    data::for_npz_entries(path, [&](const std::string& key, const std::string& entry) {
      add_array(out, key, entry, name + ":" + key);
    });
    return out;
  }
  if (const data::ImageKind* picture = data::kind_by_bytes(bytes, !data::is_image_name(path));
      picture && picture->is_read())
    return of_picture(*picture, bytes, name);
  bool as_tensors = bytes.size() > 8 && std::string_view(bytes).substr(4, 4) == std::string_view("\0\0\0\0", 4) &&
                    (bytes[8] == '{' || ending == ".safetensors");
  if (as_tensors) return of_safetensors(bytes, name);
  bool packed = bytes.starts_with("\x1f\x8b");  // a table may be
  if (kind && !packed) throw InputError(fmt::format("'{}' is {}. Hint: {}", name, kind->name, kind->instead));
  if (ending == ".safetensors") return of_safetensors(bytes, name);
  return {"table", {}, {}, facts_of(data::TableFile(path), nullptr)};
}

// The number that a text is, or the text, fit for a terminal.
Json number_or_text(const std::string& text) {
  uint64_t n = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  return error == std::errc() && end == text.data() + text.size() ? Json(n) : Json(printable(text));
}

struct Tally {
  int64_t tensors = 0, elements = 0, bytes = 0;
};
Tally tally(const Content& content, const std::string& prefix) {
  Tally t;
  for (auto it = content.items.lower_bound(prefix); it != content.items.end() && it->first.starts_with(prefix);
       ++it) {
    ++t.tensors;
    t.elements += it->second.shape.numel();
    t.bytes += static_cast<int64_t>(it->second.bytes);
  }
  return t;
}

// What a checkpoint says of itself, and the rest of its metadata.
void describe_checkpoint(const Content& content, Json& result, std::map<std::string, std::string>& others) {
  auto take = [&](const char* key) {
    auto it = others.find(key);
    if (it == others.end()) return;
    result[key] = number_or_text(it->second);
    others.erase(it);
  };
  take("step");
  take("seed");
  result["parameters"] = tally(content, "param.").elements;
  result["ema"] = tally(content, "ema.").tensors > 0;
  take("ema_updates");
  result["optimizer"] = tally(content, "optimizer.").tensors > 0;
  take("optimizer_steps");
}

Json describe(const std::string& name, const Item& x) {
  Json shape = Json::array();
  for (int64_t d : x.shape) shape.push_back(d);
  return {{"name", name}, {"dtype", x.dtype}, {"shape", shape}, {"elements", x.shape.numel()}, {"bytes", x.bytes}};
}

std::string listed(const Content& content) {
  size_t width = 0;
  for (const auto& [name, x] : content.items) width = std::max(width, printable(name, 200).size());
  Tally all = tally(content, "");
  std::string out = fmt::format("{} of {} elements, {} bytes", all.tensors, all.elements, all.bytes);
  for (const auto& [name, x] : content.items)
    out += fmt::format("\n  {:<{}}  {} {}", printable(name, 200), width, x.dtype, x.shape.str());
  return out;
}

Json result_of(const std::filesystem::path& path, const Content& content, bool json) {
  Json result = {{"file", path.string()}, {"kind", content.kind}};
  std::map<std::string, std::string> metadata = content.file.metadata;
  bool checkpoint = content.kind == "checkpoint";
  if (checkpoint) describe_checkpoint(content, result, metadata);
  for (const auto& [name, x] : content.file.tensors)
    if (auto bad = is_floating(x.dtype()) ? non_finite(x) : std::nullopt)
      result["not_finite"].push_back(
          fmt::format("{}: {} of {} values, {}", printable(name, 200), bad->values, x.numel(), bad->name()));
  std::string config;
  if (checkpoint) config = metadata.extract("config").mapped();
  if (json) {
    Tally all = tally(content, "");
    result["elements"] = all.elements;
    result["bytes"] = all.bytes;
    result["tensors"] = Json::array();
    for (const auto& [name, x] : content.items) result["tensors"].push_back(describe(name, x));
    if (checkpoint || content.kind == "safetensors") result["metadata"] = metadata;
    if (checkpoint) result["config"] = config;
    return result;
  }
  for (const auto& [key, value] : metadata) result["metadata " + printable(key)] = printable(value, 200);
  result["tensors"] = listed(content);
  if (checkpoint) {
    std::string lines, line;
    for (std::istringstream text(config); std::getline(text, line);) lines += "\n" + printable(line, 1000);
    result["config"] = lines;
  }
  return result;
}

// A folder without a checkpoint in it may be one of pictures.
bool may_hold_pictures(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error) || RunFolder(path).holds_a_run()) return false;
  data::detail::FolderFiles files;
  return !files.images_below(path).empty();
}

int info(const InfoOptions& options) {
  std::filesystem::path path = options.file;
  Content content;
  if (may_hold_pictures(path))
    content.facts = facts_of_folder(options.file);
  else
    content = with_checkpoint(options.file, [&](const std::filesystem::path& found) {
      path = found;
      return read(found);
    });
  Json result = {{"file", path.string()}};
  if (content.facts.is_null())
    result = result_of(path, content, options.common.json);
  else
    result.update(options.common.json ? content.facts : for_a_person(content.facts));
  print_result(result, options.common.json);
  return 0;
}

}  // namespace

void add_info(CLI::App& app, Action& action) {
  auto o = std::make_shared<InfoOptions>();
  CLI::App* command = app.add_subcommand("info", "Show what a file holds: tensors, arrays, pictures, a table");
  command
      ->add_option("FILE", o->file,
                   "Checkpoint, .safetensors, .npy, .npz, picture, table; or a folder, of a run or of pictures")
      ->required();
  o->common.add_to(*command, false);
  command->callback([o, &action] { action = [o] { return info(*o); }; });
}

}  // namespace vapo::app

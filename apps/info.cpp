// vapo info: what a checkpoint, a safetensors file or a .npy file holds.

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <sstream>

#include "apps/run/command.h"
#include "apps/run/run_folder.h"
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

struct Content {
  std::string kind;  // checkpoint, safetensors or npy
  TensorFile file;   // an array is a tensor without a name
};

Content read(const std::filesystem::path& path) {
  std::string bytes = read_whole_file(path);
  if (bytes.starts_with("\x93NUMPY") || path.extension() == ".npy")
    return {"npy", {{{"", parse_npy(bytes, path.string())}}, {}}};
  TensorFile file = parse_safetensors(bytes, path.string());
  bool checkpoint = file.metadata.contains("config") && file.metadata.contains("step");
  return {checkpoint ? "checkpoint" : "safetensors", std::move(file)};
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
Tally tally(const TensorFile& file, const std::string& prefix) {
  Tally t;
  for (auto it = file.tensors.lower_bound(prefix); it != file.tensors.end() && it->first.starts_with(prefix);
       ++it) {
    ++t.tensors;
    t.elements += it->second.numel();
    t.bytes += static_cast<int64_t>(it->second.bytes());
  }
  return t;
}

// What a checkpoint says of itself, and the rest of its metadata.
void describe_checkpoint(const TensorFile& file, Json& result, std::map<std::string, std::string>& others) {
  auto take = [&](const char* key) {
    auto it = others.find(key);
    if (it == others.end()) return;
    result[key] = number_or_text(it->second);
    others.erase(it);
  };
  take("step");
  take("seed");
  result["parameters"] = tally(file, "param.").elements;
  result["ema"] = tally(file, "ema.").tensors > 0;
  take("ema_updates");
  result["optimizer"] = tally(file, "optimizer.").tensors > 0;
  take("optimizer_steps");
}

Json describe(const std::string& name, const Tensor& x) {
  Json shape = Json::array();
  for (int64_t d : x.shape()) shape.push_back(d);
  return {{"name", name},
          {"dtype", name_of(x.dtype())},
          {"shape", shape},
          {"elements", x.numel()},
          {"bytes", x.bytes()}};
}

int info(const InfoOptions& options) {
  std::filesystem::path path;
  auto [kind, file] = with_checkpoint(options.file, [&](const std::filesystem::path& found) {
    path = found;
    return read(found);
  });
  Json result = {{"file", path.string()}, {"kind", kind}};
  std::map<std::string, std::string> metadata = file.metadata;
  if (kind == "checkpoint") describe_checkpoint(file, result, metadata);
  Tally all = tally(file, "");
  for (const auto& [name, x] : file.tensors)
    if (auto bad = is_floating(x.dtype()) ? non_finite(x) : std::nullopt)
      result["not_finite"].push_back(
          fmt::format("{}: {} of {} values, {}", printable(name, 200), bad->values, x.numel(), bad->name()));
  std::string config;
  if (kind == "checkpoint") config = metadata.extract("config").mapped();

  if (options.common.json) {
    result["elements"] = all.elements;
    result["bytes"] = all.bytes;
    result["tensors"] = Json::array();
    for (const auto& [name, x] : file.tensors) result["tensors"].push_back(describe(name, x));
    if (kind != "npy") result["metadata"] = metadata;
    if (kind == "checkpoint") result["config"] = config;
    print_result(result, true);
    return 0;
  }
  for (const auto& [key, value] : metadata) result["metadata " + printable(key)] = printable(value, 200);
  size_t width = 0;
  for (const auto& [name, x] : file.tensors) width = std::max(width, printable(name, 200).size());
  std::string list = fmt::format("{} of {} elements, {} bytes", file.tensors.size(), all.elements, all.bytes);
  for (const auto& [name, x] : file.tensors)
    list += fmt::format("\n  {:<{}}  {} {}", printable(name, 200), width, name_of(x.dtype()), x.shape().str());
  result["tensors"] = list;
  if (kind == "checkpoint") {
    std::string lines, line;
    for (std::istringstream text(config); std::getline(text, line);) lines += "\n" + printable(line, 1000);
    result["config"] = lines;
  }
  print_result(result, false);
  return 0;
}

}  // namespace

void add_info(CLI::App& app, Action& action) {
  auto o = std::make_shared<InfoOptions>();
  CLI::App* command = app.add_subcommand("info", "Show what a checkpoint or tensor file holds");
  command->add_option("FILE", o->file, "Checkpoint, .safetensors, .npy, or the folder of a run")->required();
  o->common.add_to(*command, false);
  command->callback([o, &action] { action = [o] { return info(*o); }; });
}

}  // namespace vapo::app

// vapo info: what a checkpoint, a safetensors file or a .npy file holds.

#include <fmt/format.h>

#include "apps/command.h"
#include "apps/run_folder.h"
#include "tensor/check.h"
#include "tensor/io/npy.h"
#include "tensor/io/safetensors.h"

namespace vapo::app {
namespace {

struct InfoOptions {
  CommonOptions common;
  std::string file;
};

Json describe(const std::string& name, const Tensor& x) {
  Json shape = Json::array();
  for (int64_t i = 0; i < x.rank(); ++i) shape.push_back(x.dim(i));
  return {{"name", name}, {"dtype", name_of(x.dtype())}, {"shape", shape}, {"bytes", x.bytes()}};
}

int info(const InfoOptions& options) {
  std::filesystem::path file = find_checkpoint(options.file);
  Json result = {{"file", file.string()}};
  Json tensors = Json::array();
  std::string config;
  if (file.extension() == ".npy") {
    result["kind"] = "npy";
    tensors.push_back(describe("", read_npy(file)));
  } else {
    TensorFile content = read_safetensors(file);
    bool checkpoint = content.metadata.count("config") && content.metadata.count("step");
    result["kind"] = checkpoint ? "checkpoint" : "safetensors";
    int64_t parameters = 0;
    for (const auto& [name, x] : content.tensors) {
      tensors.push_back(describe(name, x));
      if (name.starts_with("param.")) parameters += x.numel();
    }
    if (checkpoint) result["parameters"] = parameters;
    for (const auto& [key, value] : content.metadata) {
      if (key == "config") {
        config = value;
      } else {
        result[key] = value;
      }
    }
  }
  result["tensors"] = tensors.size();
  if (options.common.json) {
    result["tensors"] = tensors;
    if (!config.empty()) result["config"] = config;
    print_result(result, true);
    return 0;
  }
  for (const Json& t : tensors) {
    std::string shape = t["shape"].dump();
    result["  " + t["name"].get<std::string>()] = t["dtype"].get<std::string>() + " " + shape;
  }
  if (!config.empty()) result["config"] = "\n" + config;
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

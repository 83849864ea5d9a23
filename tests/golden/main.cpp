// vapo-golden PATH…: computes golden cases and compares them with their expected values.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "golden.h"

namespace {

namespace fs = std::filesystem;
using golden::Json, golden::Verdict;

struct Item {
  fs::path file;
  std::string label;    // relative to the folder it was found in
  std::string problem;  // of the argument itself
};

// A file stands for itself, a folder for all .safetensors files below it.
void collect(const fs::path& argument, std::vector<Item>& items) {
  std::error_code error;
  if (!fs::is_directory(argument, error)) {
    bool there = fs::exists(argument, error);
    items.push_back({argument, argument.string(), there ? "" : "no such file or folder"});
    return;
  }
  std::vector<Item> found;
  for (auto it = fs::recursive_directory_iterator(argument, fs::directory_options::skip_permission_denied, error);
       it != fs::recursive_directory_iterator(); it.increment(error))
    if (it->path().extension() == ".safetensors")
      found.push_back({it->path(), it->path().lexically_relative(argument).string(), ""});
  std::sort(found.begin(), found.end(), [](const Item& a, const Item& b) { return a.label < b.label; });
  if (found.empty()) found.push_back({argument, argument.string(), "the folder holds no .safetensors file"});
  items.insert(items.end(), found.begin(), found.end());
}

std::string percent(double share) {
  if (!std::isfinite(share)) return "not within any tolerance";
  return share <= 1 ? fmt::format("{:.2g} % of the tolerance", 100 * share)
                    : fmt::format("{:.3g} times the tolerance", share);
}

std::string line(const Item& item, const std::string& device, const Verdict& v) {
  std::string s = fmt::format("{}  {}  {}", v.passed ? "PASS" : "FAIL", item.label, device);
  if (v.compared > 0) s += fmt::format("  relative error {:.2e}, {} ({})", v.error, percent(v.share), v.tensor);
  if (!v.message.empty()) s += "  " + v.message;
  return s;
}

Json json_of(const Item& item, const std::string& device, const Verdict& v) {
  auto number = [](double x) { return std::isfinite(x) ? Json(x) : Json("inf"); };
  return {{"case", item.label},
          {"device", device},
          {"passed", v.passed},
          {"relative_error", number(v.error)},
          {"tensor", v.tensor},
          {"compared", v.compared},
          {"tolerance_share", number(v.share)},
          {"message", v.message}};
}

struct Report {
  bool as_json;
  Json cases = Json::array();
  int passed = 0, failed = 0, skipped = 0;

  void add(const Item& item, const std::string& device, const Verdict& v) {
    ++(v.passed ? passed : failed);
    if (as_json)
      cases.push_back(json_of(item, device, v));
    else
      fmt::print("{}\n", line(item, device, v));
  }
  void skip(const Item& item, const std::string& device) {
    ++skipped;
    if (!as_json) fmt::print("SKIP  {}  {}  no such device here\n", item.label, device);
  }
  int finish() const {
    if (as_json) {
      Json all{{"cases", cases}, {"passed", passed}, {"failed", failed}, {"skipped", skipped}};
      fmt::print("{}\n", all.dump(2, ' ', false, Json::error_handler_t::replace));
    } else {
      fmt::print("{} passed, {} failed, {} skipped\n", passed, failed, skipped);
    }
    return failed > 0 ? 1 : 0;
  }
};

void run(const Item& item, const std::vector<std::string>& devices, Report& report) {
  golden::Case c;
  try {
    if (!item.problem.empty()) throw vapo::InputError(item.problem);
    c = golden::read_case(item.file);
  } catch (const std::exception& e) {
    Verdict broken;
    broken.message = e.what();
    report.add(item, devices[0], broken);
    return;
  }
  for (const std::string& device : devices)
    if (c.devices.empty() || std::count(c.devices.begin(), c.devices.end(), device))
      report.add(item, device, golden::run_case(device == "cuda" ? c.on(vapo::Device::cuda) : c));
  for (const std::string& device : c.devices)
    if (!std::count(devices.begin(), devices.end(), device)) report.skip(item, device);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Compares golden cases with what this build computes. Exit status: 0 all passed, 1 a case failed, 2 usage.",
      "vapo-golden");
  std::vector<std::string> paths;
  bool as_json = false;
  app.add_option("PATH", paths, "case files, or folders searched for .safetensors files")->required();
  app.add_flag("--json", as_json, "one JSON object on standard output");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  std::vector<Item> items;
  for (const std::string& path : paths) collect(path, items);
  Report report{as_json};
  std::vector<std::string> devices = {"cpu"};
  if (vapo::cuda_available()) devices.push_back("cuda");
  for (const Item& item : items) run(item, devices, report);
  return report.finish();
}

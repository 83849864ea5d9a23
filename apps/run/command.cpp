#include "apps/run/command.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "apps/run/ranks.h"
#include "apps/run/streams.h"
#include "tensor/device.h"
#include "tensor/parallel.h"
#include "tensor/plain_convolutions.h"
#include "tensor/precision.h"

namespace vapo::app {

void CommonOptions::add_to(CLI::App& command, bool computes) {
  command.add_flag("--json", json, "Print the result as one JSON object");
  if (!computes) return;
  command.add_option("--device", device, "auto, cpu or cuda")
      ->check(CLI::IsMember(all_names<DeviceChoice>()))
      ->capture_default_str();
  command.add_option("--threads", threads, "Threads to compute with (default: all cores)")
      ->check(CLI::Range(1, 1024));
  command.add_option("--precision", precision, "strict, fast (Winograd convolutions) or bf16")
      ->capture_default_str();
}

CLI::Validator real_from(double low, double high) {
  auto check = [low, high](std::string& text) {
    double x = NAN;
    bool inside = CLI::detail::lexical_cast(text, x) && x >= low && x <= high;
    return inside ? std::string() : fmt::format("{} is not a number from {} to {}", text, low, high);
  };
  return CLI::Validator(check, fmt::format("FLOAT in [{} - {}]", low, high));
}

Device CommonOptions::apply() const {
  Device chosen = available(from_name<DeviceChoice>(device));
  if (ranks().size() > 1) expect_same("device", std::string(name_of(chosen)));
  if (chosen == Device::cuda) take_gpus();
  if (int own = threads > 0 ? threads : threads_of_rank(); own > 0) set_num_threads(own);
  set_precision(from_name<Precision>(precision), chosen);
  if (vapo::precision() == Precision::bf16 && chosen == Device::cpu && !cpu_has_bf16_tiles())
    note("precision bf16: this CPU has no AMX, and without it convolutions are slower than with --precision fast");
  return chosen;
}

std::string circumstances(Device device) {
  if (device == Device::cuda)
    return fmt::format("{}, {}, precision {}", device_facts(device).device, device_facts(device).libraries,
                       name_of(precision()));
  std::string absence = cuda_absence();
  return fmt::format("{}, {} threads, precision {}{}", device_facts(device).device, num_threads(),
                     name_of(precision()), absence.empty() ? "" : " (" + absence + ")");
}

namespace {

std::string readable(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return fmt::format("{:.6g}", value.get<double>());
  if (!value.is_array() || (!value.empty() && value.front().is_object())) return value.dump();
  std::string out;
  for (const Json& item : value) out += (out.empty() ? "" : " ") + readable(item);
  return out;
}

}  // namespace

void print_result(const Json& result, bool as_json) {
  if (!ranks().leads()) return;
  std::string text;
  if (as_json) {
    text = result.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  } else {
    size_t width = 0;
    for (const auto& [key, value] : result.items()) width = std::max(width, key.size());
    for (const auto& [key, value] : result.items()) {
      text += fmt::format("{:<{}}  {}\n", key + ":", width + 1, readable(value));
    }
  }
  write_output(text);
}

void note(const std::string& line) {
  if (ranks().leads()) write_error(line + "\n");
}

void tell_missed_convolutions() {
  auto tell = [](bool& told, const MissedConvolutions& missed, const char* line) {
    if (missed.calls == 0 || std::exchange(told, true)) return;
    note(fmt::format(fmt::runtime(line), missed.shapes.size(),
                     missed.shapes.front() + (missed.why.empty() ? "" : " (" + missed.why + ")") +
                         (missed.shapes.size() > 1 ? "; ..." : "")));
  };
  static bool plain_told = false, legacy_told = false;
  tell(plain_told, plain_convolutions(),
       "cuDNN has no deterministic algorithm for {} of the convolutions, which run on plain kernels, far slower: "
       "{}");
  tell(legacy_told, legacy_convolutions(),
       "cuDNN's graph API has no plan for {} of the convolutions, which take its older algorithms: {}");
}

void note_once(const std::string& line) {
  static std::set<std::string> told;
  if (told.insert(line).second) note(line);
}

Json number(double x) { return std::isfinite(x) ? Json(x) : Json(nullptr); }

}  // namespace vapo::app

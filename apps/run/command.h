#pragma once
// What the subcommands share: their common options, and how a result is printed.

#include <CLI/CLI.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "tensor/device.h"
#include "tensor/names.h"

namespace vapo {

// Enumerators are their names in JSON (and never numbers: JSON_DISABLE_ENUM_SERIALIZATION).
template <Named E>
void to_json(nlohmann::ordered_json& json, E e) {
  json = std::string(name_of(e));
}

}  // namespace vapo

namespace vapo::app {

using Json = nlohmann::ordered_json;
using Action = std::function<int()>;  // what the command line asked for; returns the exit code

// One per subcommand: declares it, and sets `action` when it is chosen.
#define VAPO_COMMAND(name) void add_##name(CLI::App& app, Action& action);
#include "apps/run/commands.inc"
#undef VAPO_COMMAND

struct CommonOptions {
  std::string device = "auto", precision = "strict";
  int threads = 0;  // 0 = the library's default: all cores
  bool json = false;
  void add_to(CLI::App& command, bool computes = true);
  Device apply() const;  // sets the threads and the precision; the device to compute on
};

// An option whose value is one of an enum's names; it keeps the place of the value.
template <Named E>
CLI::Option* add_choice(CLI::App& command, const char* flag, std::optional<E>& value, const char* help) {
  auto set = [&value](const std::string& name) { value = from_name<E>(name); };
  return command.add_option_function<std::string>(flag, set, help)->check(CLI::IsMember(all_names<E>()));
}

// What an option of a real number may be: from low to high, and no NaN (which CLI::Range lets pass).
CLI::Validator real_from(double low, double high);

// Writes an object to standard output: as one line of JSON, or as "name: value" lines; of several ranks rank 0 does. Throws IoError where that fails.
void print_result(const Json& result, bool as_json);
// "AMD EPYC …, 2 threads, precision strict", and why there is no GPU where one might be expected.
std::string circumstances(Device device);
// One line to standard error; dropped where nobody can have it.
void note(const std::string& line);
// Once a program each: that convolutions ran on plain kernels for want of a deterministic algorithm of cuDNN's, and by its
// older algorithms where its graph API refused, and why; if any did.
void tell_missed_convolutions();
void note_once(const std::string& line);  // the same line a second time is not told
// A number rounded to 6 significant digits for people; JSON has no NaN or infinity: null.
Json number(double x);

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

}  // namespace vapo::app

#include "apps/evaluation/long_chain.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "apps/run/metrics_log.h"
#include "apps/run/parts.h"
#include "tensor/check.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/safetensors.h"
#include "tensor/kernels.h"
#include "vapo/scores.h"

namespace vapo::app {
namespace {

namespace fs = std::filesystem;

struct State {
  int64_t step = 0;
  Tensor x;
  std::vector<Tensor> shown;
  std::string ended;
};

void save(const fs::path& file, const State& s) {
  TensorFile out{.tensors = {{"x", s.x.to(Device::cpu)}},
                 .metadata = {{"step", std::to_string(s.step)}, {"ended", s.ended}}};
  for (size_t i = 0; i < s.shown.size(); ++i) out.tensors[fmt::format("shown.{:04}", i)] = s.shown[i];
  write_safetensors(file, out);
}

State load(const fs::path& file, const Tensor& start) {
  TensorFile in = read_safetensors(file);
  State s;
  try {
    s.step = std::stoll(in.metadata.at("step"));
    s.ended = in.metadata.at("ended");
    s.x = in.tensors.at("x").to(start.device());
  } catch (const std::exception&) {
    throw InputError(fmt::format("{}: not the state of a long run. Hint: remove it", file.string()));
  }
  for (const auto& [name, tensor] : in.tensors)
    if (name.starts_with("shown.")) s.shown.push_back(tensor);
  if (s.x.shape() != start.shape())
    throw InputError(fmt::format("{}: particles {}, expected {}. Hint: remove it", file.string(), s.x.shape().str(),
                                 start.shape().str()));
  return s;
}

// The lines of the first `steps` steps; fewer where the log was cut.
std::vector<Json> read_log(const fs::path& file, int64_t steps) {
  std::vector<Json> lines;
  std::error_code error;
  if (!fs::exists(file, error)) return lines;
  std::string text = read_whole_file(file);
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    Json line = Json::parse(text.substr(begin, end - begin), nullptr, false);
    bool next = line.is_object() && line.value("step", INT64_C(-1)) == static_cast<int64_t>(lines.size());
    if (!next || static_cast<int64_t>(lines.size()) == steps) break;
    lines.push_back(std::move(line));
  }
  return lines;
}

double number_of(const Json& value) { return value.is_number() ? value.get<double>() : NAN; }

Chain chain_of(const std::vector<Json>& lines, const State& state) {
  Chain chain;
  chain.values.resize(static_cast<size_t>(state.x.dim(0)));
  for (const Json& line : lines) {
    chain.mean_squared_gradient.push_back(number_of(line.value("mean_squared_gradient", Json())));
    chain.mean_absolute_value.push_back(number_of(line.value("mean_absolute_value", Json())));
    chain.outside.push_back(number_of(line.value("outside", Json())));
    Json values = line.value("values", Json::array());
    for (size_t i = 0; i < chain.values.size(); ++i)
      chain.values[i].push_back(i < values.size() ? number_of(values[i]) : NAN);
  }
  std::vector<Tensor> shown;
  for (const Tensor& x : state.shown) {
    Shape shape = x.shape();
    Shape one{1};
    for (int64_t size : shape) one.push_back(size);
    shown.push_back(x.reshape(one));
  }
  if (!shown.empty()) chain.shown = kernel::concat(shown, 0);
  chain.ended = state.ended;
  return chain;
}

Json line_of(const ChainStep& s) {
  Json values = Json::array();
  double sum = 0, n = static_cast<double>(s.values.numel());
  for (int64_t i = 0; i < s.values.numel(); ++i) {
    double v = s.values.at(i);
    values.push_back(number(v));
    sum += std::abs(v) / n;
  }
  return {{"step", s.step},
          {"mean_squared_gradient", number(s.mean_squared_gradient)},
          {"mean_absolute_value", number(sum)},
          {"outside", number(s.x.rank() == 4 ? share_outside(s.x) : NAN)},
          {"values", values}};
}

// Steps until x is next to be kept or, at the latest, until it is time to look at the clock.
int64_t piece(const ChainPlan& plan, int64_t step) {
  constexpr int64_t kMost = 10;
  int64_t end = std::min(plan.steps, step + kMost);
  for (int64_t at : plan.shown)
    if (at > step) return std::min(end, at) - step;
  return end - step;
}

}  // namespace

Chain run_chain(const fs::path& folder, const ChainPlan& plan, const Tensor& start, const Advance& advance) {
  fs::path log_file = folder / (plan.name + ".jsonl"), state_file = folder / (plan.name + ".safetensors");
  State state{.step = 0, .x = start, .shown = {}, .ended = {}};
  std::error_code error;
  if (fs::exists(state_file, error)) state = load(state_file, start);
  std::vector<Json> lines = read_log(log_file, state.step);
  if (static_cast<int64_t>(lines.size()) != state.step) {
    state = {.step = 0, .x = start, .shown = {}, .ended = {}};
    lines.clear();
  }
  if (state.step >= plan.steps || !state.ended.empty()) return chain_of(lines, state);

  MetricsLog log(log_file, state.step - 1);
  auto keep = [&] {
    if (std::count(plan.shown.begin(), plan.shown.end(), state.step) > 0 &&
        std::count_if(plan.shown.begin(), plan.shown.end(), [&](int64_t at) { return at < state.step; }) ==
            static_cast<std::ptrdiff_t>(state.shown.size()))
      state.shown.push_back(state.x.to(Device::cpu));
  };
  keep();
  TimeLeft time_left(plan.what + ": steps", plan.steps, state.step);
  Stopwatch since_saved;
  while (state.step < plan.steps && state.ended.empty()) {
    int64_t count = piece(plan, state.step);
    try {
      state.x = advance(state.x, state.step, count, [&](const ChainStep& s) {
        lines.push_back(line_of(s));
        log.append(lines.back());
      });
      state.step += count;
      keep();
    } catch (const DivergedError& e) {
      state.step = static_cast<int64_t>(lines.size());
      state.ended = e.what();
    }
    time_left.show(state.step);
    bool over = state.step == plan.steps || !state.ended.empty();
    if (over || since_saved.seconds() > plan.save_every) {
      save(state_file, state);
      since_saved = {};
    }
  }
  return chain_of(lines, state);
}

}  // namespace vapo::app

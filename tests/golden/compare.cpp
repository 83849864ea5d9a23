// Outputs, gradients and gradients of gradients of one case, against what its file expects.

#include <algorithm>
#include <cmath>
#include <limits>

#include "autograd/grad.h"
#include "golden.h"

namespace golden {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// |a−b| over the tensor against atol + rtol·max|b|; a value that is not finite must be the same on both sides.
void compare(const std::string& name, const Tensor& a, const Tensor& b, double rtol, double atol, Verdict& v) {
  if (a.shape() != b.shape())
    throw InputError(fmt::format("{} has shape {}, the file expects {}", name, a.shape().str(), b.shape().str()));
  std::vector<double> x = a.to(DType::f64).to_vector<double>(), y = b.to(DType::f64).to_vector<double>();
  double difference = 0, scale = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    bool same = x[i] == y[i] || (std::isnan(x[i]) && std::isnan(y[i]));
    if (std::isfinite(y[i])) scale = std::max(scale, std::abs(y[i]));
    if (same) continue;
    double d = std::abs(x[i] - y[i]);
    difference = std::max(difference, std::isfinite(d) ? d : infinity);
  }
  double allowed = atol + rtol * scale;
  double error = difference == 0 ? 0 : scale > 0 ? difference / scale : difference;
  double share = difference == 0 ? 0 : allowed > 0 ? difference / allowed : infinity;
  ++v.compared;
  v.error = std::max(v.error, error);
  if (v.tensor.empty() || share > v.share) v.share = share, v.tensor = name;
}

// "grad.x" or "ggcot.param.w" → the input it is about: "in.x", "param.w".
const std::string& target_of(const Case& c, const std::string& tensor) {
  std::string name = tensor.substr(tensor.find('.') + 1);
  for (const std::string& candidate : {name, "in." + name, "param." + name}) {
    auto it = c.inputs.find(candidate);
    if (it == c.inputs.end()) continue;
    if (!it->second.requires_grad())
      throw InputError(fmt::format("'{}': {} has whole numbers and no gradient", tensor, candidate));
    return it->first;
  }
  throw InputError(fmt::format("'{}' names no input or parameter", tensor));
}

Named named_outputs(const Case& c, ModelOutputs& model) {
  Var y = evaluate_op(c);
  if (y.defined()) {
    model.outputs = {{"", y}};
  } else {
    model = evaluate_model(c);
    if (!model.known) throw InputError(fmt::format("unknown op '{}'", c.op));
  }
  Named out;
  for (const auto& [name, value] : model.outputs) {
    if (!name.empty()) {
      out["out." + name] = value;
      continue;
    }
    auto it = c.expected.lower_bound("out.");  // the file names the one output
    bool named = it != c.expected.end() && it->first.starts_with("out.");
    out[named                  ? it->first
        : c.cotangents.empty() ? "out.y"
                               : "out." + c.cotangents.begin()->first.substr(4)] = value;
  }
  return out;
}

// What is differentiated: Σ cot·out; without cotangents the total, or the one output, with cotangent 1.
void outputs_and_cotangents(const Case& c, const Named& outputs, std::vector<Var>& ys, std::vector<Var>& cots) {
  for (const auto& [name, cot] : c.cotangents) {
    auto it = outputs.find("out." + name.substr(4));
    if (it == outputs.end()) throw InputError(fmt::format("'{}' belongs to no output of {}", name, c.op));
    ys.push_back(it->second);
    cots.push_back(cot);
  }
  if (!ys.empty()) return;
  auto it = outputs.size() == 1 ? outputs.begin() : outputs.find("out.total");
  if (it == outputs.end()) throw InputError("gradients are expected, but there is no cotangent 'cot.…'");
  ys.push_back(it->second);
  cots.push_back(Tensor::ones(it->second.shape(), it->second.value().options()));
}

void check_gradients(const Case& c, const Named& outputs, Verdict& v) {
  Named grads;  // by the input's full name
  std::vector<std::string> seconds;
  for (const auto& [name, x] : c.expected) {
    if (name.starts_with("grad.")) grads[target_of(c, name)];
    if (name.starts_with("ggrad.")) seconds.push_back(name);
  }
  for (const auto& [name, x] : c.ggcots) grads[target_of(c, name)];
  if (!seconds.empty() && c.ggcots.empty())
    throw InputError(fmt::format("'{}' is expected, but there is no 'ggcot.…'", seconds[0]));
  if (grads.empty()) return;

  std::vector<Var> ys, cots, wrt;
  outputs_and_cotangents(c, outputs, ys, cots);
  for (const auto& [name, g] : grads) wrt.push_back(c.inputs.at(name));
  std::vector<Var> results = grad(ys, wrt, {.create_graph = !c.ggcots.empty(), .allow_unused = true}, cots);
  size_t i = 0;
  for (auto& [name, g] : grads) g = results[i++];
  for (const auto& [name, x] : c.expected)
    if (name.starts_with("grad.")) compare(name, grads.at(target_of(c, name)).value(), x, c.rtol, c.atol, v);
  if (seconds.empty()) return;

  std::vector<Var> firsts, second_cots, second_wrt;
  for (const auto& [name, u] : c.ggcots) {
    firsts.push_back(grads.at(target_of(c, name)));
    second_cots.push_back(u);
  }
  for (const std::string& name : seconds) {
    auto cot = c.cotangents.find(name.substr(6));  // ggrad.cot.y
    second_wrt.push_back(cot != c.cotangents.end() ? cot->second : c.inputs.at(target_of(c, name)));
  }
  results = grad(firsts, second_wrt, {.allow_unused = true}, second_cots);
  for (size_t k = 0; k < seconds.size(); ++k)
    compare(seconds[k], results[k].value(), c.expected.at(seconds[k]), c.rtol, c.atol, v);
}

void judge(const Case& c, Verdict& v) {
  ModelOutputs model;
  Named outputs = named_outputs(c, model);
  for (const auto& [name, x] : c.expected) {
    if (!name.starts_with("out.")) continue;
    auto it = outputs.find(name);
    if (it == outputs.end())
      throw InputError(fmt::format("'{}' is expected, but {} gives no such output", name, c.op));
    bool exact = std::find(model.exact.begin(), model.exact.end(), name.substr(4)) != model.exact.end();
    Tensor value = it->second.value();
    if (exact && x.numel() == 1) value = value.reshape(x.shape());
    compare(name, value, x, exact ? 0 : c.rtol, exact ? 0 : c.atol, v);
  }
  bool differentiates =
      std::any_of(c.expected.begin(), c.expected.end(), [](const auto& e) { return !e.first.starts_with("out."); });
  if (differentiates && !model.differentiable)
    throw InputError(fmt::format("{} cannot be differentiated, but gradients are expected", c.op));
  check_gradients(c, outputs, v);
  if (v.compared == 0) throw InputError("nothing to compare: no 'out.…', 'grad.…' or 'ggrad.…'");
}

}  // namespace

Verdict run_case(const Case& c) {
  Verdict v;
  if (!c.ignored.empty()) v.message = fmt::format("ignored tensor '{}'", c.ignored[0]);
  if (c.ignored.size() > 1) v.message += fmt::format(" and {} more", c.ignored.size() - 1);
  try {
    judge(c, v);
    v.passed = v.share <= 1;
  } catch (const std::exception& e) {
    v.message = e.what();
  }
  return v;
}

Verdict run_file(const std::filesystem::path& path) {
  try {
    return run_case(read_case(path));
  } catch (const std::exception& e) {
    Verdict v;
    v.message = e.what();
    return v;
  }
}

}  // namespace golden

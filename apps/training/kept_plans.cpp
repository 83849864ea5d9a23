#include "apps/training/kept_plans.h"

#include <fmt/format.h>

#include <cmath>
#include <sstream>
#include <utility>

#include "apps/run/json_file.h"
#include "tensor/convolution_plans.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/printable.h"
#include "tensor/plain_convolutions.h"

namespace vapo::app {
namespace {

Json pair(kernel::Pair p) { return {p.h, p.w}; }
Json sizes(const Shape& s) {
  Json out = Json::array();
  for (int i = 0; i < s.rank(); ++i) out.push_back(s[i]);
  return out;
}
std::string line_of(const ConvolutionPlan& p) {
  Json line = {{"pass", name_of(p.pass)},
               {"dtype", name_of(p.dtype)},
               {"input", sizes(p.x)},
               {"weight", sizes(p.w)},
               {"stride", pair(p.options.stride)},
               {"padding", pair(p.options.padding)},
               {"dilation", pair(p.options.dilation)},
               {"groups", p.options.groups},
               {"bias", p.bias},
               {"add", p.add},
               {"engine", p.engine},
               {"knobs", Json::array()},
               {"microseconds", std::round(10 * p.microseconds) / 10}};
  for (auto [type, value] : p.knobs) line["knobs"].push_back({type, value});
  return line.dump() + "\n";
}

// Below throws Json::exception or InputError where a line is none of ours.
int64_t whole(const Json& j, int64_t least, int64_t most) {
  int64_t i = j.is_number_integer() ? j.get<int64_t>() : least - 1;
  if (i < least || i > most) throw InputError("not a number that it can be");
  return i;
}
constexpr int64_t longest = 1 << 20;  // of a dimension: products of three are numbers
kernel::Pair pair_of(const Json& j) { return {whole(j.at(0), 0, longest), whole(j.at(1), 0, longest)}; }
Shape shape_of(const Json& j) {
  return {whole(j.at(0), 1, longest), whole(j.at(1), 1, longest), whole(j.at(2), 1, longest),
          whole(j.at(3), 1, longest)};
}
DType dtype_named(const std::string& name) {
  for (DType t : {DType::f32, DType::bf16})
    if (name == name_of(t)) return t;
  throw InputError("not of f32 or bf16");
}
ConvolutionPlan plan_of(const Json& j) {
  ConvolutionPlan p{.pass = from_name<ConvolutionPass>(j.at("pass").get<std::string>()),
                    .dtype = dtype_named(j.at("dtype").get<std::string>()),
                    .x = shape_of(j.at("input")),
                    .w = shape_of(j.at("weight")),
                    .options = {.stride = pair_of(j.at("stride")),
                                .padding = pair_of(j.at("padding")),
                                .dilation = pair_of(j.at("dilation")),
                                .groups = whole(j.at("groups"), 1, longest)},
                    .bias = j.at("bias").get<bool>(),
                    .add = j.at("add").get<bool>(),
                    .engine = whole(j.at("engine"), 0, longest),
                    .microseconds = j.at("microseconds").get<double>()};
  for (const Json& k : j.at("knobs"))
    p.knobs.emplace_back(whole(k.at(0), 0, longest), whole(k.at(1), -longest, longest));
  return p;
}

}  // namespace

KeptPlans::KeptPlans(std::filesystem::path file, Device device, Communicator& ranks)
    : file_(std::move(file)), device_(device), leads_(ranks.leads()) {
  std::error_code error;
  if (device_ != Device::cuda) return;
  time_convolution_plans(ranks.size() == 1);
  kept_ = convolution_choices().shapes;
  bool there = leads_ && std::filesystem::exists(file_, error);
  std::string text = broadcast_text(ranks, there ? read_whole_file(file_) : "");
  if (!text.empty()) taken_ = take(text);
}

int64_t KeptPlans::take(const std::string& text) {
  std::istringstream lines(text);
  std::string line, made_for;
  int64_t taken = 0, unusable = 0;
  std::getline(lines, line);
  try {
    made_for = parse_object(line, file_.string()).at("for").get<std::string>();
  } catch (const std::exception&) {
    made_for = "something that it does not say";
  }
  if (made_for != convolution_plans_hold_for()) {
    note(fmt::format("{}: chosen for {}, and this is {}: convolutions choose their plans anew", file_.string(),
                     printable(made_for), convolution_plans_hold_for()));
    return 0;
  }
  while (std::getline(lines, line)) {
    bool usable = false;
    try {
      usable = take_convolution_plan(plan_of(parse_object(line, file_.string())));
    } catch (const Json::exception&) {
    } catch (const InputError&) {
    }
    ++(usable ? taken : unusable);
  }
  if (unusable > 0)
    note(fmt::format("{}: {} of {} lines are no plan that can be had here: those convolutions choose anew",
                     file_.string(), unusable, taken + unusable));
  return taken;
}

void KeptPlans::keep() {
  if (device_ != Device::cuda || !leads_) return;
  ConvolutionChoices chosen = convolution_choices();
  if (chosen.shapes + taken_ > 0 && !std::exchange(told_, true))
    note(fmt::format(
        "convolutions: plans of cuDNN's for {} shapes chosen of {} in {:.1f} s, {} kept from before; {} "
        "shapes by its older algorithms",
        chosen.shapes, chosen.plans, chosen.seconds, taken_, legacy_convolutions().shapes.size()));
  if (chosen.shapes == kept_) return;
  kept_ = chosen.shapes;
  std::string text = Json{{"for", convolution_plans_hold_for()}}.dump() + "\n";
  for (const ConvolutionPlan& p : convolution_plans()) text += line_of(p);
  std::string_view pieces[] = {text};
  write_file_atomically(file_, pieces);
}

}  // namespace vapo::app

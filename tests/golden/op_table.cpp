// Golden op names → autograd/ops.h.

#include <functional>

#include "autograd/ops.h"
#include "golden.h"

namespace golden {
namespace {

using Op = std::function<Var(const Case&)>;

// The one floating input, whatever its name.
const Var& only(const Case& c) {
  const Var* found = nullptr;
  for (const auto& [name, x] : c.inputs)
    if (is_floating(x.dtype())) {
      if (found) return c.input("x");
      found = &x;
    }
  if (!found) return c.input("x");
  return *found;
}

const Tensor& index(const Case& c) {
  for (const auto& [name, x] : c.inputs)
    if (!is_floating(x.dtype())) return x.value();
  return c.input("idx").value();
}

// A list of numbers, or one number alone.
Dims list(const Json& attrs, const std::string& key) {
  const Json* value = find_attr(attrs, key);
  if (value && value->is_number_integer()) return {value->get<int64_t>()};
  return Dims(attr<std::vector<int64_t>>(attrs, key));
}

Dims reduced_dims(const Case& c) {
  for (const char* key : {"dims", "dim"})
    if (find_attr(c.attrs, key)) return list(c.attrs, key);
  return {};
}

bool keepdim(const Case& c) { return attr(c.attrs, "keepdim", false); }

Op unary(Var (*f)(const Var&)) {
  return [f](const Case& c) { return f(only(c)); };
}
Op binary(Var (*f)(const Var&, const Var&)) {
  return [f](const Case& c) {
    const Var &a = c.input("a"), &b = c.input("b");
    return f(a, b);
  };
}
Op reduction(Var (*f)(const Var&, const Dims&, bool)) {
  return [f](const Case& c) { return f(only(c), reduced_dims(c), keepdim(c)); };
}

Var linear_op(const Case& c) {
  return linear(c.input("x"), c.input("w"), c.inputs.contains("in.b") ? c.input("b") : Var());
}

Var concat_op(const Case& c) {  // alphabetical order of NAME, which is the map's
  std::vector<Var> parts;
  for (const auto& [name, x] : c.under("in.")) parts.push_back(x);
  return concat(parts, attr<int64_t>(c.attrs, "dim"));
}

Var slice_op(const Case& c) {
  return slice(only(c), attr<int64_t>(c.attrs, "dim"),
               {.start = attr<int64_t>(c.attrs, "start", 0),
                .stop = attr<int64_t>(c.attrs, "stop", INT64_MAX),
                .step = attr<int64_t>(c.attrs, "step", 1)});
}

Var pad2d_op(const Case& c) {
  auto pads = attr<std::vector<int64_t>>(c.attrs, "pads");
  if (pads.size() != 4)
    throw InputError(
        fmt::format("attribute 'pads' has {} numbers, expected [left, right, top, bottom]", pads.size()));
  return pad2d(only(c), {.left = pads[0], .right = pads[1], .top = pads[2], .bottom = pads[3]});
}

const std::map<std::string, Op>& table() {
  static const std::map<std::string, Op> ops = {
      {"add", binary(add)},
      {"sub", binary(sub)},
      {"mul", binary(mul)},
      {"div", binary(div)},
      {"maximum", binary(maximum)},
      {"minimum", binary(minimum)},
      {"neg", unary(neg)},
      {"exp", unary(exp)},
      {"log", unary(log)},
      {"sqrt", unary(sqrt)},
      {"rsqrt", unary(rsqrt)},
      {"square", unary(square)},
      {"sin", unary(sin)},
      {"cos", unary(cos)},
      {"tanh", unary(tanh)},
      {"sigmoid", unary(sigmoid)},
      {"silu", unary(silu)},
      {"gelu", unary(gelu)},
      {"relu", unary(relu)},
      {"softplus", unary(softplus)},
      {"abs", unary(abs)},
      {"leaky_relu", [](const Case& c) { return leaky_relu(only(c), attr(c.attrs, "slope", 0.01)); }},
      {"pow", [](const Case& c) { return pow(only(c), attr<double>(c.attrs, "exponent")); }},
      {"sum", reduction(sum)},
      {"mean", reduction(mean)},
      {"amax", reduction(amax)},
      {"logsumexp", reduction(logsumexp)},
      {"norm", reduction(norm)},
      {"softmax", [](const Case& c) { return softmax(only(c), reduced_dims(c)); }},
      {"matmul", binary([](const Var& a, const Var& b) { return matmul(a, b); })},
      {"linear", linear_op},
      {"embedding", [](const Case& c) { return embedding(only(c), index(c)); }},
      {"index_select",
       [](const Case& c) { return index_select(only(c), attr<int64_t>(c.attrs, "dim"), index(c)); }},
      {"concat", concat_op},
      {"slice", slice_op},
      {"permute", [](const Case& c) { return permute(only(c), list(c.attrs, "dims")); }},
      {"reshape", [](const Case& c) { return reshape(only(c), list(c.attrs, "shape")); }},
      {"pad2d", pad2d_op},
  };
  return ops;
}

}  // namespace

Var evaluate_op(const Case& c) {
  auto it = table().find(c.op);
  return it == table().end() ? Var() : it->second(c);
}

}  // namespace golden

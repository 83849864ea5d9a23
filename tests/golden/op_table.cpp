// Golden op names → autograd/ops.h.

#include <functional>
#include <optional>

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

Var clamp_op(const Case& c) {
  auto bound = [&c](const char* key) -> std::optional<double> {
    if (!find_attr(c.attrs, key)) return {};
    return attr<double>(c.attrs, key);
  };
  return clamp(only(c), bound("min"), bound("max"));
}

Var where_op(const Case& c) {
  const Var &a = c.input("a"), &b = c.input("b");
  return where(c.input("condition").value().to(a.device()), a, b);
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

Var optional(const Case& c, const std::string& name) {
  return c.inputs.contains("in." + name) ? c.input(name) : Var();
}

// One number for both, or [height, width].
Pair pair(const Json& attrs, const std::string& key, const Pair& otherwise) {
  if (!find_attr(attrs, key)) return otherwise;
  Dims values = list(attrs, key);
  if (values.rank() != 1 && values.rank() != 2)
    throw InputError(
        fmt::format("attribute '{}' has {} numbers, expected one or [height, width]", key, values.rank()));
  return {values[0], values.back()};
}

Var conv2d_op(const Case& c) {
  Conv2dOptions p{.stride = pair(c.attrs, "stride", 1),
                  .padding = pair(c.attrs, "padding", 0),
                  .dilation = pair(c.attrs, "dilation", 1),
                  .groups = attr<int64_t>(c.attrs, "groups", 1)};
  return channels_first(conv2d(channels_last(c.input("x")), channels_last(c.input("w")), optional(c, "b"), p));
}

Var pad2d_op(const Case& c) {
  auto pads = attr<std::vector<int64_t>>(c.attrs, "pads");
  if (pads.size() != 4)
    throw InputError(
        fmt::format("attribute 'pads' has {} numbers, expected [left, right, top, bottom]", pads.size()));
  const Var& x = only(c);
  if (x.rank() < 2) throw InputError(fmt::format("pad2d of shape {}", x.shape().str()));
  Shape shape = x.shape();  // the last two dimensions are padded, whatever stands before them
  int64_t images = 1;
  for (int i = 0; i + 2 < shape.rank(); ++i) images *= shape[i];
  Var y = pad2d(reshape(x, {images, x.dim(-2), x.dim(-1), 1}),
                {.left = pads[0], .right = pads[1], .top = pads[2], .bottom = pads[3]});
  shape[shape.rank() - 2] = y.dim(1), shape[shape.rank() - 1] = y.dim(2);
  return reshape(y, shape);
}

Var group_norm_op(const Case& c) {
  return channels_first(group_norm(channels_last(c.input("x")), c.input("w"), c.input("b"),
                                   attr<int64_t>(c.attrs, "groups"), attr(c.attrs, "eps", 1e-5)));
}
Var group_norm_silu_op(const Case& c) {
  Var scale = optional(c, "scale"), shift = optional(c, "shift"), e;
  auto zeros = [](const Var& like) { return Var(Tensor::zeros(like.shape(), like.dtype())); };
  if (scale.defined() && !shift.defined()) shift = zeros(scale);
  if (shift.defined() && !scale.defined()) scale = zeros(shift);
  if (scale.defined()) e = concat({scale, shift}, 1);
  return channels_first(group_norm_silu(channels_last(c.input("x")), c.input("w"), c.input("b"),
                                        attr<int64_t>(c.attrs, "groups"), attr(c.attrs, "eps", 1e-5), e));
}

const std::map<std::string, Op>& table() {
  static const std::map<std::string, Op> ops = {
      {"add", binary(add)},
      {"sub", binary(sub)},
      {"mul", binary(mul)},
      {"div", binary(div)},
      {"maximum", binary(maximum)},
      {"minimum", binary(minimum)},
      {"eq", binary(eq)},
      {"ne", binary(ne)},
      {"lt", binary(lt)},
      {"le", binary(le)},
      {"gt", binary(gt)},
      {"ge", binary(ge)},
      {"where", where_op},
      {"neg", unary(neg)},
      {"exp", unary(exp)},
      {"expm1", unary(expm1)},
      {"log", unary(log)},
      {"log1p", unary(log1p)},
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
      {"clamp", clamp_op},
      {"sum", reduction(sum)},
      {"mean", reduction(mean)},
      {"amax", reduction(amax)},
      {"logsumexp", reduction(logsumexp)},
      {"norm", reduction(norm)},
      {"var",
       [](const Case& c) { return var(only(c), reduced_dims(c), attr(c.attrs, "correction", 1.0), keepdim(c)); }},
      {"cumsum", [](const Case& c) { return cumsum(only(c), attr<int64_t>(c.attrs, "dim")); }},
      {"softmax", [](const Case& c) { return softmax(only(c), reduced_dims(c)); }},
      {"matmul", binary([](const Var& a, const Var& b) { return matmul(a, b); })},
      {"linear", linear_op},
      {"embedding", [](const Case& c) { return embedding(only(c), index(c)); }},
      {"index_select",
       [](const Case& c) { return index_select(only(c), attr<int64_t>(c.attrs, "dim"), index(c)); }},
      {"gather", [](const Case& c) { return gather(only(c), attr<int64_t>(c.attrs, "dim"), index(c)); }},
      {"scatter_add",
       [](const Case& c) {
         return scatter_add(c.input("x"), attr<int64_t>(c.attrs, "dim"), index(c), c.input("src"));
       }},
      {"concat", concat_op},
      {"slice", slice_op},
      {"permute", [](const Case& c) { return permute(only(c), list(c.attrs, "dims")); }},
      {"reshape", [](const Case& c) { return reshape(only(c), list(c.attrs, "shape")); }},
      {"pad2d", pad2d_op},
      {"conv2d", conv2d_op},
      {"avg_pool2d",
       [](const Case& c) {
         return channels_first(avg_pool2d(channels_last(only(c)), pair(c.attrs, "kernel", 2)));
       }},
      {"max_pool2d",
       [](const Case& c) {
         Pair size = pair(c.attrs, "kernel", 2);
         kernel::Window window{size, pair(c.attrs, "stride", size), pair(c.attrs, "padding", 0)};
         return channels_first(max_pool2d(channels_last(only(c)), window));
       }},
      {"upsample_nearest2d",
       [](const Case& c) {
         return channels_first(upsample_nearest2d(channels_last(only(c)), pair(c.attrs, "scale", 2)));
       }},
      {"group_norm", group_norm_op},
      {"group_norm_silu", group_norm_silu_op},
      {"attention",
       [](const Case& c) {
         return channels_first(attention(channels_last(c.input("q")), channels_last(c.input("k")),
                                         channels_last(c.input("v")), attr<int64_t>(c.attrs, "heads", 1)));
       }},
  };
  return ops;
}

}  // namespace

Var channels_last(const Var& x) {
  Dims order{0};
  for (int i = 2; i < x.rank(); ++i) order.push_back(i);
  if (x.rank() > 1) order.push_back(1);
  return permute(x, order);
}

Var channels_first(const Var& x) {
  Dims order{0, x.rank() - 1};
  for (int i = 1; i + 1 < x.rank(); ++i) order.push_back(i);
  return permute(x, order);
}

Var evaluate_op(const Case& c) {
  auto it = table().find(c.op);
  return it == table().end() ? Var() : it->second(c);
}

}  // namespace golden

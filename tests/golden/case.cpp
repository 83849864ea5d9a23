#include <cmath>
#include <cstdlib>

#include "golden.h"
#include "tensor/io/safetensors.h"

namespace golden {
namespace {

double tolerance(const TensorFile& file, const char* key, double otherwise) {
  auto it = file.metadata.find(key);
  if (it == file.metadata.end()) return otherwise;
  char* end = nullptr;
  double value = std::strtod(it->second.c_str(), &end);
  bool whole = end != it->second.c_str() && *end == '\0';
  if (!whole || !std::isfinite(value) || value < 0)
    throw InputError(fmt::format("metadata '{}' is '{}', expected a number ≥ 0", key, it->second));
  return value;
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts(1);
  for (char c : list) {
    if (c == ',')
      parts.emplace_back();
    else if (c != ' ')
      parts.back() += c;
  }
  return parts;
}

// The dtype of the floating inputs; the wider where they differ.
DType dtype_of_inputs(const TensorFile& file) {
  bool any = false, wide = false;
  for (const auto& [name, x] : file.tensors)
    if ((name.starts_with("in.") || name.starts_with("param.")) && is_floating(x.dtype()))
      any = true, wide |= x.dtype() == DType::f64;
  return any && !wide ? DType::f32 : DType::f64;
}

}  // namespace

Case read_case(const std::filesystem::path& path) {
  TensorFile file = read_safetensors(path);
  Case c;
  auto op = file.metadata.find("op");
  if (op == file.metadata.end()) throw InputError("no 'op' in the metadata: not a golden case");
  c.op = op->second;
  if (auto attrs = file.metadata.find("attrs"); attrs != file.metadata.end() && !attrs->second.empty()) {
    c.attrs = Json::parse(attrs->second, nullptr, false);
    if (!c.attrs.is_object()) throw InputError("metadata 'attrs' is no JSON object");
  }
  if (auto devices = file.metadata.find("devices"); devices != file.metadata.end())
    c.devices = split(devices->second);
  c.dtype = dtype_of_inputs(file);
  c.rtol = tolerance(file, "rtol", c.dtype == DType::f32 ? 2e-5 : 1e-10);
  c.atol = tolerance(file, "atol", c.dtype == DType::f32 ? 1e-6 : 1e-12);
  for (const auto& [name, x] : file.tensors) {
    auto is = [&](const char* prefix) { return name.starts_with(prefix); };
    bool floating = is_floating(x.dtype());
    if (is("in.") || is("param."))
      c.inputs[name] = floating ? Var::leaf(x.to(c.dtype), name) : Var(x.to(DType::i64));
    else if (is("cot."))
      c.cotangents[name] = Var::leaf(x.to(c.dtype), name);
    else if (is("ggcot."))
      c.ggcots[name] = x.to(c.dtype);
    else if (is("out.") || is("grad.") || is("ggrad."))
      c.expected[name] = x;
    else
      c.ignored.push_back(name);
  }
  return c;
}

Named Case::under(const std::string& prefix) const {
  Named out;
  for (const auto& [name, x] : inputs)
    if (name.starts_with(prefix)) out[name.substr(prefix.size())] = x;
  return out;
}

const Var& Case::input(const std::string& name) const {
  auto it = inputs.find("in." + name);
  if (it == inputs.end()) throw InputError(fmt::format("{} needs the input 'in.{}'", op, name));
  return it->second;
}

Case Case::on(Device device) const {
  Case c = *this;
  for (Named* group : {&c.inputs, &c.cotangents})
    for (auto& [name, x] : *group)
      if (is_floating(x.dtype())) x = Var::leaf(x.value().to(device), name);
  for (auto& [name, u] : c.ggcots) u = u.to(device);
  return c;
}

Tensor Case::labels() const {
  auto it = inputs.find("in.y");
  return it == inputs.end() ? Tensor() : it->second.value().to(DType::i64);
}

const Json* find_attr(const Json& attrs, const std::string& key) {
  auto it = attrs.find(key);
  return it == attrs.end() || it->is_null() ? nullptr : &*it;
}

}  // namespace golden

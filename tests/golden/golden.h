#pragma once
// Golden cases: one safetensors file with an operation's inputs, expected outputs, gradients and double-backward
// gradients. The format is in README.md. case.cpp reads, op_table.cpp, model_table.cpp and
// inception_case.cpp evaluate, compare.cpp
// differentiates and judges.

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "autograd/var.h"
#include "tensor/device.h"

namespace golden {

using namespace vapo;
using Json = nlohmann::json;
using Named = std::map<std::string, Var>;

struct Case {
  std::string op;
  Json attrs = Json::object();
  double rtol = 0, atol = 0;
  std::vector<std::string> devices;        // empty = every one
  DType dtype = DType::f64;                // everything is computed in it
  Named inputs;                            // "in.NAME", "param.NAME"; leaves where floating
  Named cotangents;                        // "cot.NAME", leaves
  std::map<std::string, Tensor> expected;  // "out.…", "grad.…", "ggrad.…" as they are in the file
  std::map<std::string, Tensor> ggcots;    // "ggcot.…"
  std::vector<std::string> ignored;        // tensors whose name means nothing here

  // The inputs called "in.…" and "param.…", without that prefix.
  Named under(const std::string& prefix) const;
  const Var& input(const std::string& name) const;  // "in.NAME"; throws naming it where it is missing
  Tensor labels() const;                            // "in.y" or undefined
  Case on(Device device) const;                     // with all floating operands there
};
Case read_case(const std::filesystem::path& path);  // throws vapo::Error

// attrs[key], or the default where it is absent or null. Throws naming the key.
const Json* find_attr(const Json& attrs, const std::string& key);
template <class T>
T attr(const Json& attrs, const std::string& key, const T& otherwise) {
  const Json* value = find_attr(attrs, key);
  if (!value) return otherwise;
  try {
    return value->get<T>();
  } catch (const nlohmann::json::exception&) {
    throw InputError(fmt::format("attribute '{}' is {}", key, value->dump()));
  }
}
template <class T>
T attr(const Json& attrs, const std::string& key) {
  if (!find_attr(attrs, key)) throw InputError(fmt::format("attribute '{}' is missing", key));
  return attr(attrs, key, T());
}

// Images, sequences and convolution weights are channels first in the file, (N,C,…), and channels last here.
Var channels_last(const Var& x);
Var channels_first(const Var& x);

// One operation of autograd/ops.h on the case's inputs; undefined where there is no such operation.
Var evaluate_op(const Case& c);

struct ModelOutputs {
  Named outputs;                   // one output under the name "" takes the name the file gives it
  std::vector<std::string> exact;  // names of outputs that must agree exactly
  bool differentiable = true;
  bool known = false;  // there is such a model
};
ModelOutputs evaluate_model(const Case& c);
Named inception_features(const Case& c);  // of "inception_fid"

struct Verdict {
  bool passed = false;
  double error = 0;     // worst max|a−b| / max|b| over the tensors
  double share = 0;     // worst share of the tolerance used: max|a−b| / (atol + rtol·max|b|)
  std::string tensor;   // where the share is worst
  int compared = 0;     // tensors
  std::string message;  // what went wrong, or what was ignored
};
Verdict run_case(const Case& c);
Verdict run_file(const std::filesystem::path& path);  // never throws: a file that cannot be used is a failed case

}  // namespace golden

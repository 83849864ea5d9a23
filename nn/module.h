#pragma once
// A module: typed members and one function that names its parameters.

#include <functional>
#include <string>
#include <vector>

#include "autograd/var.h"

namespace vapo::nn {

using ParameterVisitor = std::function<void(const std::string& name, Var& parameter)>;
using BufferVisitor = std::function<void(const std::string& name, Tensor& buffer)>;

class Module {
 public:
  virtual ~Module() = default;
  // Calls visit once per parameter, always in the same order. Names are dotted paths: "layers.0.weight".
  virtual void parameters(const ParameterVisitor& visit) = 0;
  // State that is saved but not learned.
  virtual void buffers(const BufferVisitor&) {}
};

struct NamedParameter {
  std::string name;
  Var* parameter;  // owned by the module
};
std::vector<NamedParameter> named_parameters(Module& module);
void to(Module& module, Device device);  // moves parameters and buffers
int64_t parameter_count(Module& module);
// Calls child.parameters with "prefix." before every name.
void visit_child(const std::string& prefix, Module& child, const ParameterVisitor& visit);

}  // namespace vapo::nn

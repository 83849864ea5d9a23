#include "nn/module.h"

#include <set>

namespace vapo::nn {

std::vector<NamedParameter> named_parameters(Module& module) {
  std::vector<NamedParameter> out;
  std::set<std::string> names;
  module.parameters([&](const std::string& name, Var& parameter) {
    VAPO_CHECK(parameter.defined(), "[module] parameter '{}' is undefined", name);
    VAPO_CHECK(names.insert(name).second, "[module] two parameters are called '{}'", name);
    out.push_back({name, &parameter});
  });
  return out;
}

void to(Module& module, Device device) {
  module.parameters([&](const std::string& name, Var& p) {
    if (p.value().device() != device) p = Var::leaf(p.value().to(device), name);
  });
  module.buffers([&](const std::string&, Tensor& b) { b = b.to(device); });
}

int64_t parameter_count(Module& module) {
  int64_t count = 0;
  module.parameters([&](const std::string&, Var& parameter) { count += parameter.numel(); });
  return count;
}

void visit_child(const std::string& prefix, Module& child, const ParameterVisitor& visit) {
  child.parameters([&](const std::string& name, Var& parameter) { visit(prefix + "." + name, parameter); });
}

}  // namespace vapo::nn

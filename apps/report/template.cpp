#include "apps/report/template.h"

#include <fmt/format.h>

#include <kainjow/mustache.hpp>
#include <stdexcept>

#include "apps/report/html.h"

namespace vapo::app {
namespace {

namespace mustache = kainjow::mustache;
using Json = nlohmann::ordered_json;

mustache::data data_of(const Json& view) {
  using Type = mustache::data::type;
  if (view.is_string() && !view.empty()) {
    const auto& text = view.get_ref<const std::string&>();
    return text.empty() ? mustache::data(false) : mustache::data(text);
  }
  if (view.is_boolean()) return view.get<bool>();
  if (view.is_number()) return view.dump();
  if (view.is_array()) {
    mustache::data list(Type::list);
    for (const Json& item : view) list.push_back(data_of(item));
    return list;
  }
  if (!view.is_object()) return false;
  mustache::data object(Type::object);
  for (const auto& [name, value] : view.items()) {
    object[name] = data_of(value);
    if (value.is_array()) object["has_" + name] = !value.empty();
  }
  return object;
}

const std::string& file(const std::string& name) {
  auto found = report_files().find(name);
  if (found == report_files().end()) throw std::logic_error(fmt::format("report: no template {}", name));
  return found->second;
}

// Finds the names of a template, or says which is not there: mustache itself would leave it out.
class Names : public mustache::context<std::string> {
 public:
  using context::context;
  const mustache::data* get(const std::string& name) const override {
    if (const mustache::data* found = context::get(name)) return found;
    throw std::logic_error(fmt::format("report: a template names '{}', which its view does not have", name));
  }
  const mustache::data* get_partial(const std::string& name) const override {
    static const std::map<std::string, mustache::data> all = [] {
      std::map<std::string, mustache::data> out;
      for (const auto& [key, text] : report_files()) out.emplace(key, text);
      return out;
    }();
    file(name + ".html");  // throws where there is none
    return &all.at(name + ".html");
  }
};

}  // namespace

std::string rendered(const std::string& name, const Json& view) {
  mustache::mustache page(file(name + ".html"));
  page.set_custom_escape([](const std::string& text) { return escaped(text); });
  mustache::data data = data_of(view);
  Names names(&data);
  std::string out = page.render(names);
  if (!page.is_valid()) throw std::logic_error(fmt::format("report: {}.html: {}", name, page.error_message()));
  return out;
}

}  // namespace vapo::app

#include "apps/run/json_file.h"

#include <fmt/format.h>

#include "tensor/check.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/printable.h"

namespace vapo::app {

Json parse_object(std::string_view text, const std::string& name) {
  auto shallow = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > 16) throw InputError(fmt::format("{}: nested too deeply", name));
    return true;
  };
  Json object;
  try {
    object = Json::parse(text, shallow);
  } catch (const Json::exception& e) {
    throw InputError(fmt::format("{}: not JSON ({})", name, printable(e.what(), 120)));
  }
  if (!object.is_object()) throw InputError(fmt::format("{}: not a JSON object", name));
  return object;
}

Json read_object(const std::filesystem::path& file) { return parse_object(read_whole_file(file), file.string()); }

}  // namespace vapo::app

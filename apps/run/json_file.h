#pragma once
// JSON from files, which may hold anything.

#include <filesystem>
#include <string>
#include <string_view>

#include "apps/run/command.h"

namespace vapo::app {

// A JSON object, nested in no more than a few levels: what walks it may recurse. Throws InputError naming `name`.
Json parse_object(std::string_view text, const std::string& name);
Json read_object(const std::filesystem::path& file);  // throws IoError, too

}  // namespace vapo::app

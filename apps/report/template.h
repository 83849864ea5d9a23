#pragma once
// The pages of apps/report/templates/, which are mustache, and their style sheet: parts of the program itself.

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace vapo::app {

// The template NAME.html with what `view` holds: texts, which {{name}} escapes (html.h), true and false, objects,
// and lists, beside each of which has_LIST says whether there is something in it. Of an empty text and of null a
// section is left out, too. Throws std::logic_error where a template is broken, or names what the view does not have.
std::string rendered(const std::string& name, const nlohmann::ordered_json& view);

// "NAME.html" or "report.css" and what the file holds, less the newline at its end. Written by the build.
const std::map<std::string, std::string>& report_files();

}  // namespace vapo::app

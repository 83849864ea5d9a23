#include "apps/report/report_evaluations.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "apps/report/html.h"
#include "apps/run/json_file.h"
#include "tensor/check.h"

namespace vapo::app {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kLeastWidth = 640;  // pictures of fewer pixels are enlarged

std::vector<fs::path> folders_in(const fs::path& dir) {
  std::vector<fs::path> folders;
  std::error_code error;
  for (fs::directory_iterator it(dir, error), end; !error && it != end; it.increment(error))
    if (it->is_directory(error)) folders.push_back(it->path());
  std::sort(folders.begin(), folders.end());
  return folders;
}

// "steps_per_second": "steps per second".
std::string label(std::string key) {
  std::replace(key.begin(), key.end(), '_', ' ');
  return key;
}

std::string time_words(int64_t seconds_since_1970) {
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(static_cast<std::time_t>(seconds_since_1970)));
}

// facts.html; null where there are none.
Json facts_view(const Json& object) {
  if (object.empty()) return nullptr;
  Json facts = Json::array();
  for (const auto& [key, value] : object.items()) {
    bool time = key == "checkpoint_time" && value.is_number_integer() && std::abs(value.get<double>()) < 9e9;
    facts.push_back(fact_view(label(key), time ? Json(time_words(value.get<int64_t>())) : value));
  }
  return {{"facts", facts}};
}

Json cell_view(const Json& value, bool numeric) {
  Json cell = value_view(value);
  cell["numeric"] = numeric;
  return cell;
}

Json table_view(const Json& table) {
  const auto& caption = table.at("caption").get_ref<const std::string&>();
  const Json &columns = table.at("columns"), &rows = table.at("rows");
  size_t width = columns.size();
  std::vector<bool> numeric(width, true);
  for (const Json& row : rows) {
    if (!row.is_array() || row.size() != width)
      throw InputError(fmt::format("table \"{}\": a row of {} cells, {} columns", caption, row.size(), width));
    for (size_t i = 0; i < width; ++i) numeric[i] = numeric[i] && (row[i].is_number() || row[i].is_null());
  }
  Json view = {{"caption", caption}, {"columns", Json::array()}, {"rows", Json::array()}};
  for (size_t i = 0; i < width; ++i)
    view["columns"].push_back({{"name", columns[i].get_ref<const std::string&>()}, {"numeric", bool(numeric[i])}});
  for (const Json& row : rows) {
    Json cells = Json::array();
    for (size_t i = 0; i < width; ++i) cells.push_back(cell_view(row[i], numeric[i]));
    view["rows"].push_back({{"cells", cells}});
  }
  return view;
}

Json poster_row(const Json& pair) {
  Json cells = Json::array();
  for (const char* whose : {"poster", "ours"})
    cells.push_back(cell_view(pair.at(whose), !pair.at(whose).is_string()));
  return {{"quantity", pair.at("quantity").get_ref<const std::string&>()},
          {"because", pair.at("not_comparable_because").get_ref<const std::string&>()},
          {"cells", cells},
          {"link", nullptr}};
}

Json named_figure(const fs::path& folder, const Json& figure, Pictures& pictures) {
  fs::path name = figure.at("file").get_ref<const std::string&>();
  if (name.is_absolute() || std::find(name.begin(), name.end(), "..") != name.end())
    throw InputError(fmt::format("the figure '{}' lies outside the folder", name.string()));
  return figure_view(folder / name, figure.at("caption").get_ref<const std::string&>(), kLeastWidth, pictures);
}

// What a result says.
Json found_view(const Json& result, const fs::path& folder, Pictures& pictures) {
  Json view = {{"request", facts_view(result.at("request"))},
               {"summary", facts_view(result.at("summary"))},
               {"poster", nullptr},
               {"tables", Json::array()},
               {"figures", Json::array()},
               {"remarks", Json::array()}};
  for (const Json& pair : result.at("beside_poster")) view["poster"]["rows"].push_back(poster_row(pair));
  for (const Json& table : result.at("tables")) view["tables"].push_back(table_view(table));
  for (const Json& figure : result.at("figures")) view["figures"].push_back(named_figure(folder, figure, pictures));
  for (const Json& text : result.at("remarks")) view["remarks"].push_back(text.get_ref<const std::string&>());
  return view;
}

}  // namespace

std::vector<EvaluationRecord> find_evaluations(const fs::path& dir) {
  std::vector<fs::path> places = {dir};
  for (const fs::path& parent : {dir, dir / "evaluations"})
    for (fs::path& folder : folders_in(parent)) places.push_back(std::move(folder));
  std::vector<EvaluationRecord> found;
  std::error_code error;
  for (const fs::path& folder : places) {
    EvaluationRecord e{.folder = folder, .name = folder.lexically_relative(dir).string()};
    if (folder.parent_path() == dir / "evaluations") e.name = folder.filename().string();
    if (folder == dir) e.name = fs::absolute(dir).lexically_normal().filename().string();
    try {
      if (fs::exists(folder / "result.json", error)) {
        e.result = read_object(folder / "result.json");
      } else if (fs::exists(folder / "request.json", error)) {
        e.unfinished = true;
        e.problem = fmt::format("{}: begun and not finished: no result.json", folder.string());
      } else if (fs::exists(folder / "summary.json", error)) {
        e.unfinished = true;
        e.problem = fmt::format(
            "{}: summary.json of a vapo that wrote no result.json. Hint: vapo density once more", folder.string());
      } else {
        continue;
      }
    } catch (const Error& problem) {
      e.problem = problem.what();
    }
    found.push_back(std::move(e));
  }
  return found;
}

EvaluationView evaluation_view(const EvaluationRecord& evaluation, const std::string& id) {
  EvaluationView out;
  std::string heading = evaluation.name, problem = evaluation.problem;
  Json found = nullptr;
  if (problem.empty()) {
    try {
      heading = evaluation.result.at("command").get_ref<const std::string&>();
      found = found_view(evaluation.result, evaluation.folder, out.figures);
      out.shown = true;
    } catch (const std::exception& e) {  // of JSON that is not a result's, too
      problem = fmt::format("{}: not as an evaluation leaves it: {}", (evaluation.folder / "result.json").string(),
                            e.what());
      out.figures = {};
    }
  }
  out.problems = out.figures.problems;
  if (!problem.empty()) out.problems.push_back(problem);
  if (out.shown && !found["poster"].is_null()) out.poster_rows = found["poster"]["rows"];
  for (Json& row : out.poster_rows) row["link"] = id;
  out.view = {{"id", id},
              {"heading", heading},
              {"where", heading == evaluation.name ? "" : evaluation.name},
              {"problem", problem},
              {"found", std::move(found)}};
  return out;
}

}  // namespace vapo::app

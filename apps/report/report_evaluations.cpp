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

// summary.json and the figures of vapo density as a result.
Json density_result(const fs::path& folder) {
  struct Figure {
    const char *file, *caption;
  };
  constexpr Figure figures[] = {
      {"flow.png",
       "Particles carried from noise to data by the gradient of the potential, which is drawn behind them."},
      {"density.png",
       "Densities of the marginal and of the Boltzmann energy beside that of the data, and samples of "
       "Langevin dynamics (SGLD) in the marginal energy."},
      {"sgld.png", "The long run of SGLD: mean energy and mean squared gradient by step."},
      {"loss.png", "Loss and norm of the gradient while it was trained."}};
  Json result = {
      {"command", "density"},    {"request", Json::object()}, {"summary", read_object(folder / "summary.json")},
      {"tables", Json::array()}, {"figures", Json::array()},  {"beside_poster", Json::array()},
      {"remarks", Json::array()}};
  std::error_code error;
  bool has_log = fs::exists(folder / "metrics.jsonl", error);  // whose curves the page draws itself
  for (const Figure& f : figures) {
    if (has_log && std::string_view(f.file) == "loss.png") continue;
    std::string script = fs::path(f.file).replace_extension(".gp").string();
    if (fs::exists(folder / f.file, error))
      result["figures"].push_back({{"file", f.file}, {"caption", f.caption}});
    else if (fs::exists(folder / script, error))
      result["remarks"].push_back(fmt::format(
          "The figure {} is not here: gnuplot was missing or failed. Its data are, and gnuplot {} draws it", f.file,
          script));
  }
  return result;
}

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

std::string time_html(int64_t seconds_since_1970) {
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(static_cast<std::time_t>(seconds_since_1970)));
}

size_t letters_of(const Json& value) {
  if (value.is_string()) return value.get_ref<const std::string&>().size();
  return value.is_structured() ? value.dump().size() : 0;
}

std::string facts(const Json& object) {
  std::string out = "<dl class=\"facts\">\n";
  for (const auto& [key, value] : object.items()) {
    bool time = key == "checkpoint_time" && value.is_number_integer() && std::abs(value.get<double>()) < 9e9;
    out += time ? fact_html(label(key), time_html(value.get<int64_t>()), 23)
                : fact_html(label(key), value_html(value), letters_of(value));
  }
  return out + "</dl>\n";
}

// A table that scrolls by itself where the page is narrower.
std::string scrolling_table(const std::string& caption, const std::string& head, const std::string& body) {
  return fmt::format(
      "<figure class=\"table\"><figcaption>{0}</figcaption>\n<div class=\"wide\" role=\"region\" "
      "aria-label=\"{0}\" "
      "tabindex=\"0\"><table>\n<thead><tr>{1}</tr></thead>\n<tbody>\n{2}</tbody></table></div></figure>\n",
      escaped(caption), head, body);
}

std::string table_html(const Json& table) {
  const auto& caption = table.at("caption").get_ref<const std::string&>();
  const Json &columns = table.at("columns"), &rows = table.at("rows");
  size_t width = columns.size();
  std::vector<bool> numeric(width, true);
  for (const Json& row : rows) {
    if (!row.is_array() || row.size() != width)
      throw InputError(fmt::format("table \"{}\": a row of {} cells, {} columns", caption, row.size(), width));
    for (size_t i = 0; i < width; ++i) numeric[i] = numeric[i] && (row[i].is_number() || row[i].is_null());
  }
  std::string head, body;
  for (size_t i = 0; i < width; ++i)
    head += fmt::format("<th scope=\"col\"{}>{}</th>", numeric[i] ? " class=\"number\"" : "",
                        escaped(columns[i].get_ref<const std::string&>()));
  for (const Json& row : rows) {
    body += "<tr>";
    for (size_t i = 0; i < width; ++i)
      body += fmt::format("<td{}>{}</td>", numeric[i] ? " class=\"number\"" : "", value_html(row[i]));
    body += "</tr>\n";
  }
  return scrolling_table(caption, head, body);
}

std::string poster_row(const Json& pair, const std::string& link) {
  std::string quantity = escaped(pair.at("quantity").get_ref<const std::string&>());
  if (!link.empty()) quantity = fmt::format("<a href=\"#{}\">{}</a>", link, quantity);
  if (const auto& because = pair.at("not_comparable_because").get_ref<const std::string&>(); !because.empty())
    quantity += fmt::format(" <small>not comparable, because {}</small>", escaped(because));
  auto cell = [](const Json& value) {
    return fmt::format("<td{}>{}</td>", value.is_string() ? "" : " class=\"number\"", value_html(value));
  };
  return fmt::format("<tr><th scope=\"row\">{}</th>{}{}</tr>\n", quantity, cell(pair.at("poster")),
                     cell(pair.at("ours")));
}

std::string named_figure_html(const fs::path& folder, const Json& figure, Section& section) {
  fs::path name = figure.at("file").get_ref<const std::string&>();
  if (name.is_absolute() || std::find(name.begin(), name.end(), "..") != name.end())
    throw InputError(fmt::format("the figure '{}' lies outside the folder", name.string()));
  return figure_html(folder / name, figure.at("caption").get_ref<const std::string&>(), kLeastWidth, section);
}

std::string result_html(const EvaluationRecord& evaluation, EvaluationSection& section) {
  const Json& r = evaluation.result;
  std::string out;
  if (!r.at("request").empty()) out += "<h4>What was asked</h4>\n" + facts(r.at("request"));
  if (!r.at("summary").empty()) out += "<h4>What was found</h4>\n" + facts(r.at("summary"));
  std::string rows;
  for (const Json& pair : r.at("beside_poster")) {
    rows += poster_row(pair, "");
    section.poster_rows += poster_row(pair, section.id);
  }
  if (!rows.empty()) out += poster_table(rows);
  for (const Json& table : r.at("tables")) out += table_html(table);
  if (!r.at("figures").empty()) out += "<div class=\"figures\">\n";
  for (const Json& figure : r.at("figures")) out += named_figure_html(evaluation.folder, figure, section);
  if (!r.at("figures").empty()) out += "</div>\n";
  if (r.at("remarks").empty()) return out;
  out += "<h4>To be read with it</h4>\n<ul>\n";
  for (const Json& text : r.at("remarks")) out += "<li>" + escaped(text.get_ref<const std::string&>()) + "</li>\n";
  return out + "</ul>\n";
}

}  // namespace

std::vector<EvaluationRecord> find_evaluations(const fs::path& dir) {
  std::vector<fs::path> places = {dir};
  for (const fs::path& parent : {dir, dir / "evaluations"})
    for (fs::path& folder : folders_in(parent)) places.push_back(std::move(folder));
  std::vector<EvaluationRecord> found;
  std::error_code error;
  for (const fs::path& folder : places) {
    bool density = !fs::exists(folder / "result.json", error) && fs::exists(folder / "summary.json", error);
    EvaluationRecord e{.folder = folder, .name = folder.lexically_relative(dir).string()};
    if (folder.parent_path() == dir / "evaluations") e.name = folder.filename().string();
    if (folder == dir) e.name = fs::absolute(dir).lexically_normal().filename().string();
    try {
      if (density) {
        e.result = density_result(folder);
      } else if (fs::exists(folder / "result.json", error)) {
        e.result = read_object(folder / "result.json");
      } else if (fs::exists(folder / "request.json", error)) {
        e.unfinished = true;
        e.problem = fmt::format("{}: begun and not finished: no result.json", folder.string());
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

EvaluationSection evaluation_section(const EvaluationRecord& evaluation, const std::string& id) {
  EvaluationSection section{{id, evaluation.name}};
  std::string body, problem = evaluation.problem;
  if (problem.empty()) {
    try {
      section.title = evaluation.result.at("command").get_ref<const std::string&>();
      body = result_html(evaluation, section);
      section.shown = true;
    } catch (const std::exception& e) {  // of JSON that is not a result's, too
      problem = fmt::format("{}: not as an evaluation leaves it: {}", (evaluation.folder / "result.json").string(),
                            e.what());
      section = {{id, section.title}};
    }
  }
  if (!problem.empty()) {
    section.problems.push_back(problem);
    body = problem_html(problem);
  }
  if (section.title != evaluation.name) section.where = evaluation.name;
  std::string where =
      section.where.empty() ? "" : fmt::format(" <span class=\"where\">{}</span>", escaped(section.where));
  section.html = fmt::format("<section aria-labelledby=\"{0}\">\n<h3 id=\"{0}\">{1}{2}</h3>\n{3}</section>\n", id,
                             escaped(section.title), where, body);
  return section;
}

std::string poster_table(const std::string& rows) {
  return scrolling_table("Numbers of the poster beside ours",
                         "<th scope=\"col\">quantity</th><th scope=\"col\" class=\"number\">poster</th>"
                         "<th scope=\"col\" class=\"number\">ours</th>",
                         rows);
}

}  // namespace vapo::app

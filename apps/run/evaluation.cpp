#include "apps/run/evaluation.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>

#include "apps/run/json_file.h"
#include "apps/run/ranks.h"
#include "tensor/check.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/printable.h"

namespace vapo::app {
namespace fs = std::filesystem;
namespace {

void write_json(const fs::path& file, const Json& value) {
  std::string text = value.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
  std::string_view pieces[] = {text};
  write_file_atomically(file, pieces);
}

Json finite(Json value) {
  return value.is_number_float() && !std::isfinite(value.get<double>()) ? Json(nullptr) : value;
}

std::string shown(const Json& object, const std::string& key) {
  return object.contains(key) ? object[key].dump() : "nothing";
}

const fs::path& made(const fs::path& folder, const std::string& option) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error || !fs::is_directory(folder, error))
    throw IoError(fmt::format("{}: cannot make this folder: {}. Hint: another {}", folder.string(),
                              error ? error.message() : "a file is in the way", option));
  return folder;
}

Json request_in(const fs::path& file, const std::string& option) {
  try {
    return read_object(file);
  } catch (const InputError& e) {
    throw InputError(fmt::format("{}. Hint: another {}, or remove it", e.what(), option));
  }
}

// The first key in which two requests differ; empty where none.
std::string difference(const Json& a, const Json& b) {
  for (const Json* one : {&a, &b})
    for (const auto& [key, value] : one->items())
      if (!a.contains(key) || !b.contains(key) || a[key] != b[key]) return key;
  return "";
}

}  // namespace

Evaluation::Evaluation(const fs::path& folder, std::string command, Json request, const std::string& option,
                       Parts parts)
    : folder_(made(folder, option)),
      lock_(folder_, option, parts == Parts::kept ? ".lock" : fmt::format(".{}.lock", command)) {
  std::error_code error;
  remove_temporary_files(folder_);
  Json asked = {{"command", command}};
  asked.update(request);
  fs::path memory = file("request.json");
  if (fs::exists(memory, error)) {
    Json before = request_in(memory, option);
    std::string key = difference(before, asked);
    if (parts == Parts::none && shown(before, "command") == shown(asked, "command")) key = "";
    if (!key.empty())
      throw InputError(
          fmt::format("{}: holds an evaluation with {} {}, asked is {}. Hint: another {}, or remove it",
                      folder_.string(), printable(key), shown(before, key), shown(asked, key), option));
  }
  if (parts == Parts::none || !fs::exists(memory, error)) write_json(memory, asked);
  result_ = {{"command", command},      {"request", std::move(request)}, {"summary", Json::object()},
             {"tables", Json::array()}, {"figures", Json::array()},      {"beside_poster", Json::array()},
             {"remarks", Json::array()}};
}

bool Evaluation::has(const std::string& name) const {
  std::error_code error;
  return fs::is_regular_file(file(name), error);
}

void Evaluation::summary(const std::string& name, Json value) {
  result_["summary"][name] = finite(std::move(value));
}

void Evaluation::table(const std::string& caption, std::vector<std::string> columns,
                       std::vector<std::vector<Json>> rows) {
  Json cells = Json::array();
  for (std::vector<Json>& row : rows) {
    Json line = Json::array();
    for (Json& cell : row) line.push_back(finite(std::move(cell)));
    cells.push_back(std::move(line));
  }
  result_["tables"].push_back({{"caption", caption}, {"columns", std::move(columns)}, {"rows", std::move(cells)}});
}

void Evaluation::figure(const std::string& name, const std::string& caption) {
  result_["figures"].push_back({{"file", name}, {"caption", caption}});
}

void Evaluation::draw(const data::Figure& picture, const std::string& name, const std::string& caption) {
  if (!ranks().leads()) return;
  std::string why_not = draw_or_tell(picture, folder_, name);
  if (why_not.empty()) return figure(name + ".png", caption);
  remark(
      fmt::format("The figure {0}.png is not here: {1}. Its data are, and gnuplot {0}.gp draws it", name, why_not));
}

std::string draw_or_tell(const data::Figure& figure, const fs::path& folder, const std::string& name) {
  std::string why_not = figure.draw(folder, name);
  if (!why_not.empty())
    note_once(
        fmt::format("{}: figures are left out, their data and scripts are in {}. Hint: later, there: gnuplot *.gp",
                    why_not, folder.string()));
  return why_not;
}

void Evaluation::beside_poster(const std::string& quantity, Json poster, Json ours, const std::string& because) {
  result_["beside_poster"].push_back({{"quantity", quantity},
                                      {"poster", finite(std::move(poster))},
                                      {"ours", finite(std::move(ours))},
                                      {"not_comparable_because", because}});
}

void Evaluation::remark(const std::string& text) { result_["remarks"].push_back(text); }

void Evaluation::write() const { write_json(file("result.json"), result_); }

void Evaluation::finish(bool as_json) {
  write();
  if (as_json) return print_result(result_, true);
  Json lines = result_["summary"];
  lines["results"] = folder_.string();
  print_result(lines, false);
}

fs::path evaluation_folder(const std::string& given, const std::string& name) {
  return ranks().leads() ? fs::path(given) : scratch_of_rank() / name;
}

fs::path evaluation_folder(const Model& model, const std::string& given, const std::string& name) {
  if (!ranks().leads() || !given.empty()) return evaluation_folder(given, name);
  return fs::absolute(model.file).parent_path() / "evaluations" / name;
}

Json model_request(const Model& model) {
  Json request = {{"checkpoint", model.file.filename().string()},
                  {"step", model.step},
                  {"weights", model.averaged ? "ema" : "last"},
                  {"trained_on", model.config.data.set}};
  std::error_code error;  // where the run has gone on, the file may be gone
  if (auto bytes = fs::file_size(model.file, error); !error) request["checkpoint_bytes"] = bytes;
  if (auto time = fs::last_write_time(model.file, error); !error)
    request["checkpoint_time"] =
        std::chrono::duration_cast<std::chrono::seconds>(fs::file_time_type::clock::to_sys(time).time_since_epoch())
            .count();
  return request;
}

}  // namespace vapo::app

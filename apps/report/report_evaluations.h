#pragma once
// The evaluations below a folder, and each as a section of a page.

#include <filesystem>
#include <string>
#include <vector>

#include "apps/report/html.h"
#include "apps/run/command.h"

namespace vapo::app {

struct EvaluationRecord {
  std::filesystem::path folder;
  std::string name = {};     // of the folder
  Json result = nullptr;     // as apps/run/evaluation.h writes it; null where it is not there or cannot be read
  std::string problem = {};  // then: why
  bool unfinished = false;   // request.json is there and no result.json
};
// In DIR/evaluations/*, DIR/* and DIR itself, in the order of their names.
std::vector<EvaluationRecord> find_evaluations(const std::filesystem::path& dir);

struct EvaluationView {
  Json view;                         // of evaluation.html
  Json poster_rows = Json::array();  // of poster.html, each with a link to the evaluation
  Pictures figures = {};
  std::vector<std::string> problems;  // what could not be shown, one line each
  bool shown = false;                 // the result is on the page
};
// Never throws for what a result holds: what cannot be shown is said in its place.
EvaluationView evaluation_view(const EvaluationRecord& evaluation, const std::string& id);

}  // namespace vapo::app

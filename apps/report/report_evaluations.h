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
// In DIR/evaluations/*, DIR/* and DIR itself, in the order of their names. The summary.json of vapo density counts
// as a result, with its figures.
std::vector<EvaluationRecord> find_evaluations(const std::filesystem::path& dir);

struct EvaluationSection : Section {
  std::string where = {};        // the folder's name, where the title does not tell it
  std::string poster_rows = {};  // of poster_table
  bool shown = false;            // the result is on the page
};
// Never throws for what a result holds: what cannot be shown is said in its place.
EvaluationSection evaluation_section(const EvaluationRecord& evaluation, const std::string& id);

// Quantities of the poster beside ours, from rows of sections.
std::string poster_table(const std::string& rows);

}  // namespace vapo::app

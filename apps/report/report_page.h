#pragma once
// The page of a report: one HTML file that needs no other, no script and no network.

#include <optional>
#include <string>
#include <vector>

#include "apps/report/report_evaluations.h"
#include "apps/report/report_run.h"

namespace vapo::app {

struct ReportPage {
  std::string html;
  std::vector<std::string> problems;  // what could not be read or shown, one line each
  int64_t curves = 0;                 // plots
  int64_t grids = 0;                  // of samples, shown
  int64_t evaluations = 0, unfinished = 0, broken = 0;
  int64_t figures = 0, missing_figures = 0;  // of evaluations
};
ReportPage report_page(const std::string& title, const std::optional<RunRecord>& run,
                       const std::vector<EvaluationRecord>& evaluations);

}  // namespace vapo::app

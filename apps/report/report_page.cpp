#include "apps/report/report_page.h"

#include <fmt/format.h>

#include "apps/report/report_run_sections.h"
#include "apps/report/template.h"
#include "apps/run/version.h"

namespace vapo::app {

ReportPage report_page(const std::string& title, const std::optional<RunRecord>& run,
                       const std::vector<EvaluationRecord>& records) {
  ReportPage page;
  auto tell = [&](const std::vector<std::string>& problems) {
    page.problems.insert(page.problems.end(), problems.begin(), problems.end());
  };
  Json view = {{"title", title},
               {"style", report_files().at("report.css")},
               {"version", version()},
               {"lead", nullptr},
               {"poster", nullptr},
               {"run", nullptr},
               {"training", nullptr},
               {"samples", nullptr},
               {"evaluations", Json::array()}};
  if (run) {
    Pictures grids;
    view["lead"] = lead_view(*run);
    view["run"] = run_view(*run);
    view["training"] = training_view(*run, page.curves);
    view["samples"] = samples_view(*run, grids);
    page.grids = grids.shown;
    tell(run->problems);
    tell(grids.problems);
  }
  for (const EvaluationRecord& record : records) {
    EvaluationView e = evaluation_view(record, fmt::format("evaluation-{}", view["evaluations"].size() + 1));
    for (Json& row : e.poster_rows) view["poster"]["rows"].push_back(std::move(row));
    ++(e.shown ? page.evaluations : record.unfinished ? page.unfinished : page.broken);
    page.figures += e.figures.shown;
    page.missing_figures += e.figures.missing;
    tell(e.problems);
    view["evaluations"].push_back(std::move(e.view));
  }
  page.html = rendered("page", view) + "\n";
  return page;
}

}  // namespace vapo::app

#pragma once
// The sections of a page that tell of a run. One whose html is empty has nothing to show.

#include <string>

#include "apps/report/html.h"
#include "apps/report/report_run.h"

namespace vapo::app {

std::string lead_html(const RunRecord& run);     // one sentence; empty where the config is not known
Section run_section(const RunRecord& run);       // what was trained on what, and the whole config
Section training_section(const RunRecord& run);  // curves; pictures counts them
Section samples_section(const RunRecord& run);   // at most eight grids, the last one large

}  // namespace vapo::app

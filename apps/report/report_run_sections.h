#pragma once
// What a page tells of a run, for run.html; null where there is nothing to show.

#include <string>
#include <utility>

#include "apps/report/html.h"
#include "apps/report/report_run.h"

namespace vapo::app {

// A network's name and what it is made of, by the config of its run: "U-Net", "of width 128 times 2, 2, 2, …". Of a
// kind that this file has no words for: its kind, and the keys of its table.
std::pair<std::string, std::string> network_words(const Json& config);

Json lead_view(const RunRecord& run);                         // one sentence; null where the config is not known
Json run_view(const RunRecord& run);                          // what was trained on what, and the whole config
Json training_view(const RunRecord& run, int64_t& plots);     // curves, counted
Json samples_view(const RunRecord& run, Pictures& pictures);  // at most eight grids, the last one large

}  // namespace vapo::app

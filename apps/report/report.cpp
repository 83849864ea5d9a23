// vapo report: what a run and its evaluations have left, as one HTML page.

#include <fmt/format.h>

#include "apps/report/report_page.h"
#include "apps/run/command.h"
#include "tensor/check.h"
#include "tensor/io/atomic_file.h"

namespace vapo::app {
namespace {

namespace fs = std::filesystem;

struct ReportOptions {
  CommonOptions common;
  std::string folder, out, title;
};

void check_folder(const fs::path& folder) {
  std::error_code error;
  if (!fs::exists(folder, error)) throw IoError(fmt::format("{}: no such folder", folder.string()));
  if (!fs::is_directory(folder, error))
    throw InputError(
        fmt::format("{}: not a folder. Hint: name the one that vapo train --out wrote", folder.string()));
  fs::directory_iterator listing(folder, error);
  if (error) throw IoError(fmt::format("{}: {}", folder.string(), error.message()));
}

std::string one_line(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 32 || c == 127) c = ' ';
  return text;
}

int report(const ReportOptions& options) {
  fs::path folder = options.folder;
  check_folder(folder);
  std::optional<RunRecord> run = read_run(folder);
  std::vector<EvaluationRecord> evaluations = find_evaluations(folder);
  if (!run && evaluations.empty())
    throw InputError(
        fmt::format("{}: neither a run nor evaluations. Hint: name a folder with config.toml, "
                    "or with result.json in its subfolders",
                    folder.string()));
  std::string name = fs::absolute(folder).lexically_normal().filename().string();
  if (name.empty()) name = fs::absolute(folder).lexically_normal().parent_path().filename().string();
  ReportPage page = report_page(options.title.empty() ? name : options.title, run, evaluations);
  for (const std::string& problem : page.problems) note(one_line(problem));
  fs::path out = options.out.empty() ? folder / "report.html" : fs::path(options.out);
  std::string_view pieces[] = {page.html};
  write_file_atomically(out, pieces);
  print_result({{"report", out.string()},
                {"bytes", page.html.size()},
                {"run", run.has_value()},
                {"step", run ? run->step() : 0},
                {"curves", page.curves},
                {"broken_lines", run ? run->log.broken : 0},
                {"grids", page.grids},
                {"grids_found", run ? run->grids.size() : 0},
                {"evaluations", page.evaluations},
                {"unfinished", page.unfinished},
                {"broken", page.broken},
                {"figures", page.figures},
                {"missing_figures", page.missing_figures}},
               options.common.json);
  return 0;
}

}  // namespace

void add_report(CLI::App& app, Action& action) {
  auto o = std::make_shared<ReportOptions>();
  CLI::App* command = app.add_subcommand("report", "One HTML page about a run and its evaluations");
  command->add_option("DIR", o->folder, "Folder of a run, of evaluations, or of one evaluation")->required();
  command->add_option("--out", o->out, "The page (default: DIR/report.html)");
  command->add_option("--title", o->title, "Its heading (default: the name of the folder)");
  o->common.add_to(*command, false);
  command->callback([o, &action] { action = [o] { return report(*o); }; });
}

}  // namespace vapo::app

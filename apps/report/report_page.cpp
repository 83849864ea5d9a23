#include "apps/report/report_page.h"

#include <fmt/format.h>

#include "apps/report/report_run_sections.h"
#include "apps/report/report_style.h"
#include "apps/run/version.h"

namespace vapo::app {
namespace {

std::string entry(const Section& s) { return fmt::format("<a href=\"#{}\">{}</a>", s.id, escaped(s.title)); }

std::string contents_html(const std::vector<Section>& sections, const std::vector<EvaluationSection>& evaluations) {
  std::string out = "<nav aria-label=\"Contents\"><ul>\n";
  for (const Section& s : sections) out += "<li>" + entry(s) + "</li>\n";
  if (!evaluations.empty()) {
    out += "<li><a href=\"#evaluations\">Evaluations</a><ul>\n";
    for (const EvaluationSection& e : evaluations)
      out += fmt::format("<li>{} <span class=\"where\">{}</span></li>\n", entry(e), escaped(e.where));
    out += "</ul></li>\n";
  }
  return out + "</ul></nav>\n";
}

}  // namespace

ReportPage report_page(const std::string& title, const std::optional<RunRecord>& run,
                       const std::vector<EvaluationRecord>& records) {
  ReportPage page;
  std::vector<Section> sections;
  auto add = [&](Section section) {
    page.problems.insert(page.problems.end(), section.problems.begin(), section.problems.end());
    if (!section.html.empty()) sections.push_back(std::move(section));
  };

  std::vector<EvaluationSection> evaluations;
  std::string poster_rows;
  for (const EvaluationRecord& record : records) {
    EvaluationSection e = evaluation_section(record, fmt::format("evaluation-{}", evaluations.size() + 1));
    poster_rows += e.poster_rows;
    ++(e.shown ? page.evaluations : record.unfinished ? page.unfinished : page.broken);
    page.figures += e.pictures;
    page.missing_figures += e.missing;
    evaluations.push_back(std::move(e));
  }
  if (!poster_rows.empty()) add({"poster", "Beside the poster", poster_table(poster_rows)});
  if (run) {
    add(run_section(*run));
    Section training = training_section(*run), samples = samples_section(*run);
    page.curves = training.pictures;
    page.grids = samples.pictures;
    add(std::move(training));
    add(std::move(samples));
  }
  for (const EvaluationSection& e : evaluations)
    page.problems.insert(page.problems.end(), e.problems.begin(), e.problems.end());

  std::string lead = run ? lead_html(*run) : "";
  page.html = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{0}</title>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src "
      "'unsafe-inline'\">\n<style>{1}</style>\n</head>\n<body>\n<main>\n<h1>{0}</h1>\n{2}{3}",
      escaped(title), kReportStyle, lead.empty() ? "" : "<p class=\"lead\">" + lead + "</p>\n",
      contents_html(sections, evaluations));
  for (const Section& s : sections)
    page.html += fmt::format("<h2 id=\"{}\">{}</h2>\n{}", s.id, escaped(s.title), s.html);
  if (!evaluations.empty()) page.html += "<h2 id=\"evaluations\">Evaluations</h2>\n";
  for (const EvaluationSection& e : evaluations) page.html += e.html;
  page.html +=
      fmt::format("</main>\n<footer>Written by vapo {} (vapo report).</footer>\n</body>\n</html>\n", version());
  return page;
}

}  // namespace vapo::app

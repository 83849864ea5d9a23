#include "apps/report/report_run_sections.h"

#include <fmt/format.h>

#include "apps/run/model.h"
#include "apps/run/run_folder.h"
#include "tensor/check.h"

namespace vapo::app {
namespace {

std::string words(std::string key) {
  std::replace(key.begin(), key.end(), '_', ' ');
  return key;
}

std::string joined(const std::vector<int64_t>& numbers, const char* between) {
  return fmt::format("{}", fmt::join(numbers, between));
}

using Network = PotentialOptions::Network;

std::string network_words(const Config& c) {
  if (c.potential.network == Network::unet) {
    const UnetOptions& u = c.potential.unet;
    return fmt::format("U-Net of width {} times {}, {} {} a level{}{}{}", u.base_width, joined(u.multipliers, ", "),
                       u.blocks_per_level, u.blocks_per_level == 1 ? "block" : "blocks",
                       u.attention_downsamplings.empty()
                           ? ""
                           : ", attention where the image is smaller by " + joined(u.attention_downsamplings, ", "),
                       u.time ? "" : ", not told the time",
                       u.classes > 0 ? fmt::format(", {} classes", u.classes) : "");
  }
  if (c.potential.network == Network::wide_resnet) {
    const WideResnetOptions& w = c.potential.wide_resnet;
    return fmt::format("WideResNet {}-{}, {} head{}{}", w.depth, w.widen, name_of(w.head),
                       w.time ? "" : ", not told the time",
                       w.classes > 0 ? fmt::format(", {} classes", w.classes) : "");
  }
  return fmt::format("perceptron of {} units, {}{}", joined(c.potential.mlp.hidden, ", "),
                     name_of(c.potential.mlp.activation),
                     c.potential.mlp.time_embedding > 0 ? "" : ", not told the time");
}

std::string potential_words(const PotentialOptions& p) {
  if (p.form == PotentialOptions::Form::raw) return "raw";
  return fmt::format("{}, reference {}", name_of(p.form), name_of(p.reference));
}

std::string data_words(const Config& c) {
  std::string name = c.data.set.empty() ? c.data.path : c.data.set;
  if (!c.data.set.empty() && !c.data.path.empty()) name += " from " + c.data.path;
  if (!is_of_images(c) && c.data.path.empty())
    return name + (c.data.points > 0 ? fmt::format(", {} points", grouped(c.data.points))
                                     : ", fresh points at every step");
  if (c.data.held_out > 0) name += fmt::format(", {} % held out", rounded(100 * c.data.held_out));
  return name + (c.data.flip ? ", mirrored half of the time" : "");
}

std::string optimizer_words(const TrainingOptions& t) {
  const nn::Schedule& s = t.schedule;
  std::string out =
      fmt::format("{}, learning rate {}, {}", name_of(t.optimizer.kind), rounded(s.base), name_of(s.kind));
  if (s.warmup_steps > 0) out += fmt::format(" after {} steps of warm-up", grouped(s.warmup_steps));
  if (t.clip.kind != nn::ClipOptions::Kind::none)
    out += fmt::format(", gradients clipped by {} {}", name_of(t.clip.kind), rounded(t.clip.limit));
  return out;
}

std::string duration(double seconds) {
  if (seconds < 120) return rounded(seconds, 3) + " s";
  return seconds < 7200 ? rounded(seconds / 60, 3) + " min" : rounded(seconds / 3600, 3) + " h";
}

const char* noun(const RunRecord& run) { return run.config && is_of_images(*run.config) ? "images" : "points"; }

std::vector<std::pair<std::string, std::string>> config_facts(const Config& c, const RunRecord& run) {
  const TrainingOptions& t = c.train;
  std::string path(name_of(c.path.kind)), average = "none", steps = grouped(t.steps);
  if (c.path.kind == Path::Kind::tempered)
    path += fmt::format(", ω = {}, ν = {}", rounded(c.path.omega), rounded(c.path.nu));
  if (t.ema_decay > 0) average = "exponential, decay " + rounded(t.ema_decay, 6);
  if (run.step() != t.steps) steps = fmt::format("{} of {}", grouped(run.step()), steps);
  return {{"Data", data_words(c)},
          {"Network", network_words(c)},
          {"Potential", potential_words(c.potential)},
          {"Path", path},
          {"Loss", fmt::format("{}, weight {}{}", words(std::string(name_of(c.loss.estimator))),
                               name_of(c.loss.weight), c.loss.antithetic ? ", antithetic" : "")},
          {"Optimizer", optimizer_words(t)},
          {"Average of the weights", average},
          {"Steps", steps},
          {"Batch", fmt::format("{} {}", grouped(t.batch_size), noun(run))},
          {"Seed", std::to_string(t.seed)}};
}

// How the grids of a run are drawn, as the trainer does it.
std::string grid_words(const Config& c) {
  SamplerOptions s = c.sample.of_the_flow();
  std::string sampler =
      s.is_adaptive()
          ? fmt::format("{}, tolerances {} and {}", name_of(s.method), rounded(s.ode.rtol), rounded(s.ode.atol))
          : fmt::format("{}, {} steps, NFE {}", name_of(s.method), grouped(s.ode.steps),
                        grouped(s.ode.steps * (s.method == Sampler::heun ? 2 : 1)));
  return fmt::format("{} samples a grid from seed {}, the same noise in each; {}; {} weights.", grouped(c.run.grid),
                     c.train.seed, sampler, c.train.ema_decay > 0 ? "averaged" : "last");
}

// At most `most` of them, evenly spaced, with the first and the last.
std::vector<int64_t> some_of(const std::vector<int64_t>& steps, size_t most) {
  if (steps.size() <= most) return steps;
  std::vector<int64_t> out;
  for (size_t i = 0; i < most; ++i) out.push_back(steps[(i * (steps.size() - 1) + (most - 1) / 2) / (most - 1)]);
  return out;
}

}  // namespace

std::string lead_html(const RunRecord& run) {
  if (!run.config) return "";
  std::string network = run.config->potential.network == Network::unet          ? "U-Net"
                        : run.config->potential.network == Network::wide_resnet ? "WideResNet"
                                                                                : "perceptron";
  std::string size = run.parameters > 0 ? fmt::format(" of {} parameters", grouped(run.parameters)) : "";
  const std::string& set = run.config->data.set.empty() ? run.config->data.path : run.config->data.set;
  return fmt::format(
      "A potential Φ(<var>x</var>, <var>t</var>) whose gradient carries noise to data: a {}{}, trained on {} for "
      "{} steps of {} {}.",
      network, size, escaped(set), grouped(run.step()), grouped(run.config->train.batch_size), noun(run));
}

Section run_section(const RunRecord& run) {
  std::vector<std::pair<std::string, std::string>> facts;
  if (run.config) facts = config_facts(*run.config, run);
  if (!run.config) facts = {{"Steps", grouped(run.step())}};
  if (run.parameters > 0)
    facts.insert(facts.begin() + (run.config ? 2 : 1), {"Parameters", grouped(run.parameters)});
  if (!run.log.machines.empty())
    facts.push_back({"Trained on", fmt::format("{}", fmt::join(run.log.machines, "; then "))});
  if (run.log.seconds > 0) facts.push_back({"Time, as logged", duration(run.log.seconds)});
  if (run.log.peak_bytes > 0)
    facts.push_back({"Tensors at the peak", rounded(run.log.peak_bytes / 1048576) + " MiB"});
  if (!run.checkpoint.empty()) facts.push_back({"Newest checkpoint", run.checkpoint});
  Section section{"run", "The run", "<dl class=\"facts\">\n", run.problems};
  for (const auto& [name, text] : facts) section.html += fact_html(name, escaped(text), text.size());
  section.html += "</dl>\n";
  for (const std::string& problem : run.problems) section.html += problem_html(problem);
  if (!run.config_text.empty())
    section.html +=
        fmt::format("<details><summary>The whole config</summary><pre tabindex=\"0\">{}</pre></details>\n",
                    escaped(run.config_text));
  return section;
}

Section training_section(const RunRecord& run) {
  using Scale = CurveFigure::Scale;
  constexpr Scale fitting = Scale::logarithmic_if_it_fits;
  const TrainingLog& log = run.log;
  std::vector<CurveFigure> figures;
  figures.push_back({.title = "Loss",
                     .note = "Each value is a mean over the steps since the one before.",
                     .curves = {log.loss},
                     .scale = fitting});
  if (!log.validation_loss.x.empty()) figures.back().curves.push_back(log.validation_loss);
  if (!log.terms.empty()) {
    figures.push_back({.title = "Terms of the loss", .curves = log.terms, .scale = fitting});
    std::vector<Curve>& terms = figures.back().curves;
    terms.resize(std::min<size_t>(4, terms.size()));
    for (Curve& c : terms) c.label = words(c.label);
  }
  figures.push_back({.title = "Norm of the gradient",
                     .note = "Before clipping.",
                     .curves = {log.gradient_norm},
                     .scale = fitting});
  figures.push_back({.title = "Learning rate", .curves = {log.learning_rate}, .scale = Scale::from_zero});
  Curve rate = log.steps_per_second;
  if (run.config)
    for (double& v : rate.y) v *= static_cast<double>(run.config->train.batch_size);
  figures.push_back({.title = !run.config                 ? "Steps per second"
                              : is_of_images(*run.config) ? "Images per second"
                                                          : "Points per second",
                     .note = "With checkpoints, grids and validation in between.",
                     .curves = {rate},
                     .scale = Scale::from_zero});
  Section section{"training", "Training"};
  for (const CurveFigure& f : figures) {
    std::string plot = curves_html(f, fmt::format("plot-{}", section.pictures + 1));
    section.pictures += !plot.empty();
    section.html += plot;
  }
  if (section.pictures > 0) section.html = "<div class=\"plots\">\n" + section.html + "</div>\n";
  return section;
}

Section samples_section(const RunRecord& run) {
  constexpr size_t kMost = 8;
  constexpr int64_t kLarge = 640, kSmall = 136;
  Section section{"samples", "Samples while it was trained"};
  std::vector<int64_t> steps = some_of(run.grids, kMost);
  if (steps.empty()) return section;
  auto figure = [&](int64_t step, int64_t least) {
    return figure_html(RunFolder(run.folder).samples(step), "Step " + grouped(step), least, section);
  };
  if (run.config) section.html += "<p>" + escaped(grid_words(*run.config)) + "</p>\n";
  if (run.grids.size() > steps.size())
    section.html += fmt::format("<p>{} of {} grids, the last one large.</p>\n", steps.size(), run.grids.size());
  if (steps.size() > 1) section.html += "<div class=\"grids\">\n";
  for (size_t i = 0; i + 1 < steps.size(); ++i) section.html += figure(steps[i], kSmall);
  if (steps.size() > 1) section.html += "</div>\n";
  section.html += figure(steps.back(), kLarge);
  return section;
}

}  // namespace vapo::app

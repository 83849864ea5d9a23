#include "apps/report/report_run_sections.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/run/run_folder.h"

namespace vapo::app {
namespace {

std::string words(std::string key) {
  std::replace(key.begin(), key.end(), '_', ' ');
  return key;
}

// A value as a condition: a number that is not 0, a text that is not empty, true.
bool is_set(const Json& value) {
  return value.is_string() ? !value.get_ref<const std::string&>().empty()
                           : value != Json(false) && value != Json(0);
}

std::string unet_words(const Json& u) {
  const Json& attention = u.at("attention_downsamplings");
  std::string out =
      fmt::format("of width {} times {}, {} {} a level", text_of(u.at("base_width")), text_of(u.at("multipliers")),
                  text_of(u.at("blocks_per_level")), u.at("blocks_per_level") == 1 ? "block" : "blocks");
  if (!attention.empty()) out += ", attention where the image is smaller by " + text_of(attention);
  return out;
}

std::string data_words(const Json& data, bool of_images) {
  const auto &set = data.at("set").get_ref<const std::string&>(),
             &path = data.at("path").get_ref<const std::string&>();
  std::string name = set.empty() ? path : set;
  if (!set.empty() && !path.empty()) name += " from " + path;
  if (!of_images && path.empty())
    return name + (is_set(data.at("points")) ? fmt::format(", {} points", text_of(data.at("points")))
                                             : ", fresh points at every step");
  if (double held_out = data.at("held_out"); held_out > 0)
    name += fmt::format(", {} % held out", rounded(100 * held_out));
  return name + (is_set(data.at("flip")) ? ", mirrored half of the time" : "");
}

std::string optimizer_words(const Json& train) {
  auto text = [&](const char* key) { return text_of(train.at(key)); };
  std::string out =
      fmt::format("{}, learning rate {}, {}", text("optimizer"), text("learning_rate"), text("schedule"));
  if (is_set(train.at("warmup_steps"))) out += fmt::format(" after {} steps of warm-up", text("warmup_steps"));
  if (text("clip") != "none") out += fmt::format(", gradients clipped by {} {}", text("clip"), text("clip_limit"));
  return out;
}

std::string duration(double seconds) {
  if (seconds < 120) return rounded(seconds, 3) + " s";
  return seconds < 7200 ? rounded(seconds / 60, 3) + " min" : rounded(seconds / 3600, 3) + " h";
}

std::string batch_words(const RunRecord& run) {
  return text_of(run.config.at("train").at("batch_size")) + (run.of_images ? " images" : " points");
}

using Facts = std::vector<std::pair<std::string, std::string>>;

Facts config_facts(const RunRecord& run) {
  const Json& c = run.config;
  auto text = [&](const char* table, const char* key) { return text_of(c.at(table).at(key)); };
  auto [network, made_of] = network_words(c);
  std::string path = text("path", "kind"), potential = text("model", "potential"), average = "none";
  if (path == "tempered") path += fmt::format(", ω = {}, ν = {}", text("path", "omega"), text("path", "nu"));
  if (potential != "raw") potential += ", reference " + text("model", "reference");
  if (double decay = c.at("train").at("ema_decay"); decay > 0) average = "exponential, decay " + rounded(decay, 6);
  const Json& phase = c.at("equilibrium");
  int64_t flow = c.at("train").at("steps"), updates = phase.at("steps");
  std::string steps = grouped(flow + updates);
  if (flow + updates != run.step()) steps = fmt::format("{} of {}", grouped(run.step()), steps);
  Facts facts = {{"Data", data_words(c.at("data"), run.of_images)},
                 {"Network", network + (made_of.empty() ? "" : " " + made_of)},
                 {"Potential", potential},
                 {"Path", path},
                 {"Loss", words(text("loss", "estimator")) + ", weight " + text("loss", "weight") +
                              (is_set(c.at("loss").at("antithetic")) ? ", antithetic" : "")},
                 {"Optimizer", optimizer_words(c.at("train"))},
                 {"Average of the weights", average},
                 {"Steps", steps},
                 {"Batch", batch_words(run)},
                 {"Seed", c.at("train").at("seed").dump()}};
  if (updates > 0)
    facts.push_back({"Equilibrium phase",
                     fmt::format("the last {} steps: {} energy, {} chains, {} steps of {} of them an update",
                                 grouped(updates), text("equilibrium", "energy"), text("equilibrium", "buffer"),
                                 text("equilibrium", "chain_steps"), text("equilibrium", "batch_size"))});
  return facts;
}

std::string sampler_words(const GridSampler& s) {
  std::string nfe;
  if (s.most_nfe > 0) nfe = fmt::format(", NFE {}", grouped(static_cast<int64_t>(s.least_nfe)));
  if (s.most_nfe > s.least_nfe) nfe += fmt::format(" to {}", grouped(static_cast<int64_t>(s.most_nfe)));
  return fmt::format("{} samples a grid from seed {}, the same noise in each; {}{}; {} weights.", s.count, s.seed,
                     s.method, nfe, s.weights);
}

// At most `most` of them, evenly spaced, with the first and the last.
std::vector<int64_t> some_of(const std::vector<int64_t>& steps, size_t most) {
  if (steps.size() <= most) return steps;
  std::vector<int64_t> out;
  for (size_t i = 0; i < most; ++i) out.push_back(steps[(i * (steps.size() - 1) + (most - 1) / 2) / (most - 1)]);
  return out;
}

}  // namespace

std::pair<std::string, std::string> network_words(const Json& config) {
  const Json& model = config.at("model");
  std::string kind = model.at("kind"), out;
  if (kind == "mlp")
    return {"perceptron",
            fmt::format("of {} units, {}{}", text_of(model.at("hidden")), text_of(model.at("activation")),
                        is_set(model.at("time_embedding")) ? "" : ", not told the time")};
  const Json table = config.value(kind, Json::object());
  if (kind == "unet") {
    out = unet_words(table);
  } else if (kind == "wide_resnet") {
    out = fmt::format("{}-{}, {} head", text_of(table.at("depth")), text_of(table.at("widen")),
                      text_of(table.at("head")));
  } else {
    for (const auto& [key, value] : table.items())
      if (key != "time" && key != "classes")
        out += (out.empty() ? "of " : ", ") + words(key) + " " + text_of(value);
  }
  if (!is_set(table.value("time", Json(true)))) out += ", not told the time";
  if (Json classes = table.value("classes", Json(0)); is_set(classes))
    out += fmt::format(", {} classes", text_of(classes));
  return {kind == "unet" ? "U-Net" : kind == "wide_resnet" ? "WideResNet" : words(kind), out};
}

Json lead_view(const RunRecord& run) {
  if (run.config.is_null()) return nullptr;
  const Json& data = run.config.at("data");
  return {{"network", network_words(run.config).first},
          {"parameters", run.parameters > 0 ? grouped(run.parameters) : ""},
          {"set", is_set(data.at("set")) ? data.at("set") : data.at("path")},
          {"steps", grouped(run.step())},
          {"batch", batch_words(run)}};
}

Json run_view(const RunRecord& run) {
  bool known = !run.config.is_null();
  Facts facts = known ? config_facts(run) : Facts{{"Steps", grouped(run.step())}};
  if (run.parameters > 0) facts.insert(facts.begin() + (known ? 2 : 1), {"Parameters", grouped(run.parameters)});
  if (!run.log.machines.empty())
    facts.push_back({"Trained on", fmt::format("{}", fmt::join(run.log.machines, "; then "))});
  if (run.log.seconds > 0) facts.push_back({"Time, as logged", duration(run.log.seconds)});
  if (run.log.peak_bytes > 0)
    facts.push_back({"Tensors at the peak", rounded(run.log.peak_bytes / 1048576) + " MiB"});
  if (!run.checkpoint.empty()) facts.push_back({"Newest checkpoint", run.checkpoint});
  Json view = {{"facts", Json::array()}, {"problems", run.problems}, {"config", run.config_text}};
  for (const auto& [name, text] : facts) view["facts"].push_back(fact_view(name, text));
  return view;
}

Json training_view(const RunRecord& run, int64_t& plots) {
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
  bool known = !run.config.is_null();
  if (known)
    for (double& v : rate.y) v *= run.config.at("train").at("batch_size").get<double>();
  figures.push_back({.title = !known          ? "Steps per second"
                              : run.of_images ? "Images per second"
                                              : "Points per second",
                     .note = "With checkpoints, grids and validation in between.",
                     .curves = {rate},
                     .scale = Scale::from_zero});
  Json view = {{"plots", Json::array()}};
  for (const CurveFigure& f : figures)
    if (Json plot = plot_view(f, fmt::format("plot-{}", plots + 1)); !plot.is_null()) {
      view["plots"].push_back(std::move(plot));
      ++plots;
    }
  return plots > 0 ? view : Json(nullptr);
}

Json samples_view(const RunRecord& run, Pictures& pictures) {
  constexpr size_t kMost = 8;
  constexpr int64_t kLarge = 640, kSmall = 136;
  std::vector<int64_t> steps = some_of(run.grids, kMost);
  if (steps.empty()) return nullptr;
  Json view = {{"words", Json::array()}, {"some", nullptr}, {"small", Json::array()}};
  for (const GridSampler& sampler : run.log.samplers) view["words"].push_back(sampler_words(sampler));
  if (run.grids.size() > steps.size()) view["some"] = {{"shown", steps.size()}, {"all", run.grids.size()}};
  auto figure = [&](int64_t step, int64_t least) {
    return figure_view(RunFolder(run.folder).samples(step), "Step " + grouped(step), least, pictures);
  };
  for (size_t i = 0; i + 1 < steps.size(); ++i) view["small"].push_back(figure(steps[i], kSmall));
  view["large"] = figure(steps.back(), kLarge);
  return view;
}

}  // namespace vapo::app

// Fuzz targets for what the program reads of its own folders, as a disk or another program may have left it: the
// log and the checkpoints of a run, the results of evaluations, and the files of weights. VAPO_FUZZ says which.

#include <unistd.h>

#include <fstream>
#include <optional>

#include "apps/report/report_page.h"
#include "apps/run/evaluation.h"
#include "apps/run/image_features.h"
#include "apps/run/metrics_log.h"
#include "apps/run/model.h"
#include "apps/run/run_folder.h"
#include "nn/checkpoint.h"
#include "nn/ema.h"
#include "nn/optimizer.h"
#include "tensor/storage.h"
#include "tests/fuzz/target.h"
#include "vapo/networks/inception.h"

namespace {

using namespace vapo;
using fuzz::require;

void write(const std::filesystem::path& file, std::string_view bytes) {
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out << bytes;
}

// What is not shown is said in one line each, and the page is whole.
void require_page(const std::optional<app::RunRecord>& run, const std::vector<app::EvaluationRecord>& evaluations) {
  app::ReportPage page = app::report_page("fuzz", run, evaluations);
  require(page.html.ends_with("</html>\n"), "half a page");
}

// metrics.jsonl, as the report draws it and as a resumed run goes on with it.
[[maybe_unused]] void read_metrics(std::string_view bytes) {
  static const fuzz::Folder folder;
  std::filesystem::path file = folder.path() / "metrics.jsonl";
  write(file, bytes);
  std::optional<app::RunRecord> run = app::read_run(folder.path());
  require(run && run->log.broken <= run->log.lines, "more broken lines than lines");
  require_page(run, {});
  constexpr int64_t step = 20;
  { app::MetricsLog(file, step).append({{"step", step}, {"loss", 0.5}}); }
  require(app::MetricsLog(file, step).kept(step, "loss"), "a line that was appended is not kept");
}

// result.json on the page, and what is said of a folder without one; request.json before the same folder is used again.
[[maybe_unused]] void read_result(std::string_view bytes) {
  static const fuzz::Folder root;
  static bool made = false;
  std::string file = fuzz::as_file(bytes);
  for (const char* name : {"result", "summary", "request"}) {
    if (made) continue;
    std::filesystem::create_directory(root.path() / name);
    root.link(file, std::string(name) + "/" + name + ".json");
  }
  made = true;
  std::vector<app::EvaluationRecord> found = app::find_evaluations(root.path());
  require(found.size() == 3, "an evaluation that is not found");
  require_page({}, found);
  std::string folder = (root.path() / "request").string();
  try {
    app::Evaluation(folder, "ood", {{"seed", 0}, {"sets", {"mnist:test"}}});
  } catch (const InputError& e) {
    fuzz::require_message(e, folder);
  }
}

// `latest` leads to a checkpoint of its own folder.
[[maybe_unused]] void read_latest(std::string_view bytes) {
  static const fuzz::Folder folder;
  write(folder.path() / "latest", bytes);
  for (const char* name : {"checkpoint-7.safetensors", "checkpoint-20.safetensors"})
    write(folder.path() / name, "");
  std::filesystem::path found = app::find_checkpoint(folder.path());
  require(found.parent_path() == folder.path() && std::filesystem::is_regular_file(found), "a file elsewhere");
}

// What a network may take. A config that asks for more is refused for want of memory, as on a machine that has no more.
constexpr int64_t kRoom = 1 << 20;

// Whether f(bytes as a file) accepts it; or there is no room for what it asks for.
template <class F>
void opens(std::string_view bytes, const F& f) {
  set_memory_limit(memory_stats().current_bytes + kRoom);
  try {
    fuzz::accepts(bytes, f);
  } catch (const Error& e) {
    require(std::string_view(e.what()).find("bytes") != std::string_view::npos, e.what());
  }
}

// A checkpoint of points: resumed, opened as its config says, and in the report of its run.
[[maybe_unused]] void read_checkpoint(std::string_view bytes) {
  static const fuzz::Folder folder;
  app::RunFolder run(folder.path());
  folder.link(fuzz::as_file(bytes), run.checkpoint(20).filename().string());
  require_page(app::read_run(folder.path()), {});
  bool points = false;
  fuzz::accepts(bytes, [&](const std::string& path) {
    nn::CheckpointReader reader(path);
    app::Config own, config = app::parse_config(reader.info().config, path);
    points = config.potential.network ==
             PotentialOptions::Network::mlp;  // of other kinds each layer costs too much time
    if (app::is_of_images(config)) image_shape_of(reader.info(), path);
    own.potential.mlp.hidden = {4};
    own.potential.mlp.time_embedding = 2;
    std::unique_ptr<Potential> network = make_potential(own, {2});
    std::vector<nn::NamedParameter> parameters = nn::named_parameters(*network);
    nn::Ema ema(parameters, 0.9);
    nn::Optimizer optimizer(parameters, {});
    reader.load_training_state(*network, &ema, optimizer);
    require(optimizer.steps_done() >= 0 && ema.updates() >= 0, "steps below zero");
  });
  if (points)
    opens(bytes, [](const std::string& path) { require(app::open_model(path).dims() > 0, "a model of nothing"); });
}

// A file that is to hold a classifier or the weights of Inception.
[[maybe_unused]] void read_weights(std::string_view bytes) {
  static Inception inception;
  opens(bytes, [](const std::string& path) { nn::CheckpointReader(path).load_parameters(inception); });
  opens(bytes, [](const std::string& path) {
    require(app::open_classifier(path, Device::cpu).network->options().classes > 1, "a classifier of one class");
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  VAPO_FUZZ(std::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}

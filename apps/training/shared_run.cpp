#include "apps/training/shared_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <csignal>

#include "apps/run/command.h"
#include "apps/run/model.h"
#include "apps/run/ranks.h"
#include "apps/run/version.h"
#include "tensor/io/atomic_file.h"
#include "tensor/precision.h"

namespace vapo::app {
namespace {

constexpr int64_t kShards = 8;

// What a rank was asked for, and what it is.
struct Asked {
  std::string config, rest;  // TOML; settings of a config that another has
  std::string build;
};
Json to_json(const Asked& a) { return {{"config", a.config}, {"rest", a.rest}, {"build", a.build}}; }
Asked asked_of(const RunRequest& request) {
  Asked out{.config = {},
            .rest = {},
            .build = fmt::format("vapo {} ({}), precision {}, {}", version(), commit(), name_of(precision()),
                                 name_of(request.device))};
  if (!request.config.empty()) {
    Config config = fresh_config(request, request.config);
    out.config = to_toml(config);
  }
  for (const std::string& setting : request.settings) out.rest += setting + " ";
  if (request.seed) out.rest += fmt::format("seed {} ", *request.seed);
  out.rest += request.resume ? "resume" : request.from;
  return out;
}

void refuse_other(const std::vector<std::string>& all) {
  Json first = Json::parse(all[0]);
  for (size_t rank = 1; rank < all.size(); ++rank) {
    Json other = Json::parse(all[rank]);
    if (other["build"] != first["build"])
      throw InputError(fmt::format("rank {} is {}, and rank 0 {}: all must be the same", rank,
                                   other["build"].get<std::string>(), first["build"].get<std::string>()));
    if (other == first) continue;
    std::string keys;
    if (std::string a = first["config"], b = other["config"]; !a.empty() && !b.empty())
      for (const Difference& d :
           differences(parse_config(a, "rank 0's config"), parse_config(b, "a rank's config")))
        keys += fmt::format("{}{} = {} and not {}", keys.empty() ? ": " : ", ", d.key, d.second, d.first);
    throw InputError(fmt::format("rank {} was asked for another training than rank 0{}", rank, keys));
  }
}

// A file of rank 0, as a file of this rank that goes with it.
class CopiedFile {
 public:
  CopiedFile(Communicator& ranks, const std::filesystem::path& file) {
    std::string bytes = broadcast_text(ranks, ranks.leads() ? read_whole_file(file) : "");
    if (ranks.leads()) return;
    path_ = scratch_of_rank() / "checkpoint.safetensors";
    std::string_view pieces[] = {bytes};
    write_file_atomically(path_, pieces);
  }
  ~CopiedFile() {
    std::error_code error;
    if (!path_.empty()) std::filesystem::remove(path_, error);
  }
  CopiedFile(const CopiedFile&) = delete;
  CopiedFile& operator=(const CopiedFile&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace

void choose_shards(Config& config, int64_t ranks) {
  if (config.train.shards > 0) return;
  int64_t shards = ranks;
  if (config.train.reduction == TrainingOptions::Reduction::fast) {
    if (ranks == 1) return;
    config.train.shards = std::max(shards, config.train.accumulate);
    note(fmt::format("train.shards = {}: parts of a batch, one or more for each of {} ranks", config.train.shards,
                     ranks));
    return;
  }
  while (shards < kShards) shards *= 2;
  config.train.shards = shards;
  note(fmt::format("train.shards = {}: parts of a batch, shared out among {} ranks; the same bits at {}", shards,
                   ranks, shards == kShards ? "1, 2, 4 and 8" : "any number that has 1, 2, 4, … of them each"));
}

Run share_run(Communicator& ranks, std::optional<Run> opened, const RunRequest& request, const RunFolder& folder) {
  std::vector<std::string> all = ranks.gather(to_json(asked_of(request)).dump());
  if (ranks.leads()) refuse_other(all);
  CopiedFile file(ranks, opened ? folder.checkpoint(opened->trainer->steps_done()) : std::filesystem::path());
  if (opened) return std::move(*opened);
  Run run;
  nn::CheckpointReader reader(file.path());
  run.config = parse_config(reader.info().config, "rank 0's config");
  run.dataset = open_dataset(run.config);
  run.dataset->restore(reader.info(), "rank 0's checkpoint");
  TrainerOptions options{
      .device = request.device, .recorded = request.recorded, .ranks = &ranks, .config = reader.info().config};
  run.trainer = std::make_unique<Trainer>(run.config, *run.dataset, options);
  run.trainer->load(reader);
  return run;
}

void compare_ranks(Communicator& ranks, const Trainer& trainer) {
  std::vector<double> prints(static_cast<size_t>(ranks.size()));
  prints[static_cast<size_t>(ranks.rank())] = fingerprint(*trainer.averaged().potential);
  ranks.all_reduce(prints);
  for (size_t rank = 1; rank < prints.size(); ++rank)
    if (prints[rank] != prints[0])
      throw DivergedError(
          fmt::format("after step {} the parameters of rank {} are not those of rank 0: other processors or "
                      "libraries there, or a fault of "
                      "its memory. Hint: --resume goes on from the last checkpoint, which is rank 0's",
                      trainer.steps_done(), rank));
}

int SignalOfAny::operator()(int own, bool soon) {
  constexpr double every = 0.5;  // seconds
  if (ranks_.size() == 1) return own;
  if (soon) left_ = 0, steps_ = 1;
  ++made_;
  if (left_-- > 0) return 0;
  constexpr int signals[] = {SIGTERM, SIGINT, SIGHUP};
  std::array<double, std::size(signals) + 1> sums = {};
  for (size_t i = 0; i < std::size(signals); ++i) sums[i] = own == signals[i];
  sums.back() = since_.seconds() / static_cast<double>(made_);
  ranks_.all_reduce(sums);
  for (size_t i = 0; i < std::size(signals); ++i)
    if (sums[i] > 0) return signals[i];
  // the same number on all ranks, and for the slowest not too large
  double steps = std::clamp(every / std::max(sums.back(), 1e-9), 1.0, 2 * static_cast<double>(steps_));
  steps_ = static_cast<int64_t>(steps);
  left_ = steps_ - 1, made_ = 0;
  since_ = {};
  return 0;
}

}  // namespace vapo::app

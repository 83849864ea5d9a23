#include "apps/evaluation/fid_sides.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "apps/evaluation/model_images.h"
#include "apps/run/ranks.h"
#include "apps/run/run_folder.h"
#include "apps/run/shared_tensor.h"
#include "data/readers/npz.h"
#include "tensor/check.h"
#include "tensor/io/safetensors.h"
#include "tensor/kernels.h"

namespace vapo::app {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kPart = 2048;  // images whose features are one file

// "WHAT: 4096 of 50000, 95 s left", every ten seconds.
class Countdown {
 public:
  Countdown(std::string what, int64_t total) : what_(std::move(what)), total_(total) {}
  void show(int64_t done) {
    double now = watch_.seconds();
    if (now < next_ || done == 0 || done == total_) return;
    next_ = now + 10;
    note(fmt::format("{}: {} of {}, {:.0f} s left", what_, done, total_,
                     now * static_cast<double>(total_ - done) / static_cast<double>(done)));
  }

 private:
  std::string what_;
  int64_t total_;
  double next_ = 10;
  Stopwatch watch_;
};

NamedImages rows_of(const NamedImages& images, int64_t begin, int64_t end) {
  return {images.name, {.pixels = kernel::slice(images.set.pixels, 0, begin, end, 1)}};
}

std::string file_of(const SideRequest& request, int64_t begin) {
  return fmt::format("{}-features-{:06}.safetensors", request.part, begin);
}

// The features of a part, where its file is there and of as many images.
std::optional<Features> kept_part(const SideRequest& request, int64_t begin, int64_t end) {
  std::string file = file_of(request, begin);
  if (!request.evaluation || !request.evaluation->has(file)) return {};
  fs::path path = request.evaluation->file(file);
  TensorFile stored = read_safetensors(path);
  Features out{stored.tensors["features"], stored.tensors["logits"]};
  if (!out.features.defined() || out.features.shape() != Shape{end - begin, request.network.width()})
    throw InputError(fmt::format("{}: no features of {} images. Hint: remove it", path.string(), end - begin));
  return out;
}

void keep_part(const SideRequest& request, const std::string& name, int64_t begin, const Features& part) {
  if (!request.evaluation) return;
  TensorFile stored{.tensors = {{"features", part.features}}, .metadata = {{"images", name}}};
  if (part.logits.defined()) stored.tensors["logits"] = part.logits;
  write_safetensors(request.evaluation->file(file_of(request, begin)), stored);
}

// Of the images from `begin` on a part for each rank, but for those whose files rank 0 has: on rank 0 all of them.
std::vector<Features> parts_of_ranks(const SideRequest& request, const NamedImages& images, int64_t begin) {
  int64_t n = images.set.count(), size = ranks().size();
  auto first = [&](int64_t rank) { return std::min(n, begin + rank * kPart); };
  std::vector<std::optional<Features>> kept(static_cast<size_t>(size));
  std::string there(kept.size(), '-');
  for (int64_t rank = 0; ranks().leads() && rank < size; ++rank) {
    auto i = static_cast<size_t>(rank);
    if (first(rank) < first(rank + 1)) kept[i] = kept_part(request, first(rank), first(rank + 1));
    if (kept[i]) there[i] = '+';
  }
  there = broadcast_text(ranks(), there);
  int64_t own = ranks().rank();
  Features mine;
  if (first(own) < first(own + 1) && there[static_cast<size_t>(own)] == '-')
    mine = request.network.of(rows_of(images, first(own), first(own + 1)));
  std::vector<Tensor> features = to_leader(mine.features), logits = to_leader(mine.logits);
  std::vector<Features> out;
  for (size_t i = 0; i < features.size(); ++i) {
    if (kept[i]) {
      out.push_back(std::move(*kept[i]));
    } else if (features[i].defined()) {
      out.push_back({features[i], logits[i]});
      keep_part(request, images.name, first(static_cast<int64_t>(i)), out.back());
    }
  }
  return out;
}

Tensor stacked(const std::vector<Tensor>& parts) { return parts.size() == 1 ? parts[0] : kernel::concat(parts, 0); }

}  // namespace

bool names_a_model(const std::string& name) {
  std::error_code error;
  if (names_a_set(name)) return false;
  return name.ends_with(".safetensors") || (fs::is_directory(name, error) && RunFolder(name).holds_a_run());
}

Json file_facts(const std::string& name) {
  std::error_code error;
  if (names_a_set(name) || !fs::exists(name, error)) return nullptr;
  auto time = fs::last_write_time(name, error).time_since_epoch();
  Json facts = {std::chrono::duration_cast<std::chrono::seconds>(time).count()};
  if (fs::is_regular_file(name, error)) facts.push_back(fs::file_size(name, error));
  return facts;
}

data::FeatureStatistics statistics_of(const Tensor& features, const std::string& name) {
  if (features.dim(0) < 2)
    throw InputError(fmt::format("{}: too few images: {}, a covariance needs 2", name, features.dim(0)));
  try {
    return data::feature_statistics(features);
  } catch (const InputError& e) {
    throw InputError(fmt::format("{}: {}", name, e.what()));
  }
}

Side side_of(const SideRequest& request, const NamedImages& images) {
  int64_t n = images.set.count();
  Countdown countdown("features of " + images.name, n);
  std::vector<Tensor> features, logits;
  for (int64_t begin = 0; begin < n; begin += kPart * ranks().size()) {
    for (Features& part : parts_of_ranks(request, images, begin)) {
      features.push_back(part.features);
      if (part.logits.defined()) logits.push_back(part.logits);
    }
    countdown.show(std::min(n, begin + kPart * ranks().size()));
  }
  if (!ranks().leads()) return {.name = images.name, .statistics = {}};
  Side side{.name = images.name, .statistics = {}, .features = {stacked(features)}};
  if (!logits.empty()) side.features.logits = stacked(logits);
  side.statistics = statistics_of(side.features.features, images.name);
  return side;
}

Side side_of(const SideRequest& request, const std::string& name, const std::string& path,
             std::optional<int64_t> most) {
  NamedImages images{name, {}};
  if (name.ends_with(".npz")) {
    data::Arrays arrays = data::read_npz(name, {"arr_0", "arr_1", "mu", "sigma", "count"});
    if (!arrays.contains("arr_0")) {
      Side side{name, data::feature_statistics_of(arrays, name)};
      if (int64_t width = side.statistics.mean.dim(0); width != request.network.width())
        throw InputError(fmt::format("{}: statistics of {} features, those of {} are {}", name, width,
                                     request.network.file(), request.network.width()));
      return side;
    }
    images.set = data::image_set_of(arrays, name);
  } else {
    images = read_named_images(name, path, data::Subset::train, request.images.options());
  }
  if (most && *most > images.set.count())
    throw InputError(fmt::format("{}: -n {}: it has {} images", name, *most, images.set.count()));
  if (most)
    images.set.pixels =
        kernel::index_select(images.set.pixels, 0, some_of(images.set.count(), *most, request.seed));
  return side_of(request, images);
}

}  // namespace vapo::app

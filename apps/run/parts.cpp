#include "apps/run/parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "apps/run/ranks.h"
#include "apps/run/shared_tensor.h"
#include "tensor/check.h"
#include "tensor/io/npy.h"
#include "tensor/kernels.h"

namespace vapo::app {

void TimeLeft::show(int64_t done) {
  constexpr double kEvery = 10;
  double now = watch_.seconds();
  if (now - shown_at_ < kEvery || done == first_) return;
  shown_at_ = now;
  double left = now * static_cast<double>(total_ - done) / static_cast<double>(done - first_);
  note(fmt::format("{}: {} of {}, {:.0f} s left", what_, done, total_, left));
}

namespace {

// What an earlier call left in the file.
Tensor kept_rows(const std::filesystem::path& file, int64_t n, int64_t batch) {
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return {};
  Tensor kept = read_npy(file);
  bool ours = kept.rank() == 2 && kept.dtype() == DType::f64 && kept.dim(0) <= n &&
              (kept.dim(0) == n || kept.dim(0) % batch == 0);
  if (!ours)
    throw InputError(fmt::format("{}: {} {} is no part of {} rows in batches of {}. Hint: remove it", file.string(),
                                 name_of(kept.dtype()), kept.shape().str(), n, batch));
  return kept;
}

}  // namespace

// Rank 0 has the file; in every round each rank makes a batch, while there are any.
Tensor rows_in_parts(const std::filesystem::path& file, int64_t n, int64_t batch, const std::string& what,
                     const std::function<Tensor(int64_t, int64_t)>& make) {
  constexpr double kSaveEvery = 5;
  Tensor kept = from_leader(ranks().leads() ? kept_rows(file, n, batch) : Tensor());
  int64_t done = kept.defined() ? kept.dim(0) : 0;
  std::vector<Tensor> parts;
  if (kept.defined()) parts.push_back(kept);
  TimeLeft time_left(what, n, done);
  Stopwatch since_saved;
  auto joined = [&] {
    if (parts.size() > 1) parts = {kernel::concat(parts, 0)};
    return parts.front();
  };
  while (done < n) {
    int64_t own = done + batch * ranks().rank();
    Tensor made;
    if (own < n) made = make(own, std::min(batch, n - own));
    for (const Tensor& part : to_leader(made))
      if (part.defined()) parts.push_back(part);
    done = std::min(n, done + batch * ranks().size());
    time_left.show(done);
    if (ranks().leads() && (done == n || since_saved.seconds() > kSaveEvery)) {
      write_npy(file, joined());
      since_saved = {};
    }
  }
  return from_leader(ranks().leads() ? joined() : Tensor());
}

std::string as_file_name(const std::string& name) {
  std::string out;
  for (char c : name) {
    bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0;
    if (plain) out += c;
    if (!plain && !out.empty() && out.back() != '-') out += '-';
  }
  while (out.ends_with('-')) out.pop_back();
  return out;
}

}  // namespace vapo::app

#include "data/sets/image_loader.h"

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "tensor/kernels.h"
#include "tensor/philox.h"
#include "tensor/random.h"

namespace vapo::data {
namespace {

// Makes the batch of any step; not for two threads at once.
class BatchMaker {
 public:
  BatchMaker(std::shared_ptr<const ImageSet> set, const LoaderOptions& o) : set_(std::move(set)), o_(o) {
    if (!set_ || !set_->pixels.defined() || set_->pixels.numel() == 0) throw InputError("the image set is empty");
    const Tensor& x = set_->pixels;
    VAPO_CHECK(x.dtype() == DType::u8 && x.rank() == 4, "[image_loader] pixels {} {}: expects u8 (N,H,W,C)",
               name_of(x.dtype()), x.shape().str());
    VAPO_CHECK(
        !set_->labels.defined() || (set_->labels.dtype() == DType::i64 && set_->labels.shape() == Shape{x.dim(0)}),
        "[image_loader] labels are not i64 ({})", x.dim(0));
    VAPO_CHECK(o.batch_size >= 1 && o.prefetch >= 0, "[image_loader] batch_size {}, prefetch {}", o.batch_size,
               o.prefetch);
  }

  void check_step(int64_t step) const {
    VAPO_CHECK(step >= 0 && step < (int64_t{1} << 48) / o_.batch_size, "[image_loader] step {} is out of range",
               step);
  }

  ImageBatch make(int64_t step) {
    const Tensor& pixels = set_->pixels;
    int64_t n = pixels.dim(0), h = pixels.dim(1), w = pixels.dim(2), c = pixels.dim(3), size = h * w * c;
    ImageBatch batch{.x = Tensor::empty({o_.batch_size, h, w, c}), .labels = {}};
    if (set_->labels.defined()) batch.labels = Tensor::empty({o_.batch_size}, DType::i64);
    flipped_.resize(static_cast<size_t>(size));
    for (int64_t i = 0; i < o_.batch_size; ++i) {
      int64_t sample = step * o_.batch_size + i, image = image_of(sample / n, sample % n);
      const uint8_t* u = pixels.data<uint8_t>() + image * size;
      if (o_.flip && mirrored(sample)) {
        for (int64_t row = 0; row < h; ++row) mirror(u + row * w * c, w, c, flipped_.data() + row * w * c);
        u = flipped_.data();
      }
      float* x = batch.x.mutable_data<float>() + i * size;
      if (o_.dequantize) {
        Tensor noise = rand({size}, {o_.seed, o_.stream + 2, static_cast<uint64_t>(sample)});
        const float* v = noise.data<float>();
        for (int64_t k = 0; k < size; ++k) x[k] = (static_cast<float>(u[k]) + v[k]) / 128 - 1;
      } else {
        for (int64_t k = 0; k < size; ++k) x[k] = static_cast<float>(u[k]) / 127.5f - 1;
      }
      if (batch.labels.defined()) batch.labels.mutable_data<int64_t>()[i] = set_->labels.data<int64_t>()[image];
    }
    return batch;
  }

 private:
  int64_t image_of(int64_t epoch, int64_t place) {
    if (epoch != epoch_) {
      order_ = randperm(set_->count(), {o_.seed, o_.stream, static_cast<uint64_t>(epoch)});
      epoch_ = epoch;
    }
    return order_.data<int64_t>()[place];
  }

  bool mirrored(int64_t sample) const {
    return philox_block(static_cast<uint64_t>(sample / 4), o_.seed, o_.stream + 1, 0).w[sample % 4] >> 31 != 0;
  }

  static void mirror(const uint8_t* from, int64_t w, int64_t c, uint8_t* to) {
    for (int64_t k = 0; k < w; ++k)
      for (int64_t j = 0; j < c; ++j) to[k * c + j] = from[(w - 1 - k) * c + j];
  }

  std::shared_ptr<const ImageSet> set_;
  LoaderOptions o_;
  std::vector<uint8_t> flipped_;
  int64_t epoch_ = -1;  // whose order order_ is
  Tensor order_;
};

}  // namespace

// The thread fills `ready` with the batches of step, step + 1, … while there are fewer than options.prefetch.
struct ImageLoader::Impl {
  struct Prepared {
    ImageBatch batch;
    std::exception_ptr error;
  };

  Impl(std::shared_ptr<const ImageSet> set, const LoaderOptions& options)
      : maker(std::move(set), options), prefetch(static_cast<size_t>(options.prefetch)) {
    if (prefetch > 0) thread = std::thread([this] { prepare(); });
  }
  ~Impl() {
    {
      std::lock_guard guard(lock);
      stop = true;
    }
    changed.notify_all();
    if (thread.joinable()) thread.join();
  }

  ImageBatch batch(int64_t step) {
    maker.check_step(step);
    if (prefetch == 0) return maker.make(step);
    std::unique_lock guard(lock);
    if (step != first) {
      ready.clear();
      first = step, ++jumps;
      changed.notify_all();
    }
    changed.wait(guard, [this] { return !ready.empty(); });
    Prepared next = std::move(ready.front());
    ready.pop_front();
    ++first;
    changed.notify_all();
    if (next.error) std::rethrow_exception(next.error);
    return next.batch;
  }

  void prepare() {
    std::unique_lock guard(lock);
    for (;;) {
      changed.wait(guard, [this] { return stop || (first >= 0 && ready.size() < prefetch); });
      if (stop) return;
      int64_t step = first + static_cast<int64_t>(ready.size()), jump = jumps;
      guard.unlock();
      Prepared next;
      try {
        next.batch = maker.make(step);
      } catch (...) {
        next.error = std::current_exception();
      }
      guard.lock();
      if (jump != jumps) continue;  // another step is wanted by now
      ready.push_back(std::move(next));
      changed.notify_all();
    }
  }

  BatchMaker maker;
  size_t prefetch;
  std::mutex lock;
  std::condition_variable changed;
  std::deque<Prepared> ready;
  int64_t first = -1;  // the step of ready[0]; nothing is prepared before the first call
  int64_t jumps = 0;   // times that another step than the next was asked for
  bool stop = false;
  std::thread thread;
};

ImageLoader::ImageLoader(std::shared_ptr<const ImageSet> set, const LoaderOptions& options)
    : impl_(std::make_unique<Impl>(std::move(set), options)) {}
ImageLoader::~ImageLoader() = default;

ImageBatch ImageLoader::batch(int64_t step) { return impl_->batch(step); }

ImageSplit split_images(const ImageSet& set, double fraction, uint64_t seed) {
  VAPO_CHECK(fraction >= 0 && fraction < 1, "[split_images] fraction {} is not in [0,1)", fraction);
  int64_t n = set.count();
  if (n < (fraction > 0 ? 2 : 1))
    throw InputError(fmt::format("{} images are too few to hold out {} of them", n, fraction));
  int64_t held = static_cast<int64_t>(std::llround(fraction * static_cast<double>(n)));
  held = std::clamp<int64_t>(held, fraction > 0 ? 1 : 0, n - 1);
  constexpr uint32_t stream = 0x5917;
  Tensor order = randperm(n, {.seed = seed, .stream = stream});
  auto part = [&](int64_t begin, int64_t end) {
    Tensor images = kernel::slice(order, 0, begin, end, 1);
    ImageSet out{.pixels = kernel::index_select(set.pixels, 0, images), .classes = set.classes};
    if (set.labels.defined()) out.labels = kernel::index_select(set.labels, 0, images);
    for (size_t i = 0; !set.files.empty() && i < static_cast<size_t>(images.numel()); ++i)
      out.files.push_back(set.files[static_cast<size_t>(images.data<int64_t>()[i])]);
    return out;
  };
  return {part(held, n), part(0, held)};
}

}  // namespace vapo::data

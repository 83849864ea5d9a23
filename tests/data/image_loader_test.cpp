// Batches of an image set: their order, their flips, their noise, and that a thread prepares the same ones.

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>
#include <set>

#include "data/sets/image_loader.h"
#include "tensor/storage.h"

using namespace vapo;
using namespace vapo::data;

namespace {

// n images, h × w × c; every pixel of image i is i, but the first column, which is 255 − i.
std::shared_ptr<ImageSet> numbered(int64_t n, int64_t h = 2, int64_t w = 5, int64_t c = 1) {
  auto set = std::make_shared<ImageSet>();
  set->pixels = Tensor::empty({n, h, w, c}, DType::u8);
  for (int64_t k = 0; k < set->pixels.numel(); ++k) {
    int64_t image = k / (h * w * c);
    set->pixels.mutable_data<uint8_t>()[k] = static_cast<uint8_t>(k / c % w == 0 ? 255 - image : image);
  }
  set->labels = Tensor::arange(n);
  return set;
}

// What the first `samples` samples are: x, and the label as one more number.
std::vector<float> stream(const LoaderOptions& options, int64_t samples, const std::shared_ptr<ImageSet>& set) {
  ImageLoader loader(set, options);
  int64_t size = set->pixels.numel() / set->count();
  std::vector<float> out;
  for (int64_t step = 0; static_cast<int64_t>(out.size()) < samples * (size + 1); ++step) {
    ImageBatch batch = loader.batch(step);
    for (int64_t i = 0; i < options.batch_size; ++i) {
      out.insert(out.end(), batch.x.data<float>() + i * size, batch.x.data<float>() + (i + 1) * size);
      out.push_back(static_cast<float>(batch.labels.at(i)));
    }
  }
  out.resize(static_cast<size_t>(samples * (size + 1)));
  return out;
}

std::vector<int64_t> order(const LoaderOptions& options, int64_t samples, int64_t images) {
  std::vector<int64_t> out;
  ImageLoader loader(numbered(images), options);
  for (int64_t step = 0; static_cast<int64_t>(out.size()) < samples; ++step)
    for (int64_t y : loader.batch(step).labels.to_vector<int64_t>()) out.push_back(y);
  out.resize(static_cast<size_t>(samples));
  return out;
}

}  // namespace

TEST_CASE("images become numbers in [−1,1], with their labels beside them") {
  auto set = numbered(7, 2, 3, 3);
  ImageBatch batch = ImageLoader(set, {.batch_size = 4, .prefetch = 0}).batch(0);
  CHECK(batch.x.shape() == Shape{4, 2, 3, 3});
  CHECK(batch.x.dtype() == DType::f32);
  CHECK(batch.labels.shape() == Shape{4});
  for (int64_t k = 0; k < batch.x.numel(); ++k) {
    int64_t image = static_cast<int64_t>(batch.labels.at(k / 18));
    int64_t u = static_cast<int64_t>(set->pixels.at(image * 18 + k % 18));
    CHECK(batch.x.at(k) == static_cast<double>(static_cast<float>(u) / 127.5f - 1));
  }
  set->labels = {};
  CHECK(!ImageLoader(set, {}).batch(3).labels.defined());
}

TEST_CASE("every epoch is a permutation of its own, a function of the seed") {
  constexpr int64_t n = 23;
  std::vector<int64_t> a = order({.batch_size = 5, .seed = 1}, 4 * n, n);
  std::set<std::vector<int64_t>> epochs;
  for (int64_t e = 0; e < 4; ++e) {
    std::vector<int64_t> epoch(a.begin() + e * n, a.begin() + (e + 1) * n);
    epochs.insert(epoch);
    CHECK(std::set<int64_t>(epoch.begin(), epoch.end()).size() == n);
  }
  CHECK(epochs.size() == 4);
  CHECK(order({.batch_size = 5, .seed = 1}, 4 * n, n) == a);
  CHECK(order({.batch_size = 5, .seed = 2}, 4 * n, n) != a);
  CHECK(order({.batch_size = 5, .seed = 1, .stream = 1}, 4 * n, n) != a);
}

TEST_CASE("neither the size of batches nor a thread changes a sample; a batch may span several epochs") {
  auto set = numbered(7, 3, 4, 3);
  for (bool dequantize : {false, true}) {
    LoaderOptions options{.batch_size = 1, .seed = 3, .flip = true, .dequantize = dequantize, .prefetch = 0};
    std::vector<float> one = stream(options, 60, set);
    for (int64_t batch_size : {2, 5, 7, 30})
      for (int64_t prefetch : {0, 1, 4}) {
        options.batch_size = batch_size, options.prefetch = prefetch;
        CHECK(stream(options, 60, set) == one);
      }
  }
}

TEST_CASE("any step may be asked for: further on, back, twice") {
  auto set = numbered(50);
  LoaderOptions options{.batch_size = 8, .seed = 4, .flip = true, .dequantize = true, .prefetch = 0};
  std::vector<std::vector<float>> expected;
  ImageLoader plain(set, options);
  for (int64_t k = 0; k < 20; ++k) expected.push_back(plain.batch(k).x.to_vector<float>());
  options.prefetch = 3;
  ImageLoader loader(set, options);
  for (int64_t k : {13, 14, 15, 2, 3, 3, 19, 0, 1, 2, 12, 11, 10})
    CHECK(loader.batch(k).x.to_vector<float>() == expected[static_cast<size_t>(k)]);
  CHECK(loader.batch(int64_t{1} << 40).x.dim(0) == 8);
}

TEST_CASE("about half of the images are mirrored, anew in every epoch") {
  constexpr int64_t n = 100, epochs = 40;
  auto set = numbered(n, 2, 5, 3);
  LoaderOptions options{.batch_size = n, .seed = 5, .flip = true};
  ImageLoader loader(set, options);
  int64_t flips = 0;
  std::vector<int64_t> of_image(n);
  for (int64_t e = 0; e < epochs; ++e) {
    ImageBatch batch = loader.batch(e);
    for (int64_t i = 0; i < n; ++i) {
      const float* x = batch.x.data<float>() + i * 30;
      int64_t image = static_cast<int64_t>(batch.labels.at(i));
      auto u = [&](int64_t k) { return std::lround((x[k] + 1) * 127.5f); };
      bool flipped = u(0) == image;
      for (int64_t k = 0; k < 30; ++k) CHECK(u(k) == (k / 3 % 5 == (flipped ? 4 : 0) ? 255 - image : image));
      flips += flipped, of_image[static_cast<size_t>(image)] += flipped;
    }
  }
  CHECK(std::abs(static_cast<double>(flips) - n * epochs / 2) < 5 * std::sqrt(n * epochs) / 2);
  for (int64_t f : of_image) CHECK((f > 0 && f < epochs));
}

TEST_CASE("dequantised: a place of its own within its level for every number, uniformly") {
  auto set = numbered(64, 8, 8, 3);
  LoaderOptions options{.batch_size = 64, .seed = 6, .dequantize = true};
  ImageLoader loader(set, options);
  double sum = 0, squares = 0, n = 0;
  for (int64_t e = 0; e < 2; ++e) {
    ImageBatch batch = loader.batch(e);
    for (int64_t k = 0; k < batch.x.numel(); ++k) {
      int64_t image = static_cast<int64_t>(batch.labels.at(k / 192));
      double u = set->pixels.at(image * 192 + k % 192), within = (batch.x.at(k) + 1) * 128 - u;
      CHECK((within >= 0 && within <= 1));
      sum += within, squares += within * within, n += 1;
    }
  }
  CHECK(std::abs(sum / n - 0.5) < 5 * std::sqrt(1 / (12 * n)));          // the variance of U[0,1) is 1/12 …
  CHECK(std::abs(squares / n - 1.0 / 3) < 5 * std::sqrt(4 / (45 * n)));  // … of its square 4/45
  CHECK(loader.batch(0).x.to_vector<float>() != loader.batch(1).x.to_vector<float>());
}

TEST_CASE("what fails in the thread is thrown to the caller, and the loader goes on") {
  auto set = numbered(100, 32, 32, 3);
  ImageLoader loader(set, {.batch_size = 100, .seed = 7});
  std::vector<float> first = loader.batch(0).x.to_vector<float>();
  set_memory_limit(1);
  int refused = 0;
  for (int64_t k = 5; k < 8; ++k) try {
      loader.batch(k);
    } catch (const Error& e) {
      refused += std::string(e.what()).find("out of memory") != std::string::npos;
    }
  set_memory_limit(0);
  CHECK(refused == 3);
  CHECK(loader.batch(0).x.to_vector<float>() == first);
}

TEST_CASE("what cannot be loaded from is refused") {
  auto refused = [](std::shared_ptr<ImageSet> set, const LoaderOptions& o, const char* part) {
    CHECK_THROWS_WITH_AS(ImageLoader(std::move(set), o), doctest::Contains(part), Error);
  };
  auto empty = std::make_shared<ImageSet>();
  CHECK_THROWS_WITH_AS(ImageLoader(empty, {}), doctest::Contains("empty"), InputError);
  empty->pixels = Tensor::empty({0, 2, 2, 1}, DType::u8);
  CHECK_THROWS_WITH_AS(ImageLoader(empty, {}), doctest::Contains("empty"), InputError);
  refused(numbered(3), {.batch_size = 0}, "batch_size 0");
  refused(numbered(3), {.prefetch = -1}, "prefetch -1");
  auto floats = numbered(3), unlabelled = numbered(3);
  floats->pixels = floats->pixels.to(DType::f32);
  unlabelled->labels = Tensor::arange(2);
  refused(floats, {}, "expects u8");
  refused(unlabelled, {}, "labels are not i64 (3)");
  ImageLoader loader(numbered(3), {});
  CHECK_THROWS_WITH_AS(loader.batch(-1), doctest::Contains("step -1"), Error);
  CHECK_THROWS_AS(loader.batch(int64_t{1} << 48), Error);
}

TEST_CASE("a split holds every image once with its label, by seed alone") {
  auto set = numbered(100);
  set->classes = {"a", "b"};
  ImageSplit a = split_images(*set, 0.2, 7), b = split_images(*set, 0.2, 7), c = split_images(*set, 0.2, 8);
  CHECK((a.train.count() == 80 && a.held_out.count() == 20));
  std::set<int64_t> seen;
  for (const ImageSet* part : {&a.train, &a.held_out}) {
    CHECK(part->classes == set->classes);
    for (int64_t i = 0; i < part->count(); ++i) {
      int64_t label = static_cast<int64_t>(part->labels.at(i));
      CHECK(part->pixels.at(10 * i + 1) == static_cast<double>(label));
      seen.insert(label);
    }
  }
  CHECK(seen.size() == 100);
  CHECK(a.held_out.labels.to_vector<int64_t>() == b.held_out.labels.to_vector<int64_t>());
  CHECK(a.held_out.labels.to_vector<int64_t>() != c.held_out.labels.to_vector<int64_t>());
  CHECK((split_images(*set, 0, 7).held_out.count() == 0 && split_images(*set, 0, 7).train.count() == 100));
  CHECK(split_images(*set, 0.9999, 7).train.count() == 1);
  set->labels = {};
  CHECK(!split_images(*set, 0.2, 7).train.labels.defined());
  for (double bad : {-0.1, 1.0, static_cast<double>(NAN)}) CHECK_THROWS_AS(split_images(*set, bad, 7), Error);
  CHECK_THROWS_WITH_AS(split_images(*numbered(1), 0.5, 7), doctest::Contains("too few"), InputError);
}

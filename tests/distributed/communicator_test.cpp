// The verbs between ranks: sums in the order of a tree at any number of ranks, and the others.

#include "distributed/communicator.h"

#include <doctest/doctest.h>

#include <atomic>
#include <cmath>

#include "tensor/random.h"
#include "threads_communicator.h"

using namespace vapo;
using namespace vapo::testing;

namespace {

// Of part k: numbers whose sums depend on their order.
std::vector<float> part(int64_t k, int64_t count) {
  return randn({count}, {.seed = 1, .step = static_cast<uint64_t>(k)}).to_vector<float>();
}
std::vector<float> plus(std::vector<float> a, const std::vector<float>& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}
// Of all parts from one on: halves of the largest power of two below the count.
std::vector<float> tree(int64_t first, int64_t count, int64_t n) {
  if (count == 1) return part(first, n);
  int64_t half = 1;
  while (2 * half < count) half *= 2;
  return plus(tree(first, half, n), tree(first + half, count - half, n));
}
auto tree_sum() {
  auto add = [](std::vector<float> a, const std::vector<float>& b) { return plus(std::move(a), b); };
  return TreeSum<std::vector<float>, decltype(add)>(add);
}

}  // namespace

TEST_CASE("parts are summed as a tree of them, one by one or by ranks, to the bit") {
  constexpr int64_t n = 37;
  for (int64_t parts = 1; parts <= 9; ++parts) {
    auto sum = tree_sum();
    for (int64_t k = 0; k < parts; ++k) sum.take(part(k, n));
    CHECK(std::move(sum).sum() == tree(0, parts, n));
    on_ranks(parts, [&](Communicator& ranks) {
      std::vector<float> x = part(ranks.rank(), n);
      ranks.all_reduce(x);
      if (x != tree(0, parts, n)) fail("rank {} of {} has another sum", ranks.rank(), parts);
    });
  }
  // The order matters here: by turns the sum is another.
  std::vector<float> by_turns = part(0, n);
  for (int64_t k = 1; k < 8; ++k) by_turns = plus(by_turns, part(k, n));
  CHECK(by_turns != tree(0, 8, n));
}

TEST_CASE("eight parts on 1, 2, 4 and 8 ranks have one sum, and twelve on 3") {
  constexpr int64_t n = 5;
  for (auto [parts, size] : {std::pair<int64_t, int64_t>{8, 1}, {8, 2}, {8, 4}, {8, 8}, {12, 3}, {12, 6}, {12, 12}})
    on_ranks(size, [&, parts = parts, size = size](Communicator& ranks) {
      auto sum = tree_sum();
      for (int64_t k = 0; k < parts / size; ++k) sum.take(part(ranks.rank() * (parts / size) + k, n));
      std::vector<float> x = std::move(sum).sum();
      ranks.all_reduce(x);
      if (x != tree(0, parts, n)) fail("{} parts on {} ranks: rank {} has another sum", parts, size, ranks.rank());
    });
}

TEST_CASE("a sum sends twice its bytes a rank at most, where ranks are a power of two") {
  constexpr int64_t n = 1 << 12;
  for (int64_t size : {2, 4, 8}) {
    size_t bytes = on_ranks(size, [&](Communicator& ranks) {
      std::vector<double> x(n, static_cast<double>(ranks.rank()));
      ranks.all_reduce(x);
      if (x[0] != static_cast<double>(size * (size - 1) / 2)) fail("a wrong sum");
      int64_t sent = 2 * n * static_cast<int64_t>(sizeof(double)) * (size - 1) / size;
      if (ranks.traffic().bytes != sent) fail("{} bytes counted, not {}", ranks.traffic().bytes, sent);
    });
    CHECK(bytes == 2 * n * sizeof(double) * static_cast<size_t>(size - 1));
  }
}

TEST_CASE("sums of less than a number a rank, and of none") {
  for (int64_t size : {3, 8})
    for (size_t n : {0, 1, 3})
      on_ranks(size, [&](Communicator& ranks) {
        std::vector<double> x(n, 1.0);
        ranks.all_reduce(x);
        if (x != std::vector<double>(n, static_cast<double>(size))) fail("a wrong sum");
      });
}

TEST_CASE("rank 0's text arrives everywhere, theirs at rank 0, and nobody passes a barrier alone") {
  for (int64_t size : {1, 2, 3, 5, 8}) {
    std::atomic<int64_t> there = 0;
    on_ranks(size, [&](Communicator& ranks) {
      std::string text = broadcast_text(ranks, ranks.leads() ? "a text of rank 0" : "another");
      if (text != "a text of rank 0") fail("rank {} has '{}'", ranks.rank(), text);
      if (broadcast_text(ranks, "") != "") fail("no text");
      std::vector<std::string> all = ranks.gather(std::string(static_cast<size_t>(ranks.rank()), 'x'));
      if (ranks.leads() != (std::ssize(all) == size)) fail("rank {} has {} texts", ranks.rank(), all.size());
      for (size_t k = 0; k < all.size(); ++k)
        if (all[k] != std::string(k, 'x')) fail("text {} is '{}'", k, all[k]);
      ++there;
      ranks.barrier();
      if (there != size) fail("{} of {} ranks were at the barrier", there.load(), size);
    });
  }
}

TEST_CASE("one rank is alone") {
  std::unique_ptr<Communicator> one = alone();
  CHECK(one->leads());
  CHECK(one->size() == 1);
  std::vector<double> x = {1, 2};
  one->all_reduce(x);
  CHECK(x == std::vector<double>{1, 2});
  CHECK(one->gather("a") == std::vector<std::string>{"a"});
  CHECK(broadcast_text(*one, "b") == "b");
}

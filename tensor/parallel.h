#pragma once
// Threads, in one place: a loop over [0, n) in contiguous parts, the same parts for the same n and number of
// threads. A hand-over costs about a microsecond, so that loops of some ten thousand additions already gain.
// Workers spin for a moment after their part, then sleep.

#include <algorithm>
#include <cstdint>

namespace vapo {

// How many threads loops are split over: OMP_NUM_THREADS, or as many as there are CPUs for this process, or what
// was set. Inside a part of a loop it is 1.
int num_threads();
void set_num_threads(int threads);  // ≥ 1; not while a loop runs
int worker_number();  // of the calling thread among those that take parts: 1, 2, …; 0 for all others

// In how many parts products and sums over a batch are cut, so that each thread has some: as many as there are threads, and
// bits depend on that number; while a FixedSumParts lives, as many as it says. Inside a part of a loop it is 1.
int sum_parts();
class FixedSumParts {
 public:
  explicit FixedSumParts(int parts);  // ≥ 1; of the calling thread
  ~FixedSumParts();
  FixedSumParts(const FixedSumParts&) = delete;
  FixedSumParts& operator=(const FixedSumParts&) = delete;

 private:
  int before_;
};

namespace detail {
// part(context, i) for i in [0, parts), parts ≤ num_threads(); returns when all are done. Where another thread of
// the program has the workers, the caller does all parts itself. The first exception of a part is thrown again.
void run_parts(int parts, void (*part)(void* context, int i), void* context);
}  // namespace detail

// f(begin, end) over [0, n) in parts of at least `grain`, split at multiples of `align`.
template <class F>
void parallel_for(int64_t n, int64_t grain, int64_t align, const F& f) {
  int64_t parts = std::min<int64_t>(num_threads(), n / std::max<int64_t>(grain, 1));
  if (parts <= 1) {
    if (n > 0) f(int64_t{0}, n);
    return;
  }
  struct Loop {
    const F& f;
    int64_t n, chunk;
  } loop{f, n, ((n + parts - 1) / parts + align - 1) / align * align};
  detail::run_parts(
      static_cast<int>(parts),
      [](void* context, int i) {
        const Loop& l = *static_cast<Loop*>(context);
        int64_t begin = i * l.chunk, end = std::min(l.n, begin + l.chunk);
        if (begin < end) l.f(begin, end);
      },
      &loop);
}

}  // namespace vapo

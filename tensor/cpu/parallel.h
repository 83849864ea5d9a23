#pragma once
// OpenMP in one place. Work below the grain runs on the calling thread: a fork costs about as much as 50,000
// additions.

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace vapo::cpu {

inline int threads() { return omp_in_parallel() ? 1 : omp_get_max_threads(); }

// f(begin, end) over [0, n) in contiguous parts of at least `grain`, split at multiples of `align`.
template <class F>
void parallel_for(int64_t n, int64_t grain, int64_t align, const F& f) {
  int64_t parts = std::min<int64_t>(threads(), n / std::max<int64_t>(grain, 1));
  if (parts <= 1) {
    if (n > 0) f(int64_t{0}, n);
    return;
  }
  int64_t chunk = ((n + parts - 1) / parts + align - 1) / align * align;
#pragma omp parallel for num_threads(static_cast <int>(parts)) schedule(static, 1)
  for (int64_t part = 0; part < parts; ++part) {
    int64_t begin = part * chunk, end = std::min(n, begin + chunk);
    if (begin < end) f(begin, end);
  }
}

}  // namespace vapo::cpu

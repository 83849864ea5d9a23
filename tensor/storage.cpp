#include "tensor/storage.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <new>

#include "tensor/backend.h"

namespace vapo {
namespace {

// Size classes: multiples of 64 up to 512 bytes, then eight to each power of two, so at most 1/8 is wasted.
struct SizeClass {
  int index;
  size_t bytes;
};
SizeClass size_class(size_t n) {
  if (n <= 512) {
    size_t c = (n + 63) / 64;
    if (c == 0) c = 1;
    return {static_cast<int>(c - 1), c * 64};
  }
  int log2 = static_cast<int>(std::bit_width(n - 1)) - 1;  // 2^log2 ≤ n − 1 < 2^(log2+1)
  size_t step = size_t{1} << (log2 - 3);
  size_t c = (n + step - 1) / step;  // 9 … 16
  return {8 + (log2 - 9) * 8 + static_cast<int>(c - 9), c * step};
}

constexpr size_t huge_page = size_t{2} << 20;

void* system_allocate(size_t bytes) {
  if (bytes < 2 * huge_page) return std::aligned_alloc(64, bytes);
  void* p = std::aligned_alloc(huge_page, (bytes + huge_page - 1) / huge_page * huge_page);
  if (p) madvise(p, bytes, MADV_HUGEPAGE);  // only a hint: fewer page faults and TLB misses
  return p;
}

class Cache {
 public:
  void* take(size_t n) {
    auto [index, bytes] = size_class(n);
    Block* block = nullptr;
    bool allowed = true;
    {
      Lock lock(*this);
      allowed = limit_ == 0 || current_ + static_cast<int64_t>(bytes) <= limit_;
    }
    if (!allowed) refuse(n);
    {
      Lock lock(*this);
      current_ += static_cast<int64_t>(bytes);
      if (current_ > peak_) peak_ = current_;
      ++allocations_;
      block = free_[index];
      if (block)
        free_[index] = block->next;
      else
        reserved_ += static_cast<int64_t>(bytes);
    }
    if (block) return block;
    void* p = system_allocate(bytes);
    if (!p) {
      release_all();
      p = system_allocate(bytes);
    }
    if (!p) {
      Lock lock(*this);
      current_ -= static_cast<int64_t>(bytes);
      reserved_ -= static_cast<int64_t>(bytes);
    }
    if (!p) refuse(n);
    return p;
  }

  void give(void* p, size_t n) noexcept {
    auto [index, bytes] = size_class(n);
    Lock lock(*this);
    current_ -= static_cast<int64_t>(bytes);
#ifdef VAPO_SANITIZED  // a cached block would hide a use after free
    reserved_ -= static_cast<int64_t>(bytes);
    std::free(p);
#else
    free_[index] = new (p) Block{free_[index]};
#endif
  }

  void release_all() {
    Lock lock(*this);
    for (int i = 0; i < classes; ++i) {
      while (Block* b = free_[i]) {
        free_[i] = b->next;
        reserved_ -= static_cast<int64_t>(bytes_of(i));
        std::free(b);
      }
    }
  }

  void set_limit(int64_t bytes) {
    Lock lock(*this);
    limit_ = bytes;
  }
  MemoryStats stats() {
    Lock lock(*this);
    return {current_, peak_, reserved_, allocations_};
  }
  void reset_peak() {
    Lock lock(*this);
    peak_ = current_;
  }

 private:
  [[noreturn]] void refuse(size_t asked) {
    MemoryStats s = stats();
    int64_t room = limit_ > 0 ? limit_ : static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
    fail(
        "[allocate] out of memory on the CPU: {} bytes asked, {} held by tensors, {} free of {}. Hint: a smaller "
        "batch",
        asked, s.current_bytes, std::max<int64_t>(room - s.current_bytes, 0), room);
  }
  struct Block {
    Block* next;
  };
  struct Lock {
    explicit Lock(Cache& c) : flag(c.busy_) {
      while (flag.test_and_set(std::memory_order_acquire)) flag.wait(true, std::memory_order_relaxed);
    }
    ~Lock() {
      flag.clear(std::memory_order_release);
      flag.notify_one();
    }
    std::atomic_flag& flag;
  };
  static size_t bytes_of(int index) {
    if (index < 8) return static_cast<size_t>(index + 1) * 64;
    return static_cast<size_t>((index - 8) % 8 + 9) << ((index - 8) / 8 + 6);
  }

  static constexpr int classes = 8 + 8 * 55;
  std::atomic_flag busy_;
  Block* free_[classes] = {};
  int64_t current_ = 0, peak_ = 0, reserved_ = 0, allocations_ = 0, limit_ = 0;
};

Cache& cache() {
  static Cache* const instance = new Cache;  // never destroyed: tensors in statics may outlive any order of exit
  return *instance;
}

}  // namespace

MemoryStats memory_stats(Device d) { return d == Device::cuda ? cuda::memory_stats() : cache().stats(); }
void reset_peak_memory(Device d) { d == Device::cuda ? cuda::reset_peak_memory() : cache().reset_peak(); }
void release_cached_memory(Device d) { d == Device::cuda ? cuda::release_cached_memory() : cache().release_all(); }
void set_memory_limit(int64_t bytes, Device d) {
  d == Device::cuda ? cuda::set_memory_limit(bytes) : cache().set_limit(bytes);
}

namespace detail {
void* allocate(size_t bytes) {
  VAPO_CHECK(bytes < size_t{1} << 47, "[allocate] {} bytes asked: more than any machine has", bytes);
  return cache().take(bytes);
}
void deallocate(void* p, size_t bytes) noexcept { cache().give(p, bytes); }
}  // namespace detail

}  // namespace vapo

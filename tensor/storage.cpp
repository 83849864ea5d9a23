#include "tensor/storage.h"

#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <new>

#include "tensor/backend.h"
#include "tensor/parallel.h"

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

// Freed blocks lie on the shelf of the thread that freed them, and are handed out to it first: its core's caches have them.
class Cache {
 public:
  void* take(size_t n) {
    auto [index, bytes] = size_class(n);
    auto size = static_cast<int64_t>(bytes);
    int64_t limit = limit_.load(std::memory_order_relaxed);
    if (limit > 0 && current_.load(std::memory_order_relaxed) + size > limit) refuse(n);
    int mine = own_shelf();
    count(mine, size);
    shelf_[mine].allocations.fetch_add(1, std::memory_order_relaxed);
    if (void* p = shelf_[mine].take(index)) return p;
    for (int i = 0, used = used_.load(std::memory_order_relaxed); i < used; ++i)
      if (void* p = shelf_[i].take(index)) return p;
    void* p = system_allocate(bytes);
    if (!p) {
      release_all();
      p = system_allocate(bytes);
    }
    if (!p) {
      count(mine, -size);
      refuse(n);
    }
    reserved_.fetch_add(size, std::memory_order_relaxed);
    return p;
  }

  void give(void* p, size_t n) noexcept {
    auto [index, bytes] = size_class(n);
    int mine = own_shelf();
    count(mine, -static_cast<int64_t>(bytes));
#ifdef VAPO_SANITIZED  // a cached block would hide a use after free
    reserved_.fetch_sub(static_cast<int64_t>(bytes), std::memory_order_relaxed);
    std::free(p);
#else
    shelf_[mine].give(p, index);
#endif
  }

  void release_all() {
    for (Shelf& shelf : shelf_)
      for (int i = 0; i < classes; ++i)
        while (void* p = shelf.take(i)) {
          reserved_.fetch_sub(static_cast<int64_t>(bytes_of(i)), std::memory_order_relaxed);
          std::free(p);
        }
  }

  void set_limit(int64_t bytes) { limit_ = bytes; }
  MemoryStats stats() const {
    MemoryStats s{current_, peak_, reserved_, 0};
    for (const Shelf& shelf : shelf_) s.current_bytes += shelf.uncounted, s.allocations += shelf.allocations;
    return s;
  }
  void reset_peak() { peak_ = current_.load(); }

 private:
  static constexpr int classes = 8 + 8 * 55, shelves = 64;

  int own_shelf() {
    int shelf = worker_number() % shelves;
    for (int used = used_.load(std::memory_order_relaxed);
         used <= shelf && !used_.compare_exchange_weak(used, shelf + 1, std::memory_order_relaxed);) {
    }
    return shelf;
  }
  // Of workers, whose counts would go from core to core, only once they come to something.
  void count(int shelf, int64_t bytes) {
    constexpr int64_t small = 64 << 10;
    if (shelf > 0) {
      std::atomic<int64_t>& uncounted = shelf_[shelf].uncounted;  // where workers are more than shelves, of several
      int64_t all = uncounted.fetch_add(bytes, std::memory_order_relaxed) + bytes;
      if (-small < all && all < small) return;
      bytes = uncounted.exchange(0, std::memory_order_relaxed);
    }
    int64_t current = current_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
    for (int64_t peak = peak_.load(std::memory_order_relaxed);
         current > peak && !peak_.compare_exchange_weak(peak, current, std::memory_order_relaxed);) {
    }
  }
  [[noreturn]] void refuse(size_t asked) {
    MemoryStats s = stats();
    int64_t limit = limit_,
            room = limit > 0 ? limit : static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
    fail(
        "[allocate] out of memory on the CPU: {} bytes asked, {} held by tensors, {} free of {}. Hint: a smaller "
        "batch",
        asked, s.current_bytes, std::max<int64_t>(room - s.current_bytes, 0), room);
  }
  struct Block {
    Block* next;
  };
  class alignas(64) Shelf {
   public:
    void* take(int index) {
      Block*& first = free_[index];
      if (std::atomic_ref(first).load(std::memory_order_relaxed) == nullptr) return nullptr;
      Lock lock(busy_);
      Block* block = first;
      if (block) std::atomic_ref(first).store(block->next, std::memory_order_relaxed);
      return block;
    }
    void give(void* p, int index) {
      Lock lock(busy_);
      std::atomic_ref(free_[index]).store(new (p) Block{free_[index]}, std::memory_order_relaxed);
    }

    std::atomic<int64_t> uncounted = 0, allocations = 0;

   private:
    std::atomic_flag busy_;
    Block* free_[classes] = {};
  };
  struct Lock {  // for a few instructions
    explicit Lock(std::atomic_flag& f) : flag(f) {
      for (int tries = 0; flag.test_and_set(std::memory_order_acquire); ++tries)
        if (tries > 100) sched_yield();  // who has it waits for this very CPU
    }
    ~Lock() { flag.clear(std::memory_order_release); }
    std::atomic_flag& flag;
  };
  static size_t bytes_of(int index) {
    if (index < 8) return static_cast<size_t>(index + 1) * 64;
    return static_cast<size_t>((index - 8) % 8 + 9) << ((index - 8) / 8 + 6);
  }

  Shelf shelf_[shelves];
  alignas(64) std::atomic<int> used_ = 1;  // shelves on which something may lie
  alignas(64) std::atomic<int64_t> current_ = 0, peak_ = 0, reserved_ = 0, limit_ = 0;
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

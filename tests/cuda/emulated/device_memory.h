#pragma once
// Memory of the stand-in device: a range of addresses of its own that only what runs on the device may touch. On
// the CPU an access to it ends the program with a line that says so, as it would end with a fault on a machine with
// a GPU; and nothing that is not of the range may be handed to a kernel. Under AddressSanitizer blocks come from
// its own allocator instead, so that it sees accesses outside of them.

#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "fibers.h"
#include "kernel_trace.h"

namespace emulated {

class DeviceMemory {
 public:
  // Null where there is no room left. Aligned for 256 bytes, filled with NaN.
  void* allocate(size_t bytes) {
    size_t size = (std::max<size_t>(bytes, 1) + 255) / 256 * 256;
    auto* p = static_cast<unsigned char*>(take(size));
    if (!p) return nullptr;
    blocks_[p] = size;
    if (KernelTrace::active()) return p;  // nobody reads it
    Open open(*this);
    std::memset(p, 0xff, size);
    return p;
  }
  void deallocate(void* p) {
    if (!p) return;
    auto block = blocks_.find(p);
    if (block == blocks_.end()) give_up("memory is freed that is not the device's");
    give_back(p, block->second);
    blocks_.erase(block);
  }
  // The block that was handed out in which this address lies: where it begins, and its bytes; null and 0 where none is.
  std::pair<const char*, size_t> block_of(const void* p) const {
    auto next = blocks_.upper_bound(const_cast<void*>(p));
    if (next == blocks_.begin()) return {};
    auto [begin, size] = *std::prev(next);
    const char* first = static_cast<char*>(begin);
    return p < first + size ? std::pair(first, size) : std::pair<const char*, size_t>();
  }
  bool holds(const void* p) const { return block_of(p).first != nullptr; }

  // While one of these lives, the device runs.
  class Open {
   public:
    explicit Open(DeviceMemory& memory) : memory_(memory) {
      if (memory_.open_++ == 0) memory_.protect(PROT_READ | PROT_WRITE);
    }
    ~Open() {
      if (--memory_.open_ == 0) memory_.protect(PROT_NONE);
    }
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;

   private:
    DeviceMemory& memory_;
  };

 private:
#ifdef VAPO_FIBERS_ANNOTATED
  void* take(size_t size) { return std::aligned_alloc(256, size); }
  void give_back(void* p, size_t) { std::free(p); }
  void protect(int) {}
#else
  static constexpr size_t span = size_t{1} << 36;  // of addresses: memory is taken as it is touched
  static constexpr size_t huge_page = size_t{2} << 20;

  void* take(size_t size) {
    if (!begin_) reserve();
    auto& kept = free_[size];
    if (!kept.empty()) {
      void* p = kept.back();
      kept.pop_back();
      return p;
    }
    if (size > span - used_) return nullptr;
    void* p = begin_ + used_;
    used_ += size;
    return p;
  }
  void give_back(void* p, size_t size) { free_[size].push_back(p); }
  void protect(int access) {
    if (KernelTrace::active()) return;
    size_t bytes = (used_ + huge_page - 1) / huge_page * huge_page;
    if (bytes > 0 && mprotect(begin_, bytes, access) != 0) give_up("mprotect fails");
  }
  void reserve() {
    int access = KernelTrace::active() ? PROT_READ | PROT_WRITE : PROT_NONE;
    void* p = mmap(nullptr, span + huge_page, access, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) give_up("no range of addresses for its memory");
    begin_ = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(p) + huge_page - 1) / huge_page * huge_page);
    madvise(begin_, span, MADV_HUGEPAGE);  // only a hint: each launch changes the access of every page in use
    struct sigaction action = {};
    action.sa_sigaction = &DeviceMemory::fault;
    action.sa_flags = SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &before());
  }
  static void fault(int, siginfo_t* info, void*);
  static struct sigaction& before() {
    static struct sigaction action;
    return action;
  }

  char* begin_ = nullptr;
  size_t used_ = 0;
  std::map<size_t, std::vector<void*> > free_;
#endif
  std::map<void*, size_t> blocks_;
  int open_ = 0;
};

inline DeviceMemory& device_memory() {
  static auto* const memory =
      new DeviceMemory;  // never destroyed: tensors in statics may outlive any order of exit
  return *memory;
}

#ifndef VAPO_FIBERS_ANNOTATED
inline void DeviceMemory::fault(int signal, siginfo_t* info, void*) {
  const DeviceMemory& memory = device_memory();
  const char* at = static_cast<const char*>(info->si_addr);
  if (at >= memory.begin_ && at < memory.begin_ + span)
    give_up(memory.open_ > 0 ? "a kernel touches memory of the device that nobody holds"
                             : "the CPU touches memory of the device");
  sigaction(signal, &before(), nullptr);  // another fault: it happens again, to whom it belongs
}
#endif

// Of memory that a kernel, a product or a convolution is about to touch; null is nobody's.
inline void expect_on_device(const void* p, const char* who) {
  auto block = device_memory().block_of(p);
  if (p && !block.first) give_up(who, "is handed memory that is not the device's");
  if (KernelTrace* trace = KernelTrace::active()) trace->touches(block);
}

// Looks for addresses of the CPU's memory among the words of a kernel's argument: those that are mapped. What lies
// between its members may be anything, and is cleared first; a compiler that cannot do so leaves the look out.
template <class Argument>
void expect_no_host_addresses([[maybe_unused]] Argument argument, [[maybe_unused]] const char* who) {
#if defined(__has_builtin) && __has_builtin(__builtin_clear_padding)
  __builtin_clear_padding(&argument);
  const auto* bytes = reinterpret_cast<const unsigned char*>(&argument);
  for (size_t i = 0; i + sizeof(uintptr_t) <= sizeof(Argument); i += alignof(void*)) {
    uintptr_t word;
    std::memcpy(&word, bytes + i, sizeof word);
    // no address is so small, so odd, or, but for one in 65,536, a half word's multiple of 2³²: two 32-bit numbers are
    if (word < uintptr_t{1} << 40 || word >= uintptr_t{1} << 47 || word % 4 != 0 || (word & 0xffffffff) < 1 << 16)
      continue;
    void* p = reinterpret_cast<void*>(word);
    if (auto block = device_memory().block_of(p); block.first) {
      if (KernelTrace* trace = KernelTrace::active()) trace->touches(block);
      continue;
    }
    uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    unsigned char resident;
    if (mincore(reinterpret_cast<void*>(word / page * page), 1, &resident) == 0)
      give_up(who, "is handed memory that is not the device's");
  }
#endif
}

}  // namespace emulated

#pragma once
// Memory of tensors: a caching allocator, one per device. Freed blocks are kept by size class and handed out again,
// so a training loop of constant shapes asks the system for nothing after its first steps.

#include <cstddef>
#include <cstdint>

#include "tensor/device.h"

namespace vapo {

struct MemoryStats {
  int64_t current_bytes;   // in live tensors, rounded up to the size class
  int64_t peak_bytes;      // the largest current_bytes since the last reset_peak_memory()
  int64_t reserved_bytes;  // taken from the system: live and cached
  int64_t allocations;     // blocks handed out since the start
};
MemoryStats memory_stats(Device device = Device::cpu);
void reset_peak_memory(Device device = Device::cpu);
void release_cached_memory(Device device = Device::cpu);  // gives cached blocks back to the system
// Asking for more than this throws as if the device had no more; 0 = what the device has.
void set_memory_limit(int64_t bytes, Device device = Device::cpu);

namespace detail {
// 64-byte aligned. Throws Error with the bytes asked and held when memory is out.
void* allocate(size_t bytes);
void deallocate(void* p, size_t bytes) noexcept;
}  // namespace detail

}  // namespace vapo

// Every kernel, copy and fill that a program runs on a GPU, with its times, for kernel_table.py. The driver loads it:
//   CUDA_INJECTION64_PATH=libvapo-kernel-trace.so VAPO_KERNEL_TRACE=FILE program …
// A line each, separated by tabs: start and duration in ns, bytes (of copies and fills), grid, threads of a block,
// registers of a thread, bytes of shared memory, name.

#include <cupti.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>

namespace {

FILE* out = nullptr;
constexpr size_t kBuffer = size_t{8} << 20;

void CUPTIAPI give_buffer(uint8_t** buffer, size_t* size, size_t* most_records) {
  *buffer = static_cast<uint8_t*>(std::aligned_alloc(64, kBuffer));
  *size = kBuffer, *most_records = 0;
}

template <class Record>
void print_bytes(const CUpti_Activity* activity, const char* name) {
  const auto* r = reinterpret_cast<const Record*>(activity);
  std::fprintf(out, "%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t\t\t\t\t%s\n", r->start, r->end - r->start, r->bytes,
               name);
}
void print_kernel(const CUpti_Activity* activity) {
  const auto* k = reinterpret_cast<const CUpti_ActivityKernel10*>(activity);
  std::fprintf(out, "%" PRIu64 "\t%" PRIu64 "\t\t%dx%dx%d\t%d\t%d\t%d\t%s\n", k->start, k->end - k->start, k->gridX,
               k->gridY, k->gridZ, k->blockX * k->blockY * k->blockZ, static_cast<int>(k->registersPerThread),
               k->dynamicSharedMemory + k->staticSharedMemory, k->name);
}

void CUPTIAPI take_buffer(CUcontext, uint32_t, uint8_t* buffer, size_t, size_t valid) {
  for (CUpti_Activity* r = nullptr; cuptiActivityGetNextRecord(buffer, valid, &r) == CUPTI_SUCCESS;) {
    if (r->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL || r->kind == CUPTI_ACTIVITY_KIND_KERNEL)
      print_kernel(r);
    else if (r->kind == CUPTI_ACTIVITY_KIND_MEMCPY)
      print_bytes<CUpti_ActivityMemcpy6>(r, "copy");
    else if (r->kind == CUPTI_ACTIVITY_KIND_MEMSET)
      print_bytes<CUpti_ActivityMemset4>(r, "fill");
  }
  std::free(buffer);
}

}  // namespace

extern "C" int InitializeInjection() {
  const char* file = std::getenv("VAPO_KERNEL_TRACE");
  out = file ? std::fopen(file, "w") : nullptr;
  if (!out) {
    std::fprintf(stderr, "kernel trace: VAPO_KERNEL_TRACE must name a file that can be written\n");
    return 0;
  }
  cuptiActivityRegisterCallbacks(give_buffer, take_buffer);
  for (CUpti_ActivityKind kind :
       {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, CUPTI_ACTIVITY_KIND_MEMCPY, CUPTI_ACTIVITY_KIND_MEMSET})
    cuptiActivityEnable(kind);
  std::atexit([] {
    cuptiActivityFlushAll(1);
    std::fclose(out);
  });
  return 1;
}

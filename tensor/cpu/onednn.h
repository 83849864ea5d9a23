#pragma once
// oneDNN, called from our own threads: every primitive runs on the thread that calls it, because handing work to
// our pool is quicker than to OpenMP's. Private to the CPU back end.

#include <omp.h>

#include <map>

#include "tensor/cpu/onednn_version.h"
#include "tensor/tensor.h"

namespace vapo::cpu {

inline const dnnl::engine& onednn_engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}
inline dnnl::stream& onednn_stream() {
  static thread_local dnnl::stream stream(onednn_engine());
  return stream;
}

// While one lives, OpenMP gives this thread no others.
class OneThread {
 public:
  OneThread() { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_ = omp_get_max_threads();
};

inline Tensor scratch(size_t bytes) { return Tensor::empty({static_cast<int64_t>((bytes + 3) / 4)}); }

// Copies between layouts and types.
inline void reorder(const dnnl::memory::desc& from_layout, const float* from, const dnnl::memory::desc& to_layout,
                    float* to) {
  OneThread one;
  dnnl::memory a(from_layout, onednn_engine(), const_cast<float*>(from)), b(to_layout, onednn_engine(), to);
  dnnl::reorder(a, b).execute(onednn_stream(), a, b);
}

// An operand as it comes, and as the primitive wants it.
struct Layouts {
  dnnl::memory::desc ours, used;
};
// The operand as the primitive wants it; undefined where it comes so.
inline Tensor copied(const Layouts& layouts, const float* data) {
  if (layouts.ours == layouts.used) return {};
  Tensor copy = scratch(layouts.used.get_size());
  reorder(layouts.ours, data, layouts.used, copy.mutable_data<float>());
  return copy;
}

// The primitive for `key`, made once for each key and thread: that takes longer than most calls.
template <class Primitive, class Key>
Primitive& primitive_for(const Key& key) {
  constexpr size_t most = 1024;
  static thread_local std::map<Key, Primitive> made;
  auto found = made.find(key);
  if (found != made.end()) return found->second;
  if (made.size() == most) made.clear();
  return made.try_emplace(key, key).first->second;
}

}  // namespace vapo::cpu

#pragma once
// oneDNN, called from our own threads: every primitive runs on the thread that calls it, because handing work to
// our pool is quicker than to OpenMP's. Private to the CPU back end.

#include <omp.h>

#include <map>
#include <oneapi/dnnl/dnnl.hpp>

#include "tensor/check.h"

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

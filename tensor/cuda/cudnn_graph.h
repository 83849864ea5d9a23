#pragma once
// Descriptors of cuDNN's graph API, their attributes typed.

#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tensor/cuda/context.h"

namespace vapo::cuda {

struct Refused {    // thrown where a call of the graph API fails
  std::string why;  // the call, its status, and what the library says of it
};
inline void accept(cudnnStatus_t status, const char* call, const char* of = "") {
  if (status == CUDNN_STATUS_SUCCESS) return;
  char detail[512] = "";
  cudnnGetLastErrorString(detail, sizeof detail);
  for (char& c : detail)
    if (c == '\n') c = ' ';
  throw Refused{
      fmt::format("{}{} gives {}{}{}", call, of, cudnnGetErrorString(status), *detail ? ": " : "", detail)};
}

constexpr cudnnBackendAttributeType_t attribute_type(int64_t) { return CUDNN_TYPE_INT64; }
constexpr cudnnBackendAttributeType_t attribute_type(float) { return CUDNN_TYPE_FLOAT; }
constexpr cudnnBackendAttributeType_t attribute_type(bool) { return CUDNN_TYPE_BOOLEAN; }
constexpr cudnnBackendAttributeType_t attribute_type(void*) { return CUDNN_TYPE_VOID_PTR; }
constexpr cudnnBackendAttributeType_t attribute_type(cudnnHandle_t) { return CUDNN_TYPE_HANDLE; }
constexpr cudnnBackendAttributeType_t attribute_type(cudnnDataType_t) { return CUDNN_TYPE_DATA_TYPE; }
constexpr cudnnBackendAttributeType_t attribute_type(cudnnConvolutionMode_t) { return CUDNN_TYPE_CONVOLUTION_MODE; }
constexpr cudnnBackendAttributeType_t attribute_type(cudnnPointwiseMode_t) { return CUDNN_TYPE_POINTWISE_MODE; }
constexpr cudnnBackendAttributeType_t attribute_type(cudnnBackendHeurMode_t) { return CUDNN_TYPE_HEUR_MODE; }
constexpr cudnnBackendAttributeType_t attribute_type(cudnnBackendKnobType_t) { return CUDNN_TYPE_KNOB_TYPE; }
constexpr cudnnBackendAttributeType_t attribute_type(cudnnBackendNumericalNote_t) {
  return CUDNN_TYPE_NUMERICAL_NOTE;
}
constexpr cudnnBackendAttributeType_t attribute_type(cudnnBackendBehaviorNote_t) {
  return CUDNN_TYPE_BEHAVIOR_NOTE;
}

class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type) {
    accept(cudnnBackendCreateDescriptor(type, &handle_), "cudnnBackendCreateDescriptor");
  }
  ~Descriptor() {
    if (handle_) cudnnBackendDestroyDescriptor(handle_);
  }
  Descriptor(Descriptor&& o) noexcept : handle_(std::exchange(o.handle_, nullptr)) {}
  Descriptor& operator=(Descriptor&& o) noexcept {
    std::swap(handle_, o.handle_);
    return *this;
  }
  cudnnBackendDescriptor_t handle() const { return handle_; }

  template <class T>
  void set(cudnnBackendAttributeName_t name, std::span<const T> values) {
    set(name, attribute_type(T{}), std::ssize(values), values.data());
  }
  template <class T>
  void set(cudnnBackendAttributeName_t name, std::initializer_list<T> values) {
    set(name, std::span<const T>(values.begin(), values.size()));
  }
  void set(cudnnBackendAttributeName_t name, std::span<const Descriptor> of) {
    std::vector<cudnnBackendDescriptor_t> handles;
    for (const Descriptor& d : of) handles.push_back(d.handle_);
    set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, std::ssize(handles), handles.data());
  }
  void set(cudnnBackendAttributeName_t name, const Descriptor& of) { set(name, std::span(&of, 1)); }
  void finalize(const char* what) { accept(cudnnBackendFinalize(handle_), "cudnnBackendFinalize of ", what); }

  // At most so many values.
  template <class T>
  std::vector<T> get(cudnnBackendAttributeName_t name, int64_t most) const {
    std::vector<T> values(static_cast<size_t>(most));
    int64_t count = get(name, attribute_type(T{}), most, values.data());
    values.resize(static_cast<size_t>(std::min(count, most)));
    return values;
  }
  std::vector<Descriptor> get(cudnnBackendAttributeName_t name, cudnnBackendDescriptorType_t type,
                              int64_t most) const {
    std::vector<Descriptor> found;
    std::vector<cudnnBackendDescriptor_t> handles;
    for (int64_t i = 0; i < most; ++i) handles.push_back(found.emplace_back(type).handle_);
    int64_t count = get(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, handles.data());
    while (std::ssize(found) > count) found.pop_back();
    return found;
  }
  int64_t count(cudnnBackendAttributeName_t name) const {
    return get(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, nullptr);
  }

 private:
  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count, const void* values) {
    accept(cudnnBackendSetAttribute(handle_, name, type, count, values), "cudnnBackendSetAttribute of ",
           std::to_string(static_cast<int>(name)).c_str());
  }
  int64_t get(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t most,
              void* values) const {
    int64_t count = 0;
    accept(cudnnBackendGetAttribute(handle_, name, type, most, &count, values), "cudnnBackendGetAttribute of ",
           std::to_string(static_cast<int>(name)).c_str());
    return count;
  }

  cudnnBackendDescriptor_t handle_ = nullptr;
};

}  // namespace vapo::cuda

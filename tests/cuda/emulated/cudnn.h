#pragma once
// A stand-in for cuDNN: convolutions with channels last, in double. Of three algorithms that it lists for each, the
// first gives other bits every time and the second wants more memory than there is, so that one has to choose. It
// has none for convolutions in groups that are dilated too, nor for any where VAPO_EMULATED_CUDNN_REFUSES is set.

#include <cstddef>
#include <cstdlib>

#include "cuda_runtime.h"
#include "tensor/bfloat16.h"

enum cudnnStatus_t {
  CUDNN_STATUS_SUCCESS,
  CUDNN_STATUS_BAD_PARAM,
  CUDNN_STATUS_NOT_SUPPORTED,
  CUDNN_STATUS_EXECUTION_FAILED
};
enum cudnnDataType_t { CUDNN_DATA_FLOAT, CUDNN_DATA_BFLOAT16 };
enum cudnnConvolutionMode_t { CUDNN_CONVOLUTION, CUDNN_CROSS_CORRELATION };
enum {
  CUDNN_TENSOR_NHWC,
  CUDNN_FMA_MATH,
  CUDNN_TENSOR_OP_MATH,
  CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION,
  CUDNN_NON_DETERMINISTIC,
  CUDNN_DETERMINISTIC
};
namespace emulated {
struct Extents {  // of images (n,h,w,c), or of weights (n out, h, w, c in)
  cudnnDataType_t type;
  int n, c, h, w;
};
struct Convolution {
  int padding_h, padding_w, stride_h, stride_w, dilation_h, dilation_w, groups = 1;
};
}  // namespace emulated
using cudnnHandle_t = struct EmulatedCudnn*;
using cudnnTensorDescriptor_t = emulated::Extents*;
using cudnnFilterDescriptor_t = const emulated::Extents*;
using cudnnConvolutionDescriptor_t = emulated::Convolution*;

inline constexpr size_t CUDNN_CONVOLUTION_FWD_ALGO_COUNT = 3, CUDNN_CONVOLUTION_BWD_DATA_ALGO_COUNT = 3,
                        CUDNN_CONVOLUTION_BWD_FILTER_ALGO_COUNT = 3;
enum cudnnConvolutionFwdAlgo_t : int {};  // which holds any number
enum cudnnConvolutionBwdDataAlgo_t : int {};
enum cudnnConvolutionBwdFilterAlgo_t : int {};
template <class Algorithm>
struct EmulatedPerf {
  Algorithm algo;
  cudnnStatus_t status;
  size_t memory;
  int determinism;
};
using cudnnConvolutionFwdAlgoPerf_t = EmulatedPerf<cudnnConvolutionFwdAlgo_t>;
using cudnnConvolutionBwdDataAlgoPerf_t = EmulatedPerf<cudnnConvolutionBwdDataAlgo_t>;
using cudnnConvolutionBwdFilterAlgoPerf_t = EmulatedPerf<cudnnConvolutionBwdFilterAlgo_t>;

inline const char* cudnnGetErrorString(cudnnStatus_t s) {
  constexpr const char* names[] = {"CUDNN_STATUS_SUCCESS", "CUDNN_STATUS_BAD_PARAM", "CUDNN_STATUS_NOT_SUPPORTED",
                                   "CUDNN_STATUS_EXECUTION_FAILED"};
  return names[s];
}
inline size_t cudnnGetVersion() { return 0; }
inline cudnnStatus_t cudnnCreate(cudnnHandle_t*) { return CUDNN_STATUS_SUCCESS; }
inline cudnnStatus_t cudnnSetStream(cudnnHandle_t, void*) { return CUDNN_STATUS_SUCCESS; }
inline cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t* d) {
  return *d = new emulated::Extents, CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t* d) {
  return *d = new emulated::Extents, CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t* d) {
  return *d = new emulated::Convolution, CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t d) {
  return delete d, CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t d) {
  return delete d, CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t d) {
  return delete d, CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t d, int, cudnnDataType_t type, int n, int c,
                                                int h, int w) {
  return *d = {type, n, c, h, w}, CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t d, cudnnDataType_t type, int, int n, int c,
                                                int h, int w) {
  return *const_cast<emulated::Extents*>(d) = {type, n, c, h, w}, CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t d, int padding_h, int padding_w,
                                                     int stride_h, int stride_w, int dilation_h, int dilation_w,
                                                     int, cudnnDataType_t) {
  return *d = {padding_h, padding_w, stride_h, stride_w, dilation_h, dilation_w}, CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnSetConvolutionGroupCount(cudnnConvolutionDescriptor_t d, int groups) {
  return d->groups = groups, CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t, int) { return CUDNN_STATUS_SUCCESS; }

namespace emulated {

constexpr int right_algorithm = 2;
constexpr size_t workspace = 640;

template <class Algorithm>
cudnnStatus_t list_algorithms(const Convolution& conv, int room, int* count, EmulatedPerf<Algorithm>* list) {
  bool dilated = conv.dilation_h > 1 || conv.dilation_w > 1;
  *count = 0;
  const char* refuses = std::getenv("VAPO_EMULATED_CUDNN_REFUSES");
  if ((refuses && std::strcmp(refuses, "graph") != 0) || (conv.groups > 1 && dilated)) return CUDNN_STATUS_SUCCESS;
  const EmulatedPerf<Algorithm> all[] = {
      {Algorithm(0), CUDNN_STATUS_SUCCESS, 0, CUDNN_NON_DETERMINISTIC},
      {Algorithm(1), CUDNN_STATUS_SUCCESS, size_t{1} << 40, CUDNN_DETERMINISTIC},
      {Algorithm(right_algorithm), CUDNN_STATUS_SUCCESS, workspace, CUDNN_DETERMINISTIC}};
  for (; *count < room && *count < 3; ++*count) list[*count] = all[*count];
  return CUDNN_STATUS_SUCCESS;
}

// f(place in x, in w, in y) for each product of y = x ∗ w.
template <class F>
void for_products(const Extents& x, const Extents& w, const Extents& y, const Convolution& conv, const F& f) {
  int64_t per_group = w.n / conv.groups;
  for (int64_t n = 0; n < y.n; ++n)
    for (int64_t r = 0; r < y.h; ++r)
      for (int64_t c = 0; c < y.w; ++c)
        for (int64_t i = 0; i < w.h; ++i)
          for (int64_t j = 0; j < w.w; ++j) {
            int64_t h = r * conv.stride_h - conv.padding_h + i * conv.dilation_h,
                    v = c * conv.stride_w - conv.padding_w + j * conv.dilation_w;
            if (h < 0 || h >= x.h || v < 0 || v >= x.w) continue;
            for (int64_t o = 0; o < w.n; ++o)
              for (int64_t k = 0; k < w.c; ++k)
                f(((n * x.h + h) * x.w + v) * x.c + o / per_group * w.c + k, ((o * w.h + i) * w.w + j) * w.c + k,
                  ((n * y.h + r) * y.w + c) * y.c + o);
          }
}

// out ← Σ a·b over the products; place(x, w, y) gives the three places.
template <class Place>
cudnnStatus_t convolve(const Extents& x, const Extents& w, const Extents& y, const Convolution& conv, const void* a,
                       const void* b, const Extents& extents, void* out, int algorithm, const void* space,
                       size_t bytes, const Place& place) {
  if (algorithm != right_algorithm || bytes < workspace) return CUDNN_STATUS_NOT_SUPPORTED;
  for (const void* p : {a, b, static_cast<const void*>(out), space}) expect_on_device(p, "a convolution");
  auto all = [=](auto zero) {
    using T = decltype(zero);
    std::vector<double> sums(static_cast<size_t>(extents.n) * static_cast<size_t>(extents.c) *
                             static_cast<size_t>(extents.h) * static_cast<size_t>(extents.w));
    for_products(x, w, y, conv, [&](int64_t at_x, int64_t at_w, int64_t at_y) {
      auto [i, j, k] = place(at_x, at_w, at_y);
      sums[static_cast<size_t>(k)] +=
          static_cast<double>(static_cast<const T*>(a)[i]) * static_cast<double>(static_cast<const T*>(b)[j]);
    });
    for (size_t i = 0; i < sums.size(); ++i) static_cast<T*>(out)[i] = static_cast<T>(static_cast<float>(sums[i]));
  };
  submit(work_of("convolution",
                 [all, type = x.type] { type == CUDNN_DATA_FLOAT ? all(float{}) : all(vapo::BFloat16{}); }));
  return CUDNN_STATUS_SUCCESS;
}

struct Places {
  int64_t a, b, out;
};

}  // namespace emulated

template <class X, class W, class Y>
cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(cudnnHandle_t, const X&, const W&,
                                                     cudnnConvolutionDescriptor_t conv, const Y&, int room,
                                                     int* count, cudnnConvolutionFwdAlgoPerf_t* list) {
  return emulated::list_algorithms(*conv, room, count, list);
}
template <class W, class Y, class X>
cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(cudnnHandle_t, const W&, const Y&,
                                                          cudnnConvolutionDescriptor_t conv, const X&, int room,
                                                          int* count, cudnnConvolutionBwdDataAlgoPerf_t* list) {
  return emulated::list_algorithms(*conv, room, count, list);
}
template <class X, class Y, class W>
cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(cudnnHandle_t, const X&, const Y&,
                                                            cudnnConvolutionDescriptor_t conv, const W&, int room,
                                                            int* count, cudnnConvolutionBwdFilterAlgoPerf_t* list) {
  return emulated::list_algorithms(*conv, room, count, list);
}

inline cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t, const float*, cudnnTensorDescriptor_t x, const void* px,
                                             cudnnFilterDescriptor_t w, const void* pw,
                                             cudnnConvolutionDescriptor_t conv, cudnnConvolutionFwdAlgo_t algorithm,
                                             void* space, size_t bytes, const float*, cudnnTensorDescriptor_t y,
                                             void* py) {
  return emulated::convolve(*x, *w, *y, *conv, px, pw, *y, py, algorithm, space, bytes,
                            [](int64_t i, int64_t j, int64_t k) {
                              return emulated::Places{i, j, k};
                            });
}
inline cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t, const float*, cudnnFilterDescriptor_t w,
                                                  const void* pw, cudnnTensorDescriptor_t y, const void* py,
                                                  cudnnConvolutionDescriptor_t conv,
                                                  cudnnConvolutionBwdDataAlgo_t algorithm, void* space,
                                                  size_t bytes, const float*, cudnnTensorDescriptor_t x, void* px) {
  return emulated::convolve(*x, *w, *y, *conv, pw, py, *x, px, algorithm, space, bytes,
                            [](int64_t i, int64_t j, int64_t k) {
                              return emulated::Places{j, k, i};
                            });
}
inline cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t, const float*, cudnnTensorDescriptor_t x,
                                                    const void* px, cudnnTensorDescriptor_t y, const void* py,
                                                    cudnnConvolutionDescriptor_t conv,
                                                    cudnnConvolutionBwdFilterAlgo_t algorithm, void* space,
                                                    size_t bytes, const float*, cudnnFilterDescriptor_t w,
                                                    void* pw) {
  return emulated::convolve(*x, *w, *y, *conv, px, py, *w, pw, algorithm, space, bytes,
                            [](int64_t i, int64_t j, int64_t k) {
                              return emulated::Places{i, k, j};
                            });
}

#include "cudnn_graph.h"

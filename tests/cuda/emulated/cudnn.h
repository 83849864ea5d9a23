#pragma once
// A stand-in for cuDNN that has no algorithm for anything: convolutions then take the plain kernels.

#include <cstddef>

enum cudnnStatus_t { CUDNN_STATUS_SUCCESS };
using cudnnHandle_t = void*;
using cudnnTensorDescriptor_t = struct EmulatedTensor*;
using cudnnFilterDescriptor_t = struct EmulatedFilter*;
using cudnnConvolutionDescriptor_t = struct EmulatedConvolution*;
enum cudnnDataType_t { CUDNN_DATA_FLOAT, CUDNN_DATA_BFLOAT16 };
enum {
  CUDNN_TENSOR_NHWC,
  CUDNN_CROSS_CORRELATION,
  CUDNN_FMA_MATH,
  CUDNN_TENSOR_OP_MATH,
  CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION,
  CUDNN_DETERMINISTIC
};
inline constexpr size_t CUDNN_CONVOLUTION_FWD_ALGO_COUNT = 1, CUDNN_CONVOLUTION_BWD_DATA_ALGO_COUNT = 1,
                        CUDNN_CONVOLUTION_BWD_FILTER_ALGO_COUNT = 1;
enum cudnnConvolutionFwdAlgo_t {};
enum cudnnConvolutionBwdDataAlgo_t {};
enum cudnnConvolutionBwdFilterAlgo_t {};
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

inline const char* cudnnGetErrorString(cudnnStatus_t) { return "emulated"; }
inline size_t cudnnGetVersion() { return 0; }
inline cudnnStatus_t cudnnCreate(cudnnHandle_t*) { return CUDNN_STATUS_SUCCESS; }
inline cudnnStatus_t cudnnSetStream(cudnnHandle_t, void*) { return CUDNN_STATUS_SUCCESS; }
inline cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t* d) {
  return *d = nullptr, CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t* d) {
  return *d = nullptr, CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t* d) {
  return *d = nullptr, CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t) { return CUDNN_STATUS_SUCCESS; }
inline cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t) { return CUDNN_STATUS_SUCCESS; }
inline cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t) {
  return CUDNN_STATUS_SUCCESS;
}

// The rest takes what it is given; the calls that list algorithms leave their count at 0.
#define VAPO_EMULATED_CUDNN(call)      \
  template <class... Arguments>        \
  cudnnStatus_t call(Arguments&&...) { \
    return CUDNN_STATUS_SUCCESS;       \
  }
VAPO_EMULATED_CUDNN(cudnnSetTensor4dDescriptor)
VAPO_EMULATED_CUDNN(cudnnSetFilter4dDescriptor)
VAPO_EMULATED_CUDNN(cudnnSetConvolution2dDescriptor)
VAPO_EMULATED_CUDNN(cudnnSetConvolutionGroupCount)
VAPO_EMULATED_CUDNN(cudnnSetConvolutionMathType)
VAPO_EMULATED_CUDNN(cudnnGetConvolutionForwardAlgorithm_v7)
VAPO_EMULATED_CUDNN(cudnnGetConvolutionBackwardDataAlgorithm_v7)
VAPO_EMULATED_CUDNN(cudnnGetConvolutionBackwardFilterAlgorithm_v7)
VAPO_EMULATED_CUDNN(cudnnConvolutionForward)
VAPO_EMULATED_CUDNN(cudnnConvolutionBackwardData)
VAPO_EMULATED_CUDNN(cudnnConvolutionBackwardFilter)
#undef VAPO_EMULATED_CUDNN

#pragma once
// A stand-in for the one cuBLAS call that is used: column-major products op(a) op(b) + beta·c, in double.

#include "cuda_runtime.h"
#include "tensor/bfloat16.h"

using cublasHandle_t = void*;
enum cublasStatus_t { CUBLAS_STATUS_SUCCESS };
enum cublasOperation_t { CUBLAS_OP_N, CUBLAS_OP_T };
enum cudaDataType_t { CUDA_R_32F, CUDA_R_64F, CUDA_R_16BF };
using cudaDataType = cudaDataType_t;
enum cublasComputeType_t {
  CUBLAS_COMPUTE_64F,
  CUBLAS_COMPUTE_32F,
  CUBLAS_COMPUTE_32F_PEDANTIC,
  CUBLAS_COMPUTE_32F_FAST_TF32,
  CUBLAS_COMPUTE_32F_FAST_16BF
};
enum cublasGemmAlgo_t { CUBLAS_GEMM_DEFAULT };

inline const char* cublasGetStatusString(cublasStatus_t) { return "emulated"; }
inline cublasStatus_t cublasCreate(cublasHandle_t*) { return CUBLAS_STATUS_SUCCESS; }
inline cublasStatus_t cublasSetStream(cublasHandle_t, cudaStream_t) { return CUBLAS_STATUS_SUCCESS; }
inline cublasStatus_t cublasGetVersion(cublasHandle_t, int* v) { return *v = 0, CUBLAS_STATUS_SUCCESS; }

namespace emulated {
template <class T>
void product(bool ta, bool tb, int m, int n, int k, const T* a, int lda, const T* b, int ldb, double beta, T* c,
             int ldc) {
  auto at = [](const T* x, int64_t row, int64_t col, int leading) {
    return static_cast<double>(x[row + col * leading]);
  };
  for (int j = 0; j < n; ++j)
    for (int i = 0; i < m; ++i) {
      T& to = c[i + static_cast<int64_t>(j) * ldc];
      double sum = beta == 0 ? 0 : beta * static_cast<double>(to);
      for (int p = 0; p < k; ++p)
        sum += (ta ? at(a, p, i, lda) : at(a, i, p, lda)) * (tb ? at(b, j, p, ldb) : at(b, p, j, ldb));
      to = static_cast<T>(static_cast<vapo::Compute<T>>(sum));
    }
}
}  // namespace emulated

inline cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t, cublasOperation_t ta, cublasOperation_t tb, int m,
                                                 int n, int k, const void*, const void* a, cudaDataType type,
                                                 int lda, int64_t a_step, const void* b, cudaDataType, int ldb,
                                                 int64_t b_step, const void* beta, void* c, cudaDataType, int ldc,
                                                 int64_t c_step, int count, cublasComputeType_t, cublasGemmAlgo_t) {
  for (const void* p : {a, b, static_cast<const void*>(c)}) emulated::expect_on_device(p, "a product");
  double onto = type == CUDA_R_64F ? *static_cast<const double*>(beta) : *static_cast<const float*>(beta);
  auto all = [=](auto zero) {
    using T = decltype(zero);
    for (int i = 0; i < count; ++i)
      emulated::product(ta == CUBLAS_OP_T, tb == CUBLAS_OP_T, m, n, k, static_cast<const T*>(a) + i * a_step, lda,
                        static_cast<const T*>(b) + i * b_step, ldb, onto, static_cast<T*>(c) + i * c_step, ldc);
  };
  emulated::submit(emulated::work_of("product", [=] {
    type == CUDA_R_32F ? all(float{}) : type == CUDA_R_64F ? all(double{}) : all(vapo::BFloat16{});
  }));
  return CUBLAS_STATUS_SUCCESS;
}

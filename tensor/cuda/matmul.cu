// Matrix products through cuBLAS. Row-major y = op(a) op(b) is column-major yᵀ = op(b)ᵀ op(a)ᵀ.

#include "tensor/cuda/context.h"
#include "tensor/precision.h"

namespace vapo::cuda {
namespace {

cublasComputeType_t compute_type(DType t) {
  if (t == DType::f64) return CUBLAS_COMPUTE_64F;
  if (t == DType::bf16) return CUBLAS_COMPUTE_32F;
  switch (precision()) {
    case Precision::strict:
      return CUBLAS_COMPUTE_32F_PEDANTIC;
    case Precision::fast:
      return CUBLAS_COMPUTE_32F_FAST_TF32;
    default:
      return CUBLAS_COMPUTE_32F_FAST_16BF;
  }
}

// y = op(a) op(b) + beta·y
template <class T>
void multiply(const MatmulSize& s, const T* a, int64_t a_step, const T* b, int64_t b_step, Compute<T> beta, T* y,
              int64_t batches) {
  Compute<T> one = 1;
  constexpr DType t = dtype_of<T>;
  cudaDataType_t type = t == DType::f32 ? CUDA_R_32F : t == DType::f64 ? CUDA_R_64F : CUDA_R_16BF;
  auto size = [](int64_t n) { return static_cast<int>(n); };
  cublasStatus_t status = cublasGemmStridedBatchedEx(
      cublas(), s.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N, s.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, size(s.n),
      size(s.m), size(s.k), &one, b, type, size(s.transpose_b ? s.k : s.n), b_step, a, type,
      size(s.transpose_a ? s.m : s.k), a_step, &beta, y, type, size(s.n), s.m * s.n, size(batches),
      compute_type(dtype_of<T>), CUBLAS_GEMM_DEFAULT);
  if (status != CUBLAS_STATUS_SUCCESS)
    fail("[matmul] cublasGemmStridedBatchedEx failed for {} products ({},{})×({},{}): {}", batches, s.m, s.k, s.k,
         s.n, cublasGetStatusString(status));
}

template <class T>
void matmul_of(const MatmulSize& s, const Tensor& a, const Tensor& b, bool onto, const Tensor& y) {
  int64_t batches = s.batch.numel(), a_matrix = s.m * s.k, b_matrix = s.k * s.n;
  const T *pa = pointer<T>(a), *pb = pointer<T>(b);
  T* py = pointer<T>(y);
  Compute<T> beta = onto ? 1 : 0;
  if (s.k == 0) {
    if (!onto) fill(0, y);
  } else if (s.batch.rank <= 1) {  // steps that are the same for all positions
    multiply(s, pa, s.batch.stride[0][0] * a_matrix, pb, s.batch.stride[1][0] * b_matrix, beta, py, batches);
  } else {
    for (int64_t i = 0; i < batches; ++i) {
      int64_t at[2];
      s.batch.find(i, at);
      multiply(s, pa + at[0] * a_matrix, 0, pb + at[1] * b_matrix, 0, beta, py + i * s.m * s.n, 1);
    }
  }
}

}  // namespace

// What is to be added comes first, and the product onto it: one pass over y less than afterwards.
void matmul(const MatmulSize& s, const Tensor& a, const Tensor& b, const Tensor& bias, const Tensor& add,
            const Tensor& y) {
  if (add.defined() && bias.defined())
    binary(kernel::Binary::add, add, bias, y);
  else if (add.defined() && !add.shares_storage(y))
    copy_elements(y, add);
  dispatch_stored(a.dtype(), [&]<class T>() { matmul_of<T>(s, a, b, add.defined(), y); });
  if (bias.defined() && !add.defined()) add_bias("linear", bias, y);
}

}  // namespace vapo::cuda

// Matrix products: oneDNN in f32, panels of our own in f64, and loops where one side is a vector.

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "tensor/backend.h"
#include "tensor/cpu/onednn.h"
#include "tensor/cpu/simd.h"
#include "tensor/parallel.h"
#include "tensor/precision.h"

namespace vapo::cpu {
namespace {

struct Product {  // of one pair of matrices
  bool transpose_a, transpose_b;
  int64_t m, n, k;
};

constexpr int64_t grain = 1 << 16;  // multiply-adds a thread at least

// x (rows,cols) → (cols,rows), in tiles
std::vector<double> transposed(const double* x, int64_t rows, int64_t cols) {
  constexpr int64_t tile = 32;
  std::vector<double> y(static_cast<size_t>(rows * cols));
  for (int64_t i0 = 0; i0 < rows; i0 += tile)
    for (int64_t j0 = 0; j0 < cols; j0 += tile)
      for (int64_t i = i0; i < std::min(rows, i0 + tile); ++i)
        for (int64_t j = j0; j < std::min(cols, j0 + tile); ++j)
          y[static_cast<size_t>(j * rows + i)] = x[i * cols + j];
  return y;
}

// y (m,n) = op(a)·op(b): panels of op(b) that stay in the nearest cache while all rows of op(a) pass.
void by_panels(const Product& p, const double* a, const double* b, double* y) {
  constexpr int64_t depth = 64, width = 48;  // 24 KiB; six registers wide with AVX-512
  std::vector<double> turned;
  if (p.transpose_a) turned = transposed(a, p.k, p.m), a = turned.data();
  int64_t down = p.transpose_b ? 1 : p.n, along = p.transpose_b ? p.k : 1;
  parallel_for(
      p.m, std::max<int64_t>(1, grain / std::max<int64_t>(1, p.n * p.k)), 1, [&](int64_t begin, int64_t end) {
        alignas(64) double panel[depth * width];
        for (int64_t k = 0; k < p.k; k += depth)
          for (int64_t j = 0; j < p.n; j += width) {
            int64_t rows = std::min(depth, p.k - k), cols = std::min(width, p.n - j);
            for (int64_t r = 0; r < rows; ++r)
              for (int64_t c = 0; c < cols; ++c) panel[r * cols + c] = b[(k + r) * down + (j + c) * along];
            for (int64_t i = begin; i < end; ++i)
              simd<double>().weighted_rows(a + i * p.k + k, 1, panel, cols, rows, y + i * p.n + j, cols, k > 0);
          }
      });
}

// One output row or column, or a contraction over one element.
bool is_thin(const Product& p) { return p.m == 1 || p.n == 1 || p.k == 1; }
template <class T>
void thin(const Product& p, const T* a, const T* b, T* y) {
  const auto& loops = simd<T>();
  if (p.n == 1 && !p.transpose_a) {  // y[i] = ⟨a[i,:], b⟩
    parallel_for(p.m, std::max<int64_t>(16, grain / std::max<int64_t>(1, p.k)), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = loops.dot(a + i * p.k, b, p.k);
    });
  } else if (p.m == 1 && p.transpose_b) {  // y[j] = ⟨b[j,:], a⟩
    for (int64_t j = 0; j < p.n; ++j) y[j] = loops.dot(b + j * p.k, a, p.k);
  } else if (p.m == 1 || p.n == 1) {  // y = Σ_r c[r]·x[r,:], in blocks of rows to keep the sums short
    bool row = p.m == 1;
    const T *c = row ? a : b, *x = row ? b : a;
    int64_t width = row ? p.n : p.m;
    parallel_for(width, std::max<int64_t>(16, grain / std::max<int64_t>(1, p.k)), 16,
                 [&](int64_t begin, int64_t end) {
                   for (int64_t r = 0; r < p.k || r == 0; r += 256)
                     loops.weighted_rows(c + r, 1, x + r * width + begin, width, std::min<int64_t>(256, p.k - r),
                                         y + begin, end - begin, r > 0);
                 });
  } else {  // y[i,j] = a[i]·b[j]
    parallel_for(p.m, std::max<int64_t>(1, grain / p.n), 1, [&](int64_t begin, int64_t end) {
      loops.of(kernel::Binary::mul)({a + begin, b, y + begin * p.n, end - begin, p.n, 1, 0, 0, 1});
    });
  }
}

// A block of a product of f32 matrices: m × n of its result, k long, with the leading dimensions of the whole ones.
// Computed in f32 or from operands rounded to bf16; `onto`: added to what y holds.
struct Block {
  bool transpose_a, transpose_b, bias, bf16, onto;
  int64_t m, n, k, lda, ldb, ldy;
  auto operator<=>(const Block&) const = default;
};

// oneDNN's primitive for one kind of block, with the memory objects it is called on.
class Primitive {
 public:
  explicit Primitive(const Block& p) {
    OneThread one;
    using type = dnnl::memory::data_type;
    auto matrix = [](int64_t rows, int64_t cols, bool transposed, int64_t leading) {
      using dims = dnnl::memory::dims;
      return dnnl::memory::desc({rows, cols}, type::f32, transposed ? dims{1, leading} : dims{leading, 1});
    };
    dnnl::memory::desc a = matrix(p.m, p.k, p.transpose_a, p.lda), b = matrix(p.k, p.n, p.transpose_b, p.ldb),
                       c = matrix(1, p.n, false, p.n), y = matrix(p.m, p.n, false, p.ldy);
    a_ = {a, a}, b_ = {b, b};
    if (p.bf16) {
      a_.used = dnnl::memory::desc({p.m, p.k}, type::bf16, dnnl::memory::format_tag::ab);
      b_.used = dnnl::memory::desc({p.k, p.n}, type::bf16, dnnl::memory::format_tag::any);
    }
    dnnl::primitive_attr attributes;
    if (p.onto) {
      dnnl::post_ops sum;
      sum.append_sum(1);
      attributes.set_post_ops(sum);
    }
    auto made = p.bias ? describe_with<dnnl::matmul>(attributes, onednn_engine(), a_.used, b_.used, c, y)
                       : describe_with<dnnl::matmul>(attributes, onednn_engine(), a_.used, b_.used, y);
    b_.used = made.weights_desc();
    call_ = dnnl::matmul(made);
    arguments_ = {{DNNL_ARG_SRC, {a_.used, onednn_engine(), nullptr}},
                  {DNNL_ARG_WEIGHTS, {b_.used, onednn_engine(), nullptr}},
                  {DNNL_ARG_DST, {y, onednn_engine(), nullptr}}};
    if (p.bias) arguments_.insert({DNNL_ARG_BIAS, {c, onednn_engine(), nullptr}});
  }
  void run(const float* a, const float* b, const float* bias, float* y) {
    OneThread one;
    Tensor a_copy = copied(a_, a), b_copy = copied(b_, b);
    point(DNNL_ARG_SRC, a_copy.defined() ? a_copy.data<float>() : a);
    point(DNNL_ARG_WEIGHTS, b_copy.defined() ? b_copy.data<float>() : b);
    point(DNNL_ARG_DST, y);
    if (bias) point(DNNL_ARG_BIAS, bias);
    call_.execute(onednn_stream(), arguments_);
  }

 private:
  void point(int argument, const float* data) {
    arguments_.find(argument)->second.set_data_handle(const_cast<float*>(data));
  }
  Layouts a_, b_;
  dnnl::matmul call_;
  std::unordered_map<int, dnnl::memory> arguments_;
};

// The result in a grid of blocks, one for each thread: the grid that reads least, from at least 16 × 32 elements a block.
struct Grid {
  int64_t rows = 1, cols = 1, block_rows, block_cols;
};
Grid grid_of(const Product& p) {
  int64_t parts = std::min<int64_t>(sum_parts(), p.m * p.n * p.k / grain);
  Grid best{1, 1, p.m, p.n};
  for (; parts > 1; --parts) {
    int64_t least = INT64_MAX;
    for (int64_t rows = 1; rows <= parts; ++rows) {
      int64_t cols = parts / rows;
      if (rows * cols != parts) continue;
      int64_t block_rows = (p.m + rows - 1) / rows, block_cols = ((p.n + cols - 1) / cols + 15) / 16 * 16;
      bool useful = (rows == 1 || block_rows >= 16) && (cols == 1 || block_cols >= 32);
      if (useful && block_rows + block_cols < least) {
        least = block_rows + block_cols;
        best = {rows, cols, block_rows, block_cols};
      }
    }
    if (least < INT64_MAX) break;
  }
  return best;
}

void by_onednn(const Product& p, const float* a, const float* b, const float* bias, float* y, bool onto) try {
  Grid g = grid_of(p);
  bool bf16 = precision() == Precision::bf16 && cpu_has_bf16() &&
              p.m * p.n * p.k >= 1 << 20;  // smaller ones do not pay for rounding
  int64_t lda = p.transpose_a ? p.m : p.k, ldb = p.transpose_b ? p.k : p.n;
  parallel_for(g.rows * g.cols, 1, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      int64_t i = part / g.cols * g.block_rows, j = part % g.cols * g.block_cols;
      int64_t m = std::min(g.block_rows, p.m - i), n = std::min(g.block_cols, p.n - j);
      if (m <= 0 || n <= 0) continue;
      primitive_for<Primitive>(
          Block{p.transpose_a, p.transpose_b, bias != nullptr, bf16, onto, m, n, p.k, lda, ldb, p.n})
          .run(a + (p.transpose_a ? i : i * lda), b + (p.transpose_b ? j * ldb : j), bias ? bias + j : nullptr,
               y + i * p.n + j);
    }
  });
} catch (const dnnl::error& e) {
  fail("[matmul] oneDNN refused ({},{})×({},{}): {}", p.m, p.k, p.k, p.n, e.what());
}

// aᵀ·b where b is narrow, as the gradient of a first layer's weight: most of a register's lanes would compute nothing.
// Its transpose bᵀ·a fills them.
bool is_narrow(const Product& p) {
  return p.transpose_a && !p.transpose_b && p.n < 32 && p.n % 16 != 0 && p.m >= 4 * p.n;
}
void narrow(const Product& p, const float* a, const float* b, float* y, bool onto) {
  Tensor turned = Tensor::empty({p.n, p.m});
  by_onednn({true, false, p.n, p.m, p.k}, b, a, nullptr, turned.mutable_data<float>(), false);
  const float* from = turned.data<float>();
  for (int64_t i = 0; i < p.m; ++i)
    for (int64_t j = 0; j < p.n; ++j) y[i * p.n + j] = from[j * p.m + i] + (onto ? y[i * p.n + j] : 0);
}

// oneDNN's products come with their bias and add to what is there, the others do not.
template <class T>
bool has_epilogue(const Product& p) {
  return std::is_same_v<T, float> && p.k > 0 && !is_thin(p);
}
template <class T>
void multiply(const Product& p, const T* a, const T* b, const T* bias, T* y, bool onto) {
  if (p.k == 0)
    std::fill_n(y, p.m * p.n, T(0));
  else if (is_thin(p))
    thin(p, a, b, y);
  else if constexpr (std::is_same_v<T, double>)
    by_panels(p, a, b, y);
  else if (is_narrow(p) && !bias)
    narrow(p, a, b, y, onto);
  else
    by_onednn(p, a, b, bias, y, onto);
}

}  // namespace

void matmul(const MatmulSize& s, const Tensor& a, const Tensor& b, const Tensor& bias, const Tensor& add,
            const Tensor& y) {
  dispatch_floating(a.dtype(), [&]<class T>() {
    Product p{s.transpose_a, s.transpose_b, s.m, s.n, s.k};
    bool onto = add.defined() && add.raw() == y.raw();
    if (onto && !has_epilogue<T>(p)) {
      Tensor product = Tensor::empty(y.shape(), y.options());
      matmul(s, a, b, bias, {}, product);
      return binary(kernel::Binary::add, y, product, y);
    }
    int64_t batches = s.batch.numel();
    const T *pa = a.data<T>(), *pb = b.data<T>(), *pbias = bias.defined() ? bias.data<T>() : nullptr;
    T* py = y.mutable_data<T>();
    auto some = [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        int64_t at[2];
        s.batch.find(i, at);
        multiply(p, pa + at[0] * s.m * s.k, pb + at[1] * s.k * s.n, pbias, py + i * s.m * s.n, onto);
      }
    };
    if (batches >= sum_parts())  // whole products for each thread: nothing is read twice
      parallel_for(batches, std::max<int64_t>(1, grain / std::max<int64_t>(1, s.m * s.n * s.k)), 1,
                   [&](int64_t begin, int64_t end) {
                     FixedSumParts whole(1);
                     some(begin, end);
                   });
    else
      some(0, batches);
    if (bias.defined() && !has_epilogue<T>(p)) add_bias("linear", bias, y);
    if (add.defined() && !onto) binary(kernel::Binary::add, add, y, y);
  });
}

std::string libraries() {
  const dnnl_version_t& v = *dnnl::version();
  return fmt::format("oneDNN {}.{}.{}, loops for {}", v.major, v.minor, v.patch, simd_name());
}

}  // namespace vapo::cpu

// Elementwise operations: 16 bytes a thread and operand, of broadcasts too where rows are whole vectors.

#include "tensor/cuda/vectors.h"

namespace vapo::cuda {
namespace {

// (y[0], …)[i] = f(x[0][i], …) for `inputs` arrays in and `outputs` arrays out, of n elements each; f computes in Compute<T>.
template <class T, int inputs, int outputs>
struct Arrays {
  const T* x[inputs > 0 ? inputs : 1];
  T* y[outputs];
};
template <class T, int inputs, int outputs, class F>
__global__ void map_kernel(int64_t n, Arrays<T, inputs, outputs> arrays, F f) {
  constexpr int width = vector_width<T>;
  stride_over(n / width, [&](int64_t i) {
    Vector<T> in[inputs > 0 ? inputs : 1], out[outputs];
#pragma unroll
    for (int k = 0; k < inputs; ++k) in[k] = reinterpret_cast<const Vector<T>*>(arrays.x[k])[i];
#pragma unroll
    for (int j = 0; j < width; ++j) {
      Compute<T> a[inputs > 0 ? inputs : 1], b[outputs];
#pragma unroll
      for (int k = 0; k < inputs; ++k) a[k] = in[k].at[j];
      f(a, b);
#pragma unroll
      for (int k = 0; k < outputs; ++k) out[k].at[j] = static_cast<T>(b[k]);
    }
#pragma unroll
    for (int k = 0; k < outputs; ++k) reinterpret_cast<Vector<T>*>(arrays.y[k])[i] = out[k];
  });
  stride_over(n % width, [&](int64_t rest) {
    int64_t i = n / width * width + rest;
    Compute<T> a[inputs > 0 ? inputs : 1], b[outputs];
    for (int k = 0; k < inputs; ++k) a[k] = arrays.x[k][i];
    f(a, b);
    for (int k = 0; k < outputs; ++k) arrays.y[k][i] = static_cast<T>(b[k]);
  });
}
template <class T, int inputs, int outputs, class F>
void map(const char* op, int64_t n, const Arrays<T, inputs, outputs>& arrays, const F& f) {
  constexpr int64_t width = vector_width<T>;
  if (n > 0)
    launch(op, map_kernel<T, inputs, outputs, F>, blocks_for((n + width - 1) / width), block_size, n, arrays, f);
}

// ---- functions of one operand

template <class F, class T>
struct Apply {
  double p;
  __device__ void operator()(const T* x, T* y) const { y[0] = F::template apply<T>(x[0], p); }
};
template <class F, class T>
struct ApplyScaled2 {
  double p;
  __device__ void operator()(const T* x, T* y) const { y[0] = x[1] * x[2] * F::template apply<T>(x[0], p); }
};
template <class F, class Slope, class T>
struct ApplyWithSlope {
  __device__ void operator()(const T* x, T* y) const {
    y[0] = F::template apply<T>(x[0], 0), y[1] = Slope::template apply<T>(x[0], 0);
  }
};

template <class T>
void unary_of(int function, const Tensor& x, const Tensor* a, const Tensor* b, double p, const Tensor& y) {
  Functions::visit(function, [&]<class F>() {
    if (a)
      map<T, 3, 1>("unary", x.numel(), {{pointer<T>(x), pointer<T>(*a), pointer<T>(*b)}, {pointer<T>(y)}},
                   ApplyScaled2<F, Compute<T>>{p});
    else
      map<T, 1, 1>("unary", x.numel(), {{pointer<T>(x)}, {pointer<T>(y)}}, Apply<F, Compute<T>>{p});
  });
}
template <class T>
void slope_of(int function, const Tensor& x, const Tensor& y, const Tensor& slope) {
  Functions::visit(function, [&]<class F>() {
    if constexpr (Towers::index_of<F>() >= 0)
      map<T, 1, 2>("unary_with_slope", x.numel(), {{pointer<T>(x)}, {pointer<T>(y), pointer<T>(slope)}},
                   ApplyWithSlope<F, SlopeOf<F>, Compute<T>>{});
  });
}

template <class F, class T>
struct ApplyScaledVjp {
  __device__ void operator()(const T* x, T* y) const {
    y[0] = x[1] * x[3] * F::template apply<T>(x[0], 0), y[1] = x[3] * x[2];
  }
};
template <class T>
void scaled_vjp_of(int function, const Tensor& x, const Tensor& a, const Tensor& slope, const Tensor& u,
                   const kernel::ScaledGrads& out) {
  Functions::visit(function - 2, [&]<class F>() {
    if constexpr (Towers::index_of<F>() >= 0)
      map<T, 4, 2>("scaled_vjp", x.numel(),
                   {{pointer<T>(x), pointer<T>(a), pointer<T>(slope), pointer<T>(u)},
                    {pointer<T>(out.dx), pointer<T>(out.da)}},
                   ApplyScaledVjp<SlopeOf<SlopeOf<F>>, Compute<T>>{});
  });
}

template <class T>
struct Affine {
  T a, b;
  __device__ void operator()(const T* x, T* y) const { y[0] = a * x[0] + b; }
};
template <class T>
struct Fill {
  T value;
  __device__ void operator()(const T*, T* y) const { y[0] = value; }
};

// ---- two operands

template <kernel::Binary op, class T>
struct Combine {
  __device__ void operator()(const T* x, T* y) const { y[0] = combine<op>(x[0], x[1]); }
};
template <kernel::Binary op, class T>
struct CombineBroadcast {
  Strided<2> order;
  const T *a, *b;
  T* y;
  __device__ void operator()(int64_t i) const {
    int64_t at[2];
    order.find(i, at);
    y[i] = static_cast<T>(combine<op, Compute<T>>(a[at[0]], b[at[1]]));
  }
};
template <kernel::Binary op, class T>
struct CombineVectors {
  Walk<2> walk;
  const T *a, *b;
  T* y;
  __device__ void operator()(int64_t i) const {
    constexpr int width = vector_width<T>;
    int32_t at[2];
    walk.find(static_cast<int32_t>(i), at);
    auto left = walk.template load<width>(0, a + at[0]), right = walk.template load<width>(1, b + at[1]);
    Vector<T> result;
#pragma unroll
    for (int j = 0; j < width; ++j) result.at[j] = static_cast<T>(combine<op, Compute<T>>(left.at[j], right.at[j]));
    pack_at<width>(y + i * width) = result;
  }
};
// y may be a or b.
template <class T, kernel::Binary op>
void binary_of(const char* name, const Tensor& a, const Tensor& b, const Tensor& y) {
  constexpr int width = vector_width<T>;
  const T *pa = pointer<T>(a), *pb = pointer<T>(b);
  T* py = pointer<T>(y);
  if (a.shape() == b.shape()) return map<T, 2, 1>(name, y.numel(), {{pa, pb}, {py}}, Combine<op, Compute<T>>{});
  Strided<2> order = broadcast_strides(y.shape(), a.shape(), b.shape());
  if (Walk<2>::possible(order, width))
    for_each(name, y.numel() / width, CombineVectors<op, T>{{order, width}, pa, pb, py});
  else
    for_each(name, y.numel(), CombineBroadcast<op, T>{order, pa, pb, py});
}

template <class T>
struct Addcmul {
  __device__ void operator()(const T* x, T* y) const { y[0] = x[0] + x[1] * x[2]; }
};
template <class T>
struct Where {
  __device__ void operator()(const T* x, T* y) const { y[0] = x[0] == T(0) ? x[2] : x[1]; }
};
template <class From, class To>
struct Convert {
  static constexpr int width = 8;
  const From* x;
  To* y;
  int64_t n;
  __device__ static To converted(From x) { return static_cast<To>(static_cast<Compute<To>>(x)); }
  __device__ void operator()(int64_t i) const {  // elements [i·width, (i + 1)·width), as far as there are
    if ((i + 1) * width <= n) {
      Pack<From, width> in = pack_at<width>(x + i * width);
      Pack<To, width> out;
#pragma unroll
      for (int j = 0; j < width; ++j) out.at[j] = converted(in.at[j]);
      pack_at<width>(y + i * width) = out;
    } else {
      for (int64_t j = i * width; j < n; ++j) y[j] = converted(x[j]);
    }
  }
};

// Of up to `most` tensors: their addresses travel as one kernel argument.
template <class From, class To>
struct ConvertBatch {
  static constexpr int most = 128;
  Convert<From, To> of[most];
};
template <class From, class To>
__global__ void convert_kernel(ConvertBatch<From, To> batch) {
  const Convert<From, To>& part = batch.of[blockIdx.y];
  stride_over((part.n + part.width - 1) / part.width, [&](int64_t i) { part(i); });
}
template <class From, class To>
void convert_batches(std::span<const Tensor> from, std::span<const Tensor> to) {
  using Batch = ConvertBatch<From, To>;
  constexpr unsigned most_blocks = 256;
  Batch batch{};
  unsigned used = 0;
  int64_t longest = 0;
  auto flush = [&] {
    if (longest > 0)
      launch("convert_each", convert_kernel<From, To>, dim3(std::min(blocks_for(longest).x, most_blocks), used),
             block_size, batch);
    used = 0, longest = 0;
  };
  for (size_t i = 0; i < to.size(); ++i) {
    int64_t n = to[i].numel();
    batch.of[used++] = {pointer<From>(from[i]), pointer<To>(to[i]), n};
    longest = std::max(longest, (n + Convert<From, To>::width - 1) / Convert<From, To>::width);
    if (used == Batch::most) flush();
  }
  flush();
}

}  // namespace

void unary(int function, const Tensor& x, const Tensor* a, const Tensor* b, double p, const Tensor& y) {
  dispatch_stored(x.dtype(), [&]<class T>() { unary_of<T>(function, x, a, b, p, y); });
}
void unary_with_slope(int function, const Tensor& x, const Tensor& y, const Tensor& slope) {
  dispatch_stored(x.dtype(), [&]<class T>() { slope_of<T>(function, x, y, slope); });
}
void scaled_vjp(int function, const Tensor& x, const Tensor& a, const Tensor& slope, const Tensor& u,
                const kernel::ScaledGrads& out) {
  dispatch_stored(x.dtype(), [&]<class T>() { scaled_vjp_of<T>(function, x, a, slope, u, out); });
}
void affine(const Tensor& x, double a, double b, const Tensor& y) {
  dispatch_stored(x.dtype(), [&]<class T>() {
    map<T, 1, 1>("affine", x.numel(), {{pointer<T>(x)}, {pointer<T>(y)}},
                 Affine<Compute<T>>{static_cast<Compute<T>>(a), static_cast<Compute<T>>(b)});
  });
}
void fill(double value, const Tensor& y) {
  dispatch_any(y.dtype(), [&]<class T>() {
    map<T, 0, 1>("fill", y.numel(), {{}, {pointer<T>(y)}}, Fill<Compute<T>>{static_cast<Compute<T>>(value)});
  });
}
void binary(kernel::Binary op, const Tensor& a, const Tensor& b, const Tensor& y) {
  dispatch_stored(y.dtype(), [&]<class T>() {
    visit_binary(op, [&]<kernel::Binary known>() { binary_of<T, known>("binary", a, b, y); });
  });
}
void addcmul(const Tensor& c, const Tensor& a, const Tensor& b, const Tensor& y) {
  dispatch_stored(y.dtype(), [&]<class T>() {
    map<T, 3, 1>("addcmul", y.numel(), {{pointer<T>(c), pointer<T>(a), pointer<T>(b)}, {pointer<T>(y)}},
                 Addcmul<Compute<T>>{});
  });
}
void add_each(std::span<const Tensor> a, std::span<const Tensor> b, std::span<const Tensor> y) {
  for (size_t i = 0; i < y.size(); ++i) binary(kernel::Binary::add, a[i], b[i], y[i]);
}
void where(const Tensor& c, const Tensor& a, const Tensor& b, const Tensor& y) {
  dispatch_stored(y.dtype(), [&]<class T>() {
    map<T, 3, 1>("where", y.numel(), {{pointer<T>(c), pointer<T>(a), pointer<T>(b)}, {pointer<T>(y)}},
                 Where<Compute<T>>{});
  });
}
void convert(const Tensor& from, const Tensor& to) {
  dispatch_any(from.dtype(), [&]<class From>() {
    dispatch_any(to.dtype(), [&]<class To>() {
      using Part = Convert<From, To>;
      int64_t n = from.numel();
      for_each("convert", (n + Part::width - 1) / Part::width, Part{pointer<From>(from), pointer<To>(to), n});
    });
  });
}
void convert_each(std::span<const Tensor> from, std::span<const Tensor> to) {
  dispatch_any(from[0].dtype(), [&]<class From>() {
    dispatch_any(to[0].dtype(), [&]<class To>() { convert_batches<From, To>(from, to); });
  });
}
void add_bias(const char* op, const Tensor& bias, const Tensor& y) {
  dispatch_stored(y.dtype(), [&]<class T>() { binary_of<T, kernel::Binary::add>(op, y, bias, y); });
}

}  // namespace vapo::cuda

// Elementwise operations: 16 bytes a thread and operand where shapes agree; otherwise an index walk over the
// broadcast.

#include "tensor/binary_functions.h"
#include "tensor/cuda/context.h"

namespace vapo::cuda {
namespace {

template <class T>
struct alignas(16) Vector {
  static constexpr int width = 16 / sizeof(T);
  T v[width];
};

// (y[0], …)[i] = f(x[0][i], …) for `inputs` arrays in and `outputs` arrays out, of n elements each; f computes in
// Compute<T>.
template <class T, int inputs, int outputs>
struct Arrays {
  const T* x[inputs > 0 ? inputs : 1];
  T* y[outputs];
};
template <class T, int inputs, int outputs, class F>
__global__ void map_kernel(int64_t n, Arrays<T, inputs, outputs> arrays, F f) {
  constexpr int width = Vector<T>::width;
  int64_t whole = n / width, step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  int64_t first = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (int64_t i = first; i < whole; i += step) {
    Vector<T> in[inputs > 0 ? inputs : 1], out[outputs];
#pragma unroll
    for (int k = 0; k < inputs; ++k) in[k] = reinterpret_cast<const Vector<T>*>(arrays.x[k])[i];
#pragma unroll
    for (int j = 0; j < width; ++j) {
      Compute<T> a[inputs > 0 ? inputs : 1], b[outputs];
#pragma unroll
      for (int k = 0; k < inputs; ++k) a[k] = in[k].v[j];
      f(a, b);
#pragma unroll
      for (int k = 0; k < outputs; ++k) out[k].v[j] = static_cast<T>(b[k]);
    }
#pragma unroll
    for (int k = 0; k < outputs; ++k) reinterpret_cast<Vector<T>*>(arrays.y[k])[i] = out[k];
  }
  for (int64_t i = whole * width + first; i < n; i += step) {
    Compute<T> a[inputs > 0 ? inputs : 1], b[outputs];
    for (int k = 0; k < inputs; ++k) a[k] = arrays.x[k][i];
    f(a, b);
    for (int k = 0; k < outputs; ++k) arrays.y[k][i] = static_cast<T>(b[k]);
  }
}
template <class T, int inputs, int outputs, class F>
void map(const char* op, int64_t n, const Arrays<T, inputs, outputs>& arrays, const F& f) {
  if (n > 0)
    launch(op, map_kernel<T, inputs, outputs, F>, blocks_for((n + Vector<T>::width - 1) / Vector<T>::width),
           block_size, n, arrays, f);
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

template <int op, class T>
struct Combine {
  __device__ void operator()(const T* x, T* y) const {
    y[0] = combine<static_cast<kernel::Binary>(op)>(x[0], x[1]);
  }
};

// Sizes of the result, innermost first, with each operand's stride there (0 where it stands still).
struct Walk {
  int rank = 0;
  int64_t size[Shape::max_rank] = {}, a[Shape::max_rank] = {}, b[Shape::max_rank] = {};
  Walk(const Shape& out, const Shape& x, const Shape& z) {
    int64_t x_stride = 1, z_stride = 1;
    for (int i = 0; i < out.rank(); ++i) {
      int64_t n = out[out.rank() - 1 - i], nx = i < x.rank() ? x[x.rank() - 1 - i] : 1,
              nz = i < z.rank() ? z[z.rank() - 1 - i] : 1;
      int64_t sx = nx == 1 ? 0 : x_stride, sz = nz == 1 ? 0 : z_stride;
      x_stride *= nx, z_stride *= nz;
      if (n == 1) continue;
      int last = rank - 1;
      if (rank > 0 && sx == a[last] * size[last] &&
          sz == b[last] * size[last]) {  // moves on as before: one dimension
        size[last] *= n;
        continue;
      }
      size[rank] = n, a[rank] = sx, b[rank] = sz, ++rank;
    }
  }
  __device__ void find(int64_t i, int64_t& at_a, int64_t& at_b) const {
    at_a = at_b = 0;
    for (int d = 0; d < rank; ++d) {
      int64_t position = i % size[d];
      i /= size[d];
      at_a += position * a[d], at_b += position * b[d];
    }
  }
};
template <int op, class T>
struct CombineBroadcast {
  Walk walk;
  const T *a, *b;
  T* y;
  __device__ void operator()(int64_t i) const {
    int64_t at_a, at_b;
    walk.find(i, at_a, at_b);
    y[i] = static_cast<T>(combine<static_cast<kernel::Binary>(op), Compute<T>>(a[at_a], b[at_b]));
  }
};
template <class T, int op>
void binary_of(const Tensor& a, const Tensor& b, const Tensor& y) {
  if (a.shape() == b.shape())
    map<T, 2, 1>("binary", y.numel(), {{pointer<T>(a), pointer<T>(b)}, {pointer<T>(y)}}, Combine<op, Compute<T>>{});
  else
    for_each("binary", y.numel(),
             CombineBroadcast<op, T>{Walk(y.shape(), a.shape(), b.shape()), pointer<T>(a), pointer<T>(b),
                                     pointer<T>(y)});
}
template <class T, int... ops>
void binary_by_number(int op, const Tensor& a, const Tensor& b, const Tensor& y,
                      std::integer_sequence<int, ops...>) {
  ((ops == op ? binary_of<T, ops>(a, b, y) : void()), ...);
}

template <class T>
struct Where {
  __device__ void operator()(const T* x, T* y) const { y[0] = x[0] == T(0) ? x[2] : x[1]; }
};
template <class T>
struct Broadcast {
  Walk walk;
  const T* x;
  T* y;
  __device__ void operator()(int64_t i) const {
    int64_t at, unused;
    walk.find(i, at, unused);
    y[i] = x[at];
  }
};
template <class From, class To>
struct Convert {
  const From* x;
  To* y;
  __device__ void operator()(int64_t i) const { y[i] = static_cast<To>(static_cast<Compute<To>>(x[i])); }
};

}  // namespace

void unary(int function, const Tensor& x, const Tensor* a, const Tensor* b, double p, const Tensor& y) {
  dispatch_stored(x.dtype(), [&]<class T>() { unary_of<T>(function, x, a, b, p, y); });
}
void unary_with_slope(int function, const Tensor& x, const Tensor& y, const Tensor& slope) {
  dispatch_stored(x.dtype(), [&]<class T>() { slope_of<T>(function, x, y, slope); });
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
void binary(int op, const Tensor& a, const Tensor& b, const Tensor& y) {
  dispatch_stored(y.dtype(), [&]<class T>() {
    binary_by_number<T>(op, a, b, y, std::make_integer_sequence<int, kernel::binary_count>{});
  });
}
void where(const Tensor& c, const Tensor& a, const Tensor& b, const Tensor& y) {
  dispatch_stored(y.dtype(), [&]<class T>() {
    map<T, 3, 1>("where", y.numel(), {{pointer<T>(c), pointer<T>(a), pointer<T>(b)}, {pointer<T>(y)}},
                 Where<Compute<T>>{});
  });
}
void broadcast(const Tensor& x, const Tensor& y) {
  dispatch_any(y.dtype(), [&]<class T>() {
    for_each("broadcast_to", y.numel(), Broadcast<T>{Walk(y.shape(), x.shape(), {}), pointer<T>(x), pointer<T>(y)});
  });
}
void convert(const Tensor& from, const Tensor& to) {
  dispatch_any(from.dtype(), [&]<class From>() {
    dispatch_any(to.dtype(), [&]<class To>() {
      for_each("convert", from.numel(), Convert<From, To>{pointer<From>(from), pointer<To>(to)});
    });
  });
}

}  // namespace vapo::cuda

// Elementwise loops over whole tensors: one pass over memory, split over threads where it pays.

#include <algorithm>

#include "tensor/backend.h"
#include "tensor/cpu/pieces.h"
#include "tensor/cpu/rows.h"
#include "tensor/cpu/simd.h"
#include "tensor/parallel.h"

namespace vapo::cpu {
namespace {

constexpr int64_t grain = 1 << 12;  // elements a thread at least, for functions with an exponential

template <class T, class... Tensors>
int64_t bytes_of(const Tensors&... tensors) {
  return (tensors.numel() + ...) * static_cast<int64_t>(sizeof(T));
}

template <class T>
void binary_of(kernel::Binary op, const Tensor& a, const Tensor& b, const Tensor& y) {
  auto loop = simd<T>().of(op);
  const T *pa = a.data<T>(), *pb = b.data<T>();
  T* py = y.mutable_data<T>();
  bool stream = py != pa && py != pb && streams(bytes_of<T>(a, b, y), py);
  if (a.shape() == b.shape()) {
    parallel_for(y.numel(), cheap_grain, 16, [&](int64_t begin, int64_t end) {
      loop({pa + begin, pb + begin, py + begin, 1, end - begin, 0, 1, 0, 1, stream});
    });
    return;
  }
  Strided<2> s = broadcast_strides(y.shape(), a.shape(), b.shape());
  const int64_t *sa = s.stride[0], *sb = s.stride[1];
  int64_t cols = s.size[0];
  if (y.numel() == cols) {  // one row: split within
    parallel_for(cols, cheap_grain, 16, [&](int64_t begin, int64_t end) {
      loop({pa + begin * sa[0], pb + begin * sb[0], py + begin, 1, end - begin, 0, sa[0], 0, sb[0], stream});
    });
    return;
  }
  stream = stream && cols * static_cast<int64_t>(sizeof(T)) % 64 == 0;
  for_rows(s, [&](const int64_t(&at)[2], int64_t row, int64_t count) {
    loop({pa + at[0], pb + at[1], py + row * cols, count, cols, sa[1], sa[0], sb[1], sb[0], stream});
  });
}

// y = loop(a, b, c), all of one shape
template <class T, class Loop>
void of_three(Loop loop, const Tensor& a, const Tensor& b, const Tensor& c, const Tensor& y) {
  const T *pa = a.data<T>(), *pb = b.data<T>(), *pc = c.data<T>();
  T* py = y.mutable_data<T>();
  bool stream = streams(bytes_of<T>(a, b, c, y), py);
  parallel_for(y.numel(), cheap_grain, 16, [&](int64_t begin, int64_t end) {
    loop(pa + begin, pb + begin, pc + begin, py + begin, end - begin, stream);
  });
}

}  // namespace

void unary(int function, const Tensor& x, const Tensor* a, const Tensor* b, double p, const Tensor& y) {
  dispatch_floating(x.dtype(), [&]<class T>() {
    const auto& loops = simd<T>();
    const T* px = x.data<T>();
    T* py = y.mutable_data<T>();
    bool stream = streams(a ? bytes_of<T>(x, *a, *b, y) : bytes_of<T>(x, y), py);
    parallel_for(x.numel(), grain, 16, [&](int64_t begin, int64_t end) {
      int64_t n = end - begin;
      if (!a)
        loops.unary[function](px + begin, py + begin, n, p, stream);
      else
        loops.scaled2[function](px + begin, a->data<T>() + begin, b->data<T>() + begin, py + begin, n, p, stream);
    });
  });
}

void unary_with_slope(int function, const Tensor& x, const Tensor& y, const Tensor& slope) {
  dispatch_floating(x.dtype(), [&]<class T>() {
    auto loop = simd<T>().with_slope[function];
    const T* px = x.data<T>();
    T *py = y.mutable_data<T>(), *ps = slope.mutable_data<T>();
    int64_t bytes = bytes_of<T>(x, y, slope);
    bool stream = streams(bytes, py) && streams(bytes, ps);
    parallel_for(x.numel(), grain, 16, [&](int64_t begin, int64_t end) {
      loop(px + begin, py + begin, ps + begin, end - begin, stream);
    });
  });
}

void scaled_vjp(int function, const Tensor& x, const Tensor& a, const Tensor& slope, const Tensor& u,
                const kernel::ScaledGrads& out) {
  dispatch_floating(x.dtype(), [&]<class T>() {
    auto loop = simd<T>().scaled_vjp[function];
    const T *px = x.data<T>(), *pa = a.data<T>(), *ps = slope.data<T>(), *pu = u.data<T>();
    T *dx = out.dx.mutable_data<T>(), *da = out.da.mutable_data<T>();
    int64_t bytes = bytes_of<T>(x, a, slope, u, out.dx, out.da);
    bool stream = streams(bytes, dx) && streams(bytes, da);
    parallel_for(x.numel(), grain, 16, [&](int64_t begin, int64_t end) {
      loop(px + begin, pa + begin, ps + begin, pu + begin, dx + begin, da + begin, end - begin, stream);
    });
  });
}

void affine(const Tensor& x, double a, double b, const Tensor& y) {
  dispatch_floating(x.dtype(), [&]<class T>() {
    const T* px = x.data<T>();
    T* py = y.mutable_data<T>();
    bool stream = streams(bytes_of<T>(x, y), py);
    parallel_for(x.numel(), cheap_grain, 16, [&](int64_t begin, int64_t end) {
      simd<T>().affine(px + begin, py + begin, end - begin, a, b, stream);
    });
  });
}

void fill(double value, const Tensor& y) {
  dispatch_any(y.dtype(), [&]<class T>() {
    T* py = y.mutable_data<T>();
    T one = static_cast<T>(static_cast<Compute<T>>(value));
    parallel_for(y.numel(), cheap_grain, 64,
                 [&](int64_t begin, int64_t end) { std::fill(py + begin, py + end, one); });
  });
}

void binary(kernel::Binary op, const Tensor& a, const Tensor& b, const Tensor& y) {
  if (y.numel() == 0) return;
  dispatch_floating(y.dtype(), [&]<class T>() { binary_of<T>(op, a, b, y); });
}

void addcmul(const Tensor& c, const Tensor& a, const Tensor& b, const Tensor& y) {
  dispatch_floating(y.dtype(), [&]<class T>() { of_three<T>(simd<T>().addcmul, c, a, b, y); });
}

void add_each(std::span<const Tensor> a, std::span<const Tensor> b, std::span<const Tensor> y) {
  for_pieces(
      y.size(), [&](size_t i) { return y[i].numel(); },
      [&](const Piece& p) {
        dispatch_floating(y[p.tensor].dtype(), [&]<class T>() {
          simd<T>().of(kernel::Binary::add)({a[p.tensor].data<T>() + p.begin, b[p.tensor].data<T>() + p.begin,
                                             y[p.tensor].mutable_data<T>() + p.begin, 1, p.count, 0, 1, 0, 1});
        });
      });
}

void where(const Tensor& c, const Tensor& a, const Tensor& b, const Tensor& y) {
  dispatch_floating(y.dtype(), [&]<class T>() { of_three<T>(simd<T>().where, c, a, b, y); });
}

void add_bias(const char*, const Tensor& bias, const Tensor& y) {
  int64_t n = bias.numel();
  dispatch_floating(y.dtype(), [&]<class T>() {
    const T* pb = bias.data<T>();
    T* py = y.mutable_data<T>();
    parallel_for(y.numel() / n, std::max<int64_t>(1, cheap_grain / n), 1, [&](int64_t begin, int64_t end) {
      simd<T>().of(kernel::Binary::add)({py + begin * n, pb, py + begin * n, end - begin, n, n, 1, 0, 1});
    });
  });
}

void convert(const Tensor& from, const Tensor& to) {
  dispatch_any(from.dtype(), [&]<class From>() {
    dispatch_any(to.dtype(), [&]<class To>() {
      const From* x = from.data<From>();
      To* y = to.mutable_data<To>();
      for (int64_t i = 0; i < from.numel(); ++i) y[i] = static_cast<To>(static_cast<Compute<To>>(x[i]));
    });
  });
}

void convert_each(std::span<const Tensor> from, std::span<const Tensor> to) {
  for (size_t i = 0; i < to.size(); ++i) convert(from[i], to[i]);
}

}  // namespace vapo::cpu

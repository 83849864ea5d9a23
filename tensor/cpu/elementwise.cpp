// Elementwise loops over whole tensors: one pass over memory, split over threads where it pays.

#include <algorithm>

#include "tensor/backend.h"
#include "tensor/cpu/simd.h"
#include "tensor/parallel.h"

namespace vapo::cpu {
namespace {

constexpr int64_t cheap_grain = 1 << 13;  // elements a thread at least, for loops bound by memory
constexpr int64_t grain = 1 << 12;        // for functions with an exponential

// Where an operand of a broadcast stands still, its stride is 0. Neighbouring dimensions that move alike are
// merged.
struct Collapsed {
  int rank = 0;
  int64_t size[Shape::max_rank], a[Shape::max_rank], b[Shape::max_rank];
};
Collapsed collapse(const Shape& out, const Shape& a, const Shape& b) {
  Collapsed c;
  int64_t a_stride = 1, b_stride = 1;  // from the innermost dimension outwards
  for (int i = 0; i < out.rank(); ++i) {
    int64_t n = out[out.rank() - 1 - i];
    int64_t na = i < a.rank() ? a[a.rank() - 1 - i] : 1, nb = i < b.rank() ? b[b.rank() - 1 - i] : 1;
    int64_t sa = na == 1 ? 0 : a_stride, sb = nb == 1 ? 0 : b_stride;
    a_stride *= na, b_stride *= nb;
    if (n == 1) continue;
    int last = c.rank - 1;
    if (c.rank > 0 && sa == c.a[last] * c.size[last] && sb == c.b[last] * c.size[last]) {
      c.size[last] *= n;
      continue;
    }
    c.size[c.rank] = n, c.a[c.rank] = sa, c.b[c.rank] = sb;
    ++c.rank;
  }
  for (; c.rank < 2; ++c.rank) c.size[c.rank] = 1, c.a[c.rank] = c.b[c.rank] = 0;
  return c;
}

// The rows of the result, from all dimensions but the innermost, split over threads: f(offset into a, offset into
// b, first row, rows) for pieces of rows that lie as the second dimension's strides say.
template <class F>
void for_rows(const Collapsed& c, const F& f) {
  int64_t outer = 1;
  for (int i = 2; i < c.rank; ++i) outer *= c.size[i];
  int64_t rows = c.size[1];
  parallel_for(outer * rows, std::max<int64_t>(1, cheap_grain / c.size[0]), 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end;) {
      int64_t within = row % rows, count = std::min(end - row, rows - within), rest = row / rows;
      int64_t a = within * c.a[1], b = within * c.b[1];
      for (int i = 2; i < c.rank; rest /= c.size[i++])
        a += rest % c.size[i] * c.a[i], b += rest % c.size[i] * c.b[i];
      f(a, b, row, count);
      row += count;
    }
  });
}

template <class T, class... Tensors>
int64_t bytes_of(const Tensors&... tensors) {
  return (tensors.numel() + ...) * static_cast<int64_t>(sizeof(T));
}

template <class T>
void binary_of(int op, const Tensor& a, const Tensor& b, const Tensor& y) {
  auto loop = simd<T>().binary[op];
  const T *pa = a.data<T>(), *pb = b.data<T>();
  T* py = y.mutable_data<T>();
  bool stream = streams(bytes_of<T>(a, b, y), py);
  if (a.shape() == b.shape()) {
    parallel_for(y.numel(), cheap_grain, 16, [&](int64_t begin, int64_t end) {
      loop({pa + begin, pb + begin, py + begin, 1, end - begin, 0, 1, 0, 1, stream});
    });
    return;
  }
  Collapsed c = collapse(y.shape(), a.shape(), b.shape());
  int64_t cols = c.size[0];
  if (y.numel() == cols) {  // one row: split within
    parallel_for(cols, cheap_grain, 16, [&](int64_t begin, int64_t end) {
      loop({pa + begin * c.a[0], pb + begin * c.b[0], py + begin, 1, end - begin, 0, c.a[0], 0, c.b[0], stream});
    });
    return;
  }
  stream = stream && cols * static_cast<int64_t>(sizeof(T)) % 64 == 0;
  for_rows(c, [&](int64_t oa, int64_t ob, int64_t row, int64_t count) {
    loop({pa + oa, pb + ob, py + row * cols, count, cols, c.a[1], c.a[0], c.b[1], c.b[0], stream});
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

void binary(int op, const Tensor& a, const Tensor& b, const Tensor& y) {
  if (y.numel() == 0) return;
  dispatch_floating(y.dtype(), [&]<class T>() { binary_of<T>(op, a, b, y); });
}

void where(const Tensor& c, const Tensor& a, const Tensor& b, const Tensor& y) {
  dispatch_floating(y.dtype(), [&]<class T>() {
    const T *pc = c.data<T>(), *pa = a.data<T>(), *pb = b.data<T>();
    T* py = y.mutable_data<T>();
    bool stream = streams(bytes_of<T>(c, a, b, y), py);
    parallel_for(y.numel(), cheap_grain, 16, [&](int64_t begin, int64_t end) {
      simd<T>().where(pc + begin, pa + begin, pb + begin, py + begin, end - begin, stream);
    });
  });
}

void broadcast(const Tensor& x, const Tensor& y) {
  if (y.numel() == 0) return;
  dispatch_any(y.dtype(), [&]<class T>() {
    const T* px = x.data<T>();
    T* py = y.mutable_data<T>();
    Collapsed c = collapse(y.shape(), x.shape(), {});
    int64_t cols = c.size[0];
    auto write_row = [&](const T* from, T* to, int64_t n) {
      if (c.a[0])
        std::copy_n(from, n, to);
      else
        std::fill_n(to, n, *from);
    };
    if (y.numel() == cols) {  // one row: split within
      parallel_for(cols, cheap_grain, 64,
                   [&](int64_t begin, int64_t end) { write_row(px + begin * c.a[0], py + begin, end - begin); });
      return;
    }
    for_rows(c, [&](int64_t offset, int64_t, int64_t first, int64_t count) {
      for (int64_t i = 0; i < count; ++i) write_row(px + offset + i * c.a[1], py + (first + i) * cols, cols);
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

}  // namespace vapo::cpu

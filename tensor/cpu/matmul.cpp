// Matrix products: oneDNN in f32, a plain loop over rows in f64, and loops of our own where one side is a vector.

#include <algorithm>
#include <map>
#include <oneapi/dnnl/dnnl.hpp>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "tensor/cpu/cpu.h"
#include "tensor/cpu/parallel.h"
#include "tensor/cpu/simd.h"

namespace vapo::cpu {
namespace {

constexpr int64_t grain = 1 << 16;  // multiply-adds a thread at least

// y (m,n) = op(a)·op(b), row by row: y[i,:] = Σ_p a(i,p)·b[p,:]; b is (k,n) in memory.
template <class T>
void by_rows(const Product& p, const T* a, const T* b, T* y) {
  int64_t row_step = p.transpose_a ? 1 : p.k, column_step = p.transpose_a ? p.m : 1;
  parallel_for(p.m, std::max<int64_t>(1, grain / std::max<int64_t>(1, p.n * p.k)), 1,
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i)
                   simd<T>().weighted_rows(a + i * row_step, column_step, b, p.n, p.k, y + i * p.n, p.n, false);
               });
}

// One output row or column, or a contraction over one element. False: not such a product.
template <class T>
bool thin(const Product& p, const T* a, const T* b, T* y) {
  const auto& loops = simd<T>();
  if (p.n == 1 && !p.transpose_a) {  // y[i] = ⟨a[i,:], b⟩
    parallel_for(p.m, std::max<int64_t>(16, grain / std::max<int64_t>(1, p.k)), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = loops.dot(a + i * p.k, b, p.k);
    });
    return true;
  }
  if (p.m == 1 && p.transpose_b) {  // y[j] = ⟨b[j,:], a⟩
    for (int64_t j = 0; j < p.n; ++j) y[j] = loops.dot(b + j * p.k, a, p.k);
    return true;
  }
  if (p.m == 1 || (p.n == 1 && p.transpose_a)) {  // y = Σ_r c[r]·x[r,:], in blocks of rows to keep the sums short
    bool row = p.m == 1;
    const T *c = row ? a : b, *x = row ? b : a;
    int64_t width = row ? p.n : p.m;
    parallel_for(width, std::max<int64_t>(16, grain / std::max<int64_t>(1, p.k)), 16,
                 [&](int64_t begin, int64_t end) {
                   for (int64_t r = 0; r < p.k || r == 0; r += 256)
                     loops.weighted_rows(c + r, 1, x + r * width + begin, width, std::min<int64_t>(256, p.k - r),
                                         y + begin, end - begin, r > 0);
                 });
    return true;
  }
  if (p.k == 1) {  // y[i,j] = a[i]·b[j]
    parallel_for(p.m, std::max<int64_t>(1, grain / p.n), 1, [&](int64_t begin, int64_t end) {
      loops.binary[static_cast<int>(kernel::Binary::mul)](
          {a + begin, b, y + begin * p.n, end - begin, p.n, 1, 0, 0, 1});
    });
    return true;
  }
  return false;
}

template <class T>
void add_bias(const Product& p, const T* bias, T* y) {
  if (!bias) return;
  parallel_for(p.m, std::max<int64_t>(1, grain / std::max<int64_t>(1, p.n)), 1, [&](int64_t begin, int64_t end) {
    simd<T>().binary[static_cast<int>(kernel::Binary::add)](
        {y + begin * p.n, bias, y + begin * p.n, end - begin, p.n, p.n, 1, 0, 1});
  });
}

// oneDNN's primitive for one kind of product, with the memory objects it is called on.
class Primitive {
 public:
  Primitive(const Product& p, bool bias) {
    using dims = dnnl::memory::dims;
    auto matrix = [](int64_t rows, int64_t cols, bool transposed) {
      return dnnl::memory::desc({rows, cols}, dnnl::memory::data_type::f32,
                                transposed ? dims{1, rows} : dims{cols, 1});
    };
    dnnl::memory::desc a = matrix(p.m, p.k, p.transpose_a), b = matrix(p.k, p.n, p.transpose_b),
                       c = matrix(1, p.n, false), y = matrix(p.m, p.n, false);
    call_ = dnnl::matmul({bias ? dnnl::matmul::desc(a, b, c, y) : dnnl::matmul::desc(a, b, y), engine()});
    arguments_ = {{DNNL_ARG_SRC, {a, engine(), nullptr}},
                  {DNNL_ARG_WEIGHTS, {b, engine(), nullptr}},
                  {DNNL_ARG_DST, {y, engine(), nullptr}}};
    if (bias) arguments_.insert({DNNL_ARG_BIAS, {c, engine(), nullptr}});
  }
  void run(const float* a, const float* b, const float* bias, float* y) {
    point(DNNL_ARG_SRC, a), point(DNNL_ARG_WEIGHTS, b), point(DNNL_ARG_DST, y);
    if (bias) point(DNNL_ARG_BIAS, bias);
    static thread_local dnnl::stream stream(engine());
    call_.execute(stream, arguments_);
  }

 private:
  static const dnnl::engine& engine() {
    static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
    return cpu;
  }
  void point(int argument, const float* data) {
    arguments_.find(argument)->second.set_data_handle(const_cast<float*>(data));
  }
  dnnl::matmul call_;
  std::unordered_map<int, dnnl::memory> arguments_;
};

// Made once for each shape: that takes longer than most products.
Primitive& primitive(const Product& p, bool bias) {
  using Key = std::tuple<int64_t, int64_t, int64_t, bool, bool, bool, int>;
  constexpr size_t most = 1024;
  static thread_local std::map<Key, Primitive> made;
  Key key{p.m, p.n, p.k, p.transpose_a, p.transpose_b, bias, threads()};
  auto found = made.find(key);
  if (found != made.end()) return found->second;
  if (made.size() == most) made.clear();
  return made.try_emplace(key, p, bias).first->second;
}

}  // namespace

void matmul(const Product& p, const float* a, const float* b, const float* bias, float* y) {
  if (p.m == 0 || p.n == 0) return;
  if (p.k == 0)
    std::fill_n(y, p.m * p.n, 0.0f);
  else if (!thin(p, a, b, y)) {
    try {
      return primitive(p, bias != nullptr).run(a, b, bias, y);
    } catch (const dnnl::error& e) {
      fail("[matmul] oneDNN refused ({},{})×({},{}): {}", p.m, p.k, p.k, p.n, e.what());
    }
  }
  add_bias(p, bias, y);
}

void matmul(const Product& p, const double* a, const double* b, const double* bias, double* y) {
  if (p.m == 0 || p.n == 0) return;
  if (p.k == 0)
    std::fill_n(y, p.m * p.n, 0.0);
  else if (!thin(p, a, b, y)) {
    std::vector<double> turned;
    if (p.transpose_b) {
      turned.resize(static_cast<size_t>(p.k * p.n));
      for (int64_t j = 0; j < p.n; ++j)
        for (int64_t i = 0; i < p.k; ++i) turned[static_cast<size_t>(i * p.n + j)] = b[j * p.k + i];
    }
    by_rows(p, a, p.transpose_b ? turned.data() : b, y);
  }
  add_bias(p, bias, y);
}

}  // namespace vapo::cpu

// Group normalisation. Rows that fit into shared memory take norm_rows.cu; what is here, for all others and for f64, is
// as on the CPU: per-channel sums in one pass, coefficients from tensor/norm_formulas.h, results in a second pass.

#include "tensor/cuda/norm_rows.h"

namespace vapo::cuda {
namespace {

// Sums over the pixels of f(i, c)[k] for k < count, i the element, c the channel of its sample:
// sums[k·N·C + n·C + c]. Of a block, x is the channel and y the pixel.
template <class T, int count, class F>
__global__ void channel_sums_kernel(NormSize size, F f, T* sums) {
  __shared__ T shared[2 * block_size];
  int64_t n = blockIdx.y, c = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  T total[count] = {};
  if (c < size.channels)
    for (int64_t p = threadIdx.y; p < size.pixels; p += blockDim.y)
      f((n * size.pixels + p) * size.channels + c, n * size.channels + c, total);
#pragma unroll
  for (int k = 0; k < count; ++k) {
    __syncthreads();
    shared[threadIdx.y * (blockDim.x + 1) + threadIdx.x] = total[k];
    __syncthreads();
    if (threadIdx.y == 0 && c < size.channels) {
      T sum = 0;
      for (unsigned i = 0; i < blockDim.y; ++i) sum += shared[i * (blockDim.x + 1) + threadIdx.x];
      sums[k * size.n * size.channels + n * size.channels + c] = sum;
    }
  }
}
template <class T, int count, class F>
void channel_sums(const char* op, const NormSize& size, const F& f, T* sums) {
  if (size.n == 0) return;
  constexpr int64_t most = 65535;
  VAPO_CHECK(size.n <= most, "[{}] {} samples, at most {} in one call", op, size.n, most);
  int64_t tile = 32;
  while (tile / 2 >= size.channels) tile /= 2;
  dim3 grid(static_cast<unsigned>((size.channels + tile - 1) / tile), static_cast<unsigned>(size.n));
  launch(op, channel_sums_kernel<T, count, F>, grid,
         dim3(static_cast<unsigned>(tile), static_cast<unsigned>(block_size / tile)), size, f, sums);
}

template <class C, bool silu>
struct MaskedElement {
  NormElement<C, silu> e;
  C m;  // the mask's factor

  __device__ C value() const { return m * norm_phi<silu>(e.z); }
  __device__ void add_vjp(C g, C* total) const { e.add_vjp(m * g, total); }
  __device__ void add_vjp2(C g, C u, C* total) const { e.add_vjp2(m * g, u, total); }
  // k: the channel's coefficients
  __device__ C vjp(C g, const C (&k)[NormMap::count]) const {
    return k[NormMap::h] * e.h(m * g) + k[NormMap::y] * e.y + k[NormMap::one];
  }
  __device__ void vjp2(C g, C u, const C (&k)[NormMap2::count], C* dx, C* dg) const {
    using K = NormMap2;
    C mg = m * g, d1 = e.h(C(1)), dz = k[K::zu] * u + k[K::zy] * e.y + k[K::z1];
    *dx = k[K::h] * mg * d1 + k[K::u] * u + k[K::y] * e.y + k[K::one];
    if constexpr (silu) *dx += k[K::e] * (mg * SiluD2::apply<C>(e.z, 0) * dz);
    *dg = m * d1 * dz;
  }
};
// The coefficients of channel `c`.
template <class C, int count>
__device__ void load(C (&k)[count], const ChannelArrays<C>& from, int64_t c) {
  for (int i = 0; i < count; ++i) k[i] = from[i][c];
}
// value + add[i], or value where add is null
template <class T>
__device__ T stored_sum(Compute<T> value, const T* add, int64_t i) {
  return static_cast<T>(add ? value + Compute<T>(add[i]) : value);
}

// f<T, whether φ is silu>() for the dtype and φ.
template <class F>
void with_kind(const NormCall& call, const F& f) {
  dispatch_stored(call.x.dtype(), [&]<class T>() {
    if (call.p.silu)
      f.template operator()<T, true>();
    else
      f.template operator()<T, false>();
  });
}

// What every element's function reads.
template <class T, bool silu>
struct Element {
  using C = Compute<T>;
  NormSize size;
  int64_t groups;
  const T* x;
  const C *a, *s, *mean, *rest, *rstd;
  const uint8_t* mask;
  C mask_scale;
  __device__ MaskedElement<C, silu> at(int64_t i, int64_t nc) const {
    int64_t n = nc / size.channels, g = nc % size.channels / (size.channels / groups);
    int64_t row = n * groups + g;
    C y = (x[i] - mean[row] - rest[row]) * rstd[row];
    return {{y, a[nc] * y + s[nc]}, mask ? static_cast<C>(mask[i]) * mask_scale : C(1)};
  }
  __device__ int64_t channel_of(int64_t i) const {
    return i / (size.pixels * size.channels) * size.channels + i % size.channels;
  }
};
template <class T, bool silu>
Element<T, silu> element(const NormCall& call) {
  return {call.size,
          call.p.groups,
          pointer<T>(call.x),
          pointer<Compute<T>>(call.a),
          pointer<Compute<T>>(call.s),
          pointer<Compute<T>>(call.stats.mean),
          pointer<Compute<T>>(call.stats.rest),
          pointer<Compute<T>>(call.stats.rstd),
          pointer_or_null<uint8_t>(call.p.mask),
          static_cast<Compute<T>>(call.p.mask_scale)};
}

template <class T>
struct Moments {
  NormSize size;
  const T* x;
  __device__ void operator()(int64_t i, int64_t nc, double* total) const {
    int64_t n = nc / size.channels, c = nc % size.channels;
    double d = static_cast<double>(x[i]) - static_cast<double>(x[n * size.pixels * size.channels + c]);
    total[0] += d, total[1] += d * d;
  }
};
template <class T>
struct Statistics {  // of group i = n·groups + g
  NormSize size;
  int64_t groups;
  double eps;
  const T* x;
  const double* sums;
  Compute<T>*mean, *rest, *rstd;
  __device__ void operator()(int64_t i) const {
    int64_t cg = size.channels / groups, n = i / groups, c = i % groups * cg, at = n * size.channels + c;
    norm_statistics(cg, static_cast<double>(size.pixels), eps, x + n * size.pixels * size.channels + c, sums + at,
                    sums + size.n * size.channels + at, mean + i, rest + i, rstd + i);
  }
};
template <class T, bool silu>
struct Forward {
  Element<T, silu> e;
  T* y;
  __device__ void operator()(int64_t i) const { y[i] = static_cast<T>(e.at(i, e.channel_of(i)).value()); }
};

template <class T, bool silu>
struct VjpSums {
  Element<T, silu> e;
  const T* g;
  __device__ void operator()(int64_t i, int64_t nc, Compute<T>* total) const { e.at(i, nc).add_vjp(g[i], total); }
};
template <class T>
struct VjpCoefficients {
  NormSize size;
  int64_t groups;
  const T *a, *rstd;
  ChannelArrays<T> sums, map;
  __device__ void operator()(int64_t i) const {
    int64_t cg = size.channels / groups, at = i / groups * size.channels + i % groups * cg;
    norm_vjp_coefficients(cg, static_cast<double>(size.pixels * cg), static_cast<double>(rstd[i]), a + at,
                          sums[NormSum::h] + at, sums[NormSum::hy] + at, map.from(at));
  }
};
template <class T, bool silu>
struct VjpMap {
  Element<T, silu> e;
  const T* g;
  ChannelArrays<Compute<T>> map;
  const T* add;
  T* dx;
  __device__ void operator()(int64_t i) const {
    int64_t nc = e.channel_of(i);
    Compute<T> k[NormMap::count];
    load(k, map, nc);
    dx[i] = stored_sum(e.at(i, nc).vjp(g[i], k), add, i);
  }
};

template <class T, bool silu>
struct Vjp2Sums {
  Element<T, silu> e;
  const T *g, *u;
  __device__ void operator()(int64_t i, int64_t nc, Compute<T>* total) const {
    e.at(i, nc).add_vjp2(g[i], u[i], total);
  }
};
template <class T>
struct Vjp2Coefficients {
  NormSize size;
  int64_t groups;
  const T *a, *ua, *us, *rstd;
  ChannelArrays<T> sums, map;
  T *da, *ds;
  __device__ void operator()(int64_t i) const {
    int64_t cg = size.channels / groups, at = i / groups * size.channels + i % groups * cg;
    norm_vjp2_coefficients(cg, static_cast<double>(size.pixels * cg), static_cast<double>(rstd[i]), a + at, ua + at,
                           us + at, sums.from(at), map.from(at), da + at, ds + at);
  }
};
template <class T, bool silu>
struct Vjp2Map {
  Element<T, silu> e;
  const T *g, *u;
  ChannelArrays<Compute<T>> map;
  const T *add_dx, *add_dg;
  T *dx, *dg;
  __device__ void operator()(int64_t i) const {
    int64_t nc = e.channel_of(i);
    Compute<T> k[NormMap2::count], x2, g2;
    load(k, map, nc);
    e.at(i, nc).vjp2(g[i], u[i], k, &x2, &g2);
    dx[i] = stored_sum(x2, add_dx, i), dg[i] = stored_sum(g2, add_dg, i);
  }
};

template <class T, bool silu>
void forward_of(const NormCall& call) {
  using C = Compute<T>;
  const NormSize& size = call.size;
  const kernel::Normalized& out = call.stats;
  int64_t groups = call.p.groups;
  const T* x = pointer<T>(call.x);
  Tensor sums = scratch(2 * size.n * size.channels, DType::f64);
  channel_sums<double, 2>("group_norm", size, Moments<T>{size, x}, pointer<double>(sums));
  for_each("group_norm", size.n * groups,
           Statistics<T>{size, groups, call.p.eps, x, pointer<double>(sums), pointer<C>(out.mean),
                         pointer<C>(out.rest), pointer<C>(out.rstd)});
  for_each("group_norm", call.x.numel(), Forward<T, silu>{element<T, silu>(call), pointer<T>(out.y)});
}

template <class T, bool silu>
void vjp_of(const NormCall& call) {
  using C = Compute<T>;
  const NormSize& size = call.size;
  const kernel::NormGrads2& out = call.grads;
  int64_t nc = size.n * size.channels, groups = call.p.groups, bytes = nc * static_cast<int64_t>(sizeof(C));
  auto e = element<T, silu>(call);
  const T* g = pointer<T>(call.g);
  Tensor sums = scratch(NormSum::count * nc, dtype_of<C>), k = scratch(NormMap::count * nc, dtype_of<C>);
  ChannelArrays<C> sum{pointer<C>(sums), nc}, map{pointer<C>(k), nc};
  channel_sums<C, NormSum::count>("group_norm_vjp", size, VjpSums<T, silu>{e, g}, sum.first);
  copy_blocks(sum[NormSum::h], 0, address(out.ds), 0, bytes, 1);
  copy_blocks(sum[NormSum::hy], 0, address(out.da), 0, bytes, 1);
  if (!out.dx.defined()) return;
  for_each("group_norm_vjp", size.n * groups,
           VjpCoefficients<C>{size, groups, pointer<C>(call.a), pointer<C>(call.stats.rstd), sum, map});
  for_each("group_norm_vjp", call.x.numel(),
           VjpMap<T, silu>{e, g, map, pointer_or_null<T>(call.add.dx), pointer<T>(out.dx)});
}

template <class T, bool silu>
void vjp2_of(const NormCall& call) {
  using C = Compute<T>;
  const NormSize& size = call.size;
  const kernel::NormGrads2& out = call.grads;
  int64_t nc = size.n * size.channels, groups = call.p.groups;
  auto e = element<T, silu>(call);
  const T *g = pointer<T>(call.g), *u = pointer<T>(call.u);
  Tensor sums = scratch(NormSum2::count * nc, dtype_of<C>), k = scratch(NormMap2::count * nc, dtype_of<C>);
  ChannelArrays<C> sum{pointer<C>(sums), nc}, map{pointer<C>(k), nc};
  channel_sums<C, NormSum2::count>("group_norm_vjp2", size, Vjp2Sums<T, silu>{e, g, u}, sum.first);
  for_each("group_norm_vjp2", size.n * groups,
           Vjp2Coefficients<C>{size, groups, pointer<C>(call.a), pointer<C>(call.ua), pointer<C>(call.us),
                               pointer<C>(call.stats.rstd), sum, map, pointer<C>(out.da), pointer<C>(out.ds)});
  for_each("group_norm_vjp2", call.x.numel(),
           Vjp2Map<T, silu>{e, g, u, map, pointer_or_null<T>(call.add.dx), pointer_or_null<T>(call.add.dg),
                            pointer<T>(out.dx), pointer<T>(out.dg)});
}

void accumulate_coefficients(const NormCall& call) {
  auto add = [](const Tensor& to, const Tensor& x) {
    if (x.defined()) binary(kernel::Binary::add, to, x, to);
  };
  add(call.grads.da, call.add.da), add(call.grads.ds, call.add.ds);
}

}  // namespace

void group_norm(const NormCall& call) {
  if (!group_norm_in_rows(call)) with_kind(call, [&]<class T, bool silu>() { forward_of<T, silu>(call); });
}
void group_norm_vjp(const NormCall& call) {
  if (call.grads.dx.defined() && group_norm_vjp_in_rows(call)) return;
  with_kind(call, [&]<class T, bool silu>() { vjp_of<T, silu>(call); });
  accumulate_coefficients(call);
}
void group_norm_vjp2(const NormCall& call) {
  if (group_norm_vjp2_in_rows(call)) return;
  NormCall c = call;
  for (Tensor* t : {&c.ua, &c.us})
    if (!t->defined()) *t = Tensor::zeros(c.a.shape(), c.a.options());
  with_kind(c, [&]<class T, bool silu>() { vjp2_of<T, silu>(c); });
  accumulate_coefficients(c);
}

}  // namespace vapo::cuda

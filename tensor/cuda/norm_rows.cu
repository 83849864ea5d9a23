// The kernels of one pass: each element is copied into shared memory by the thread that works on it, sums over the
// pixels are exchanged between the threads, coefficients come from tensor/norm_formulas.h, and results are written
// from what lies there.

#include "tensor/cuda/norm_rows.h"

namespace vapo::cuda {
namespace {

template <class T>
struct Operands {
  const T *x, *g, *u;
  const Compute<T>*a, *s;
  Compute<T>*mean, *rest, *rstd;
  const uint8_t* mask;
  Compute<T> mask_scale;
};

// What a thread's channels have in common; with it, its elements.
template <class C, bool silu, int vec>
struct Channels {
  C mean[vec], rstd[vec], shift[vec], a[vec], s[vec], mask_scale;  // ŷ = rstd·(x − mean) + shift
  struct Elements {
    MaskedElement<C, silu> at[vec];
  };

  template <class T>
  __device__ Channels(const Place<vec>& at, const Operands<T>& o, const C* means, const C* rests, const C* rstds)
      : mask_scale(o.mask_scale) {
    for (int v = 0; v < vec; ++v) {
      int64_t c = at.nc + at.slot * vec + v;
      int g = at.group_of(v);
      mean[v] = means[g], rstd[v] = rstds[g], shift[v] = -rstds[g] * rests[g], a[v] = o.a[c], s[v] = o.s[c];
    }
  }
  template <class T>
  __device__ Elements elements(const T* x, const uint8_t* mask) const {
    Pack<T, vec> values = pack<vec>(x);
    Pack<uint8_t, vec> kept{};
    if (mask) kept = pack<vec>(mask);
    Elements e;
    for (int v = 0; v < vec; ++v) {
      C y = (C(values.at[v]) - mean[v]) * rstd[v] + shift[v];
      e.at[v] = {{y, a[v] * y + s[v]}, mask ? static_cast<C>(kept.at[v]) * mask_scale : C(1)};
    }
    return e;
  }
};

template <class T, bool silu, int vec>
__global__ void __launch_bounds__(most_threads) forward_kernel(Rows r, Operands<T> o, double eps, T* y) {
  using C = Compute<T>;
  Place<vec> at(r);
  T* x = shared_at<T>(r.operand[0]);
  C *sums = shared_at<C>(r.sums), *centre = shared_at<C>(r.map), *mean = centre + r.width, *rstd = mean + r.width,
    *rest = centre;  // which is read no more when this is written
  at.each([&](int i, int64_t j) { copy_to_shared<T, vec>(x + i, o.x + j); });
  __pipeline_commit();
  __pipeline_wait_prior(0);

  auto origin_of = [&](int group) { return C(o.x[at.image + group * r.group]); };  // the group's first element
  C total[vec][1] = {}, origins[vec];
  for (int v = 0; v < vec; ++v) origins[v] = at.works() ? origin_of(at.group_of(v)) : C(0);
  at.each([&](int i, int64_t) {
    Pack<T, vec> values = pack<vec>(x + i);
    for (int v = 0; v < vec; ++v) total[v][0] += C(values.at[v]) - origins[v];
  });
  sum_pixels(at, total);
  int groups = r.width / r.group;
  double m = static_cast<double>(r.pixels) * r.group;
  at.share(groups, [&](int i) {
    double sum = 0;
    for (int c = i * r.group; c < (i + 1) * r.group; ++c) sum += static_cast<double>(sums[c]);
    centre[i] = static_cast<C>(static_cast<double>(origin_of(i)) + sum / m);
  });
  __syncthreads();

  C moments[vec][2] = {}, centres[vec];
  for (int v = 0; v < vec; ++v) centres[v] = centre[at.group_of(v)];
  at.each([&](int i, int64_t) {
    Pack<T, vec> values = pack<vec>(x + i);
    for (int v = 0; v < vec; ++v) {
      C d = C(values.at[v]) - centres[v];
      moments[v][0] += d, moments[v][1] += d * d;
    }
  });
  sum_pixels(at, moments);
  at.share(groups, [&](int i) {
    double origin = static_cast<double>(centre[i]), sum = 0, squares = 0;
    int first = i * r.group, last = first + r.group;
    for (int c = first; c < last; ++c)
      sum += static_cast<double>(sums[c]), squares += static_cast<double>(sums[r.width + c]);
    if (!(squares < INFINITY)) {  // C does not hold them: one thread takes the group in double
      origin = static_cast<double>(origin_of(i)), sum = squares = 0;
      for (int p = 0; p < r.pixels; ++p)
        for (int c = first; c < last; ++c) {
          double d = static_cast<double>(C(x[p * r.width + c])) - origin;
          sum += d, squares += d * d;
        }
    }
    norm_statistics(1, m, eps, &origin, &sum, &squares, mean + i, rest + i, rstd + i);
    o.mean[at.ng + i] = mean[i], o.rest[at.ng + i] = rest[i], o.rstd[at.ng + i] = rstd[i];
  });
  __syncthreads();

  Channels<C, silu, vec> channels(at, o, mean, rest, rstd);
  at.each([&](int i, int64_t j) {
    auto e = channels.elements(x + i, o.mask ? o.mask + j : nullptr);
    Pack<T, vec> out;
    for (int v = 0; v < vec; ++v) out.at[v] = static_cast<T>(e.at[v].value());
    pack<vec>(y + j) = out;
  });
}

template <class T, bool silu, int vec>
__global__ void __launch_bounds__(most_threads)
    vjp_kernel(Rows r, Operands<T> o, T* dx, Compute<T>* da, Compute<T>* ds) {
  using C = Compute<T>;
  Place<vec> at(r);
  T *x = shared_at<T>(r.operand[0]), *g = shared_at<T>(r.operand[1]);
  uint8_t* mask = o.mask ? shared_at<uint8_t>(r.mask) : nullptr;
  at.each([&](int i, int64_t j) {
    copy_to_shared<T, vec>(x + i, o.x + j), copy_to_shared<T, vec>(g + i, o.g + j);
    if (mask) copy_to_shared<uint8_t, vec>(mask + i, o.mask + j);
  });
  __pipeline_commit();
  Channels<C, silu, vec> channels(at, o, o.mean + at.ng, o.rest + at.ng, o.rstd + at.ng);
  auto elements = [&](int i) { return channels.elements(x + i, mask ? mask + i : nullptr); };
  __pipeline_wait_prior(0);

  C total[vec][NormSum::count] = {};
  at.each([&](int i, int64_t) {
    auto e = elements(i);
    Pack<T, vec> vg = pack<vec>(g + i);
    for (int v = 0; v < vec; ++v) e.at[v].add_vjp(C(vg.at[v]), total[v]);
  });
  sum_pixels(at, total);
  ChannelArrays<C> sums{shared_at<C>(r.sums), r.width}, map{shared_at<C>(r.map), r.width};
  C *sum_h = sums[NormSum::h], *sum_hy = sums[NormSum::hy];
  at.share(r.width, [&](int c) { ds[at.nc + c] = sum_h[c], da[at.nc + c] = sum_hy[c]; });
  at.share(r.width / r.group, [&](int i) {
    int c = i * r.group;
    norm_vjp_coefficients(r.group, static_cast<double>(r.pixels) * r.group, static_cast<double>(o.rstd[at.ng + i]),
                          o.a + at.nc + c, sum_h + c, sum_hy + c, map.from(c));
  });
  __syncthreads();

  C k[vec][NormMap::count];
  for (int v = 0; v < vec; ++v) load(k[v], map, at.slot * vec + v);
  at.each([&](int i, int64_t j) {
    auto e = elements(i);
    Pack<T, vec> out, vg = pack<vec>(g + i);
    for (int v = 0; v < vec; ++v) out.at[v] = static_cast<T>(e.at[v].vjp(C(vg.at[v]), k[v]));
    pack<vec>(dx + j) = out;
  });
}

template <class T, bool silu, int vec>
__global__ void __launch_bounds__(most_threads)
    vjp2_kernel(Rows r, Operands<T> o, const Compute<T>* ua, const Compute<T>* us, T* dx, T* dg, Compute<T>* da,
                Compute<T>* ds) {
  using C = Compute<T>;
  Place<vec> at(r);
  T *x = shared_at<T>(r.operand[0]), *g = shared_at<T>(r.operand[1]), *u = shared_at<T>(r.operand[2]);
  uint8_t* mask = o.mask ? shared_at<uint8_t>(r.mask) : nullptr;
  at.each([&](int i, int64_t j) {
    copy_to_shared<T, vec>(x + i, o.x + j), copy_to_shared<T, vec>(g + i, o.g + j);
    copy_to_shared<T, vec>(u + i, o.u + j);
    if (mask) copy_to_shared<uint8_t, vec>(mask + i, o.mask + j);
  });
  __pipeline_commit();
  Channels<C, silu, vec> channels(at, o, o.mean + at.ng, o.rest + at.ng, o.rstd + at.ng);
  auto elements = [&](int i) { return channels.elements(x + i, mask ? mask + i : nullptr); };
  __pipeline_wait_prior(0);

  constexpr int count = silu ? NormSum2::count : NormSum2::count_of_identity;
  C total[vec][count] = {};
  at.each([&](int i, int64_t) {
    auto e = elements(i);
    Pack<T, vec> vg = pack<vec>(g + i), vu = pack<vec>(u + i);
    for (int v = 0; v < vec; ++v) e.at[v].add_vjp2(C(vg.at[v]), C(vu.at[v]), total[v]);
  });
  ChannelArrays<C> sums{shared_at<C>(r.sums), r.width}, map{shared_at<C>(r.map), r.width};
  at.share((NormSum2::count - count) * r.width, [&](int i) { sums[count][i] = 0; });
  sum_pixels(at, total);

  double m = static_cast<double>(r.pixels) * r.group, *shares = shared_at<double>(r.shares);
  auto channel = [&](int c, const auto& f) {  // f(j, rstd, group's first channel here, and in (N, C))
    f(c % r.group, static_cast<double>(o.rstd[at.ng + c / r.group]), c - c % r.group, at.nc + c - c % r.group);
  };
  at.share(r.width, [&](int c) {
    channel(c, [&](int j, double rstd, int first, int64_t nc) {
      norm_vjp2_channel(j, rstd, norm_means2(r.group, m, o.a + nc, sums.from(first)), o.a + nc, ua + nc, us + nc,
                        sums.from(first), map.from(first), da + nc, ds + nc, shares + c, shares + r.width + c);
    });
  });
  __syncthreads();
  at.share(r.width, [&](int c) {
    channel(c, [&](int j, double rstd, int first, int64_t nc) {
      NormMeans2 mean = norm_means2(r.group, m, o.a + nc, sums.from(first));
      for (int i = first; i < first + r.group; ++i) mean.e += shares[i], mean.ey += shares[r.width + i];
      mean.e /= m, mean.ey /= m;
      norm_vjp2_map(j, rstd, mean, o.a + nc, ua + nc, map.from(first));
    });
  });
  __syncthreads();

  C k[vec][NormMap2::count];
  for (int v = 0; v < vec; ++v) load(k[v], map, at.slot * vec + v);
  at.each([&](int i, int64_t j) {
    auto e = elements(i);
    Pack<T, vec> vg = pack<vec>(g + i), vu = pack<vec>(u + i), x2, g2;
    for (int v = 0; v < vec; ++v) {
      C out_x, out_g;
      e.at[v].vjp2(C(vg.at[v]), C(vu.at[v]), k[v], &out_x, &out_g);
      x2.at[v] = static_cast<T>(out_x), g2.at[v] = static_cast<T>(out_g);
    }
    pack<vec>(dx + j) = x2, pack<vec>(dg + j) = g2;
  });
}

// f<T, whether φ is silu, vector's length>(rows) where rows fit.
template <class F>
bool in_rows(const NormCall& call, int derivative, const F& f) {
  const Tensor& x = call.x;
  std::optional<Rows> rows = rows_for(call.size, call.p.groups, x.dtype(), derivative, call.p.mask.defined());
  if (!rows || call.size.n == 0) return rows.has_value();
  with_kind(call, [&]<class T, bool silu>() {
    if (rows->vec > 1)
      f.template operator()<T, silu, 16 / sizeof(Compute<T>)>(*rows);
    else
      f.template operator()<T, silu, 1>(*rows);
  });
  return true;
}
template <class... Parameters, class... Arguments>
void launch_rows(const char* op, void (*kernel)(Rows, Parameters...), const NormCall& call, const Rows& r,
                 const Arguments&... arguments) {
  launch_with_shared(op, kernel, static_cast<unsigned>(call.size.n * r.spans), static_cast<unsigned>(r.threads),
                     static_cast<size_t>(r.bytes), r, arguments...);
}
template <class T>
Operands<T> operands(const NormCall& call) {
  using C = Compute<T>;
  return {pointer<T>(call.x),
          pointer_or_null<T>(call.g),
          pointer_or_null<T>(call.u),
          pointer<C>(call.a),
          pointer<C>(call.s),
          pointer<C>(call.stats.mean),
          pointer<C>(call.stats.rest),
          pointer<C>(call.stats.rstd),
          pointer_or_null<uint8_t>(call.p.mask),
          static_cast<C>(call.p.mask_scale)};
}

}  // namespace

bool group_norm_in_rows(const NormCall& call) {
  return in_rows(call, 0, [&]<class T, bool silu, int vec>(const Rows& r) {
    launch_rows("group_norm", forward_kernel<T, silu, vec>, call, r, operands<T>(call), call.p.eps,
                pointer<T>(call.stats.y));
  });
}
bool group_norm_vjp_in_rows(const NormCall& call) {
  const kernel::NormGrads2& out = call.grads;
  return in_rows(call, 1, [&]<class T, bool silu, int vec>(const Rows& r) {
    using C = Compute<T>;
    launch_rows("group_norm_vjp", vjp_kernel<T, silu, vec>, call, r, operands<T>(call), pointer<T>(out.dx),
                pointer<C>(out.da), pointer<C>(out.ds));
  });
}
bool group_norm_vjp2_in_rows(const NormCall& call) {
  const kernel::NormGrads2& out = call.grads;
  return in_rows(call, 2, [&]<class T, bool silu, int vec>(const Rows& r) {
    using C = Compute<T>;
    launch_rows("group_norm_vjp2", vjp2_kernel<T, silu, vec>, call, r, operands<T>(call), pointer<C>(call.ua),
                pointer<C>(call.us), pointer<T>(out.dx), pointer<T>(out.dg), pointer<C>(out.da),
                pointer<C>(out.ds));
  });
}

}  // namespace vapo::cuda

// Group normalisation and its vjp in one pass.

#include "tensor/cuda/norm_thread.h"

namespace vapo::cuda {
namespace {

template <class T, bool silu, int vec, int units>
__global__ void __launch_bounds__(most_threads, 4) forward_kernel(Rows r, Operands<T> o, double eps, T* y) {
  using C = Compute<T>;
  Place<vec> at(r);
  T* x = shared_at<T>(r.operand[0]);
  Mask<C, vec> mask(r, o);
  at.each([&](int i, int64_t j) {
    copy_to_shared<vec>(x + i, o.x + j);
    mask.fetch(i, j);
  });
  __pipeline_commit();
  C *centre = shared_at<C>(r.scalars), *mean = centre + r.groups, *rstd = mean + r.groups,
    *rest = centre;  // which is read no more when this is written
  auto origin_of = [&](int group) { return C(o.x[at.image + group * r.group]); };  // the group's first element
  C about[units];
  for (int u = 0; u < units; ++u) about[u] = origin_of(at.group_of(u * (vec / units)));
  __pipeline_wait_prior(0);

  Values<C, units> total{};
  at.each([&](int i, int64_t) {
    Values<C, vec> vx = read<vec>(x + i);
    for (int v = 0; v < vec; ++v) total.at[v * units / vec] += vx.at[v] - about[v * units / vec];
  });
  at.sum_lines(total);
  double m = static_cast<double>(r.pixels) * r.group;
  at.share(r.groups, r.by_groups, 1, [&](int i, int) {
    double sum = at.template sum_of_group<units, units, double, C>(i, 0);
    centre[i] = static_cast<C>(static_cast<double>(origin_of(i)) + sum / m);
  });
  __syncthreads();

  Values<C, 2 * units> moments{};
  for (int u = 0; u < units; ++u) about[u] = centre[at.group_of(u * (vec / units))];
  at.each([&](int i, int64_t) {
    Values<C, vec> vx = read<vec>(x + i);
    for (int v = 0; v < vec; ++v) {
      int u = v * units / vec;
      C d = vx.at[v] - about[u];
      moments.at[u] += d, moments.at[units + u] += d * d;
    }
  });
  at.sum_lines(moments);
  at.share(r.groups, r.by_groups, 1, [&](int i, int) {
    double origin = static_cast<double>(centre[i]);
    double sum = at.template sum_of_group<2 * units, units, double, C>(i, 0);
    double squares = at.template sum_of_group<2 * units, units, double, C>(i, units);
    if (!(squares < INFINITY)) {  // C does not hold them: one thread takes the group in double
      origin = static_cast<double>(origin_of(i)), sum = squares = 0;
      for (int p = 0; p < r.pixels; ++p)
        for (int c = i * r.group; c < (i + 1) * r.group; ++c) {
          double d = static_cast<double>(C(x[p * r.width + c])) - origin;
          sum += d, squares += d * d;
        }
    }
    norm_statistics(1, m, eps, &origin, &sum, &squares, mean + i, rest + i, rstd + i);
    o.mean[at.ng + i] = mean[i], o.rest[at.ng + i] = rest[i], o.rstd[at.ng + i] = rstd[i];
  });
  __syncthreads();

  Channels<C, vec, units> k(at, o.a, o.s, mean, rest, rstd, C(INFINITY));
  at.each([&](int i, int64_t j) {
    Values<C, vec> vx = read<vec>(x + i);
    for (int v = 0; v < vec; ++v) vx.at[v] = phi<T, silu>(k.z(k.d(vx.at[v], v), v));
    mask.apply(vx, i);
    write<vec>(y + j, vx);
  });
}

template <class T, bool silu, int vec, int units>
__global__ void __launch_bounds__(most_threads, 3) vjp_kernel(Rows r, Operands<T> o, T* dx) {
  using C = Compute<T>;
  Place<vec> at(r);
  T *x = shared_at<T>(r.operand[0]), *g = shared_at<T>(r.operand[1]);
  Mask<C, vec> mask(r, o);
  at.each([&](int i, int64_t j) {
    copy_to_shared<vec>(x + i, o.x + j), copy_to_shared<vec>(g + i, o.g + j);
    mask.fetch(i, j);
    if (o.add_dx) fetch_into_cache(o.add_dx + j);
  });
  __pipeline_commit();
  Channels<C, vec, units> k(at, o.a, o.s, o.mean + at.ng, o.rest + at.ng, o.rstd + at.ng, far<C>);
  __pipeline_wait_prior(0);

  C ds[vec] = {}, da[vec] = {};
  at.each([&](int i, int64_t) {
    Values<C, vec> vx = read<vec>(x + i), vg = read<vec>(g + i);
    mask.apply(vg, i);
    for (int v = 0; v < vec; ++v) {
      C d = k.d(vx.at[v], v), h = vg.at[v] * Slopes<T, silu>(k.z(d, v)).first;
      ds[v] += h, da[v] += h * d;
    }
  });
  C one[units] = {}, y[units] = {};
  for (int v = 0; v < vec; ++v) {
    int u = v * units / vec;
    da[v] = k.rstd[u] * da[v] + k.shift[u] * ds[v];
    one[u] += k.scale[v] * ds[v], y[u] += k.scale[v] * da[v];
  }
  C* scalars = shared_at<C>(r.scalars);
  finish_sums(at, o, ds, da, one, y, scalars);

  for (int u = 0; u < units; ++u) {  // dx = scale·h + y·d + one
    C mean = scalars[k.group[u]], mean_y = scalars[r.groups + k.group[u]];
    y[u] = -k.rstd[u] * mean_y, one[u] = -mean - k.shift[u] * mean_y;
  }
  Addend<T, vec> add(at, o.add_dx);
  at.each([&](int i, int64_t j) {
    Values<C, vec> vx = read<vec>(x + i), vg = read<vec>(g + i);
    mask.apply(vg, i);
    for (int v = 0; v < vec; ++v) {
      int u = v * units / vec;
      C d = k.d(vx.at[v], v), h = vg.at[v] * Slopes<T, silu>(k.z(d, v)).first;
      vx.at[v] = k.scale[v] * h + (y[u] * d + one[u]);
    }
    add.add_to(vx, j);
    write<vec>(dx + j, vx);
  });
}

}  // namespace

bool group_norm_in_rows(const NormCall& call) {
  return in_rows(call, 0, [&]<class T, bool silu, int vec, int units>(const Rows& r) {
    launch_rows("group_norm", forward_kernel<T, silu, vec, units>, call, r, operands<T>(call), call.p.eps,
                pointer<T>(call.stats.y));
  });
}
bool group_norm_vjp_in_rows(const NormCall& call) {
  return in_rows(call, 1, [&]<class T, bool silu, int vec, int units>(const Rows& r) {
    launch_rows("group_norm_vjp", vjp_kernel<T, silu, vec, units>, call, r, operands<T>(call),
                pointer<T>(call.grads.dx));
  });
}

}  // namespace vapo::cuda

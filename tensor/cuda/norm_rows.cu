// Group normalisation and its vjp in one pass.

#include "tensor/cuda/norm_thread.h"

namespace vapo::cuda {
namespace {

template <class T, bool silu, int vec, int units, int held>
__global__ void __launch_bounds__(most_threads[0], least_blocks[0])
    forward_kernel(Rows r, Operands<T> o, double eps, T* y) {
  using C = Compute<T>;
  Place<vec, held> at(r);
  Kept<T, vec, held> x(r.operand[0]);
  Mask<C, vec, held> mask(r, o);
  C *centre = shared_at<C>(r.scalars), *mean = centre + r.groups, *rstd = mean + r.groups,
    *rest = centre;  // which is read no more when this is written
  double m = static_cast<double>(r.pixels) * r.group;

  auto copy = [&] {
    at.each([&](int, int i, int64_t j) {
      x.fetch(i, o.x + j);
      mask.fetch(i, j);
    });
    if (at.thread == 0) fetch_into_cache(o.a + at.nc), fetch_into_cache(o.s + at.nc);
  };
  auto take = [&](int k, int i) { x.take(k, i), mask.take(k, i); };
  for_items(at, copy, take, [&] {
    auto origin_of = [&](int group) { return C(o.x[at.image + group * r.group]); };  // the group's first element
    C about[units];
    for (int u = 0; u < units; ++u) about[u] = origin_of(at.group_of(u * (vec / units)));

    Values<C, units> total{};
    at.each([&](int k, int i, int64_t) {
      Values<C, vec> vx = x.get(k, i);
      for (int v = 0; v < vec; ++v) total.at[v * units / vec] += vx.at[v] - about[v * units / vec];
    });
    at.template sum_up<double>(total);
    at.share(1, [&](int i, int) {
      double sum = at.template total_of<double, units, units>(i, 0);
      centre[i] = static_cast<C>(static_cast<double>(origin_of(i)) + sum / m);
    });
    __syncthreads();

    Values<C, 2 * units> moments{};
    for (int u = 0; u < units; ++u) about[u] = centre[at.group_of(u * (vec / units))];
    at.each([&](int k, int i, int64_t) {
      Values<C, vec> vx = x.get(k, i);
      for (int v = 0; v < vec; ++v) {
        int u = v * units / vec;
        C d = vx.at[v] - about[u];
        moments.at[u] += d, moments.at[units + u] += d * d;
      }
    });
    at.template sum_up<double>(moments);
    at.share(1, [&](int i, int) {
      double origin = static_cast<double>(centre[i]);
      double sum = at.template total_of<double, 2 * units, units>(i, 0);
      double squares = at.template total_of<double, 2 * units, units>(i, units);
      if (!(squares < INFINITY)) {  // C does not hold them: one thread takes the group in double
        origin = static_cast<double>(origin_of(i)), sum = squares = 0;
        for (int p = 0; p < r.pixels; ++p)
          for (int c = i * r.group; c < (i + 1) * r.group; ++c) {
            double d = static_cast<double>(C(o.x[at.image + p * r.channels + c])) - origin;
            sum += d, squares += d * d;
          }
      }
      norm_statistics(1, m, eps, &origin, &sum, &squares, mean + i, rest + i, rstd + i);
      o.mean[at.ng + i] = mean[i], o.rest[at.ng + i] = rest[i], o.rstd[at.ng + i] = rstd[i];
    });
    __syncthreads();

    Channels<C, vec, units> c(at, o.a, o.s, mean, rest, rstd, C(INFINITY));
    at.each([&](int k, int i, int64_t j) {
      Values<C, vec> vx = x.get(k, i);
      for (int v = 0; v < vec; ++v) vx.at[v] = phi<T, silu>(c.z(c.d(vx.at[v], v), v));
      mask.apply(vx, k, i);
      write<vec>(y + j, vx);
    });
  });
}

template <class T, bool silu, int vec, int units, int held>
__global__ void __launch_bounds__(most_threads[1], least_blocks[1]) vjp_kernel(Rows r, Operands<T> o, T* dx) {
  using C = Compute<T>;
  Place<vec, held> at(r);
  Kept<T, vec, held> x(r.operand[0]), g(r.operand[1]);
  Mask<C, vec, held> mask(r, o);
  C* scalars = shared_at<C>(r.scalars);

  auto copy = [&] {
    at.each([&](int, int i, int64_t j) {
      x.fetch(i, o.x + j), g.fetch(i, o.g + j);
      mask.fetch(i, j);
      if (o.add_dx) fetch_into_cache(o.add_dx + j);
    });
    fetch_coefficients(at, o);
  };
  auto take = [&](int k, int i) { x.take(k, i), g.take(k, i), mask.take(k, i); };
  for_items(at, copy, take, [&] {
    Channels<C, vec, units> c(at, o.a, o.s, o.mean + at.ng, o.rest + at.ng, o.rstd + at.ng, far<C>);
    C kept_h[held > 0 ? held : 1][vec];  // h, in the place of g

    C ds[vec] = {}, da[vec] = {};
    at.each([&](int k, int i, int64_t) {
      Values<C, vec> vx = x.get(k, i), vg = g.get(k, i);
      mask.apply(vg, k, i);
      for (int v = 0; v < vec; ++v) {
        C d = c.d(vx.at[v], v), h = vg.at[v] * Slopes<T, silu>(c.z(d, v)).first;
        ds[v] += h, da[v] += h * d;
        if constexpr (held > 0) kept_h[k][v] = h;
      }
    });
    C one[units] = {}, y[units] = {};
    for (int v = 0; v < vec; ++v) {
      int u = v * units / vec;
      da[v] = c.rstd[u] * da[v] + c.shift[u] * ds[v];
      one[u] += c.scale[v] * ds[v], y[u] += c.scale[v] * da[v];
    }
    finish_sums(at, o, ds, da, one, y, scalars);

    for (int u = 0; u < units; ++u) {  // dx = scale·h + y·d + one
      C mean = scalars[c.group[u]], mean_y = scalars[r.groups + c.group[u]];
      y[u] = -c.rstd[u] * mean_y, one[u] = -mean - c.shift[u] * mean_y;
    }
    Addend<T, vec> add(at, o.add_dx);
    at.each([&](int k, int i, int64_t j) {
      Values<C, vec> vx = x.get(k, i), vh;
      if constexpr (held > 0) {
        for (int v = 0; v < vec; ++v) vh.at[v] = kept_h[k][v];
      } else {
        vh = g.get(k, i);
        mask.apply(vh, k, i);
        for (int v = 0; v < vec; ++v) vh.at[v] *= Slopes<T, silu>(c.z(c.d(vx.at[v], v), v)).first;
      }
      for (int v = 0; v < vec; ++v) {
        int u = v * units / vec;
        vx.at[v] = c.scale[v] * vh.at[v] + (y[u] * c.d(vx.at[v], v) + one[u]);
      }
      add.add_to(vx, j);
      write<vec>(dx + j, vx);
    });
  });
}

}  // namespace

bool group_norm_in_rows(const NormCall& call) {
  return in_rows<most_held>(call, 0, [&]<class T, bool silu, int vec, int units, int held>(const Rows& r) {
    launch_rows("group_norm", forward_kernel<T, silu, vec, units, held>, r, operands<T>(call), call.p.eps,
                pointer<T>(call.stats.y));
  });
}
bool group_norm_vjp_in_rows(const NormCall& call) {
  return in_rows<most_held>(call, 1, [&]<class T, bool silu, int vec, int units, int held>(const Rows& r) {
    launch_rows("group_norm_vjp", vjp_kernel<T, silu, vec, units, held>, r, operands<T>(call),
                pointer<T>(call.grads.dx));
  });
}

}  // namespace vapo::cuda

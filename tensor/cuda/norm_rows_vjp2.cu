// The second derivative of group normalisation in one pass, in three sweeps over what a thread keeps.

#include "tensor/cuda/norm_thread.h"

namespace vapo::cuda {
namespace {

template <class T, bool silu, int vec, int units>
__global__ void __launch_bounds__(most_threads[2], least_blocks[2])
    vjp2_kernel(Rows r, Operands<T> o, T* dx, T* dg) {
  using C = Compute<T>;
  constexpr int held = 0;  // three operands are too many
  Place<vec, held> at(r);
  Kept<T, vec, held> x(r.operand[0]), g(r.operand[1]), u(r.operand[2]);
  Mask<C, vec, held> mask(r, o);
  C *means = shared_at<C>(r.scalars), *last = means + 5 * r.groups;

  auto copy = [&] {
    at.each([&](int, int i, int64_t j) {
      x.fetch(i, o.x + j), g.fetch(i, o.g + j), u.fetch(i, o.u + j);
      mask.fetch(i, j);
      if (o.add_dx) fetch_into_cache(o.add_dx + j);
      if (o.add_dg) fetch_into_cache(o.add_dg + j);
    });
    fetch_coefficients(at, o);
  };
  for_items(
      at, copy, [](int, int) {},
      [&] {
        Channels<C, vec, units> c(at, o.a, o.s, o.mean + at.ng, o.rest + at.ng, o.rstd + at.ng, far<C>);
        C sum_h[vec] = {}, sum_hd[vec] = {}, sum_hu[vec] = {};
        Values<C, 5 * units> total{};  // of u, uŷ, and rstd times k, kŷ, ku, a unit after the other
        at.each([&](int k, int i, int64_t) {
          Values<C, vec> vx = x.get(k, i), vg = g.get(k, i), vu = u.get(k, i);
          mask.apply(vg, k, i);
          for (int v = 0; v < vec; ++v) {
            int unit = v * units / vec;
            C d = c.d(vx.at[v], v), h = vg.at[v] * Slopes<T, silu>(c.z(d, v)).first;
            total.at[unit] += vu.at[v], total.at[units + unit] += vu.at[v] * d;
            sum_h[v] += h, sum_hd[v] += h * d, sum_hu[v] += h * vu.at[v];
          }
        });
        for (int i = 0; i < units; ++i)
          total.at[units + i] = c.rstd[i] * total.at[units + i] + c.shift[i] * total.at[i];
        for (int v = 0; v < vec; ++v) {
          int unit = v * units / vec;
          sum_hd[v] = c.rstd[unit] * sum_hd[v] + c.shift[unit] * sum_h[v];  // Σhŷ from here on
          total.at[2 * units + unit] += c.scale[v] * sum_h[v], total.at[3 * units + unit] += c.scale[v] * sum_hd[v];
          total.at[4 * units + unit] += c.scale[v] * sum_hu[v];
        }
        at.template sum_up<C>(total);
        at.template means<5 * units, units>(5, 0, means);

        // ż = scale·u + zd·d + z1, and of dx what is known before the last means: scale·e + zd·h + cu·u. da begins with
        // h's share in it, and the sums of rstd·v and rstd·vŷ with what is not scale·Σe and scale·da.
        C zd[vec], z1[vec], cu[units], ds[vec] = {}, da[vec], one[units] = {}, y[units] = {};
        auto read_or_zero = [&](const C* from) {
          return from ? read<vec>(from + at.nc + at.first) : Values<C, vec>{};
        };
        Values<C, vec> ua = read_or_zero(o.ua), us = read_or_zero(o.us);
        for (int v = 0; v < vec; ++v) {
          int unit = v * units / vec, i = c.group[unit];
          C rstd = c.rstd[unit], mu = means[i], muy = means[r.groups + i];
          C zy = ua.at[v] - c.scale[v] * muy;
          zd[v] = zy * rstd, z1[v] = us.at[v] - c.scale[v] * mu + zy * c.shift[unit];
          cu[unit] = -rstd * means[3 * r.groups + i];
          da[v] = sum_hu[v] - mu * sum_h[v] - muy * sum_hd[v];  // over rstd, as is Σed
          one[unit] += rstd * ua.at[v] * sum_h[v], y[unit] += rstd * (ua.at[v] * sum_hd[v] - c.scale[v] * da[v]);
        }
        constexpr int halves = sizeof(C) / sizeof(T), half = vec / halves;  // dx in C takes the places of g and u
        auto place = [&](int i, int h) { return reinterpret_cast<C*>((h == 0 ? g : u).shared + i); };
        Addend<T, vec> add_dg(at, o.add_dg);
        at.each([&](int k, int i, int64_t j) {
          Values<C, vec> vx = x.get(k, i), vg = g.get(k, i), vu = u.get(k, i), out;
          mask.apply(vg, k, i);
          for (int v = 0; v < vec; ++v) {
            C d = c.d(vx.at[v], v), dz = c.scale[v] * vu.at[v] + (zd[v] * d + z1[v]);
            Slopes<T, silu> f(c.z(d, v));
            C e = f.second * (vg.at[v] * dz);
            ds[v] += e, da[v] += e * d;
            vx.at[v] = c.scale[v] * e + (zd[v] * (vg.at[v] * f.first) + cu[v * units / vec] * vu.at[v]);
            out.at[v] = f.first * dz;
          }
          mask.apply(out, k, i);
          add_dg.add_to(out, j);
          write<vec>(dg + j, out);
          for (int h = 0; h < halves; ++h) {
            Values<C, half> part;
            for (int v = 0; v < half; ++v) part.at[v] = vx.at[h * half + v];
            write<half>(place(i, h), part);
          }
        });
        for (int v = 0; v < vec; ++v) {
          int unit = v * units / vec;
          da[v] = c.rstd[unit] * da[v] + c.shift[unit] * ds[v];
          one[unit] += c.scale[v] * ds[v], y[unit] += c.scale[v] * da[v];
        }
        finish_sums(at, o, ds, da, one, y, last);

        for (int unit = 0; unit < units; ++unit) {
          int i = c.group[unit];
          auto mean = [&](int of) { return means[of * r.groups + i]; };
          C rstd = c.rstd[unit], mu = mean(0), muy = mean(1), mk = mean(2), mky = mean(3), muk = mean(4);
          C cy = -mean(6) - rstd * (muk - mu * mk - 3 * muy * mky);
          y[unit] = cy * rstd, one[unit] = cy * c.shift[unit] - mean(5) + rstd * (mu * mky + mk * muy);
        }
        Addend<T, vec> add_dx(at, o.add_dx);
        at.each([&](int k, int i, int64_t j) {
          Values<C, vec> out = x.get(k, i);
          for (int v = 0; v < vec; ++v) {
            int unit = v * units / vec;
            out.at[v] = y[unit] * c.d(out.at[v], v) + one[unit];
          }
          for (int h = 0; h < halves; ++h) {
            Values<C, half> part = read<half>(place(i, h));
            for (int v = 0; v < half; ++v) out.at[h * half + v] += part.at[v];
          }
          add_dx.add_to(out, j);
          write<vec>(dx + j, out);
        });
      });
}

}  // namespace

bool group_norm_vjp2_in_rows(const NormCall& call) {
  return in_rows<0>(call, 2, [&]<class T, bool silu, int vec, int units, int>(const Rows& r) {
    launch_rows("group_norm_vjp2", vjp2_kernel<T, silu, vec, units>, r, operands<T>(call),
                pointer<T>(call.grads.dx), pointer<T>(call.grads.dg));
  });
}

}  // namespace vapo::cuda

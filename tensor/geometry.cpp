#include "tensor/geometry.h"

namespace vapo {

ConvGeometry conv_geometry(const char* op, const Shape& x, const Shape& w, const kernel::Conv2dOptions& p) {
  VAPO_CHECK(x.rank() == 4 && w.rank() == 4, "[{}] input {} must be (N,H,W,C), weight {} (O,kH,kW,C/groups)", op,
             x.str(), w.str());
  VAPO_CHECK(p.stride.h >= 1 && p.stride.w >= 1 && p.dilation.h >= 1 && p.dilation.w >= 1 && p.padding.h >= 0 &&
                 p.padding.w >= 0 && p.groups >= 1,
             "[{}] stride ({},{}), dilation ({},{}) and groups {} must be at least 1, padding ({},{}) at least 0",
             op, p.stride.h, p.stride.w, p.dilation.h, p.dilation.w, p.groups, p.padding.h, p.padding.w);
  VAPO_CHECK(x[3] == w[3] * p.groups,
             "[{}] input has {} channels, weight expects {}: input {}, weight {}, groups {}. Hint: images are "
             "(N,H,W,C), weights (O,kH,kW,C/groups)",
             op, x[3], w[3] * p.groups, x.str(), w.str(), p.groups);
  VAPO_CHECK(w[0] % p.groups == 0, "[{}] {} output channels do not divide into {} groups", op, w[0], p.groups);
  VAPO_CHECK(w[1] >= 1 && w[2] >= 1, "[{}] weight {} has an empty window", op, w.str());
  auto size = [](int64_t in, int64_t k, int64_t stride, int64_t padding, int64_t dilation) {
    int64_t room = in + 2 * padding - dilation * (k - 1) - 1;
    return room < 0 ? 0 : room / stride + 1;
  };
  ConvGeometry s{.n = x[0],
                 .h = x[1],
                 .w = x[2],
                 .c = x[3],
                 .oh = size(x[1], w[1], p.stride.h, p.padding.h, p.dilation.h),
                 .ow = size(x[2], w[2], p.stride.w, p.padding.w, p.dilation.w),
                 .o = w[0],
                 .kh = w[1],
                 .kw = w[2],
                 .cg = w[3],
                 .og = w[0] / p.groups,
                 .p = p};
  VAPO_CHECK(s.oh >= 1 && s.ow >= 1,
             "[{}] a {}×{} window with dilation ({},{}) does not fit an input of {}×{} with padding ({},{})", op,
             s.kh, s.kw, p.dilation.h, p.dilation.w, s.h, s.w, p.padding.h, p.padding.w);
  return s;
}

}  // namespace vapo

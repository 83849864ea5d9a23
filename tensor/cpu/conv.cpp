// Convolutions: oneDNN in f32, plain loops in f64. The images of a batch are split over the threads.

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "tensor/cpu/cpu.h"
#include "tensor/cpu/onednn.h"
#include "tensor/cpu/simd.h"
#include "tensor/cpu/winograd.h"
#include "tensor/parallel.h"
#include "tensor/precision.h"

namespace vapo::cpu {
namespace {

// ---- oneDNN's direct convolutions

enum class Pass { forward, input_grad, weight_grad };

// One pass over n images.
struct Call {
  Pass pass;
  bool bias;
  int64_t n, h, w, c, oh, ow, o, kh, kw, groups, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
  auto operator<=>(const Call&) const = default;
};
Call call_of(Pass pass, const ConvGeometry& s, int64_t n, bool bias) {
  return {pass,
          bias,
          n,
          s.h,
          s.w,
          s.c,
          s.oh,
          s.ow,
          s.o,
          s.kh,
          s.kw,
          s.p.groups,
          s.p.stride.h,
          s.p.stride.w,
          s.p.padding.h,
          s.p.padding.w,
          s.p.dilation.h,
          s.p.dilation.w};
}

class Convolution {
 public:
  explicit Convolution(const Call& k) {
    OneThread one;
    using namespace dnnl;
    constexpr auto f32 = memory::data_type::f32;
    int64_t cg = k.c / k.groups, og = k.o / k.groups;
    auto image = [](int64_t n, int64_t h, int64_t w, int64_t c) {
      return memory::desc({n, c, h, w}, f32, memory::format_tag::nhwc);
    };
    memory::desc x = image(k.n, k.h, k.w, k.c), y = image(k.n, k.oh, k.ow, k.o), any;
    if (k.groups == 1) {
      ours_ = memory::desc({k.o, cg, k.kh, k.kw}, f32, memory::dims{k.kh * k.kw * cg, 1, k.kw * cg, cg});
      any = memory::desc({k.o, cg, k.kh, k.kw}, f32, memory::format_tag::any);
    } else {
      int64_t out = k.kh * k.kw * cg;
      ours_ = memory::desc({k.groups, og, cg, k.kh, k.kw}, f32, memory::dims{og * out, out, 1, k.kw * cg, cg});
      any = memory::desc({k.groups, og, cg, k.kh, k.kw}, f32, memory::format_tag::any);
    }
    memory::desc b = k.bias ? memory::desc({k.o}, f32, memory::format_tag::a) : memory::desc();
    memory::dims stride{k.stride_h, k.stride_w}, pad{k.pad_h, k.pad_w},
        dilation{k.dilation_h - 1, k.dilation_w - 1};
    constexpr auto direct = algorithm::convolution_direct;
    const engine& cpu = onednn_engine();
    convolution_forward::primitive_desc forward(
        {prop_kind::forward_training, direct, x, any, b, y, stride, dilation, pad, pad}, cpu);
    if (k.pass == Pass::forward) {
      packed_ = forward.weights_desc();
      call_ = convolution_forward(forward);
    } else if (k.pass == Pass::input_grad) {
      convolution_backward_data::primitive_desc made({direct, x, any, y, stride, dilation, pad, pad}, cpu, forward);
      packed_ = made.weights_desc();
      call_ = convolution_backward_data(made);
    } else {
      convolution_backward_weights::primitive_desc made({direct, x, any, y, stride, dilation, pad, pad}, cpu,
                                                        forward);
      packed_ = made.diff_weights_desc();
      call_ = convolution_backward_weights(made);
    }
    bool backward = k.pass == Pass::input_grad;
    arguments_ = {
        {x_ = backward ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, {x, cpu, nullptr}},
        {y_ = k.pass == Pass::forward ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, {y, cpu, nullptr}},
        {w_ = k.pass == Pass::weight_grad ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, {packed_, cpu, nullptr}}};
    if (k.bias) arguments_.insert({DNNL_ARG_BIAS, {b, cpu, nullptr}});
  }
  size_t packed_bytes() const { return packed_.get_size(); }
  bool same_layout(const Convolution& other) const { return packed_ == other.packed_; }
  void pack(const float* w, float* packed) { reorder(ours_, w, packed_, packed); }
  void unpack(const float* packed, float* w) { reorder(packed_, packed, ours_, w); }
  void run(const float* x, const float* packed, const float* bias, const float* y) {
    OneThread one;
    point(x_, x), point(w_, packed), point(y_, y);
    if (bias) point(DNNL_ARG_BIAS, bias);
    call_.execute(onednn_stream(), arguments_);
  }

 private:
  static void reorder(const dnnl::memory::desc& from_layout, const float* from, const dnnl::memory::desc& to_layout,
                      float* to) {
    OneThread one;
    dnnl::memory a(from_layout, onednn_engine(), const_cast<float*>(from)), b(to_layout, onednn_engine(), to);
    dnnl::reorder(a, b).execute(onednn_stream(), a, b);
  }
  void point(int argument, const float* data) {
    arguments_.find(argument)->second.set_data_handle(const_cast<float*>(data));
  }
  dnnl::memory::desc ours_, packed_;
  dnnl::primitive call_;
  int x_, y_, w_;
  std::unordered_map<int, dnnl::memory> arguments_;
};

Tensor scratch(size_t bytes) { return Tensor::empty({static_cast<int64_t>((bytes + 3) / 4)}); }

// f(first image, count, part) for a part of the batch on each thread.
template <class F>
void over_images(int64_t n, const F& f) {
  int64_t parts = std::min<int64_t>(num_threads(), n), size = (n + parts - 1) / parts;
  parallel_for(parts, 1, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part)
      if (int64_t first = part * size; first < n) f(first, std::min(size, n - first), part);
  });
}

// forward and input_grad: `in` and `out` are the images of one pass, w its weights.
void with_weights(Pass pass, const ConvGeometry& s, const float* x, const float* w, const float* bias, float* y) {
  int64_t part_size = (s.n + std::min<int64_t>(num_threads(), s.n) - 1) / std::min<int64_t>(num_threads(), s.n);
  Convolution& first = primitive_for<Convolution>(call_of(pass, s, part_size, bias != nullptr));
  Tensor packed = scratch(first.packed_bytes());
  first.pack(w, packed.mutable_data<float>());
  over_images(s.n, [&](int64_t begin, int64_t count, int64_t) {
    Convolution& own = primitive_for<Convolution>(call_of(pass, s, count, bias != nullptr));
    Tensor repacked;
    if (!own.same_layout(first)) {  // a smaller last part may want another layout
      repacked = scratch(own.packed_bytes());
      own.pack(w, repacked.mutable_data<float>());
    }
    own.run(x + begin * s.h * s.w * s.c, (repacked.defined() ? repacked : packed).data<float>(), bias,
            y + begin * s.oh * s.ow * s.o);
  });
}

void weight_grad(const ConvGeometry& s, const float* x, const float* g, float* dw) {
  int64_t parts = std::min<int64_t>(num_threads(), s.n);
  std::vector<Tensor> sums(static_cast<size_t>(parts));  // in our layout, one for each part of the batch
  over_images(s.n, [&](int64_t begin, int64_t count, int64_t part) {
    Convolution& own = primitive_for<Convolution>(call_of(Pass::weight_grad, s, count, false));
    Tensor packed = scratch(own.packed_bytes());
    own.run(x + begin * s.h * s.w * s.c, packed.data<float>(), nullptr, g + begin * s.oh * s.ow * s.o);
    float* to = dw;
    if (part > 0) {
      sums[static_cast<size_t>(part)] = Tensor::empty({s.o, s.kh, s.kw, s.cg});
      to = sums[static_cast<size_t>(part)].mutable_data<float>();
    }
    own.unpack(packed.data<float>(), to);
  });
  int64_t size = s.o * s.kh * s.kw * s.cg;
  auto add = simd<float>().binary[static_cast<int>(kernel::Binary::add)];
  for (const Tensor& sum : sums)
    if (sum.defined()) add({dw, sum.data<float>(), dw, 1, size, 0, 1, 0, 1});
}

// ---- plain loops

// f(tap row, tap column, output row, output column, input row, input column) for every tap inside the input, of the
// output rows [begin, end).
template <class F>
void for_taps(const ConvGeometry& s, int64_t begin, int64_t end, const F& f) {
  for (int64_t i = 0; i < s.kh; ++i) {
    auto rows = ConvGeometry::inside(i, s.h, s.oh, s.p.stride.h, s.p.padding.h, s.p.dilation.h);
    for (int64_t j = 0; j < s.kw; ++j) {
      auto cols = ConvGeometry::inside(j, s.w, s.ow, s.p.stride.w, s.p.padding.w, s.p.dilation.w);
      for (int64_t r = std::max(begin, rows.begin); r < std::min(end, rows.end); ++r)
        for (int64_t c = cols.begin; c < cols.end; ++c)
          f(i, j, r, c, r * s.p.stride.h - s.p.padding.h + i * s.p.dilation.h,
            c * s.p.stride.w - s.p.padding.w + j * s.p.dilation.w);
    }
  }
}
int64_t weight_at(const ConvGeometry& s, int64_t o, int64_t i, int64_t j) {
  return ((o * s.kh + i) * s.kw + j) * s.cg;
}

template <class T>
void plain_forward(const ConvGeometry& s, const T* x, const T* w, const T* bias, T* y) {
  parallel_for(s.n * s.oh, 1, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      int64_t n = row / s.oh, r0 = row % s.oh;
      T* out = y + row * s.ow * s.o;
      for (int64_t k = 0; k < s.ow * s.o; ++k) out[k] = bias ? bias[k % s.o] : T(0);
      for_taps(s, r0, r0 + 1, [&](int64_t i, int64_t j, int64_t, int64_t c, int64_t h, int64_t v) {
        const T* in = x + ((n * s.h + h) * s.w + v) * s.c;
        for (int64_t o = 0; o < s.o; ++o)
          out[c * s.o + o] += simd<T>().dot(in + o / s.og * s.cg, w + weight_at(s, o, i, j), s.cg);
      });
    }
  });
}
template <class T>
void plain_input_grad(const ConvGeometry& s, const T* g, const T* w, T* dx) {
  parallel_for(s.n, 1, 1, [&](int64_t begin, int64_t end) {
    std::fill(dx + begin * s.h * s.w * s.c, dx + end * s.h * s.w * s.c, T(0));
    for (int64_t n = begin; n < end; ++n)
      for_taps(s, 0, s.oh, [&](int64_t i, int64_t j, int64_t r, int64_t c, int64_t h, int64_t v) {
        const T* from = g + ((n * s.oh + r) * s.ow + c) * s.o;
        T* to = dx + ((n * s.h + h) * s.w + v) * s.c;
        for (int64_t group = 0; group < s.p.groups; ++group)
          simd<T>().weighted_rows(from + group * s.og, 1, w + weight_at(s, group * s.og, i, j), s.kh * s.kw * s.cg,
                                  s.og, to + group * s.cg, s.cg, true);
      });
  });
}
template <class T>
void plain_weight_grad(const ConvGeometry& s, const T* x, const T* g, T* dw) {
  parallel_for(s.o, 1, 1, [&](int64_t begin, int64_t end) {
    std::fill(dw + weight_at(s, begin, 0, 0), dw + weight_at(s, end, 0, 0), T(0));
    for (int64_t n = 0; n < s.n; ++n)
      for_taps(s, 0, s.oh, [&](int64_t i, int64_t j, int64_t r, int64_t c, int64_t h, int64_t v) {
        const T* from = g + ((n * s.oh + r) * s.ow + c) * s.o;
        const T* in = x + ((n * s.h + h) * s.w + v) * s.c;
        for (int64_t o = begin; o < end; ++o)
          simd<T>().weighted_rows(from + o, 1, in + o / s.og * s.cg, 0, 1, dw + weight_at(s, o, i, j), s.cg, true);
      });
  });
}

template <class F>
void guarded(const char* op, const ConvGeometry& s, const F& f) {
  try {
    f();
  } catch (const dnnl::error& e) {
    fail("[{}] oneDNN refused input ({},{},{},{}), weight ({},{},{},{}): {}", op, s.n, s.h, s.w, s.c, s.o, s.kh,
         s.kw, s.cg, e.what());
  }
}
bool use_winograd(const ConvGeometry& s) { return precision() == Precision::fast && winograd_applies(s); }
bool empty(const ConvGeometry& s) { return s.n == 0 || s.c == 0 || s.o == 0; }

}  // namespace

std::string libraries() {
  const dnnl_version_t& v = *dnnl::version();
  return fmt::format("oneDNN {}.{}.{}, loops for {}", v.major, v.minor, v.patch, simd_name());
}

void conv2d(const ConvGeometry& s, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& y) {
  if (x.dtype() == DType::f64 || empty(s)) {
    dispatch_floating(x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      plain_forward(s, x.data<T>(), w.data<T>(), bias.defined() ? bias.data<T>() : nullptr, y.mutable_data<T>());
    });
    return;
  }
  if (use_winograd(s))
    return winograd_forward(s, x.data<float>(), w.data<float>(), bias.defined() ? bias.data<float>() : nullptr,
                            y.mutable_data<float>());
  guarded("conv2d", s, [&] {
    with_weights(Pass::forward, s, x.data<float>(), w.data<float>(), bias.defined() ? bias.data<float>() : nullptr,
                 y.mutable_data<float>());
  });
}

void conv2d_input_grad(const ConvGeometry& s, const Tensor& g, const Tensor& w, const Tensor& dx) {
  if (g.dtype() == DType::f64 || empty(s)) {
    dispatch_floating(g.dtype(), [&](auto zero) {
      using T = decltype(zero);
      plain_input_grad(s, g.data<T>(), w.data<T>(), dx.mutable_data<T>());
    });
    return;
  }
  if (use_winograd(s)) return winograd_input_grad(s, g.data<float>(), w.data<float>(), dx.mutable_data<float>());
  guarded("conv2d_input_grad", s, [&] {
    with_weights(Pass::input_grad, s, dx.data<float>(), w.data<float>(), nullptr, g.mutable_data<float>());
  });
}

void conv2d_weight_grad(const ConvGeometry& s, const Tensor& x, const Tensor& g, const Tensor& dw) {
  if (x.dtype() == DType::f64 || empty(s)) {
    dispatch_floating(x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      plain_weight_grad(s, x.data<T>(), g.data<T>(), dw.mutable_data<T>());
    });
    return;
  }
  if (use_winograd(s)) return winograd_weight_grad(s, x.data<float>(), g.data<float>(), dw.mutable_data<float>());
  guarded("conv2d_weight_grad", s,
          [&] { weight_grad(s, x.data<float>(), g.data<float>(), dw.mutable_data<float>()); });
}

}  // namespace vapo::cpu

#include "tensor/cpu/conv_onednn.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "tensor/cpu/onednn.h"
#include "tensor/cpu/simd.h"
#include "tensor/parallel.h"
#include "tensor/precision.h"

namespace vapo::cpu {
namespace {

enum class Pass { forward, input_grad, weight_grad };

struct Call {
  Pass pass;
  bool bias, bf16;
  ConvGeometry s;  // its n: the images of one thread
  auto operator<=>(const Call&) const = default;
};

// oneDNN's primitive for one pass, with the memory objects it is called on. Its weights are in a layout of its own.
class Convolution {
 public:
  explicit Convolution(const Call& call) {
    OneThread one;
    using namespace dnnl;
    using type = memory::data_type;
    using tag = memory::format_tag;
    const ConvGeometry& s = call.s;
    type operand = call.bf16 ? type::bf16 : type::f32;
    auto result_in = [&](Pass pass) { return call.pass == pass ? type::f32 : operand; };
    auto image = [](int64_t n, int64_t h, int64_t w, int64_t c, type t) {
      return memory::desc({n, c, h, w}, t, tag::nhwc);
    };
    int64_t g = s.p.groups, filter = s.kh * s.kw * s.cg;
    memory::dims sizes{s.og, s.cg, s.kh, s.kw}, strides{filter, 1, s.kw * s.cg, s.cg};
    if (g > 1) sizes.insert(sizes.begin(), g), strides.insert(strides.begin(), s.og * filter);
    x_ = {image(s.n, s.h, s.w, s.c, type::f32), image(s.n, s.h, s.w, s.c, result_in(Pass::input_grad))};
    y_ = {image(s.n, s.oh, s.ow, s.o, type::f32), image(s.n, s.oh, s.ow, s.o, result_in(Pass::forward))};
    w_ = {memory::desc(sizes, type::f32, strides), memory::desc(sizes, result_in(Pass::weight_grad), tag::any)};
    memory::desc bias = call.bias ? memory::desc({s.o}, type::f32, tag::a) : memory::desc();
    memory::dims stride{s.p.stride.h, s.p.stride.w}, pad{s.p.padding.h, s.p.padding.w},
        dilation{s.p.dilation.h - 1, s.p.dilation.w - 1};
    constexpr auto direct = algorithm::convolution_direct;
    const engine& cpu = onednn_engine();
    // what the gradients take as a hint: the forward pass with its own types
    memory::desc hint_x = image(s.n, s.h, s.w, s.c, operand), hint_w(sizes, operand, tag::any),
                 hint_y = image(s.n, s.oh, s.ow, s.o, operand);
    auto forward = [&](const memory::desc& x, const memory::desc& w, const memory::desc& y) {
      return describe<convolution_forward>(cpu, prop_kind::forward_training, direct, x, w, bias, y, stride,
                                           dilation, pad, pad);
    };
    if (call.pass == Pass::forward) {
      auto made = forward(x_.used, w_.used, y_.used);
      w_.used = made.weights_desc();
      call_ = convolution_forward(made);
      names_ = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
    } else if (call.pass == Pass::input_grad) {
      auto made = describe_gradient<convolution_backward_data>(
          cpu, forward(hint_x, hint_w, hint_y), direct, x_.used, w_.used, y_.used, stride, dilation, pad, pad);
      w_.used = made.weights_desc();
      call_ = convolution_backward_data(made);
      names_ = {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST};
    } else {
      auto made = describe_gradient<convolution_backward_weights>(
          cpu, forward(hint_x, hint_w, hint_y), direct, x_.used, w_.used, y_.used, stride, dilation, pad, pad);
      w_.used = made.diff_weights_desc();
      call_ = convolution_backward_weights(made);
      names_ = {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST};
    }
    arguments_ = {{names_.x, {x_.used, cpu, nullptr}},
                  {names_.w, {w_.used, cpu, nullptr}},
                  {names_.y, {y_.used, cpu, nullptr}}};
    if (call.bias) arguments_.insert({DNNL_ARG_BIAS, {bias, cpu, nullptr}});
  }
  size_t packed_bytes() const { return w_.used.get_size(); }
  bool same_layout(const Convolution& other) const { return w_.used == other.w_.used; }
  void pack(const float* w, float* packed) const { reorder(w_.ours, w, w_.used, packed); }
  void unpack(const float* packed, float* w) const { reorder(w_.used, packed, w_.ours, w); }
  void run(const float* x, const float* packed, const float* bias, const float* y) {
    Tensor x_rounded = copied(x_, x), y_rounded = copied(y_, y);
    OneThread one;
    point(names_.x, x_rounded.defined() ? x_rounded.data<float>() : x);
    point(names_.y, y_rounded.defined() ? y_rounded.data<float>() : y);
    point(names_.w, packed);
    if (bias) point(DNNL_ARG_BIAS, bias);
    call_.execute(onednn_stream(), arguments_);
  }

 private:
  struct Names {
    int x, w, y;
  };
  void point(int argument, const float* data) {
    arguments_.find(argument)->second.set_data_handle(const_cast<float*>(data));
  }
  Layouts x_, w_, y_;
  Names names_{};
  dnnl::primitive call_;
  std::unordered_map<int, dnnl::memory> arguments_;
};

Convolution& convolution(Pass pass, ConvGeometry s, int64_t images, bool bias) {
  s.n = images;
  return primitive_for<Convolution>(Call{pass, bias, precision() == Precision::bf16 && cpu_has_bf16(), s});
}

int64_t part_size(int64_t n, int64_t parts) { return (n + parts - 1) / parts; }
// f(first image, count, part) for so many parts of the batch at most.
template <class F>
void over_images(int64_t n, int64_t most, const F& f) {
  int64_t size = part_size(n, most), parts = (n + size - 1) / size;
  parallel_for(parts, 1, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) f(part * size, std::min(size, n - part * size), part);
  });
}

// The passes that take weights and write images: forward, x → y, and input_grad, y → x.
void with_weights(Pass pass, const ConvGeometry& s, const float* x, const float* w, const float* bias,
                  const float* y) {
  const Convolution& first = convolution(pass, s, part_size(s.n, num_threads()), bias != nullptr);
  Tensor packed = scratch(first.packed_bytes());
  first.pack(w, packed.mutable_data<float>());
  over_images(s.n, num_threads(), [&](int64_t begin, int64_t count, int64_t) {
    Convolution& own = convolution(pass, s, count, bias != nullptr);
    Tensor weights = packed;
    if (!own.same_layout(first)) {  // a smaller last part may want another layout
      weights = scratch(own.packed_bytes());
      own.pack(w, weights.mutable_data<float>());
    }
    own.run(x + begin * s.h * s.w * s.c, weights.data<float>(), bias, y + begin * s.oh * s.ow * s.o);
  });
}

template <class F>
void guarded(const char* op, const ConvGeometry& s, const F& f) {
  try {
    f();
  } catch (const dnnl::error& e) {
    fail("[{}] oneDNN refused input ({},{},{},{}), weight ({},{},{},{}), precision {}: {}", op, s.n, s.h, s.w, s.c,
         s.o, s.kh, s.kw, s.cg, name_of(precision()), e.what());
  }
}

}  // namespace

void onednn_forward(const ConvGeometry& s, const float* x, const float* w, const float* bias, float* y) {
  guarded("conv2d", s, [&] { with_weights(Pass::forward, s, x, w, bias, y); });
}

void onednn_input_grad(const ConvGeometry& s, const float* g, const float* w, float* dx) {
  guarded("conv2d_input_grad", s, [&] { with_weights(Pass::input_grad, s, dx, w, nullptr, g); });
}

void onednn_weight_grad(const ConvGeometry& s, const float* x, const float* g, float* dw) {
  std::vector<Tensor> sums(static_cast<size_t>(sum_parts()));  // in our layout, one for each part of the batch
  guarded("conv2d_weight_grad", s, [&] {
    over_images(s.n, sum_parts(), [&](int64_t begin, int64_t count, int64_t part) {
      Convolution& own = convolution(Pass::weight_grad, s, count, false);
      Tensor packed = scratch(own.packed_bytes());
      own.run(x + begin * s.h * s.w * s.c, packed.data<float>(), nullptr, g + begin * s.oh * s.ow * s.o);
      float* to = dw;
      if (part > 0) {
        Tensor& sum = sums[static_cast<size_t>(part)];
        sum = Tensor::empty({s.o, s.kh, s.kw, s.cg});
        to = sum.mutable_data<float>();
      }
      own.unpack(packed.data<float>(), to);
    });
  });
  auto add = simd<float>().of(kernel::Binary::add);
  for (const Tensor& sum : sums)
    if (sum.defined()) add({dw, sum.data<float>(), dw, 1, sum.numel(), 0, 1, 0, 1});
}

}  // namespace vapo::cpu

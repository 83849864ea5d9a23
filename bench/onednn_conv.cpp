// oneDNN's direct convolutions by themselves, as a program that keeps its images channels last would call them: the
// weights stay in the library's own layout, OpenMP runs the threads. One line of JSON a shape and pass, named as in
// `vapo bench ops`. Arguments: batch-independent seconds for each row.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <unordered_map>
#include <vector>

#include "tensor/cpu/onednn_version.h"

namespace {

using namespace dnnl;
using vapo::cpu::describe, vapo::cpu::describe_gradient;
using Clock = std::chrono::steady_clock;

struct Size {
  int64_t in, out, size, batch;
};

memory filled(const memory::desc& desc, const engine& cpu) {
  memory m(desc, cpu);
  auto* p = static_cast<float*>(m.get_data_handle());
  for (size_t i = 0; i < desc.get_size() / sizeof(float); ++i) p[i] = static_cast<float>(i % 17) * 0.1f - 0.8f;
  return m;
}

void time(const Size& s, const char* pass, primitive& call, const std::unordered_map<int, memory>& arguments,
          const engine& cpu, double seconds) {
  stream queue(cpu);
  auto run = [&] {
    auto begin = Clock::now();
    call.execute(queue, arguments);
    queue.wait();
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  run();
  std::vector<double> times;
  for (double total = 0; total < seconds || times.size() < 5; total += times.back()) times.push_back(run());
  std::sort(times.begin(), times.end());
  std::printf(R"({"op": "conv2d 3x3", "shape": "%ld->%ld @%ldx%ld n%ld", "pass": "%s", "ms": %.6f})"
              "\n",
              static_cast<long>(s.in), static_cast<long>(s.out), static_cast<long>(s.size),
              static_cast<long>(s.size), static_cast<long>(s.batch), pass, 1e3 * times[times.size() / 2]);
}

void measure(const Size& s, const engine& cpu, double seconds) {
  constexpr auto f32 = memory::data_type::f32;
  constexpr auto direct = algorithm::convolution_direct;
  auto image = [&](int64_t c) { return memory::desc({s.batch, c, s.size, s.size}, f32, memory::format_tag::nhwc); };
  memory::desc x = image(s.in), y = image(s.out), w({s.out, s.in, 3, 3}, f32, memory::format_tag::any),
               b({s.out}, f32, memory::format_tag::a);
  memory::dims one{1, 1};
  memory::dims dense{0, 0};  // dilation
  auto forward =
      describe<convolution_forward>(cpu, prop_kind::forward_training, direct, x, w, b, y, one, dense, one, one);
  convolution_forward call(forward);
  memory mx = filled(x, cpu), my = filled(y, cpu);
  time(s, "forward", call,
       {{DNNL_ARG_SRC, mx},
        {DNNL_ARG_WEIGHTS, filled(forward.weights_desc(), cpu)},
        {DNNL_ARG_BIAS, filled(b, cpu)},
        {DNNL_ARG_DST, my}},
       cpu, seconds);
  auto input = describe_gradient<convolution_backward_data>(cpu, forward, direct, x, w, y, one, dense, one, one);
  convolution_backward_data input_call(input);
  time(s, "input grad", input_call,
       {{DNNL_ARG_DIFF_DST, my}, {DNNL_ARG_WEIGHTS, filled(input.weights_desc(), cpu)}, {DNNL_ARG_DIFF_SRC, mx}},
       cpu, seconds);
  auto weight =
      describe_gradient<convolution_backward_weights>(cpu, forward, direct, x, w, y, one, dense, one, one);
  convolution_backward_weights weight_call(weight);
  time(s, "weight grad", weight_call,
       {{DNNL_ARG_SRC, mx},
        {DNNL_ARG_DIFF_DST, my},
        {DNNL_ARG_DIFF_WEIGHTS, memory(weight.diff_weights_desc(), cpu)}},
       cpu, seconds);
}

}  // namespace

int main(int argc, char** argv) {
  double seconds = argc > 1 ? std::atof(argv[1]) : 0.3;
  engine cpu(engine::kind::cpu, 0);
  for (const Size& s : {Size{64, 64, 14, 32},
                        {128, 128, 32, 16},
                        {256, 256, 16, 32},
                        {512, 256, 16, 16},
                        {3, 128, 32, 16},
                        {128, 3, 32, 16}})
    measure(s, cpu, seconds);
}

#pragma once
// Which of cuDNN's plans compute convolutions on a GPU. Those of f32 tensors in `fast` and `bf16`, and of bf16 tensors,
// come from its graph API: of those that give the same bits every time, the first by its heuristics, or, where a program
// asks for it, the fastest. Between two programs that time them the choice, and with it the rounding, may differ; so
// plans can be kept and taken again.

#include <string>
#include <utility>
#include <vector>

#include "tensor/kernels.h"

namespace vapo {

enum class ConvolutionPass { forward, input_grad, weight_grad };
constexpr auto names_of(ConvolutionPass) {
  using enum ConvolutionPass;
  return name_table<ConvolutionPass>(
      "pass", {{"forward", forward}, {"input_grad", input_grad}, {"weight_grad", weight_grad}});
}

struct ConvolutionPlan {
  ConvolutionPass pass = ConvolutionPass::forward;
  DType dtype = DType::f32;
  Shape x, w;  // (N,H,W,C) and (O,kH,kW,C/groups)
  kernel::Conv2dOptions options = {};
  bool bias = false, add = false;  // added in the same kernel
  int64_t engine = 0;
  std::vector<std::pair<int64_t, int64_t>> knobs = {};  // type and value, as cuDNN numbers them
  double microseconds = 0;                              // when it was chosen; 0: not timed
};

void time_convolution_plans(bool on);  // of shapes that come from now on, outside of recorded steps. Off at first
bool times_convolution_plans();

std::vector<ConvolutionPlan> convolution_plans();  // in use, in an order that depends on nothing but them
std::string convolution_plans_hold_for();          // the GPU and the version of cuDNN; of others they say nothing
// Where that shape comes, this plan is taken. False, and nothing done, where cuDNN has no such plan, or it is one that
// would not be chosen for what it does.
bool take_convolution_plan(const ConvolutionPlan& plan);

struct ConvolutionChoices {       // since the program started
  int64_t shapes = 0, plans = 0;  // chosen for, and timed
  double seconds = 0;
};
ConvolutionChoices convolution_choices();
void count_convolution_choice(const ConvolutionChoices& more);  // by the back end

}  // namespace vapo

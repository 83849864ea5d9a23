#include "tensor/convolution_plans.h"

#include <atomic>
#include <mutex>

#include "tensor/backend.h"

namespace vapo {
namespace {

constinit std::atomic<bool> timing = false;
std::mutex lock;
constinit ConvolutionChoices choices;

}  // namespace

void time_convolution_plans(bool on) { timing.store(on, std::memory_order_relaxed); }
bool times_convolution_plans() { return timing.load(std::memory_order_relaxed); }

std::vector<ConvolutionPlan> convolution_plans() { return cuda::convolution_plans(); }
std::string convolution_plans_hold_for() { return cuda::convolution_plans_hold_for(); }
bool take_convolution_plan(const ConvolutionPlan& plan) {
  return cuda::available() && cuda::take_convolution_plan(plan);
}

ConvolutionChoices convolution_choices() {
  std::lock_guard guard(lock);
  return choices;
}
void count_convolution_choice(const ConvolutionChoices& more) {
  std::lock_guard guard(lock);
  choices = {choices.shapes + more.shapes, choices.plans + more.plans, choices.seconds + more.seconds};
}

}  // namespace vapo

#pragma once
// The threads of one block as fibers of one thread of the CPU: each runs until a barrier and then hands over to the
// next that has not ended. So whoever comes back from a barrier knows that all others have reached it.

#include <ucontext.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#define VAPO_FIBERS_ANNOTATED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VAPO_FIBERS_ANNOTATED 1
#endif
#endif
#ifdef VAPO_FIBERS_ANNOTATED
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulated {

[[noreturn]] inline void give_up(const char* why) {
  std::fprintf(stderr, "emulated CUDA: %s\n", why);
  std::abort();
}
[[noreturn]] inline void give_up(const char* who, const char* why) {
  std::fprintf(stderr, "emulated CUDA: %s %s\n", who, why);
  std::abort();
}

class Fibers {
 public:
  Fibers(unsigned count, std::function<void()> body) : body_(std::move(body)), fibers_(count) {
    while (stacks().size() < count) stacks().push_back(std::make_unique_for_overwrite<char[]>(stack_bytes));
  }
  unsigned current() const { return current_; }
  bool any_barrier() const { return any_barrier_; }  // has been met

  // Runs the body in the first fiber and, if that meets a barrier, in all of them, to its end.
  void run() {
    for (size_t ended = 0; ended < fibers_.size(); ++ended) {
      if (ended > 0) current_ = next(current_);
      switch_to(home_, current_);
      fibers_[current_].ended = true;
      if (!any_barrier_) return;
    }
  }
  void yield() {
    unsigned from = current_;
    current_ = next(from);
    if (current_ != from) switch_to(fibers_[from], current_);
  }
  void barrier() { ++fibers_[current_].barriers, any_barrier_ = true; }

 private:
  static constexpr size_t stack_bytes = 256 << 10;
  struct Fiber {
    ucontext_t context;
    bool begun = false, ended = false;
    unsigned barriers = 0;  // that it has met
    void* fake_stack = nullptr;
  };
  static std::vector<std::unique_ptr<char[]>>& stacks() {
    static std::vector<std::unique_ptr<char[]>> all;
    return all;
  }
  unsigned next(unsigned i) const {
    do i = (i + 1) % static_cast<unsigned>(fibers_.size());
    while (fibers_[i].ended);
    return i;
  }
  void prepare(ucontext_t& context, char* stack) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack, context.uc_stack.ss_size = stack_bytes;
    context.uc_link = &home_.context;
    auto self = reinterpret_cast<uintptr_t>(this);  // in halves: makecontext hands on what fits into an int
    makecontext(&context, reinterpret_cast<void (*)()>(&Fibers::enter), 2, static_cast<unsigned>(self),
                static_cast<unsigned>(self >> 32));
  }
  static void enter(unsigned low, unsigned high) {
    Fibers& self = *reinterpret_cast<Fibers*>(uintptr_t{high} << 32 | low);
    self.arrived(nullptr);
    self.body_();
    unsigned met = self.fibers_[self.current_].barriers;
    if (self.ended_.value_or(met) != met) give_up("a block's threads meet different numbers of barriers");
    self.ended_ = met;
#ifdef VAPO_FIBERS_ANNOTATED
    __sanitizer_start_switch_fiber(nullptr, self.home_stack_, self.home_bytes_);
#endif
  }
  void switch_to(Fiber& from, unsigned i) {
    Fiber& to = fibers_[i];
    if (!std::exchange(to.begun, true)) prepare(to.context, stacks()[i].get());
#ifdef VAPO_FIBERS_ANNOTATED
    __sanitizer_start_switch_fiber(&from.fake_stack, stacks()[i].get(), stack_bytes);
#endif
    swapcontext(&from.context, &to.context);
    arrived(from.fake_stack);
  }
  void arrived([[maybe_unused]] void* fake_stack) {
#ifdef VAPO_FIBERS_ANNOTATED
    const void* stack = nullptr;
    size_t bytes = 0;
    __sanitizer_finish_switch_fiber(fake_stack, &stack, &bytes);
    if (!home_stack_) home_stack_ = stack, home_bytes_ = bytes;  // the first switch comes from there
#endif
  }

  std::function<void()> body_;
  std::vector<Fiber> fibers_;
  Fiber home_;
  unsigned current_ = 0;
  bool any_barrier_ = false;
  std::optional<unsigned> ended_;  // the barriers that one which has ended met
  const void* home_stack_ = nullptr;
  size_t home_bytes_ = 0;
};

}  // namespace emulated

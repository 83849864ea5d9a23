#pragma once
// Convolutions that miss what cuDNN is asked for first.

#include <cstdint>
#include <string>
#include <vector>

namespace vapo {

struct MissedConvolutions {
  int64_t calls = 0;                // launched since the program started; a recorded step counts once
  std::vector<std::string> shapes;  // each kind once, in the order they came
  std::string why;                  // of the first, where that is known
};
// In f32 and bf16 on the GPU for which cuDNN has no algorithm that gives the same bits every time: they take plain
// kernels, which are far slower.
MissedConvolutions plain_convolutions();
// For which its graph API (convolution_plans.h) has no such plan, or refuses a call: they take an algorithm of the
// older one, somewhat slower.
MissedConvolutions legacy_convolutions();

// By the back end, at each launch.
void count_plain_convolution(const std::string& shape);
void count_legacy_convolution(const std::string& shape, const std::string& why);

}  // namespace vapo

#pragma once
// Convolutions that miss cuDNN.

#include <cstdint>
#include <string>
#include <vector>

namespace vapo {

// In f32 and bf16 on the GPU for which cuDNN has no algorithm that gives the same bits every time: they
// take plain kernels, which are far slower.
struct PlainConvolutions {
  int64_t calls = 0;                // launched since the program started; a recorded step counts once
  std::vector<std::string> shapes;  // each kind once, in the order they came
};
PlainConvolutions plain_convolutions();
void count_plain_convolution(const std::string& shape);  // by the back end, at each launch

}  // namespace vapo

// inception-weights FILE: a checkpoint of an Inception network with weights from a formula.

#include <fmt/format.h>

#include "nn/checkpoint.h"
#include "tests/vapo/inception_weights.h"

int main(int argc, char** argv) {
  using namespace vapo;
  if (argc != 2) return 2;
  try {
    Inception network;
    testing::fill_by_formula(network);
    nn::save_checkpoint(argv[1], {.module = &network, .config = R"({"kind": "inception"})"});
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 1;
  }
}

#include "tensor/plain_convolutions.h"

#include <algorithm>
#include <mutex>

namespace vapo {
namespace {

std::mutex lock;
PlainConvolutions& counted() {
  static auto* const all = new PlainConvolutions;  // never destroyed, as what counts may outlive any order of exit
  return *all;
}

}  // namespace

PlainConvolutions plain_convolutions() {
  std::lock_guard guard(lock);
  return counted();
}

void count_plain_convolution(const std::string& shape) {
  std::lock_guard guard(lock);
  PlainConvolutions& p = counted();
  ++p.calls;
  if (std::ranges::find(p.shapes, shape) == p.shapes.end()) p.shapes.push_back(shape);
}

}  // namespace vapo

#include "tensor/plain_convolutions.h"

#include <algorithm>
#include <mutex>

namespace vapo {
namespace {

std::mutex lock;
struct Counted {
  MissedConvolutions plain, legacy;
};
Counted& counted() {
  static auto* const all = new Counted;  // never destroyed, as what counts may outlive any order of exit
  return *all;
}

void count(MissedConvolutions& missed, const std::string& shape, const std::string& why) {
  if (missed.calls++ == 0) missed.why = why;
  if (std::ranges::find(missed.shapes, shape) == missed.shapes.end()) missed.shapes.push_back(shape);
}

}  // namespace

MissedConvolutions plain_convolutions() {
  std::lock_guard guard(lock);
  return counted().plain;
}
MissedConvolutions legacy_convolutions() {
  std::lock_guard guard(lock);
  return counted().legacy;
}

void count_plain_convolution(const std::string& shape) {
  std::lock_guard guard(lock);
  count(counted().plain, shape, "");
}
void count_legacy_convolution(const std::string& shape, const std::string& why) {
  std::lock_guard guard(lock);
  count(counted().legacy, shape, why);
}

}  // namespace vapo

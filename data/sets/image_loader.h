#pragma once
// Training batches of an image set. Which images step k sees, and how they are flipped and dequantised, is a
// function of (seed, k) alone: the sample with number s = k·batch_size + i is place s mod N of epoch s div N, and
// every epoch is a permutation of the set of its own. So a run can go on in the middle of an epoch.

#include <cstdint>
#include <memory>

#include "data/sets/images.h"
#include "tensor/tensor.h"

namespace vapo::data {

struct LoaderOptions {
  int64_t batch_size = 64;
  uint64_t seed = 0;
  uint32_t stream = 0;      // of random numbers: streams `stream` to `stream` + 2 are used
  bool flip = false;        // each image, each epoch: mirrored with probability ½
  bool dequantize = false;  // u → (u + U[0,1))/128 − 1 instead of u/127.5 − 1
  int64_t prefetch = 2;     // batches prepared ahead by a thread; 0: none
};

struct ImageBatch {
  Tensor x;       // f32 (batch_size,H,W,C) in [−1,1]
  Tensor labels;  // i64 (batch_size), or undefined
};

class ImageLoader {
 public:
  // Keeps `set` alive. Throws InputError where the set is empty.
  ImageLoader(std::shared_ptr<const ImageSet> set, const LoaderOptions& options);
  ~ImageLoader();
  // The batch of step k, in any order of calls; calls in the order k, k+1, … find theirs prepared.
  ImageBatch batch(int64_t step);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Two parts of a set, by seed: `fraction` of it in the second.
struct ImageSplit {
  ImageSet train, held_out;
};
ImageSplit split_images(const ImageSet& set, double fraction, uint64_t seed);

}  // namespace vapo::data

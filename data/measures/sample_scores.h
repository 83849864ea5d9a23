#pragma once
// What the features and the logits of a network say of samples, beside the Fréchet distance (frechet.h).

#include "tensor/tensor.h"

namespace vapo::data {

struct KernelDistanceOptions {
  int64_t subsets = 100, subset_size = 1000;  // of both sides; smaller where there are fewer rows
  uint64_t seed = 0;
};
struct KernelDistance {
  double mean = 0, deviation = 0;  // over the subsets
  int64_t subsets = 0, subset_size = 0;
};
// KID (Bińkowski et al. 2018): the squared maximum mean discrepancy under the kernel (⟨x,y⟩/D + 1)³, without bias
// and so below 0 at times, of random subsets of x (N,D) and y (M,D), f32. Where subsets of all rows are wanted of
// both sides there is one. Throws InputError where a side has fewer than two rows, or another width.
KernelDistance kernel_distance(const Tensor& x, const Tensor& y, const KernelDistanceOptions& options = {});

struct InceptionScoreOptions {
  int64_t splits = 10;
  uint64_t seed = 0;
};
struct InceptionScore {
  double mean = 0, deviation = 0;  // over the splits
  int64_t splits = 0;
};
// exp E_x KL(p(·|x) ‖ E_x p(·|x)), p = softmax(logits) (Salimans et al. 2016), of each split of the rows, shuffled
// by the seed. logits (N,K), f32; fewer splits where there are fewer rows. Throws InputError where there are none,
// or naming row and column of a value that is not finite.
InceptionScore inception_score(const Tensor& logits, const InceptionScoreOptions& options = {});

}  // namespace vapo::data

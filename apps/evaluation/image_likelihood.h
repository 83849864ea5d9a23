#pragma once
// Log-likelihoods of images in batches that stay on disk, in bits per dimension.

#include <filesystem>
#include <string>

#include "apps/run/model.h"
#include "data/measures/statistics.h"
#include "data/sets/images.h"

namespace vapo::app {

struct ImageLikelihoodOptions {
  int64_t dequantizations = 1;  // of every image, with noises of their own
  bool exact = false;           // the trace: by D Hessian products; else by
  int64_t probes = 1;           // so many Rademacher vectors of an image, fixed along its trajectory
  double tolerance = 1e-5;      // rtol and atol of rk45
  int64_t batch_size = 64;      // RK45 chooses its steps for a batch
  uint64_t seed = 0;
};

struct ImageLikelihoods {
  Tensor bits_per_dim;                          // (K,N) f64: a row for each dequantisation
  int64_t nfe = 0;                              // evaluations of ∇Φ and ΔΦ of the batch that took most of them
  Tensor mean_bits() const;                     // (N): over the dequantisations of an image
  data::Estimate over_images() const;           // of the mean over all, as an estimate for the law of the images
  data::Estimate over_dequantizations() const;  // the same mean: its error by the choice of noise; K ≥ 2
};

// u (N,H,W,C) of grey levels in [0,255]; labels (N) or undefined; the noise of image i is that of index[i]. What
// there is of NAME-1.npy … NAME-K.npy in `folder` is not computed again. From t_max of the training to 1e-5. Throws
// DivergedError where a log-likelihood is not finite.
ImageLikelihoods image_likelihoods(const Model& model, const Tensor& u, const Tensor& labels, const Tensor& index,
                                   const ImageLikelihoodOptions& options, const std::filesystem::path& folder,
                                   const std::string& name);

}  // namespace vapo::app

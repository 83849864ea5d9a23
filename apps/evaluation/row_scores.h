#pragma once
// What a model says of each row or image, one line each: for finding the odd ones.

#include <string>

#include "apps/run/model.h"
#include "tensor/tensor.h"

namespace vapo::app {

// What each line is of.
struct RowNames {
  std::string name;                    // of the first column: "row", "image"
  Tensor numbers;                      // i64 (N)
  std::vector<std::string> text = {};  // names of files, in the numbers' place in a .csv
};

constexpr const char* kRowScores = "log p, energy and gradient norm of each row or image, in their order";

// row, log_likelihood, energy, gradient_norm of points (N,D) in the data's units, of which the first (N) is given in
// nats. The energy is the marginal one at energy.marginal_t, or, where the path leaves no density there, at the time
// that vapo ood takes (model_images.h); the norm that of its gradient in the standardised columns.
void save_point_scores(const std::string& file, const Model& model, const Tensor& points,
                       const Tensor& log_likelihood, const RowNames& rows);

// energy and gradient norm (N,2) f64 of images u (N,H,W,C) of grey levels, as vapo ood scores them: of u/127.5 − 1, with
// their labels i64 (N) where those are defined. What `part`, a .npy, has of them is not computed again.
Tensor image_energies(const Model& model, const Tensor& u, const Tensor& labels, int64_t batch_size,
                      const std::filesystem::path& part);
// image, log_likelihood, bits_per_dim, energy, gradient_norm: log p in nats of grey levels in [0,256), −bits·D·ln 2.
void save_image_scores(const std::string& file, const Model& model, const Tensor& bits_per_dim,
                       const Tensor& energies, const RowNames& images);

}  // namespace vapo::app

#pragma once
// Potentials made of the potentials of classes: guidance and composition. They are potentials like any other, with
// labels that are fixed: samplers, energies, likelihoods and scores take them. Parameters are those of the base.

#include <memory>
#include <vector>

#include "vapo/potential.h"

namespace vapo {

// A sum of potentials Φ(x,t,y_i) is one call of Φ on as many copies of x as it has terms of weight other than 0, so
// that a single term of weight 1 has the bits of Φ(x,t,y). Its log_density is the sum of the terms' (its
// f‖x‖² is theirs where the weights sum to 1; else it is undefined).
struct ClassTerm {
  Tensor labels = {};  // i64 (N), or (1) for any N; undefined: no class
  double weight = 1;
  bool of_call = false;  // the labels are those that each call brings
};
// `classes` of the base network: labels 0 … classes−1; 0: it knows none. All throw InputError for a label that the
// network does not have, and for weights that are not finite or do not sum to 1 (to 1e-6).

// Φ(x,t,y)
std::shared_ptr<Potential> conditioned(std::shared_ptr<Potential> base, int64_t classes, const Tensor& labels);
// Guidance (Ho & Salimans 2022): (1+w)Φ(x,t,y) − wΦ(x,t,∅)
std::shared_ptr<Potential> guided(std::shared_ptr<Potential> base, int64_t classes, const Tensor& labels, double w);
// The same with the labels that each call brings, which are not looked at: one potential for all batches.
std::shared_ptr<Potential> guided(std::shared_ptr<Potential> base, int64_t classes, double w);
// Σ w_i Φ(x,t,y_i), and guided: (1+w)Σ w_i Φ(x,t,y_i) − wΦ(x,t,∅)
std::shared_ptr<Potential> composed(std::shared_ptr<Potential> base, int64_t classes, std::vector<ClassTerm> terms,
                                    double w = 0);
// Composition against no class (Liu et al. 2022): w₀Φ(x,t,∅) + Σ w_i (Φ(x,t,y_i) − Φ(x,t,∅)); any finite weights
std::shared_ptr<Potential> composed_against_none(std::shared_ptr<Potential> base, int64_t classes,
                                                 std::vector<ClassTerm> terms, double none_weight = 1);

// Φ/λ, with log_density/λ: the law ρ^{1/λ} where it has one.
std::shared_ptr<Potential> tempered(std::shared_ptr<Potential> base, double lambda);

// Φ itself, a batch of one computed as two: products with a single row sum in another order, and a sample's bits
// would depend on the size of its batch.
std::shared_ptr<Potential> never_alone(std::shared_ptr<Potential> base);

}  // namespace vapo

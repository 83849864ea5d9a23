#pragma once
// What a network costs: floating-point operations of its products and convolutions (kernel::flop_count), counted
// while it runs on a small batch.

#include "vapo/loss.h"

namespace vapo {

// Of Φ at one sample of this shape, (D) or (H,W,C), where the parameters lie and in their dtype.
double forward_flops(Potential& phi, const Shape& sample);
// Of a training step, a sample: ∇Φ, the loss, and its gradient in all parameters. Runs one on two samples.
double step_flops(Potential& phi, const Shape& sample, const Path& path, const LossOptions& options);

}  // namespace vapo

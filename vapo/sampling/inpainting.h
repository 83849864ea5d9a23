#pragma once
// Inpainting: some pixels of x are known, the flow paints the others. A potential of the free pixels is Φ with the
// known ones held: its gradient is 0 where pixels are known, and a flow leaves them. SGLD does move them, by its
// noise and an energy's f‖x‖², but no other pixel feels it: `completed` puts them back at the end.

#include <memory>

#include "tensor/random.h"
#include "vapo/path.h"
#include "vapo/potential.h"

namespace vapo {

// values: (N,…) like x, or (1,…) for all samples. mask: 1 where a pixel is known and 0 elsewhere, of a shape that
// broadcasts to x's: (H,W,1), (N,H,W,1), (D), …; in any dtype and on any device.
struct KnownPixels {
  Tensor values, mask;
};

// The known pixels where there are any, x elsewhere; to the bit.
Tensor completed(const Tensor& x, const KnownPixels& known);
// Published: Φ(m⊙x̄ + (1−m)⊙x, t). The known pixels are clean at every t. Throws InputError where the mask holds
// other numbers than 0 and 1.
std::shared_ptr<Potential> inpainting(std::shared_ptr<Potential> base, const KnownPixels& known);
// Known pixels as the path has them at t: Φ(m⊙(μ(t)x̄ + σ(t)ε) + (1−m)⊙x, t) with one ε (like x̄, of N(0,I)), which
// is what the network was shown in training.
std::shared_ptr<Potential> inpainting_renoised(std::shared_ptr<Potential> base, const KnownPixels& known,
                                               const Path& path, const Tensor& noise);
// Throws InputError where a path's noise is not of a pixel by itself, or not N(0,I) beside the data.
void check_can_be_renoised(const Path& path);

// Masks (height,width,1), f32. Unknown is: the middle half of both sides; the right half; every second pixel at
// random (n,height,width,1), pixels of sample k from its own place in the stream.
Tensor box_mask(int64_t height, int64_t width);
Tensor half_mask(int64_t height, int64_t width);
Tensor random_mask(int64_t n, int64_t height, int64_t width, const RandomKey& key);

}  // namespace vapo

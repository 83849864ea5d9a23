#pragma once
// Copies to a GPU that go on while it computes.

#include "tensor/tensor.h"

namespace vapo {

// target ← source, from the CPU to the GPU, of one shape and dtype, on a stream of its own: waits for the copy and for
// nothing else that was started. Nothing of that may read or write the target, nor may its memory be so new that it
// was another tensor's when something started last: kernel::copy_into comes first, and its end is waited for.
void upload_beside(const Tensor& target, const Tensor& source);

}  // namespace vapo

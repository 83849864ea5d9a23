#pragma once
// Streams of random numbers (tensor/philox.h): one for each purpose, so that no two draws of a seed share bits.
// Weights are drawn from stream 0, and data/ numbers what it draws for itself.

#include <cstdint>

namespace vapo {

enum Stream : uint32_t {
  // of training, by step
  kDataStream = 101,
  kTimeStream,
  kNoiseStream,
  kJitterStream,
  kStandardizationStream,
  kTrainingSetStream,
  // of samples, by sample
  kSampleStream,
  kSgldStream,
  kProbeStream,
  // of a set of points that is compared with
  kFreshStream,
  // of training again
  kLabelStream,
  kValidationTimeStream,
  kValidationNoiseStream,
  kLoaderStream,  // and the two after it
  kMaskStream = kLoaderStream + 3,
  kTrialStream,
  // of the equilibrium phase, by update
  kChainStream,  // by step of a chain
  kBirthStream,
  kBirthNoiseStream,
  kPositiveStream,
  kProposalStream,
  kJumpStream,  // by jump of a chain
  // of evaluations
  kChoiceStream = 201,
  kDequantizationStream,
  kBootstrapStream,
  kTraceStream,
  // of training's dropout masks: and one for every block of every part of a batch
  kDropoutStream = 1 << 20
};

// Of a classifier's training, which shares its seed with nothing else.
enum ClassifierStream : uint32_t { kClassifierLoaderStream = 1, kShiftStream = 4, kClassifierDropoutStream };

}  // namespace vapo

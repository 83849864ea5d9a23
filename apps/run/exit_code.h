#pragma once
// What the program returns to its shell.

#include "tensor/check.h"

namespace vapo::app {

class UsageError : public Error {  // a command line that cannot be understood
 public:
  using Error::Error;
};

enum ExitCode : int {
  kDone = 0,
  kUsage = 2,
  kInput = 3,
  kDiverged = 4,
  kIo = 5
};  // 128 + a signal that stopped it

inline ExitCode exit_code_of(const Error& error) {
  if (dynamic_cast<const UsageError*>(&error)) return kUsage;
  if (dynamic_cast<const DivergedError*>(&error)) return kDiverged;
  if (dynamic_cast<const IoError*>(&error)) return kIo;
  return kInput;
}

}  // namespace vapo::app

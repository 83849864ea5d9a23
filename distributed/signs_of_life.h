#pragma once
// Whether the other ranks still run, where no MPI tells it.

#include <chrono>
#include <memory>
#include <string>

#include "distributed/launch.h"

namespace vapo {

struct SignsOptions {
  std::string host;  // of rank 0, by name or address
  int port = 0;      // where it listens
  std::chrono::seconds patience{30};
  int exit_code = 5;
};

// A thread beside, which gives a sign of life each second over a connection between rank 0 and each other rank. It ends
// this process, with a line on standard error, where a rank that had joined gives none for as long as patience says (it
// stands still, or its machine is gone), or is gone without taking leave. A rank that is busy is neither.
class SignsOfLife {
 public:
  // Throws InputError on rank 0 where the port is taken.
  SignsOfLife(const Launch& launch, const SignsOptions& options);
  ~SignsOfLife();  // without leave(): the others will find this one gone
  void leave();    // when all ranks are done
  SignsOfLife(const SignsOfLife&) = delete;
  SignsOfLife& operator=(const SignsOfLife&) = delete;

 private:
  class Watch;
  std::unique_ptr<Watch> watch_;
};

}  // namespace vapo

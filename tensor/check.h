#pragma once
// Errors and the one check that throws. A message is one line: "[op] what is wrong: the values. Hint: what to do".

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace vapo {

class Error : public std::runtime_error {  // everything vapo throws
 public:
  using std::runtime_error::runtime_error;
};
class InputError : public Error {  // a file, config or value that cannot be used
 public:
  using Error::Error;
};
class DivergedError : public Error {  // a loss or a trajectory that is no longer finite
 public:
  using Error::Error;
};
class IoError : public Error {  // the system refused to read or write
 public:
  using Error::Error;
};

template <class... Args>
[[noreturn, gnu::cold, gnu::noinline]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace vapo

// VAPO_CHECK(condition, "format", args…): throws vapo::Error when the condition is false.
#define VAPO_CHECK(condition, ...) \
  do {                             \
    if (!(condition)) [[unlikely]] \
      ::vapo::fail(__VA_ARGS__);   \
  } while (false)

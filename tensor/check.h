#pragma once
// Errors and the one check that throws. A message is one line: "[op] what is wrong: the values. Hint: what to do".

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace vapo {

// Base of everything vapo throws. exit_code() is what the `vapo` program returns for it.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, int exit_code = 3)
      : std::runtime_error(message), exit_code_(exit_code) {}
  int exit_code() const { return exit_code_; }

 private:
  int exit_code_;
};

class UsageError : public Error {  // a command line that cannot be understood
 public:
  explicit UsageError(const std::string& message) : Error(message, 2) {}
};
class InputError : public Error {  // a file, config or value that cannot be used
 public:
  explicit InputError(const std::string& message) : Error(message, 3) {}
};
class DivergedError : public Error {  // a loss or a trajectory that is no longer finite
 public:
  explicit DivergedError(const std::string& message) : Error(message, 4) {}
};
class IoError : public Error {  // the system refused to read or write
 public:
  explicit IoError(const std::string& message) : Error(message, 5) {}
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

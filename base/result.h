// Result<T>: a value, or a sentence that says what in the environment went wrong. For start-up,
// files, sockets and manifests. The packet path never uses it: the peer's mistakes are enums and
// counters there.
#pragma once

#include <string>
#include <utility>
#include <variant>

#include "base/check.h"

namespace millrace {

// One line for the operator: names the place (file, line, option, interface) and what to do.
struct Error {
  std::string message;
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value)
      : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: implicit by design
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & {
    CHECK(ok());
    return std::get<0>(state_);
  }
  const T& value() const& {
    CHECK(ok());
    return std::get<0>(state_);
  }
  T&& value() && {
    CHECK(ok());
    return std::get<0>(std::move(state_));
  }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }

  const std::string& error() const {
    CHECK(!ok());
    return std::get<1>(state_).message;
  }

 private:
  std::variant<T, Error> state_;
};

// For calls that have nothing to return but success.
struct Ok {};
using Status = Result<Ok>;

}  // namespace millrace

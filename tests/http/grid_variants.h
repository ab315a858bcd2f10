// The variants of the grid: a request whose Transfer-Encoding or Content-Length has one octet that
// does not belong there, beside a plain one of the other or of the same, with a body that is one
// thing under one reading and another under the other.
#pragma once

#include <functional>
#include <string>

namespace millrace::grid {

struct Variant {
  std::string name;
  std::string text;  // of the whole request; what a lenient reader takes for a second one is in it
};

// The path of the request that is hidden in the body.
inline const std::string smuggled_path = "/smuggled";

void each_variant(const std::function<void(const Variant&)>& visit);

}  // namespace millrace::grid

// The variants of the grid: a request, or a response, whose Transfer-Encoding or Content-Length has
// one octet that does not belong there, beside a plain one of the other or of the same, with a body
// that is one thing under one reading and another under the other.
#pragma once

#include <functional>
#include <string>

namespace millrace::grid {

struct Variant {
  std::string name;
  std::string text;  // of the whole request; what a lenient reader takes for a second one is in it
  bool may_be_normalised = false;  // its target goes on in other octets than the log has
};

// The path of the request that is hidden in the body.
inline const std::string smuggled_path = "/smuggled";

void each_variant(const std::function<void(const Variant&)>& visit);

// The body of the response that is hidden in the body of another.
inline const std::string forged_body = "forged";

void each_response_variant(const std::function<void(const Variant&)>& visit);

// Requests that break no rule, with everything in them that a rule allows: methods, targets,
// values, bodies. What becomes of them on their way is for real servers to read.
void each_ordinary(const std::function<void(const Variant&)>& visit);

}  // namespace millrace::grid

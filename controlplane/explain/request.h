// A request as its sender writes it, and as it is matched.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace millrace::explain {

struct Request {
  std::string host;     // lower-case, without port and trailing dot; empty: none was said
  std::string path;     // normalised, without query
  std::string refusal;  // not empty: answered 400 without a look at the routes, and why
  bool has_encoded_slash = false;  // %2F or %5C stands in the path
};

// `url`: "http://shop.example:8080/cart?x=1", "shop.example/cart". `headers`: "Name: value"; Host
// goes before the URL's. Error: it is no URL or no header.
Result<Request> parse_request(std::string_view url, const std::vector<std::string>& headers);

// The path as the data plane reads it, once (RFC 3986 6.2.2.2 and 5.2.4). `refusal`: why it is none
// that has one reading.
std::string normalise_path(std::string_view path, std::string* refusal, bool* has_encoded_slash);

}  // namespace millrace::explain

// spec.rules[].host, checked as an API server checks it (networking/v1, IngressRule.host).
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace millrace::model {

// Lower-case, or what is wrong: an IP address, a port, a wildcard that is not the whole first
// label, no DNS name. "" is all hosts. Upper case is taken, because host names have none (RFC
// 9110 4.2.3).
Result<std::string> parse_host(std::string_view text);

}  // namespace millrace::model

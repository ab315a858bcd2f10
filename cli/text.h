// format: printf into a string.
#pragma once

#include <string>

namespace millrace::cli {

// At most 1,023 octets; what is longer is cut.
[[gnu::format(printf, 1, 2)]] std::string format(const char* pattern, ...);

}  // namespace millrace::cli

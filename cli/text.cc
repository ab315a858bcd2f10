#include "cli/text.h"

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>

namespace millrace::cli {

std::string format(const char* pattern, ...) {
  std::array<char, 1'024> text;
  va_list values;
  va_start(values, pattern);
  const int length = std::vsnprintf(text.data(), text.size(), pattern, values);
  va_end(values);
  return std::string(text.data(),
                     std::min<size_t>(static_cast<size_t>(std::max(length, 0)), text.size() - 1));
}

}  // namespace millrace::cli

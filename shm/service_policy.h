// What a policy's writer and its validator ask of it alike.
#pragma once

#include <bit>
#include <cstdint>
#include <string_view>

#include "shm/snapshot_format.h"

namespace millrace::shm {

inline bool is_unset(const ServicePolicy& policy) {
  return std::bit_cast<uint64_t>(policy) == 0;
}

// RFC 9110 section 5.6.2; the empty text is none, and passes for the name that is not there.
inline bool is_token(std::string_view text) {
  constexpr std::string_view others = "!#$%&'*+-.^_`|~";
  for (const char c : text) {
    const char letter = static_cast<char>(c | 0x20);
    const bool taken = (letter >= 'a' && letter <= 'z') || (c >= '0' && c <= '9') ||
                       others.find(c) != std::string_view::npos;
    if (!taken) return false;
  }
  return true;
}

// As names of fields are compared here.
inline bool is_lower_case(std::string_view text) {
  for (const char c : text) {
    if (c >= 'A' && c <= 'Z') return false;
  }
  return true;
}

}  // namespace millrace::shm

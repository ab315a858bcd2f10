// The smallest power of two that is not below a number, for tables that are indexed by a mask.
#pragma once

#include <cstdint>

namespace millrace {

// value: at most 2^31.
constexpr uint32_t power_of_two_at_least(uint32_t value) {
  uint32_t power = 1;
  while (power < value) power *= 2;
  return power;
}

}  // namespace millrace

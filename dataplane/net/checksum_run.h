// The summing loops behind checksum.h. Which one runs is a matter of the processor: the portable
// one everywhere, a wider one where the processor has it. Tests run every one that this machine
// can.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace millrace::net {

// Sums count octets as 16-bit words in memory order, an odd last one padded with zero; below 2^34.
// `to` is written with the same octets unless it is nullptr. count is at most 65,535.
struct SumLoop {
  const char* name;
  uint64_t (*sum)(const uint8_t* from, size_t count);
  uint64_t (*copy_and_sum)(uint8_t* to, const uint8_t* from, size_t count);
};

// The loops this processor can run, the portable one first, the best last.
std::span<const SumLoop> sum_loops();

}  // namespace millrace::net

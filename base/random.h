// Seeded pseudo-random numbers. There is no default seed: main.cc draws one from the kernel, a
// simulation passes its own, and so the same seed replays the same run.
#pragma once

#include <cstdint>

namespace millrace {

// SplitMix64 (Steele, Lea, Flood 2014): one multiply-shift chain a number, equidistributed in 64
// bits. Not for secrets: keys come from the kernel and pass through SipHash (base/hash.h).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    state_ += 0x9e3779b97f4a7c15U;
    uint64_t mixed = state_;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9U;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebU;
    return mixed ^ (mixed >> 31);
  }

  // Uniform in [0, bound); bound > 0. Multiply-shift: the bias is below bound / 2^64.
  uint64_t below(uint64_t bound) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(next()) * bound) >> 64);
  }
  uint64_t between(uint64_t low, uint64_t high) { return low + below(high - low + 1); }
  bool chance(double probability) {
    return static_cast<double>(next() >> 11) * 0x1.0p-53 < probability;
  }

 private:
  uint64_t state_;
};

}  // namespace millrace

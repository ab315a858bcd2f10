#include "base/hash.h"

#include <iterator>

namespace millrace {
namespace {

uint64_t rotate_left(uint64_t value, int count) {
  return value << count | value >> (64 - count);
}

struct SipState {
  uint64_t v0, v1, v2, v3;

  explicit SipState(const HashKey& key)
      : v0(key.low ^ 0x736f6d6570736575U),
        v1(key.high ^ 0x646f72616e646f6dU),
        v2(key.low ^ 0x6c7967656e657261U),
        v3(key.high ^ 0x7465646279746573U) {}

  void round() {
    v0 += v1;
    v1 = rotate_left(v1, 13) ^ v0;
    v0 = rotate_left(v0, 32);
    v2 += v3;
    v3 = rotate_left(v3, 16) ^ v2;
    v0 += v3;
    v3 = rotate_left(v3, 21) ^ v0;
    v2 += v1;
    v1 = rotate_left(v1, 17) ^ v2;
    v2 = rotate_left(v2, 32);
  }

  template <int rounds>
  void absorb(uint64_t word) {
    v3 ^= word;
    for (int i = 0; i < rounds; ++i) round();
    v0 ^= word;
  }

  template <int rounds>
  uint64_t finish() {
    v2 ^= 0xff;
    for (int i = 0; i < rounds; ++i) round();
    return v0 ^ v1 ^ v2 ^ v3;
  }
};

// The last block of SipHash carries the length, 16 bytes, in its top octet.
constexpr uint64_t length_block = uint64_t{16} << 56;

}  // namespace

uint64_t siphash13(const HashKey& key, uint64_t word0, uint64_t word1) {
  SipState state(key);
  state.absorb<1>(word0);
  state.absorb<1>(word1);
  state.absorb<1>(length_block);
  return state.finish<3>();
}

uint64_t siphash24(const HashKey& key, uint64_t word0, uint64_t word1) {
  SipState state(key);
  state.absorb<2>(word0);
  state.absorb<2>(word1);
  state.absorb<2>(length_block);
  return state.finish<4>();
}

MultilinearKey::MultilinearKey(const HashKey& key) : offset(siphash24(key, 0, 0)) {
  for (uint64_t i = 0; i < std::size(factors); ++i) factors[i] = siphash24(key, i + 1, 0);
}

}  // namespace millrace

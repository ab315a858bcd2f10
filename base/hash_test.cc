#include "base/hash.h"

#include <gtest/gtest.h>

#include <vector>

namespace millrace {
namespace {

// The reference vector of the SipHash paper's appendix: key 00..0f; here over the 16 bytes 00..0f.
TEST(SipHash, MatchesTheReferenceVector) {
  const HashKey key{0x0706050403020100U, 0x0f0e0d0c0b0a0908U};
  EXPECT_EQ(siphash24(key, 0x0706050403020100U, 0x0f0e0d0c0b0a0908U), 0x3f2acc7f57c29bdbU);
}

TEST(SipHash, DependsOnEachKeyAndWord) {
  const HashKey key{1, 2};
  const uint64_t base = siphash13(key, 3, 4);
  EXPECT_NE(base, siphash13({2, 2}, 3, 4));
  EXPECT_NE(base, siphash13({1, 3}, 3, 4));
  EXPECT_NE(base, siphash13(key, 4, 4));
  EXPECT_NE(base, siphash13(key, 3, 5));
}

// Values by Python: the sum (offset + factor * word + ...) mod 2^64, mixed, its upper half.
TEST(Multilinear, IsTheMixedSumOfProducts) {
  MultilinearKey key;
  key.offset = 0x0123456789abcdefU;
  key.factors[0] = 0x9e3779b97f4a7c15U;
  key.factors[1] = 0xc2b2ae3d27d4eb4fU;
  key.factors[2] = 0x165667b19e3779f9U;
  EXPECT_EQ(key.hash(0, 0, 0), 0x1296fd1bU);
  EXPECT_EQ(key.hash(1, 0, 0), 0xcdc93d92U);
  EXPECT_EQ(key.hash(0x0a000001, 0xc0a80001, 0x01bb1f90), 0x4ae3933fU);
}

// Ports in a row, whatever the key: in a table that is half full, probing takes as long as it does
// at random (Knuth: 1.5 places for one that is there).
TEST(Multilinear, WordsInARowDoNotPileUp) {
  constexpr uint32_t flows = 4'096;
  constexpr uint32_t places = 8'192;
  for (uint64_t secret = 0; secret < 1'000; ++secret) {
    const MultilinearKey key(HashKey{secret, ~secret});
    std::vector<bool> taken(places);
    uint32_t probes = 0;
    for (uint32_t i = 0; i < flows; ++i) {
      uint32_t place = key.hash(0x0a000001, 0x0a400000, 0x00500400 + i) % places;
      for (++probes; taken[place]; ++probes) place = (place + 1) % places;
      taken[place] = true;
    }
    EXPECT_LT(probes, flows * 2) << secret;
  }
}

TEST(HashText, CanBeContinued) {
  EXPECT_EQ(hash_text("/foo/bar"), hash_text("/bar", hash_text("/foo")));
  EXPECT_NE(hash_text("/foo"), hash_text("/fop"));
}

}  // namespace
}  // namespace millrace

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

// Values by Python: (offset + sum of factor * word) mod 2^64, its upper half.
TEST(Multilinear, IsTheSumOfProducts) {
  MultilinearKey key;
  key.offset = 0x0123456789abcdefU;
  key.factors[0] = 0x9e3779b97f4a7c15U;
  key.factors[1] = 0xc2b2ae3d27d4eb4fU;
  key.factors[2] = 0x165667b19e3779f9U;
  EXPECT_EQ(key.hash(0, 0, 0), 0x01234567U);
  EXPECT_EQ(key.hash(1, 0, 0), 0x9f5abf21U);
  EXPECT_EQ(key.hash(0x0a000001, 0xc0a80001, 0x01bb1f90), 0x4e8dca7eU);
}

// Neighboring flows, whatever the key: as many collisions as chance has it (about 0.1 of 2^32
// pairs).
TEST(Multilinear, NeighborsAreSpreadUnderManyKeys) {
  uint32_t in_the_same_place = 0;
  constexpr uint32_t flows = 4'096;
  constexpr uint32_t places = 8'192;
  for (uint64_t secret = 0; secret < 16; ++secret) {
    const MultilinearKey key(HashKey{secret, ~secret});
    std::vector<uint32_t> taken(places);
    for (uint32_t i = 0; i < flows; ++i) {
      in_the_same_place +=
          taken[key.hash(0x0a000001, 0x0a400000 + i / 64, 0x00500400 + i % 64) % places]++;
    }
  }
  // Expected: 16 * flows^2 / (2 * places) = 16,384 pairs; a standard deviation is 128.
  EXPECT_NEAR(in_the_same_place, 16'384, 4'000);
}

TEST(HashText, CanBeContinued) {
  EXPECT_EQ(hash_text("/foo/bar"), hash_text("/bar", hash_text("/foo")));
  EXPECT_NE(hash_text("/foo"), hash_text("/fop"));
}

}  // namespace
}  // namespace millrace

#include "base/hash.h"

#include <gtest/gtest.h>

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

TEST(HashText, CanBeContinued) {
  EXPECT_EQ(hash_text("/foo/bar"), hash_text("/bar", hash_text("/foo")));
  EXPECT_NE(hash_text("/foo"), hash_text("/fop"));
}

}  // namespace
}  // namespace millrace

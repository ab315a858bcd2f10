#include "controlplane/publish/shrink_guard.h"

#include <gtest/gtest.h>

namespace millrace::publish {
namespace {

constexpr Instant start = Instant::from_ns(1'000'000'000'000);
constexpr Duration second = Duration::seconds(1);

TEST(ShrinkGuardTest, WhatIsPlausiblePasses) {
  ShrinkGuard guard({});
  EXPECT_FALSE(guard.check({100, 300}, {50, 150}, start)) << "half may go";
  EXPECT_FALSE(guard.check({0, 0}, {100, 300}, start)) << "growing is fine";
  EXPECT_FALSE(guard.check({9, 9}, {0, 0}, start)) << "few are never implausible";
  EXPECT_FALSE(guard.is_holding());
  EXPECT_EQ(guard.due(), Instant::never());
}

TEST(ShrinkGuardTest, C4RoutesOrEndpointsThatGoAreHeldUntilConfirmedOverTime) {
  for (const TableSize left : {TableSize{49, 300}, TableSize{100, 149}}) {
    ShrinkGuard guard({});
    ASSERT_TRUE(guard.check({100, 300}, left, start));
    // Asked often, it is no sooner convinced.
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(guard.check({100, 300}, left, start + second));
    EXPECT_EQ(guard.confirmed(), 0u);
    EXPECT_TRUE(guard.check({100, 300}, left, guard.due()));
    EXPECT_TRUE(guard.check({100, 300}, left, guard.due()));
    EXPECT_EQ(guard.confirmed(), 2u);
    EXPECT_FALSE(guard.check({100, 300}, left, guard.due()));
    EXPECT_FALSE(guard.is_holding());
  }
}

TEST(ShrinkGuardTest, C4WhatComesBackBeginsAnew) {
  ShrinkGuard guard({});
  ASSERT_TRUE(guard.check({100, 300}, {1, 1}, start));
  ASSERT_TRUE(guard.check({100, 300}, {1, 1}, guard.due()));
  EXPECT_FALSE(guard.check({100, 300}, {99, 299}, start + second * 15));
  ASSERT_TRUE(guard.check({100, 300}, {1, 1}, start + second * 16));
  EXPECT_EQ(guard.confirmed(), 0u);
}

TEST(ShrinkGuardTest, TheOperatorsWordCountsForAWhile) {
  ShrinkGuard guard({});
  ASSERT_TRUE(guard.check({100, 300}, {0, 0}, start));
  guard.accept(start);
  EXPECT_FALSE(guard.check({100, 300}, {0, 0}, start + second * 9));
  EXPECT_TRUE(guard.check({100, 300}, {0, 0}, start + second * 11));
  ShrinkLimits off;
  off.confirmations = 0;
  EXPECT_FALSE(ShrinkGuard(off).check({100, 300}, {0, 0}, start));
}

}  // namespace
}  // namespace millrace::publish

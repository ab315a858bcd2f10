#include "controlplane/apply_times.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

constexpr Instant start = Instant::from_ns(1'000'000'000'000);
constexpr Duration ms = Duration::milliseconds(1);

TEST(ApplyTimesTest, FromTheFirstChangeToTheDataPlaneHavingIt) {
  ApplyTimes times;
  times.changed(start);
  times.changed(start + ms * 3);
  times.published(7);
  EXPECT_TRUE(times.taken(6, start + ms * 4).empty());
  EXPECT_EQ(times.taken(7, start + ms * 5), std::vector<Duration>{ms * 5});
  EXPECT_TRUE(times.taken(7, start + ms * 6).empty()) << "once";
}

// The next change is there before the version of the last one is answered, again and again.
TEST(ApplyTimesTest, UnderAStormEveryVersionIsCounted) {
  ApplyTimes times;
  std::vector<Duration> all;
  for (int64_t i = 0; i < 100; ++i) {
    times.changed(start + ms * (50 * i));
    times.published(static_cast<uint64_t>(i) + 1);
    times.changed(start + ms * (50 * i + 1));
    // Every third answer is for the version before: this one was on its way too late.
    const uint64_t taken = static_cast<uint64_t>(i) + (i % 3 == 0 ? 0 : 1);
    for (const Duration time : times.taken(taken, start + ms * (50 * i + 2))) all.push_back(time);
  }
  ASSERT_EQ(all.size(), 99u) << "the hundredth has not been answered";
  EXPECT_EQ(all[0], ms * 52) << "superseded before it was answered, and counted with the next";
  EXPECT_EQ(all[1], ms * 51) << "its first change waited for the version before";
}

TEST(ApplyTimesTest, WhatMakesNoVersionIsNotMeasured) {
  ApplyTimes times;
  times.changed(start);
  times.dropped();
  times.published(1);
  EXPECT_TRUE(times.taken(1, start + ms).empty());
}

TEST(ApplyTimesTest, WhatWaitsIsBounded) {
  ApplyTimes times;
  for (uint64_t i = 1; i <= 2 * apply_times_max; ++i) {
    times.changed(start);
    times.published(i);
  }
  EXPECT_EQ(times.taken(UINT64_MAX, start + ms).size(), apply_times_max);
}

}  // namespace
}  // namespace millrace

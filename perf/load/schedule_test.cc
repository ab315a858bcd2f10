#include "perf/load/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace millrace::load {
namespace {

const Instant start = Instant::from_ns(5'000'000'000);

std::vector<double> gaps_ns(Schedule& schedule, size_t count) {
  std::vector<double> gaps;
  Instant last = schedule.next();
  for (size_t i = 0; i < count; ++i) {
    schedule.advance();
    gaps.push_back(static_cast<double>((schedule.next() - last).count_ns()));
    last = schedule.next();
  }
  return gaps;
}

TEST(Schedule, AClosedLoopHasNoTimes) {
  Schedule schedule(Pace::closed, 1, 1);
  schedule.start(start);
  EXPECT_FALSE(schedule.is_open());
  EXPECT_EQ(schedule.next(), Instant::never());
}

TEST(Schedule, ConstantTimesDoNotDrift) {
  // 3 a second has no whole number of nanoseconds between two: errors must not add up.
  Schedule schedule(Pace::constant, 3, 1);
  schedule.start(start);
  EXPECT_EQ(schedule.next(), start);
  for (int i = 1; i <= 3'000'000; ++i) {
    schedule.advance();
    if (i % 3 == 0) {
      ASSERT_EQ(schedule.next(), start + Duration::seconds(i / 3));
    }
  }
}

TEST(Schedule, PoissonHasItsMeanItsVarianceAndNoMemory) {
  Schedule schedule(Pace::poisson, 50'000, 7);
  schedule.start(start);
  const auto gaps = gaps_ns(schedule, 400'000);
  double sum = 0;
  double squares = 0;
  double product = 0;
  for (size_t i = 0; i < gaps.size(); ++i) {
    sum += gaps[i];
    squares += gaps[i] * gaps[i];
    if (i > 0) product += gaps[i] * gaps[i - 1];
  }
  const auto count = static_cast<double>(gaps.size());
  const double mean = sum / count;
  EXPECT_NEAR(mean, 20'000, 20'000 * 0.01);
  // Of an exponential distribution the standard deviation equals the mean.
  EXPECT_NEAR(std::sqrt(squares / count - mean * mean), 20'000, 20'000 * 0.015);
  // Neighbours are independent.
  EXPECT_NEAR(product / count - mean * mean, 0, 20'000.0 * 20'000 * 0.01);
}

TEST(Schedule, PoissonAtAHighRateLosesNothingToRounding) {
  Schedule schedule(Pace::poisson, 40'000'000, 7);
  schedule.start(start);
  double sum = 0;
  for (double gap : gaps_ns(schedule, 1'000'000)) sum += gap;
  EXPECT_NEAR(sum / 1e6, 25, 0.15);
}

TEST(Schedule, TheSameSeedIsTheSameSchedule) {
  Schedule one(Pace::poisson, 1'000, 11);
  Schedule two(Pace::poisson, 1'000, 11);
  Schedule three(Pace::poisson, 1'000, 12);
  one.start(start);
  two.start(start);
  three.start(start);
  EXPECT_EQ(gaps_ns(one, 100), gaps_ns(two, 100));
  EXPECT_NE(gaps_ns(two, 100), gaps_ns(three, 100));
}

TEST(Schedule, WhatIsDueStaysDueWhenTheRateChanges) {
  Schedule schedule(Pace::constant, 1'000, 1);
  schedule.start(start);
  schedule.advance();
  const Instant due = schedule.next();
  // Ten milliseconds late: the missed ones are still due at their own times.
  schedule.set_rate(2'000, start + Duration::milliseconds(10));
  EXPECT_EQ(schedule.next(), due);
  schedule.advance();
  EXPECT_EQ(schedule.next(), due + Duration::microseconds(500));
}

TEST(Schedule, AHigherRateDoesNotWaitOutALowOnesGap) {
  Schedule schedule(Pace::constant, 0.01, 1);
  schedule.start(start);
  schedule.advance();  // in 100 s
  schedule.set_rate(1'000, start);
  EXPECT_EQ(schedule.next(), start + Duration::milliseconds(1));
}

TEST(Schedule, StoppedMeansNever) {
  Schedule schedule(Pace::constant, 1'000, 1);
  schedule.start(start);
  schedule.stop();
  EXPECT_EQ(schedule.next(), Instant::never());
}

}  // namespace
}  // namespace millrace::load

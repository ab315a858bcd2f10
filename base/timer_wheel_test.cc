#include "base/timer_wheel.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/random.h"

namespace millrace {
namespace {

Instant at_ms(uint64_t ms) {
  return Instant::from_ns(ms * 1'000'000);
}

std::vector<uint32_t> advance(TimerWheel& wheel, Instant now) {
  std::vector<uint32_t> fired;
  wheel.advance(now, UINT32_MAX, [&](uint32_t timer) { fired.push_back(timer); });
  return fired;
}

TEST(TimerWheel, FiresAtItsDeadlineAndNotBefore) {
  TimerWheel wheel(4, at_ms(0));
  wheel.arm(2, at_ms(5));
  EXPECT_TRUE(advance(wheel, at_ms(4)).empty());
  EXPECT_EQ(advance(wheel, at_ms(5)), std::vector<uint32_t>{2});
  EXPECT_TRUE(advance(wheel, at_ms(100)).empty());
  EXPECT_EQ(wheel.armed_count(), 0U);
}

TEST(TimerWheel, PuttingOffMovesTheDeadline) {
  TimerWheel wheel(1, at_ms(0));
  wheel.arm(0, at_ms(5));
  wheel.arm(0, at_ms(300));
  EXPECT_TRUE(advance(wheel, at_ms(299)).empty());
  EXPECT_EQ(advance(wheel, at_ms(300)).size(), 1U);
}

TEST(TimerWheel, PullingInMovesTheDeadline) {
  TimerWheel wheel(1, at_ms(0));
  wheel.arm(0, at_ms(70'000));
  wheel.arm(0, at_ms(3));
  EXPECT_EQ(advance(wheel, at_ms(3)).size(), 1U);
}

TEST(TimerWheel, CancelledTimerStaysSilent) {
  TimerWheel wheel(2, at_ms(0));
  wheel.arm(0, at_ms(5));
  wheel.arm(1, at_ms(5));
  wheel.cancel(0);
  EXPECT_EQ(advance(wheel, at_ms(10)), std::vector<uint32_t>{1});
}

TEST(TimerWheel, BoundedFiringKeepsTheRest) {
  TimerWheel wheel(10, at_ms(0));
  for (uint32_t i = 0; i < 10; ++i) wheel.arm(i, at_ms(2));
  uint32_t fired = 0;
  wheel.advance(at_ms(2), 4, [&](uint32_t) { ++fired; });
  EXPECT_EQ(fired, 4U);
  wheel.advance(at_ms(2), 100, [&](uint32_t) { ++fired; });
  EXPECT_EQ(fired, 10U);
}

// T51: a clock that jumps an hour, and one that starts where 32 bits of milliseconds wrap.
TEST(TimerWheel, T51_ClockJumpAndWrapFireEverythingOnce) {
  for (uint64_t start : {uint64_t{0}, (uint64_t{1} << 32) - 60'000, (uint64_t{1} << 32) - 1}) {
    TimerWheel wheel(1000, at_ms(start));
    for (uint32_t i = 0; i < 1000; ++i) wheel.arm(i, at_ms(start + 1 + i * 3571));
    EXPECT_EQ(advance(wheel, at_ms(start + 3'600'000)).size(), 1000U);
  }
}

// Against a plain list of deadlines, over random arming, moving, cancelling and random steps of
// time.
TEST(TimerWheel, AgreesWithAListOfDeadlines) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Random random(seed);
    uint64_t now_ms = random.below(uint64_t{1} << 33);
    constexpr uint32_t count = 64;
    TimerWheel wheel(count, at_ms(now_ms));
    std::vector<Instant> model(count, Instant::never());
    for (int step = 0; step < 2000; ++step) {
      const auto timer = static_cast<uint32_t>(random.below(count));
      switch (random.below(4)) {
        case 0:
        case 1: {
          const uint64_t span_us = random.below(uint64_t{1} << random.between(4, 40));
          model[timer] = at_ms(now_ms) + Duration::microseconds(static_cast<int64_t>(span_us));
          wheel.arm(timer, model[timer]);
          break;
        }
        case 2:
          model[timer] = Instant::never();
          wheel.cancel(timer);
          break;
        default: {
          now_ms += random.below(uint64_t{1} << random.between(1, 24));
          const Instant now = at_ms(now_ms);
          for (uint32_t fired : advance(wheel, now)) {
            ASSERT_LE(model[fired], now) << "seed " << seed;
            model[fired] = Instant::never();
          }
          for (uint32_t i = 0; i < count; ++i) {
            ASSERT_TRUE(model[i] == Instant::never() || model[i] > now) << "late, seed " << seed;
          }
          Instant earliest = Instant::never();
          for (Instant deadline : model) earliest = std::min(earliest, deadline);
          const Instant latest_wake =
              earliest == Instant::never() ? earliest : earliest + Duration::milliseconds(1);
          ASSERT_LE(wheel.next_deadline(), latest_wake) << "seed " << seed;
        }
      }
    }
  }
}

}  // namespace
}  // namespace millrace

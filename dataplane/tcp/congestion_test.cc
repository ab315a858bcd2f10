#include "dataplane/tcp/congestion.h"

#include <gtest/gtest.h>

#include <cmath>

namespace millrace::tcp {
namespace {

constexpr uint32_t mss = 1'000;
constexpr Duration round_trip = Duration::milliseconds(50);

// A sender that is always limited by its window, one round trip after the other.
class Flow {
 public:
  Flow(CongestionControl control, uint32_t window) : control_(control) {
    congestion.start(mss);
    congestion.set_window(window);
    congestion.set_threshold(window);
  }
  void round() {
    const uint32_t window = congestion.window();
    for (uint32_t sent = 0; sent < window; sent += mss) {
      congestion.acknowledged(control_, memory, {mss, mss, now, round_trip, {}, {}, {}});
    }
    now = now + round_trip;
  }
  void lose() {
    congestion.reduce(control_, memory, congestion.window(), mss);
    congestion.set_window(congestion.threshold());
  }
  Congestion congestion;
  CongestionMemory memory;
  Instant now = Instant::from_ns(1'000'000'000'000);

 private:
  CongestionControl control_;
};

TEST(CongestionTest, T20_InitialWindowOfTenSegments) {
  Congestion congestion;
  congestion.start(1'460);
  EXPECT_EQ(congestion.window(), 14'600U);
  congestion.start(536);
  EXPECT_EQ(congestion.window(), 5'360U);
  congestion.start(8'960);
  EXPECT_EQ(congestion.window(), 17'920U);
}

TEST(CongestionTest, T21_SlowStartGrowsByOctetsAndNotByAcknowledgments) {
  Congestion congestion;
  CongestionMemory memory;
  congestion.start(mss);
  const uint32_t begin = congestion.window();
  for (int i = 0; i < 1'000; ++i)
    congestion.acknowledged(CongestionControl::cubic, memory, {1, mss, {}, {}, {}, {}, {}});
  EXPECT_EQ(congestion.window(), begin + 1'000);
  // A train opens the window by eight segments (RFC 9406 section 4.3).
  congestion.acknowledged(CongestionControl::cubic, memory, {100 * mss, mss, {}, {}, {}, {}, {}});
  EXPECT_EQ(congestion.window(), begin + 1'000 + 8 * mss);
}

TEST(CongestionTest, T19_NewRenoGrowsByASegmentARoundTripAndHalves) {
  Flow flow(CongestionControl::new_reno, 100 * mss);
  for (int i = 0; i < 10; ++i) flow.round();
  EXPECT_NEAR(flow.congestion.window(), 110 * mss, mss);
  flow.lose();
  EXPECT_NEAR(flow.congestion.window(), 55 * mss, mss);
}

// RFC 9438 section 4.2: after a loss at W_max the window comes back to it after K, and is flat
// there; the same formula in floating point is the judge.
TEST(CongestionTest, T19_CubicFollowsItsCurve) {
  constexpr double windows = 1'000;
  Flow flow(CongestionControl::cubic, static_cast<uint32_t>(windows) * mss);
  flow.lose();
  EXPECT_NEAR(flow.congestion.window(), 700 * mss, mss);
  const double k = std::cbrt(windows * 0.3 / 0.4);
  const Instant begin = flow.now;
  for (int i = 0; i < 400; ++i) {
    flow.round();
    const double t = static_cast<double>((flow.now - begin).count_ms()) / 1e3;
    const double curve = 0.4 * std::pow(t - k, 3) + windows;
    EXPECT_NEAR(flow.congestion.window() / mss, curve, 0.03 * curve) << t;
  }
}

TEST(CongestionTest, T19_CubicIsNeverSlowerThanReno) {
  // A short round trip and a small window: where Reno is faster than the curve.
  Flow flow(CongestionControl::cubic, 20 * mss);
  flow.lose();
  EXPECT_EQ(flow.congestion.window(), 14 * mss);
  const Instant begin = flow.now;
  while (flow.now - begin < Duration::milliseconds(500)) flow.round();
  // alpha is 9/17 of a segment a round trip below the old window.
  EXPECT_GE(flow.congestion.window(), 18 * mss);
}

TEST(CongestionTest, T19_FastConvergenceMakesRoom) {
  Flow flow(CongestionControl::cubic, 100 * mss);
  flow.lose();
  EXPECT_EQ(flow.memory.cubic.window_max, 100 * mss);
  flow.lose();  // below the last maximum
  EXPECT_EQ(flow.memory.cubic.window_max, 59'500U);
}

TEST(CongestionTest, T19_TimeInWhichTheApplicationIsTheLimitDoesNotCount) {
  Flow flow(CongestionControl::cubic, 100 * mss);
  flow.lose();
  flow.round();
  const uint32_t before = flow.congestion.window();
  flow.memory.cubic.note_unused(flow.now);
  flow.now = flow.now + Duration::seconds(60);
  flow.round();
  EXPECT_LT(flow.congestion.window(), before + 10 * mss);
}

TEST(CongestionTest, T19_ATimeoutLeavesOneSegment) {
  Flow flow(CongestionControl::cubic, 100 * mss);
  flow.congestion.timed_out(CongestionControl::cubic, flow.memory, 100 * mss, true, mss);
  EXPECT_EQ(flow.congestion.window(), mss);
  EXPECT_EQ(flow.congestion.threshold(), 70 * mss);
  flow.congestion.timed_out(CongestionControl::cubic, flow.memory, mss, false, mss);
  EXPECT_EQ(flow.congestion.threshold(), 70 * mss);
}

// A path whose queue grows with the window: slow start leaves before it has doubled into a loss.
class SlowStartTest : public ::testing::Test {
 protected:
  // One round: every segment acknowledged with this round trip.
  void round(Duration sample) {
    const uint32_t segments = congestion_.window() / mss;
    for (uint32_t i = 0; i < segments; ++i) {
      acknowledged_ += mss;
      sent_ += mss;
      congestion_.acknowledged(CongestionControl::cubic, memory_,
                               {mss, mss, now_, sample, sample, acknowledged_, sent_});
    }
    now_ = now_ + sample;
  }
  void begin() {
    congestion_.start(mss);
    sent_ = acknowledged_ + congestion_.window();
  }
  Congestion congestion_;
  CongestionMemory memory_;
  Seq acknowledged_{0xffff'0000};
  Seq sent_;
  Instant now_ = Instant::from_ns(1'000'000'000);
};

TEST_F(SlowStartTest, T19_EvenRoundTripsDouble) {
  begin();
  for (int i = 0; i < 4; ++i) round(Duration::milliseconds(40));
  EXPECT_GE(congestion_.window(), 150 * mss);
  EXPECT_TRUE(congestion_.in_slow_start());
  EXPECT_FALSE(memory_.rounds.conservative);
}

TEST_F(SlowStartTest, T19_LongerRoundTripsEndIt) {
  begin();
  round(Duration::milliseconds(40));
  round(Duration::milliseconds(40));
  round(Duration::milliseconds(50));
  EXPECT_TRUE(memory_.rounds.conservative);
  const uint32_t window = congestion_.window();
  for (int i = 0; i < 6; ++i) round(Duration::milliseconds(52));
  EXPECT_FALSE(congestion_.in_slow_start());
  EXPECT_LE(congestion_.window(), 4 * window);
}

TEST_F(SlowStartTest, T19_OneLongRoundIsAnAccident) {
  begin();
  round(Duration::milliseconds(40));
  round(Duration::milliseconds(40));
  round(Duration::milliseconds(50));
  EXPECT_TRUE(memory_.rounds.conservative);
  round(Duration::milliseconds(40));
  round(Duration::milliseconds(40));
  EXPECT_FALSE(memory_.rounds.conservative);
  EXPECT_TRUE(congestion_.in_slow_start());
}

TEST(CongestionTest, NothingOverflowsAtTheLargestWindow) {
  Flow flow(CongestionControl::cubic, Congestion::window_bytes_max);
  flow.lose();
  for (int i = 0; i < 3; ++i) {
    flow.congestion.acknowledged(
        CongestionControl::cubic, flow.memory,
        {Congestion::window_bytes_max, 9'000, flow.now, round_trip, {}, {}, {}});
    flow.now = flow.now + Duration::seconds(100'000);
  }
  EXPECT_LE(flow.congestion.window(), Congestion::window_bytes_max);
}

}  // namespace
}  // namespace millrace::tcp

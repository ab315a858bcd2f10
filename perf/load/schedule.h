// Schedule: when requests are meant to be sent. A closed loop has no times: whoever got an answer
// asks again. An open loop goes on whatever the answers do, so a time that has passed stays due: a
// request that leaves late still counts from it, and a stall of the server is seen by every request
// that was meant to leave during it.
#pragma once

#include <cstdint>

#include "base/random.h"
#include "base/time.h"

namespace millrace::load {

enum class Pace : uint8_t {
  closed,
  constant,  // every 1 / rate
  poisson,   // independent arrivals: exponential gaps with mean 1 / rate
};

inline constexpr double rate_per_second_max = 100'000'000;

class Schedule {
 public:
  // rate_per_second: above 0, to rate_per_second_max; ignored by a closed loop.
  Schedule(Pace pace, double rate_per_second, uint64_t seed)
      : pace_(pace), period_ns_(1e9 / rate_per_second), random_(seed) {}

  // The first request is due at (constant) or one gap after (poisson) this instant.
  void start(Instant now);
  // From now on at another rate; what was due before stays due.
  void set_rate(double rate_per_second, Instant now);
  // Nothing is due any more.
  void stop() { next_ = Instant::never(); }

  bool is_open() const { return pace_ != Pace::closed; }
  double rate_per_second() const { return 1e9 / period_ns_; }
  // When the next request is due; never in a closed loop and before start().
  Instant next() const { return next_; }
  // That one is taken: on to the one after it.
  void advance();

 private:
  double exponential_ns();

  Pace pace_;
  double period_ns_;
  Random random_;
  Instant next_ = Instant::never();
  // Constant times are counted from their beginning, so that rounding never adds up.
  Instant origin_;
  uint64_t index_ = 0;
  double gap_left_ns_ = 0;  // what rounding to whole nanoseconds left of a Poisson gap
};

}  // namespace millrace::load

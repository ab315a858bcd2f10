// Time is an argument. Instant and Duration are types, not integers, so that a duration is never
// mistaken for a point in time; only threads' own loops read a clock (the rule `clocks`).
#pragma once

#include <chrono>
#include <compare>
#include <concepts>
#include <cstdint>
#include <ctime>

namespace millrace {

// A signed span of time in nanoseconds; +-292 years.
class Duration {
 public:
  constexpr Duration() = default;
  static constexpr Duration nanoseconds(int64_t count) { return Duration(count); }
  static constexpr Duration microseconds(int64_t count) { return Duration(count * 1'000); }
  static constexpr Duration milliseconds(int64_t count) { return Duration(count * 1'000'000); }
  static constexpr Duration seconds(int64_t count) { return Duration(count * 1'000'000'000); }

  constexpr int64_t count_ns() const { return ns_; }
  constexpr int64_t count_us() const { return ns_ / 1'000; }
  constexpr int64_t count_ms() const { return ns_ / 1'000'000; }

  constexpr auto operator<=>(const Duration&) const = default;
  constexpr Duration operator+(Duration other) const { return Duration(ns_ + other.ns_); }
  constexpr Duration operator-(Duration other) const { return Duration(ns_ - other.ns_); }
  constexpr Duration operator*(int64_t factor) const { return Duration(ns_ * factor); }
  constexpr Duration operator/(int64_t divisor) const { return Duration(ns_ / divisor); }

 private:
  constexpr explicit Duration(int64_t ns) : ns_(ns) {}
  int64_t ns_ = 0;
};

// A point on a monotonic clock, nanoseconds since an arbitrary origin. Never wall time.
class Instant {
 public:
  constexpr Instant() = default;
  static constexpr Instant from_ns(uint64_t ns) { return Instant(ns); }
  // Later than every deadline: "no timer".
  static constexpr Instant never() { return Instant(UINT64_MAX); }

  constexpr uint64_t since_origin_ns() const { return ns_; }
  constexpr auto operator<=>(const Instant&) const = default;
  constexpr Instant operator+(Duration span) const {
    return Instant(ns_ + static_cast<uint64_t>(span.count_ns()));
  }
  constexpr Instant operator-(Duration span) const {
    return Instant(ns_ - static_cast<uint64_t>(span.count_ns()));
  }
  constexpr Duration operator-(Instant earlier) const {
    return Duration::nanoseconds(static_cast<int64_t>(ns_ - earlier.ns_));
  }

 private:
  constexpr explicit Instant(uint64_t ns) : ns_(ns) {}
  uint64_t ns_ = 0;
};

// An instant in whole milliseconds on a circle of 2^32 (49 days): for records that exist a million
// times. Two of them have an order only while they are less than 24 days apart. No tick is the
// number 0, which says "never".
class Tick {
 public:
  static constexpr int64_t tick_ns = 1'000'000;

  constexpr Tick() = default;  // never
  static constexpr Tick never() { return {}; }
  // The first tick that is not earlier: for deadlines, which must not come early.
  static constexpr Tick at_or_after(Instant instant) {
    return of((instant.since_origin_ns() + (tick_ns - 1)) / tick_ns);
  }
  // The last tick that is not later: for "now".
  static constexpr Tick at_or_before(Instant instant) {
    return of(instant.since_origin_ns() / tick_ns);
  }
  // Number 0 is skipped: its millisecond is said as the next one.
  static constexpr Tick of(uint64_t milliseconds) {
    const auto value = static_cast<uint32_t>(milliseconds);
    return Tick(value + (value == 0 ? 1 : 0));
  }

  constexpr uint32_t value() const { return value_; }
  constexpr bool is_never() const { return value_ == 0; }
  constexpr bool operator==(const Tick&) const = default;
  // Both are set and this one is not later.
  constexpr bool reached_by(Tick now) const {
    return value_ != 0 && static_cast<int32_t>(now.value_ - value_) >= 0;
  }
  // From this tick, which is set, to `later`; negative when that is earlier.
  constexpr Duration until(Tick later) const {
    return Duration::milliseconds(static_cast<int32_t>(later.value_ - value_));
  }
  constexpr Tick operator+(Duration span) const {
    return of(uint64_t{value_} + static_cast<uint64_t>(span.count_ms()));
  }

 private:
  constexpr explicit Tick(uint32_t value) : value_(value) {}
  uint32_t value_ = 0;
};

// The earlier one; never is later than all others.
constexpr Tick tick_min(Tick a, Tick b) {
  if (a.is_never()) return b;
  if (b.is_never()) return a;
  return static_cast<int32_t>(a.value() - b.value()) <= 0 ? a : b;
}

template <class T>
concept Clock = requires(T clock) {
  { clock.now() } -> std::same_as<Instant>;
};

// CLOCK_MONOTONIC: the clock that bpf_ktime_get_ns reads, so the heartbeat is written with it.
struct MonotonicClock {
  Instant now() const {
    timespec at{};
    clock_gettime(CLOCK_MONOTONIC, &at);
    return Instant::from_ns(static_cast<uint64_t>(at.tv_sec) * 1'000'000'000U +
                            static_cast<uint64_t>(at.tv_nsec));
  }
  // What to add to its nanoseconds for those since 1970 (CLOCK_REALTIME). Other than a moment ago
  // when somebody has set the machine's time.
  uint64_t wall_ns_of_origin() const {
    timespec wall{};
    clock_gettime(CLOCK_REALTIME, &wall);
    return static_cast<uint64_t>(wall.tv_sec) * 1'000'000'000U +
           static_cast<uint64_t>(wall.tv_nsec) - now().since_origin_ns();
  }
};

// The simulation's clock: stands still until it is moved.
class VirtualClock {
 public:
  explicit VirtualClock(Instant start) : now_(start) {}
  Instant now() const { return now_; }
  void advance_to(Instant later) {
    if (later > now_) now_ = later;
  }

 private:
  Instant now_;
};

static_assert(Clock<MonotonicClock> && Clock<VirtualClock>);

}  // namespace millrace

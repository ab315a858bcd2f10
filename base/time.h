// Time is an argument. Instant and Duration are types, not integers, so that a duration is never
// mistaken for a point in time; only worker.h and main.cc ever read a clock.
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

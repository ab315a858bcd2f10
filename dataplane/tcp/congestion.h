// NewReno congestion control: slow start, congestion avoidance (RFC 5681), fast recovery with
// partial acknowledgments (RFC 6582), growth by octets acknowledged (RFC 3465), initial window of
// ten segments (RFC 6928). Pure arithmetic: it knows neither time nor packets.
#pragma once

#include <algorithm>
#include <cstdint>

namespace millrace::tcp {

class Congestion {
 public:
  static constexpr uint32_t window_bytes_max = 1U << 30;

  // RFC 6928 section 2: min(10 * MSS, max(2 * MSS, 14600)).
  void start(uint32_t mss) {
    window_ = std::min(10 * mss, std::max(2 * mss, 14'600U));
    threshold_ = window_bytes_max;
    counted_ = 0;
  }

  uint32_t window() const { return window_; }
  uint32_t threshold() const { return threshold_; }
  bool in_slow_start() const { return window_ < threshold_; }

  // New data was acknowledged outside recovery. limited: the window, not the application, held us
  // back (RFC 7661's lesson: a window that was not used proves nothing).
  void acknowledged(uint32_t octets, bool limited, uint32_t mss) {
    if (!limited) return;
    if (in_slow_start()) {
      // RFC 3465 section 2.2, L = 2: an ACK that covers a train does not open the window by a
      // train.
      grow(std::min(octets, 2 * mss));
      return;
    }
    counted_ += octets;
    if (counted_ >= window_) {
      counted_ -= window_;
      grow(mss);
    }
  }

  // The third duplicate ACK (RFC 5681 section 3.2 steps 2 and 3).
  void enter_recovery(uint32_t flight_octets, uint32_t mss) {
    threshold_ = std::max(flight_octets / 2, 2 * mss);
    window_ = threshold_ + 3 * mss;
  }
  // A further duplicate ACK: one more segment has left the network (step 4).
  void inflate(uint32_t mss) { grow(mss); }
  // A partial acknowledgment (RFC 6582 section 3.2 step 3): deflate by what left, add one segment.
  void partial(uint32_t octets, uint32_t mss) {
    window_ = window_ > octets + mss ? window_ - octets : mss;
    if (octets >= mss) grow(mss);
  }
  // The full acknowledgment ends recovery (step 3, option 1: no burst).
  void leave_recovery(uint32_t flight_octets, uint32_t mss) {
    window_ = std::min(threshold_, std::max(flight_octets, mss) + mss);
    counted_ = 0;
  }
  // The retransmission timer expired (RFC 5681 section 3.1). first: not for a repeated expiry, so
  // that backing off does not also collapse the threshold.
  void timed_out(uint32_t flight_octets, bool first, uint32_t mss) {
    if (first) threshold_ = std::max(flight_octets / 2, 2 * mss);
    window_ = mss;
    counted_ = 0;
  }
  // Idle longer than a retransmission timeout: restart (RFC 5681 section 4.1).
  void restart_after_idle(uint32_t mss) {
    window_ = std::min(window_, std::min(10 * mss, std::max(2 * mss, 14'600U)));
  }

 private:
  void grow(uint32_t octets) { window_ = std::min(window_ + octets, window_bytes_max); }

  uint32_t window_ = 0;
  uint32_t threshold_ = window_bytes_max;
  uint32_t counted_ = 0;  // octets acknowledged towards the next segment of growth
};

}  // namespace millrace::tcp

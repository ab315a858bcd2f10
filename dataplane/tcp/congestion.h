// Congestion control: how many octets may be in flight. Slow start and its restart (RFC 5681),
// growth by octets acknowledged (RFC 3465), an initial window of ten segments (RFC 6928); in
// congestion avoidance either CUBIC (RFC 9438) or NewReno (RFC 5681, RFC 6582). Arithmetic on
// integers only: it sends nothing, reads no clock, and gives the same on every machine.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/time.h"
#include "dataplane/tcp/seq.h"

namespace millrace::tcp {

// How the window grows in congestion avoidance, and by how much it shrinks.
enum class CongestionControl : uint8_t {
  cubic,     // RFC 9438
  new_reno,  // RFC 5681
};

// CUBIC's memory of the last congestion event and of the epoch since (RFC 9438 section 4.1.2). It
// is kept while a connection is busy: at rest it proves nothing any more.
struct CubicEpoch {
  uint32_t window_max = 0;    // octets, W_max; 0: none is known
  uint32_t window_prior = 0;  // octets, cwnd_prior: just before the last decrease
  uint32_t estimate = 0;      // octets, W_est: where Reno would stand
  uint32_t k_ms = 0;          // K: from the epoch's begin to where the curve meets W_max
  Tick began;                 // never: the next acknowledgment in congestion avoidance begins one
  // Since when the application, not the window, has been the limit: that time does not count
  // (section 5.8). Never: it is not so.
  Tick unused_since;

  void note_unused(Instant now) {
    if (unused_since.is_never()) unused_since = Tick::at_or_before(now);
  }
};

// HyStart++ (RFC 9406): slow start ends when round trips grow longer, before the queue overflows.
// Rounds are told by sequence numbers: one ends when what was sent last at its begin is
// acknowledged.
struct SlowStartRounds {
  bool begun = false;
  bool conservative = false;        // in Conservative Slow Start
  uint8_t samples = 0;              // of this round's round trips
  uint8_t conservative_rounds = 0;  // that have begun
  Seq end;                          // windowEnd
  uint32_t last_us_min = 0;         // lastRoundMinRTT; 0: infinite
  uint32_t current_us_min = 0;      // currentRoundMinRTT; 0: infinite
  uint32_t baseline_us_min = 0;     // cssBaselineMinRtt
};

// What congestion control remembers of a busy connection beside its window and threshold.
struct CongestionMemory {
  CubicEpoch cubic;
  SlowStartRounds rounds;
};

class Congestion {
 public:
  static constexpr uint32_t window_bytes_max = 1U << 30;

  // What an acknowledgment of new octets tells.
  struct Acknowledgment {
    uint32_t octets = 0;
    uint32_t mss = 0;
    Instant now;
    Duration round_trip;  // smoothed; zero when none is known
    Duration sample;      // a round trip just measured; zero: none
    Seq snd_una;          // after it
    Seq snd_nxt;
  };

  // RFC 6928 section 2.
  static constexpr uint32_t initial_window(uint32_t mss) {
    return std::min(10 * mss, std::max(2 * mss, 14'600U));
  }
  void start(uint32_t mss) {
    window_ = initial_window(mss);
    threshold_ = window_bytes_max;
    counted_ = 0;
  }

  uint32_t window() const { return window_; }
  uint32_t threshold() const { return threshold_; }
  bool in_slow_start() const { return window_ < threshold_; }
  // What proportional rate reduction works out (RFC 9937), and what an undo puts back.
  void set_window(uint32_t octets) { window_ = std::clamp(octets, 1U, window_bytes_max); }
  void set_threshold(uint32_t octets) { threshold_ = std::min(octets, window_bytes_max); }

  // New data was acknowledged outside recovery, and the window, not the application, had held the
  // sender back.
  void acknowledged(CongestionControl control, CongestionMemory& memory,
                    const Acknowledgment& ack) {
    if (in_slow_start()) {
      grow_slow_start(memory.rounds, ack);
      return;
    }
    if (control == CongestionControl::cubic) {
      grow_cubic(memory.cubic, ack);
      return;
    }
    counted_ += ack.octets;
    if (counted_ >= window_) {
      counted_ -= window_;
      grow(ack.mss);
    }
  }

  // Something was lost, once in a window: the threshold falls to what the network is believed to
  // carry (RFC 5681 section 3.1 (4), RFC 9438 section 4.6). The window is recovery's.
  void reduce(CongestionControl control, CongestionMemory& memory, uint32_t flight_octets,
              uint32_t mss);

  // The retransmission timer expired (RFC 5681 section 3.1, RFC 9438 section 4.8). first: not for a
  // repeated expiry, so that backing off does not also collapse the threshold.
  void timed_out(CongestionControl control, CongestionMemory& memory, uint32_t flight_octets,
                 bool first, uint32_t mss);

  // Idle longer than a retransmission timeout: restart (RFC 5681 section 4.1).
  void restart_after_idle(uint32_t mss) { window_ = std::min(window_, initial_window(mss)); }

  // --- recovery without selective acknowledgments (RFC 6582) ---
  // After reduce(), on the third duplicate ACK (RFC 5681 section 3.2 step 3).
  void enter_recovery(uint32_t mss) { window_ = threshold_ + 3 * mss; }
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

 private:
  void grow(uint32_t octets) { window_ = std::min(window_ + octets, window_bytes_max); }
  void grow_slow_start(SlowStartRounds& rounds, const Acknowledgment& ack);
  void take_sample(SlowStartRounds& rounds, uint32_t sample_us);
  void grow_cubic(CubicEpoch& epoch, const Acknowledgment& ack);
  void begin_epoch(CubicEpoch& epoch, const Acknowledgment& ack);

  uint32_t window_ = 0;
  uint32_t threshold_ = window_bytes_max;
  uint32_t counted_ = 0;  // octets acknowledged towards the next segment of growth (of W_est)
};

}  // namespace millrace::tcp

// The retransmission timeout's arithmetic (RFC 6298 section 2), in microseconds in 32 bits.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/time.h"

namespace millrace::tcp {

// RFC 6298 (2.4) says SHOULD 1 s; Linux has used 200 ms for two decades, and ingress round trips
// are short. Peers' delayed ACKs (40 to 200 ms) stay below it.
inline constexpr Duration rto_min = Duration::milliseconds(200);
inline constexpr Duration rto_max = Duration::seconds(60);                // (2.5)
inline constexpr Duration rto_initial = Duration::seconds(1);             // (2.1)
inline constexpr Duration rto_after_repeated_syn = Duration::seconds(3);  // (5.7)
// A tail loss probe (RFC 8985 section 7.2) is sent no earlier than a peer's stack and our own timer
// are late on an idle machine; and when a single segment is in flight, after the delayed
// acknowledgment that it may meet (WCDelAckT).
inline constexpr Duration probe_timeout_min = Duration::milliseconds(10);
inline constexpr Duration peer_ack_delay_max = Duration::milliseconds(200);

class RoundTrip {
 public:
  // One measurement of a segment that was sent once only (Karn's rule, section 3).
  // Returns it in microseconds, at least 1.
  uint32_t sample(Duration measured) {
    const auto us = static_cast<uint32_t>(std::clamp<int64_t>(measured.count_us(), 1, 60'000'000));
    if (srtt_us_ == 0) {  // (2.2)
      srtt_us_ = us;
      rttvar_us_ = us / 2;
      return us;
    }
    // (2.3) with beta 1/4 and alpha 1/8.
    const uint32_t deviation = us > srtt_us_ ? us - srtt_us_ : srtt_us_ - us;
    rttvar_us_ = rttvar_us_ - rttvar_us_ / 4 + deviation / 4;
    srtt_us_ = std::max(1U, srtt_us_ - srtt_us_ / 8 + us / 8);
    return us;
  }

  // RFC 6298 (5.7): the timer expired before the SYN was acknowledged, and nothing was measured.
  void start_after_repeated_syn() {
    if (!has_sample()) rttvar_us_ = static_cast<uint32_t>(rto_after_repeated_syn.count_us());
  }

  bool has_sample() const { return srtt_us_ != 0; }
  Duration smoothed() const { return Duration::microseconds(srtt_us_); }

  // PTO of RFC 8985 section 7.2; there is a sample.
  Duration probe_timeout(bool single_segment) const {
    const Duration twice = smoothed() * 2 + (single_segment ? peer_ack_delay_max : Duration());
    return std::max(twice, probe_timeout_min);
  }

  // backoff: how many times the timer expired in a row (5.5).
  Duration timeout(uint32_t backoff) const {
    Duration rto = rttvar_us_ == 0 ? rto_initial : Duration::microseconds(rttvar_us_);
    if (has_sample()) {
      const int64_t us = int64_t{srtt_us_} + std::max<int64_t>(1'000, int64_t{rttvar_us_} * 4);
      rto = std::clamp(Duration::microseconds(us), rto_min, rto_max);
    }
    return std::min(rto * (int64_t{1} << std::min(backoff, 16U)), rto_max);
  }

 private:
  uint32_t srtt_us_ = 0;
  uint32_t rttvar_us_ = 0;  // without a sample: the initial timeout, 0 for the usual one
};

}  // namespace millrace::tcp

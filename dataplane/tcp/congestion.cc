#include "dataplane/tcp/congestion.h"

namespace millrace::tcp {
namespace {

// RFC 9438 section 4.1.1 and 4.6, as fractions: C = 4/10 segments a cubic second; beta = 7/10.
constexpr int64_t c_numerator = 4;
constexpr int64_t c_denominator = 10;
constexpr int64_t cubic_ms_per_cubic_second = 1'000'000'000;
constexpr uint32_t beta_numerator = 7;
constexpr uint32_t beta_denominator = 10;
// Section 4.3: alpha = 3 * (1 - beta) / (1 + beta) = 9/17, in Reno's increase per window.
constexpr uint32_t alpha_numerator = 9;
constexpr uint32_t alpha_denominator = 17;
// Beyond a minute the curve is past every window; so its cube fits 64 bits with every MSS.
constexpr int64_t curve_ms_max = 60'000;

// RFC 9406 section 4.3: N_RTT_SAMPLE, MIN_RTT_THRESH, MAX_RTT_THRESH, CSS_GROWTH_DIVISOR,
// CSS_ROUNDS, and L for senders that do not pace.
constexpr uint8_t samples_min = 8;
constexpr uint32_t round_trip_growth_us_min = 4'000;
constexpr uint32_t round_trip_growth_us_max = 16'000;
constexpr uint32_t conservative_divisor = 4;
constexpr uint8_t conservative_rounds_max = 5;
constexpr uint32_t slow_start_segments_per_ack = 8;

constexpr uint32_t share(uint32_t octets, uint32_t numerator, uint32_t denominator) {
  return static_cast<uint32_t>(uint64_t{octets} * numerator / denominator);
}

// The largest integer whose cube is not above value.
constexpr uint32_t cube_root(uint64_t value) {
  uint64_t root = 0;
  for (int bit = 20; bit >= 0; --bit) {
    const uint64_t tried = root | uint64_t{1} << bit;
    if (tried * tried * tried <= value) root = tried;
  }
  return static_cast<uint32_t>(root);
}
static_assert(cube_root(26) == 2 && cube_root(27) == 3 && cube_root(1'000'000'000) == 1'000);

// W_cubic(t) - W_max in octets (section 4.2): C * (t - K)^3 segments.
int64_t above_maximum(int64_t from_k_ms, uint32_t mss) {
  const int64_t ms = std::clamp(from_k_ms, -curve_ms_max, curve_ms_max);
  const int64_t cubed = ms * ms * ms;
  const int64_t factor = c_numerator * mss;
  return cubed / cubic_ms_per_cubic_second * factor / c_denominator +
         cubed % cubic_ms_per_cubic_second * factor / (c_denominator * cubic_ms_per_cubic_second);
}

}  // namespace

void Congestion::reduce(CongestionControl control, CongestionMemory& memory, uint32_t flight_octets,
                        uint32_t mss) {
  CubicEpoch& epoch = memory.cubic;
  memory.rounds = {};
  counted_ = 0;
  if (control == CongestionControl::new_reno) {
    threshold_ = std::max(flight_octets / 2, 2 * mss);
    return;
  }
  // Fast convergence (section 4.7): a flow that did not come back to its last maximum has a new
  // neighbor, and makes room.
  const bool below = window_ < epoch.window_max;
  epoch.window_max =
      below ? share(window_, beta_denominator + beta_numerator, 2 * beta_denominator) : window_;
  epoch.window_prior = window_;
  epoch.began = Tick::never();
  epoch.unused_since = Tick::never();
  // Of the window, not of what happened to be in flight (section 4.6 allows it where an unused
  // window does not grow, and ours does not): a short answer that loses a segment says little of
  // the path.
  threshold_ = std::max(share(window_, beta_numerator, beta_denominator), 2 * mss);
}

void Congestion::timed_out(CongestionControl control, CongestionMemory& memory,
                           uint32_t flight_octets, bool first, uint32_t mss) {
  if (first) {
    reduce(control, memory, flight_octets, mss);
    // Section 4.8: congestion avoidance begins at its own window, with K = 0.
    memory.cubic.window_max = 0;
  }
  window_ = mss;
  counted_ = 0;
}

// RFC 9406 section 4.2 and 4.3.
void Congestion::grow_slow_start(SlowStartRounds& rounds, const Acknowledgment& ack) {
  if (!rounds.begun || ack.snd_una > rounds.end) {
    rounds.begun = true;
    rounds.end = ack.snd_nxt;
    rounds.last_us_min = rounds.current_us_min;
    rounds.current_us_min = 0;
    rounds.samples = 0;
    if (rounds.conservative && ++rounds.conservative_rounds >= conservative_rounds_max) {
      threshold_ = window_;
      rounds = {};
      return;
    }
  }
  // An ACK that covers a long train does not open the window by a train (T21).
  const uint32_t octets = std::min(ack.octets, slow_start_segments_per_ack * ack.mss);
  grow(rounds.conservative ? octets / conservative_divisor : octets);
  if (ack.sample > Duration())
    take_sample(rounds, static_cast<uint32_t>(std::max<int64_t>(ack.sample.count_us(), 1)));
}

void Congestion::take_sample(SlowStartRounds& rounds, uint32_t sample_us) {
  rounds.current_us_min =
      rounds.current_us_min == 0 ? sample_us : std::min(rounds.current_us_min, sample_us);
  if (rounds.samples < samples_min) ++rounds.samples;
  if (rounds.samples < samples_min) return;
  if (rounds.conservative) {
    // The longer round trip was an accident: slow start goes on.
    if (rounds.current_us_min < rounds.baseline_us_min) rounds.conservative = false;
    return;
  }
  if (rounds.last_us_min == 0) return;
  const uint32_t longer =
      std::clamp(rounds.last_us_min / 8, round_trip_growth_us_min, round_trip_growth_us_max);
  if (rounds.current_us_min < rounds.last_us_min + longer) return;
  rounds.conservative = true;
  rounds.conservative_rounds = 0;
  rounds.baseline_us_min = rounds.current_us_min;
}

void Congestion::begin_epoch(CubicEpoch& epoch, const Acknowledgment& ack) {
  epoch.began = Tick::at_or_before(ack.now);
  epoch.unused_since = Tick::never();
  epoch.estimate = window_;
  counted_ = 0;
  if (window_ >= epoch.window_max) {
    epoch.window_max = window_;
    epoch.k_ms = 0;
    return;
  }
  // K = cbrt((W_max - cwnd_epoch) / C), both in segments.
  const uint64_t below = epoch.window_max - window_;
  epoch.k_ms = cube_root(below * c_denominator * cubic_ms_per_cubic_second /
                         (uint64_t{ack.mss} * c_numerator));
}

void Congestion::grow_cubic(CubicEpoch& epoch, const Acknowledgment& ack) {
  const Tick now = Tick::at_or_before(ack.now);
  if (epoch.began.is_never()) begin_epoch(epoch, ack);
  if (!epoch.unused_since.is_never()) {
    // The time in which the application was the limit is taken out of the epoch (section 5.8).
    const Duration unused = epoch.unused_since.until(now);
    if (unused > Duration()) epoch.began = epoch.began + unused;
    epoch.unused_since = Tick::never();
  }
  const int64_t since_ms = epoch.began.until(now).count_ms();
  const int64_t from_k_ms = since_ms - int64_t{epoch.k_ms};

  // The Reno-friendly region (section 4.3): never slower than Reno would be.
  counted_ += epoch.estimate < epoch.window_prior
                  ? share(ack.octets, alpha_numerator, alpha_denominator)
                  : ack.octets;
  if (counted_ >= window_) {
    counted_ -= window_;
    epoch.estimate = std::min(epoch.estimate + ack.mss, window_bytes_max);
  }
  const int64_t curve = int64_t{epoch.window_max} + above_maximum(from_k_ms, ack.mss);
  if (curve < int64_t{epoch.estimate}) {
    window_ = std::max(window_, epoch.estimate);
    return;
  }
  // Concave and convex regions (sections 4.4, 4.5): towards where the curve stands one round trip
  // from now, by at most half a window a round trip.
  const int64_t ahead_ms = from_k_ms + ack.round_trip.count_ms();
  const int64_t target = std::clamp(int64_t{epoch.window_max} + above_maximum(ahead_ms, ack.mss),
                                    int64_t{window_}, int64_t{window_} + window_ / 2);
  const int64_t octets = std::min(ack.octets, window_);
  grow(static_cast<uint32_t>((target - window_) * octets / window_));
}

}  // namespace millrace::tcp

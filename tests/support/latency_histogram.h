// Latencies in nanoseconds, kept as counts in log-linear buckets: 64 equal steps for each power of
// two, so a percentile is never off by more than 1/64 (1.6 %) and recording is a few instructions.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace millrace::support {

class LatencyHistogram {
 public:
  void record(uint64_t latency_ns) {
    ++counts_[bucket_of(latency_ns)];
    ++total_;
    sum_ns_ += latency_ns;
    if (latency_ns > max_ns_) max_ns_ = latency_ns;
  }

  uint64_t total() const { return total_; }
  uint64_t max_ns() const { return max_ns_; }
  uint64_t mean_ns() const { return total_ == 0 ? 0 : sum_ns_ / total_; }

  // The least latency that at least `share` (0 to 1) of the recorded ones do not exceed, rounded up
  // to the end of its bucket, never above the greatest one recorded. 0 when nothing was recorded.
  uint64_t quantile_ns(double share) const {
    if (total_ == 0) return 0;
    auto wanted = static_cast<uint64_t>(share * static_cast<double>(total_));
    if (wanted == 0) wanted = 1;
    uint64_t seen = 0;
    for (uint32_t bucket = 0; bucket < buckets; ++bucket) {
      seen += counts_[bucket];
      if (seen < wanted) continue;
      const uint64_t end = bucket_end(bucket);
      return end < max_ns_ ? end : max_ns_;
    }
    return max_ns_;
  }

 private:
  static constexpr uint32_t step_bits = 6;
  static constexpr uint32_t steps = 1U << step_bits;
  static constexpr uint32_t buckets = (64 - step_bits + 1) * steps;

  // Below 64 ns a bucket a nanosecond; above, the highest bit chooses the group and the six bits
  // under it the step.
  static uint32_t bucket_of(uint64_t value) {
    if (value < steps) return static_cast<uint32_t>(value);
    const auto shift = static_cast<uint32_t>(std::bit_width(value)) - 1 - step_bits;
    return (shift + 1) * steps + static_cast<uint32_t>((value >> shift) - steps);
  }

  static uint64_t bucket_end(uint32_t bucket) {
    if (bucket < steps) return bucket;
    const uint32_t shift = bucket / steps - 1;
    const uint64_t first = static_cast<uint64_t>(steps + bucket % steps) << shift;
    return first + ((uint64_t{1} << shift) - 1);
  }

  std::array<uint64_t, buckets> counts_{};
  uint64_t total_ = 0;
  uint64_t sum_ns_ = 0;
  uint64_t max_ns_ = 0;
};

}  // namespace millrace::support

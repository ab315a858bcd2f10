// Histogram: durations in nanoseconds, counted in buckets whose width grows with the value, so that
// every figure read from it is at most 1/128 above the truth whatever its size. Fixed memory, a few
// instructions a value, and two of them add up to one.
//
//   0 ... 255 ns exactly; then 128 buckets for each doubling, up to value_ns_max (18 minutes).
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

namespace millrace::load {

class Histogram {
 public:
  static constexpr uint32_t sub_bucket_bits = 7;
  static constexpr uint64_t value_ns_max = (uint64_t{1} << 40) - 1;  // longer counts as this

  Histogram() : counts_(bucket_count) {}

  void record(uint64_t value_ns) {
    if (value_ns > value_ns_max) value_ns = value_ns_max;
    ++counts_[bucket_of(value_ns)];
    ++count_;
    sum_ns_ += value_ns;
    if (value_ns > max_ns_) max_ns_ = value_ns;
  }
  void add(const Histogram& other);
  void clear();

  uint64_t count() const { return count_; }
  uint64_t max_ns() const { return max_ns_; }  // exact
  double mean_ns() const;                      // exact; 0 when nothing was recorded
  // The upper end of the bucket in which the value of that rank lies (0 < fraction <= 1), never
  // more than the maximum; 0 when nothing was recorded.
  uint64_t percentile_ns(double fraction) const;

  // Buckets, for writing down. The upper end belongs to the bucket.
  static constexpr uint32_t bucket_count = ((40 - sub_bucket_bits) + 1) << sub_bucket_bits;
  uint64_t bucket(uint32_t index) const { return counts_[index]; }
  static uint64_t bucket_upper_ns(uint32_t index);

  static uint32_t bucket_of(uint64_t value_ns) {
    constexpr uint64_t exact = uint64_t{2} << sub_bucket_bits;
    if (value_ns < exact) return static_cast<uint32_t>(value_ns);
    const auto shift = static_cast<uint32_t>(std::bit_width(value_ns)) - sub_bucket_bits - 1;
    return (shift << sub_bucket_bits) + static_cast<uint32_t>(value_ns >> shift);
  }

 private:
  std::vector<uint64_t> counts_;
  uint64_t count_ = 0;
  uint64_t max_ns_ = 0;
  uint64_t sum_ns_ = 0;
};

}  // namespace millrace::load

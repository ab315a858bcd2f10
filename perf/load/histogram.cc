#include "perf/load/histogram.h"

#include <algorithm>
#include <cmath>

namespace millrace::load {

void Histogram::add(const Histogram& other) {
  for (uint32_t index = 0; index < bucket_count; ++index) counts_[index] += other.counts_[index];
  count_ += other.count_;
  sum_ns_ += other.sum_ns_;
  max_ns_ = std::max(max_ns_, other.max_ns_);
}

void Histogram::clear() {
  std::fill(counts_.begin(), counts_.end(), 0);
  count_ = max_ns_ = sum_ns_ = 0;
}

double Histogram::mean_ns() const {
  return count_ == 0 ? 0 : static_cast<double>(sum_ns_) / static_cast<double>(count_);
}

uint64_t Histogram::percentile_ns(double fraction) const {
  if (count_ == 0) return 0;
  const auto wanted = static_cast<uint64_t>(std::ceil(fraction * static_cast<double>(count_)));
  const uint64_t rank = std::clamp<uint64_t>(wanted, 1, count_);
  uint64_t seen = 0;
  for (uint32_t index = 0; index < bucket_count; ++index) {
    seen += counts_[index];
    if (seen >= rank) return std::min(bucket_upper_ns(index), max_ns_);
  }
  return max_ns_;
}

uint64_t Histogram::bucket_upper_ns(uint32_t index) {
  constexpr uint32_t exact = 2U << sub_bucket_bits;
  if (index < exact) return index;
  const uint32_t shift = (index >> sub_bucket_bits) - 1;
  const uint64_t lower = uint64_t{index - (shift << sub_bucket_bits)} << shift;
  return lower + (uint64_t{1} << shift) - 1;
}

}  // namespace millrace::load

#include "perf/load/schedule.h"

#include <algorithm>
#include <cmath>

namespace millrace::load {

void Schedule::start(Instant now) {
  if (!is_open()) return;
  origin_ = now;
  index_ = 0;
  gap_left_ns_ = 0;
  next_ = now;
  if (pace_ == Pace::poisson) advance();
}

void Schedule::set_rate(double rate_per_second, Instant now) {
  period_ns_ = 1e9 / rate_per_second;
  if (!is_open() || next_ == Instant::never()) return;
  // What is due keeps its time; the gaps after it are the new ones. A wait that had been drawn for
  // a much lower rate is cut short.
  origin_ = std::min(next_, now + Duration::nanoseconds(static_cast<int64_t>(period_ns_)));
  next_ = origin_;
  index_ = 0;
}

void Schedule::advance() {
  if (pace_ == Pace::constant) {
    ++index_;
    const double offset = static_cast<double>(index_) * period_ns_;
    next_ = origin_ + Duration::nanoseconds(std::llround(offset));
    return;
  }
  const double gap = exponential_ns() + gap_left_ns_;
  const double whole = std::floor(gap);
  gap_left_ns_ = gap - whole;
  next_ = next_ + Duration::nanoseconds(static_cast<int64_t>(whole));
}

double Schedule::exponential_ns() {
  // 53 random bits as a number in (0, 1].
  const double uniform = static_cast<double>((random_.next() >> 11) + 1) * 0x1.0p-53;
  return -std::log(uniform) * period_ns_;
}

}  // namespace millrace::load

#include "controlplane/apply_times.h"

namespace millrace {

void ApplyTimes::changed(Instant now) {
  if (!changed_at_) changed_at_ = now;
}

void ApplyTimes::published(uint64_t version) {
  if (changed_at_ && waiting_.size() < apply_times_max) waiting_.push_back({version, *changed_at_});
  changed_at_.reset();
}

std::vector<Duration> ApplyTimes::taken(uint64_t version, Instant now) {
  std::vector<Duration> times;
  while (!waiting_.empty() && waiting_.front().version <= version) {
    times.push_back(now - waiting_.front().changed_at);
    waiting_.pop_front();
  }
  return times;
}

}  // namespace millrace

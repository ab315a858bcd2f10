#include "controlplane/publish/guard_watch.h"

#include <atomic>
#include <string_view>

namespace millrace::publish {

namespace {

uint64_t cell(const shm::StatsReading& reading, std::string_view name) {
  for (const shm::StatsReading::Counter& counter : reading.counters) {
    if (counter.name == name) return counter.sum;
  }
  return 0;  // a data plane that has no guard
}

}  // namespace

std::optional<GuardAct> GuardWatch::look(int stats_fd, Instant now) {
  if (stats_fd != fd_) {
    fd_ = stats_fd;
    page_.reset();
    due_ = Instant::never();
    if (stats_fd < 0) return std::nullopt;
    auto mapped = shm::StatsReader::map(stats_fd);
    if (!mapped) {
      refusal_ = mapped.error();
      return std::nullopt;
    }
    page_ = std::move(*mapped);
    due_ = now;
  }
  if (page_ == nullptr) return std::nullopt;
  due_ = now + guard_look_interval;
  shm::StatsReading reading = page_->read();
  const bool is_first = reading.pid != seen_pid_ || reading.start_time_unix_ns != seen_start_;
  if (is_first) {
    seen_pid_ = reading.pid;
    seen_start_ = reading.start_time_unix_ns;
    seen_ = 0;
  }
  const uint64_t acts = cell(reading, "guard_acts");
  if (acts == seen_) return std::nullopt;
  seen_ = acts;
  // What belongs to an act is written before it is counted, so it is read behind that.
  std::atomic_thread_fence(std::memory_order_acquire);
  reading = page_->read();
  GuardAct act{cell(reading, "guard_bad_version"), cell(reading, "guard_back_to_version"),
               reading.guard_reason, acts};
  // Of an act from before our time: what was published since is of a control plane that knew of it.
  // One under our eyes is always ours to follow, whatever of ours has arrived behind it.
  if (is_first && reading.applied_version > act.bad_version) return std::nullopt;
  return act;
}

}  // namespace millrace::publish

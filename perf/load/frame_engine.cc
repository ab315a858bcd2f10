#include "perf/load/frame_engine.h"

#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace millrace::load {
namespace {

// A beat is a store to a line that the kernel reads for every frame, maybe on another core.
constexpr Duration beat_interval = Duration::milliseconds(10);

}  // namespace

uint32_t FrameEngine::turn(Instant now) {
  if (now >= next_beat_) {
    lane_->beat(now);
    next_beat_ = now + beat_interval;
  }
  return station_.turn(now);
}

void FrameEngine::wait(Instant now, Instant until, bool watch_input) {
  if (until <= now || lane_->port().prepare_wait()) return;
  const int fd = lane_->port().wait_fd();
  if (fd < 0) {
    sched_yield();  // a port that must be polled
    return;
  }
  std::array<pollfd, 2> fds = {{{fd, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}}};
  const int64_t span_ns = (until - now).count_ns();
  const timespec timeout{span_ns / 1'000'000'000, span_ns % 1'000'000'000};
  ppoll(fds.data(), watch_input ? 2 : 1, &timeout, nullptr);
}

void FrameEngine::begin_window(Instant now) {
  lane_->collect_statistics();
  station_.begin_window(now, lane_->port().counters());
}

std::string FrameEngine::window_json(Instant now) {
  lane_->collect_statistics();
  return station_.window_json(now, lane_->port().counters());
}

}  // namespace millrace::load

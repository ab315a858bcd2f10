#include "dataplane/log_thread.h"

#include <pthread.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <atomic>
#include <utility>

namespace millrace {
namespace {

// How long it looks away when the ring was empty. A ring of 4 MiB takes some 10,000 records: what a
// million requests a second make in this time.
constexpr useconds_t look_away_us = 10'000;
constexpr useconds_t stop_look_us = 1'000;

}  // namespace

struct LogThread::State {
  State(uint32_t ring_bytes, access_log::AccessLogFile file, access_log::Format format)
      : ring(ring_bytes), log(ring, std::move(file), format) {}

  access_log::RecordRing ring;
  access_log::AccessLog log;
  std::atomic<bool> stop{false};
  std::atomic<bool> done{false};
  std::atomic<uint64_t> lines_written{0};
  std::atomic<uint64_t> lines_lost{0};
};

Result<std::unique_ptr<LogThread>> LogThread::create(const AccessLogConfig& config,
                                                     std::optional<uint32_t> owner) {
  auto file = access_log::AccessLogFile::open(config.file, owner);
  if (!file.ok()) return Error{file.error()};
  const access_log::Format format = config.format == AccessLogFormat::json
                                        ? access_log::Format::json
                                        : access_log::Format::combined;
  return std::unique_ptr<LogThread>(
      new LogThread(std::make_shared<State>(config.ring_kib * 1024, std::move(*file), format)));
}

LogThread::LogThread(std::shared_ptr<State> state) : state_(std::move(state)) {}

LogThread::~LogThread() {
  stop(Duration());
}

access_log::RecordRing& LogThread::ring() {
  return state_->ring;
}

void LogThread::start() {
  thread_ = std::thread([state = state_] { run(*state); });
  pthread_setname_np(thread_.native_handle(), "millrace-log");
}

void LogThread::run(State& state) {
  const MonotonicClock clock;
  Instant next_look = clock.now();
  for (bool last = false; !last;) {
    last = state.stop;
    while (state.log.turn(clock.wall_ns_of_origin())) {
    }
    if (clock.now() >= next_look) {
      next_look = clock.now() + Duration::seconds(1);
      const std::string trouble = state.log.once_a_second();
      if (!trouble.empty()) spdlog::warn("{}", trouble);
    }
    state.lines_written = state.log.lines_written();
    state.lines_lost = state.log.lines_lost();
    if (!last) usleep(look_away_us);
  }
  state.done = true;
}

bool LogThread::stop(Duration most) {
  if (!thread_.joinable()) return true;
  state_->stop = true;
  const MonotonicClock clock;
  const Instant end = clock.now() + most;
  while (!state_->done && clock.now() < end) usleep(stop_look_us);
  if (!state_->done) {
    thread_.detach();
    return false;
  }
  thread_.join();
  return true;
}

uint64_t LogThread::lines_written() const {
  return state_->lines_written;
}

uint64_t LogThread::lines_lost() const {
  return state_->lines_lost;
}

}  // namespace millrace

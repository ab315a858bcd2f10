#include "perf/load/run_loop.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

namespace millrace::load {
namespace {

// How often commands, signals and the phase's end are looked for.
constexpr Duration look_interval = Duration::microseconds(500);
constexpr Duration sleep_max = Duration::milliseconds(50);
constexpr Duration sleep_min = Duration::microseconds(100);
constexpr Duration stop_patience = Duration::seconds(10);
constexpr size_t command_bytes_max = 256;

Duration from_seconds(double seconds) {
  return Duration::nanoseconds(static_cast<int64_t>(seconds * 1e9));
}

}  // namespace

int RunLoop::run() {
  if (options_.control) fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
  start_ = progress_at_ = clock_.now();
  engine_.begin_window(start_);
  while (phase_ != Phase::over) turn();
  const bool failed = errors_before_ + engine_.errors_total() > 0 || no_answer_;
  const bool silent =
      engine_.has_client() && responses_before_ + engine_.responses_ok() == 0 && !options_.control;
  return failed || silent ? 1 : 0;
}

void RunLoop::turn() {
  const Instant now = clock_.now();
  const uint32_t moved = engine_.turn(now);
  if (now >= next_look_) look_around(now);
  if (moved > 0) {
    engine_.add_busy_ns(static_cast<uint64_t>((clock_.now() - now).count_ns()));
  } else {
    idle(now);
  }
}

void RunLoop::idle(Instant now) {
  switch (options_.when_idle) {
    case WhenIdle::spin: return;
    case WhenIdle::yield: sched_yield(); return;
    case WhenIdle::sleep: {
      const Instant until = std::min(engine_.next_deadline(), now + sleep_max);
      if (until > now + sleep_min) {
        engine_.wait(now, until, options_.control);
      } else {
        // Who brings the frames may need this core.
        sched_yield();
      }
      return;
    }
  }
}

void RunLoop::look_around(Instant now) {
  next_look_ = now + look_interval;
  if (signal_ != 0 && phase_ != Phase::stopping) {
    if (phase_ == Phase::measuring && !options_.control) end_window(now);
    stop(now);
  }
  if (options_.control) read_commands(now);
  switch (phase_) {
    case Phase::opening: opening(now); return;
    case Phase::warming:
      if (now >= phase_end_) begin(now);
      return;
    case Phase::measuring:
      if (!options_.control && has_end() && now >= phase_end_) {
        end_window(now);
        stop(now);
      }
      return;
    case Phase::stopping:
      if (engine_.is_stopped() || now >= phase_end_) phase_ = Phase::over;
      return;
    case Phase::over: return;
  }
}

// A backend or reflector by itself runs until it is told to stop.
bool RunLoop::has_end() const {
  return engine_.has_client();
}

void RunLoop::opening(Instant now) {
  if (engine_.is_ready()) {
    const double seconds = static_cast<double>((now - start_).count_ns()) / 1e9;
    if (options_.control) {
      say("ready {\"connections_open\":" + std::to_string(engine_.connections_open()) +
          ",\"seconds\":" + std::to_string(seconds) + "}");
    }
    if (options_.control || !has_end()) {
      begin(now);
    } else {
      phase_ = Phase::warming;
      phase_end_ = now + from_seconds(options_.warmup_seconds);
    }
    return;
  }
  if (engine_.connections_open() > progress_) {
    progress_ = engine_.connections_open();
    progress_at_ = now;
  }
  const auto patience = Duration::milliseconds(options_.station.client->response_timeout_ms);
  if (now - progress_at_ < patience) return;
  std::fprintf(stderr, "millrace-load: no answer from %s: %llu connections stand\n",
               options_.target.text().c_str(),
               static_cast<unsigned long long>(engine_.connections_open()));
  no_answer_ = true;
  stop(now);
}

void RunLoop::begin(Instant now) {
  errors_before_ += engine_.errors_total();
  responses_before_ += engine_.responses_ok();
  engine_.begin_window(now);
  phase_ = Phase::measuring;
  phase_end_ = now + from_seconds(options_.duration_seconds);
}

void RunLoop::end_window(Instant now) {
  const std::string json = engine_.window_json(now);
  if (options_.json_path.empty()) {
    say(json);
    return;
  }
  std::FILE* file = std::fopen(options_.json_path.c_str(), "w");
  const bool written = file != nullptr && std::fprintf(file, "%s\n", json.c_str()) > 0;
  if (file == nullptr || std::fclose(file) != 0 || !written) {
    std::fprintf(stderr, "millrace-load: --json %s could not be written\n",
                 options_.json_path.c_str());
    no_answer_ = true;
  }
}

void RunLoop::stop(Instant now) {
  engine_.stop();
  phase_ = Phase::stopping;
  phase_end_ = now + stop_patience;
}

void RunLoop::say(const std::string& line) {
  std::fprintf(told_, "%s\n", line.c_str());
  std::fflush(told_);
}

void RunLoop::read_commands(Instant now) {
  char text[command_bytes_max];
  const ssize_t count = read(STDIN_FILENO, text, sizeof text);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) {
    // Whoever gave the commands is gone.
    if (phase_ != Phase::stopping) stop(now);
    return;
  }
  input_.append(text, static_cast<size_t>(count));
  for (size_t end; (end = input_.find('\n')) != std::string::npos;) {
    const std::string line = input_.substr(0, end);
    input_.erase(0, end + 1);
    command(line, now);
  }
  if (input_.size() > command_bytes_max) input_.clear();
}

void RunLoop::command(const std::string& line, Instant now) {
  if (line == "begin") {
    if (phase_ != Phase::measuring) {
      say("error not ready");
      return;
    }
    begin(now);
    say("ok");
  } else if (line == "end") {
    if (phase_ != Phase::measuring) {
      say("error not ready");
      return;
    }
    say(engine_.window_json(now));
  } else if (line.starts_with("rate ")) {
    char* end = nullptr;
    const double rate = std::strtod(line.c_str() + 5, &end);
    const bool valid = *end == '\0' && rate >= 0.001 && rate <= rate_per_second_max;
    if (valid) engine_.set_rate(rate);
    say(valid ? "ok" : "error rate must be a number from 0.001 to 100000000");
  } else if (line == "stop") {
    if (phase_ != Phase::stopping) stop(now);
  } else {
    say("error unknown command: begin, end, rate R, stop");
  }
}

}  // namespace millrace::load

// RunLoop: drives an engine on the real clock from its beginning to its end: until all connections
// stand, through warm-up and window or by the commands of another program, to an orderly stop.
#pragma once

#include <csignal>
#include <cstdio>
#include <string>

#include "base/time.h"
#include "perf/load/engine.h"
#include "perf/load/options.h"

namespace millrace::load {

class RunLoop {
 public:
  // told: where answers to commands and figures go. stop: set by a signal's handler.
  RunLoop(const Options& options, Engine& engine, std::FILE* told,
          const volatile std::sig_atomic_t& stop)
      : options_(options), engine_(engine), told_(told), signal_(stop) {}

  // The exit code: 0, or 1 when there were errors or nobody answered.
  int run();

 private:
  enum class Phase { opening, warming, measuring, stopping, over };

  void turn();
  void idle(Instant now);
  void look_around(Instant now);
  void opening(Instant now);
  void read_commands(Instant now);
  void command(const std::string& line, Instant now);
  void say(const std::string& line);
  void begin(Instant now);
  void end_window(Instant now);
  void stop(Instant now);
  bool has_end() const;

  const Options& options_;
  Engine& engine_;
  std::FILE* told_;
  const volatile std::sig_atomic_t& signal_;
  MonotonicClock clock_;
  Phase phase_ = Phase::opening;
  Instant start_;
  Instant phase_end_;
  Instant next_look_;
  Instant progress_at_;
  uint64_t progress_ = 0;
  uint64_t errors_before_ = 0;  // of windows that are over
  uint64_t responses_before_ = 0;
  std::string input_;  // a command that is not whole yet
  bool no_answer_ = false;
};

}  // namespace millrace::load

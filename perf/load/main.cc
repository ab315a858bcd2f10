// millrace-load: asks for HTTP and answers it, as cheaply as possible, to find out what somebody
// else can bear. docs/performance.md says how it is used.
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "perf/load/frame_engine.h"
#include "perf/load/kernel_engine.h"
#include "perf/load/lane.h"
#include "perf/load/options.h"
#include "perf/load/run_loop.h"

namespace {

using namespace millrace;
using namespace millrace::load;

constexpr int exit_bad_options = 2;
constexpr int exit_failed = 1;

volatile std::sig_atomic_t stop_asked = 0;

void ask_to_stop(int) {
  stop_asked = 1;
}

int complain(const std::string& what, int code) {
  std::fprintf(stderr, "millrace-load: %s\n", what.c_str());
  return code;
}

bool pin_to(uint32_t cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return sched_setaffinity(0, sizeof set, &set) == 0;
}

Result<std::unique_ptr<Engine>> make_engine(Options& options) {
  if (options.port.kind == PortKind::kernel) {
    return KernelEngine::make(options, MonotonicClock().now());
  }
  auto lane = open_lane(options.port, options.addresses);
  if (!lane.ok()) return Error{lane.error()};
  return std::unique_ptr<Engine>(
      std::make_unique<FrameEngine>(std::move(*lane), options.station, MonotonicClock().now()));
}

}  // namespace

int main(int argc, char** argv) {
  auto options = parse_options({argv + 1, argv + argc});
  if (!options.ok()) return complain(options.error(), exit_bad_options);
  if (options->help) {
    std::fputs(usage().c_str(), stdout);
    return 0;
  }
  if (options->cpu && !pin_to(*options->cpu)) {
    return complain("--cpu " + std::to_string(*options->cpu) + ": there is no such core to run on",
                    exit_bad_options);
  }
  std::signal(SIGINT, ask_to_stop);
  std::signal(SIGTERM, ask_to_stop);
  std::signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_TIMERSLACK, 1UL);
  auto engine = make_engine(*options);
  if (!engine.ok()) return complain(engine.error(), exit_failed);
  return RunLoop(*options, **engine, stdout, stop_asked).run();
}

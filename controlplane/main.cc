// millrace-controlplane: keeps the data plane's routing table up to date with a folder of
// manifests. Exit codes: 0 an orderly end, 1 problems found by --once, 2 a wrong option or an
// unreadable folder.
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/random.h>
#include <sys/signalfd.h>

#include <csignal>
#include <cstdio>

#include "controlplane/config.h"
#include "controlplane/control_loop.h"

namespace millrace {
namespace {

// Signals arrive in the loop, between two steps and never inside one.
int make_signal_fd() {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
}

void start_log(const std::string& level) {
  spdlog::set_default_logger(spdlog::stderr_logger_st("controlplane"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
  spdlog::set_level(spdlog::level::from_str(level));
  spdlog::flush_on(spdlog::level::trace);
}

int run(int argc, char** argv) {
  const CommandLine line = parse_command_line(argc, argv);
  if (line.exits) {
    std::fputs(line.text.c_str(), line.exit_code == 0 ? stdout : stderr);
    return line.exit_code;
  }
  start_log(line.config.log_level);
  const int signal_fd = make_signal_fd();
  uint64_t seed = 0;
  if (signal_fd < 0 || getrandom(&seed, sizeof seed, 0) != static_cast<ssize_t>(sizeof seed)) {
    std::fputs("millrace-controlplane: the kernel gives neither signals nor randomness\n", stderr);
    return 2;
  }
  auto loop = ControlLoop::open(line.config, seed);
  if (!loop) {
    std::fprintf(stderr, "millrace-controlplane: %s\n", loop.error().c_str());
    return 2;
  }
  if (line.config.once) {
    bool is_clean = false;
    std::fputs(loop->report(&is_clean).c_str(), stdout);
    return is_clean ? 0 : 1;
  }
  spdlog::info("reading {}, publishing to {}", line.config.manifests, line.config.socket);
  loop->run(signal_fd);
  return 0;
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) {
  return millrace::run(argc, argv);
}

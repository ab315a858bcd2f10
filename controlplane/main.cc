// millrace-controlplane: keeps the data plane's routing table up to date with a folder of
// manifests. Exit codes: 0 an orderly end, 1 problems found by --once, 2 a wrong option or an
// unreadable folder.
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/random.h>
#include <sys/signalfd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>

#include "controlplane/check/report.h"
#include "controlplane/config.h"
#include "controlplane/control_loop.h"
#include "controlplane/folder_source.h"

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

int fail(const std::string& message) {
  std::fprintf(stderr, "millrace-controlplane: %s\n", message.c_str());
  return 2;
}

// --once: what the folder says, without a data plane.
int print_report(const ControlPlaneConfig& config, store::Source* source) {
  store::Store objects;
  source->turn(MonotonicClock().now(), &objects);
  bool is_clean = false;
  std::fputs(check::report(objects, source->problems(), config.model, &is_clean).c_str(), stdout);
  return is_clean ? 0 : 1;
}

// A folder that was asked for must do. The standard one is better than none, and none is said; but
// one that is there and cannot be used may hold a pin, which must not be passed over.
Result<std::unique_ptr<history::History>> open_history(const ControlPlaneConfig& config) {
  const bool is_asked_for = !config.state_directory.empty();
  const std::string folder =
      is_asked_for ? config.state_directory : config.beside_socket("controlplane");
  auto history = history::History::open(folder, config.history);
  if (history) return std::move(*history);
  std::error_code ignored;
  if (is_asked_for || std::filesystem::exists(std::filesystem::symlink_status(folder, ignored))) {
    return Error{"--state-directory: " + history.error()};
  }
  spdlog::warn(
      "{}; history, pins and freezes end with this process (--state-directory names "
      "another folder)",
      history.error());
  return history::History::in_memory(config.history);
}

Status open_sockets(const ControlPlaneConfig& config, ControlLoop* loop) {
  const bool is_asked_for = !config.api_socket.empty();
  const std::string socket =
      is_asked_for ? config.api_socket : config.beside_socket("controlplane.sock");
  const Status api = loop->serve_api(socket);
  if (!api && is_asked_for) return Error{"--api-socket: " + api.error()};
  if (!api) {
    spdlog::warn("{}; `millrace` cannot ask this control plane (--api-socket names another path)",
                 api.error());
  }
  if (config.metrics_address.empty()) return Ok{};
  const Status probes = loop->serve_probes(config.metrics_address);
  if (!probes) return Error{"--metrics-address: " + probes.error()};
  return Ok{};
}

int run(int argc, char** argv) {
  const CommandLine line = parse_command_line(argc, argv);
  if (line.exits) {
    std::fputs(line.text.c_str(), line.exit_code == 0 ? stdout : stderr);
    return line.exit_code;
  }
  const ControlPlaneConfig& config = line.config;
  start_log(config.log_level);
  const int signal_fd = make_signal_fd();
  uint64_t seed = 0;
  if (signal_fd < 0 || getrandom(&seed, sizeof seed, 0) != static_cast<ssize_t>(sizeof seed)) {
    return fail("the kernel gives neither signals nor randomness");
  }
  auto source = FolderSource::open(config.manifests, config.allow_empty);
  if (!source) return fail(source.error());
  if (config.once) return print_report(config, source->get());
  spdlog::info("reading {}, publishing to {}", config.manifests, config.socket);
  auto history = open_history(config);
  if (!history) return fail(history.error());
  ControlLoop loop(config, std::move(*source), std::move(*history), seed);
  const Status opened = open_sockets(config, &loop);
  if (!opened) return fail(opened.error());
  loop.run(signal_fd);
  return 0;
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) {
  return millrace::run(argc, argv);
}

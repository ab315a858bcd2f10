// millrace-controlplane: keeps the data plane's routing table up to date with a cluster or a folder
// of manifests. Exit codes: 0 an orderly end, 1 problems found by --once, 2 a wrong option, an
// unreadable folder or kubeconfig.
#include <limits.h>
#include <spdlog/spdlog.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>

#include "controlplane/config.h"
#include "controlplane/control_loop.h"
#include "controlplane/folder_source.h"
#include "controlplane/log/structured_log.h"
#include "controlplane/once.h"
#include "controlplane/ownership_file.h"

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

int fail(const std::string& message) {
  std::fprintf(stderr, "millrace-controlplane: %s\n", message.c_str());
  return 2;
}

int print_report(const ControlPlaneConfig& config, store::Source* source) {
  const OnceReport report = report_once(config, source);
  if (report.exit_code == 2) return fail(report.text);
  std::fputs(report.text.c_str(), stdout);
  return report.exit_code;
}

Result<cluster::Credentials> credentials_of(const ControlPlaneConfig& config) {
  if (!config.in_cluster) {
    return cluster::Credentials::from_kubeconfig(config.kubeconfig, config.context);
  }
  const char* host = std::getenv("KUBERNETES_SERVICE_HOST");
  const char* port = std::getenv("KUBERNETES_SERVICE_PORT");
  return cluster::Credentials::in_cluster(host == nullptr ? "" : host, port == nullptr ? "" : port);
}

// Which of several control planes this is: the node's name, and something that no other has.
std::string identity_of(uint64_t seed) {
  char name[HOST_NAME_MAX + 1] = {};
  gethostname(name, sizeof name - 1);
  char number[17];
  std::snprintf(number, sizeof number, "%016llx", static_cast<unsigned long long>(seed));
  return std::string(name) + '_' + number;
}

// In whole microseconds, which is what a MicroTime of Kubernetes holds.
google::protobuf::Timestamp wall_now() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  google::protobuf::Timestamp timestamp;
  timestamp.set_seconds(now.tv_sec);
  timestamp.set_nanos(static_cast<int32_t>(now.tv_nsec / 1'000 * 1'000));
  return timestamp;
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

int run_loop(const ControlPlaneConfig& config, std::unique_ptr<store::Source> source,
             std::unique_ptr<store::Reporter> reporter, uint64_t seed, int signal_fd) {
  auto history = open_history(config);
  if (!history) return fail(history.error());
  ControlLoop loop(config, std::move(source), std::move(reporter), std::move(*history), seed);
  const Status opened = open_sockets(config, &loop);
  if (!opened) return fail(opened.error());
  loop.run(signal_fd);
  return 0;
}

int run_cluster(const ControlPlaneConfig& config, uint64_t seed, int signal_fd) {
  auto credentials = credentials_of(config);
  if (!credentials) return fail(credentials.error());
  auto api = cluster::Api::create(std::move(*credentials));
  if (!api) return fail(api.error());
  auto source = std::make_unique<cluster::ClusterSource>(api->get(), config.cluster, seed);
  if (config.once) return print_report(config, source.get());
  cluster::ReporterOptions options = config.reporter;
  options.leader.identity = identity_of(seed);
  auto reporter = std::make_unique<cluster::ClusterReporter>(api->get(), options, wall_now, seed);
  spdlog::info("watching {}, publishing to {}", source->name(), config.socket);
  return run_loop(config, std::move(source), std::move(reporter), seed, signal_fd);
}

int run(int argc, char** argv) {
  const CommandLine line = parse_command_line(argc, argv);
  if (line.exits) {
    std::fputs(line.text.c_str(), line.exit_code == 0 ? stdout : stderr);
    return line.exit_code;
  }
  ControlPlaneConfig config = line.config;
  log::begin(config.log_format == "json" ? log::Format::json : log::Format::text,
             spdlog::level::from_str(config.log_level));
  if (!config.policy.empty()) {
    auto policy = read_ownership_file(config.policy);
    if (!policy) return fail(policy.error());
    config.model.ownership = std::move(*policy);
  }
  config.cluster.watches_namespaces = config.model.ownership.reads_labels();
  if (config.cluster.watches_namespaces && !config.cluster.namespaces.empty()) {
    return fail(config.policy +
                ": a namespaceSelector needs the labels of all namespaces, so it excludes "
                "--watch-namespace; name the namespaces instead");
  }
  const int signal_fd = make_signal_fd();
  uint64_t seed = 0;
  if (signal_fd < 0 || getrandom(&seed, sizeof seed, 0) != static_cast<ssize_t>(sizeof seed)) {
    return fail("the kernel gives neither signals nor randomness");
  }
  if (is_live_cluster(config)) return run_cluster(config, seed, signal_fd);
  auto source = FolderSource::open(config.manifests, config.allow_empty);
  if (!source) return fail(source.error());
  if (config.once) return print_report(config, source->get());
  spdlog::info("reading {}, publishing to {}", config.manifests, config.socket);
  return run_loop(config, std::move(*source), nullptr, seed, signal_fd);
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) {
  return millrace::run(argc, argv);
}

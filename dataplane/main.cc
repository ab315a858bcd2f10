// millrace-dataplane: reads its configuration, opens its ports, gives up its rights, runs one
// worker and the housekeeping thread. This is the only file that knows every part, draws keys and
// exits.
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "base/unique_fd.h"
#include "bpf/redirect_loader.h"
#include "dataplane/config.h"
#include "dataplane/gauges.h"
#include "dataplane/housekeeping.h"
#include "dataplane/housekeeping_listing.h"
#include "dataplane/housekeeping_saving.h"
#include "dataplane/log_thread.h"
#include "dataplane/open_ports.h"
#include "dataplane/privileges.h"
#include "dataplane/traffic_rows.h"
#include "dataplane/worker_loop.h"
#include "shm/channel.h"
#include "shm/last_good.h"
#include "shm/snapshot_store.h"
#include "shm/stats_page.h"
#include "shm/stats_text.h"
#include "shm/traffic_page.h"

namespace millrace {
namespace {

constexpr int exit_bad_start = 2;  // configuration, privilege, interface: one line and this code
constexpr uint32_t worker_count = 1;
constexpr int listen_attempts_max = 10;
constexpr std::chrono::milliseconds listen_retry_after{50};
constexpr Duration access_log_stop_max = Duration::seconds(1);

struct Arguments {
  std::string config_path;
  std::string stats_path;
  bool check = false;
  bool detach = false;
};

int fail(const std::string& message) {
  std::fprintf(stderr, "millrace-dataplane: %s\n", message.c_str());
  return exit_bad_start;
}

template <class T>
T drawn() {
  T value;
  if (getrandom(&value, sizeof value, 0) != static_cast<ssize_t>(sizeof value)) std::abort();
  return value;
}

NetConfig net_config(const Config& config) {
  NetConfig net;
  const auto index_of = [&](const std::string& name) {
    uint8_t index = 0;
    while (config.ports[index].name != name)
      ++index;  // parse_config has made sure that it is there
    return index;
  };
  for (const PortConfig& port : config.ports) {
    for (const AddressConfig& address : port.addresses) {
      if (address.ipv6) {
        net.ipv6_addresses.push_back({index_of(port.name), *address.ipv6, address.tcp_ports});
      } else {
        net.addresses.push_back({index_of(port.name), address.prefix, address.tcp_ports});
      }
    }
  }
  for (const RouteConfig& route : config.routes) {
    net.routes.push_back(
        {route.destination, index_of(route.port), route.via.value_or(Ipv4Address{})});
  }
  for (const Ipv6RouteConfig& route : config.ipv6_routes) {
    net.ipv6_routes.push_back(
        {route.destination, index_of(route.port), route.via.value_or(Ipv6Address{})});
  }
  net.listeners = config.listeners;
  net.ipv6_listeners = config.ipv6_listeners;
  return net;
}

proxy::Timeouts timeouts_of(const TimeoutsConfig& config) {
  proxy::Timeouts timeouts;
  const auto set = [](Duration& timeout, const std::optional<uint32_t>& seconds) {
    if (seconds) timeout = Duration::seconds(*seconds);
  };
  set(timeouts.request_head, config.request_head_seconds);
  set(timeouts.client_idle, config.client_idle_seconds);
  set(timeouts.body_stall, config.body_stall_seconds);
  set(timeouts.connect, config.connect_seconds);
  set(timeouts.first_octet, config.first_octet_seconds);
  set(timeouts.linger, config.linger_seconds);
  set(timeouts.tunnel_idle, config.tunnel_idle_seconds);
  set(timeouts.tunnel_half_closed, config.tunnel_half_closed_seconds);
  return timeouts;
}

proxy::Forwarding forwarding_of(const ForwardingConfig& config) {
  proxy::Forwarding forwarding;
  forwarding.trusted = {config.trusted_ipv4, config.trusted_ipv6};
  forwarding.writes_request_id = config.request_id;
  forwarding.request_id_key = drawn<HashKey>();
  forwarding.writes_forwarded = config.forwarded;
  if (config.loop_detection) {
    // Another one with every start: a request does not outlive its data plane.
    std::array<char, 32> id;
    const int bytes = std::snprintf(id.data(), id.size(), "millrace-%016llx",
                                    static_cast<unsigned long long>(drawn<uint64_t>()));
    forwarding.loop_id.assign(id.data(), static_cast<size_t>(bytes));
  }
  return forwarding;
}

WorkerOptions worker_options(const Config& config, access_log::RecordRing* access_log,
                             const shm::TrafficPage& traffic) {
  WorkerOptions options;
  options.net = net_config(config);
  size_tables(options, config.limits.connections);
  options.keys = {drawn<HashKey>(), drawn<HashKey>(), drawn<uint64_t>()};
  options.proxy.request_body_bytes_max = config.limits.request_body_bytes;
  options.proxy.request_body_rate_min = config.limits.request_body_rate;
  options.proxy.clients = {config.limits.connections_per_client, config.limits.requests_per_client};
  options.proxy.timeouts = timeouts_of(config.timeouts);
  options.proxy.upgrades = config.upgrades;
  options.proxy.paths.passes_encoded_slash = config.paths.passes_encoded_slash;
  options.proxy.policy = config.upstream.balance == Balance::least_requests
                             ? upstream::Policy::least_requests
                             : upstream::Policy::round_robin;
  upstream::EndpointLimits& endpoints = options.proxy.endpoints;
  endpoints.requests_max = config.upstream.requests_per_endpoint.value_or(endpoints.requests_max);
  endpoints.failures_max = config.upstream.ejection_failures;
  endpoints.ejection = Duration::seconds(config.upstream.ejection_seconds);
  options.proxy.forwarding = forwarding_of(config.forwarding);
  for (const ProxyProtocolListener& listener : config.proxy_protocol_listeners) {
    options.proxy.proxy_header_listeners.push_back({listener.address, listener.port});
  }
  options.proxy.access_log = access_log;
  options.proxy.traffic = traffic.writer(options.number);
  options.proxy.seed = drawn<uint64_t>();
  return options;
}

// What housekeeping counts of the access log, behind the gauges of the workers.
constexpr std::array<std::string_view, 2> access_log_names = {"access_log_lines_written",
                                                              "access_log_lines_lost"};

std::vector<std::string> stats_names(const Config& config) {
  std::vector<std::string> names;
  for (const CounterFacts& facts : counter_facts) names.emplace_back(facts.name);
  for (std::string_view gauge : gauge_names) names.emplace_back(gauge);
  for (std::string_view name : access_log_names) names.emplace_back(name);
  for (std::string_view name : Housekeeping::guard_names) names.emplace_back(name);
  for (const PortConfig& port : config.ports) {
    if (port.dpdk) continue;
    for (int outcome = 0; outcome < millrace_outcome_count; ++outcome) {
      const auto text = bpf::outcome_text(static_cast<millrace_outcome>(outcome));
      names.push_back(("xdp_" + port.interface + "_" + std::string(text.name))
                          .substr(0, shm::stats_name_bytes_max - 1));
    }
  }
  return names;
}

// A well-known name for a page, so that `millrace`, `--stats` and other readers find it.
void publish_page(const std::string& path, int fd) {
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
  const std::string target = "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(fd);
  std::filesystem::create_symlink(target, path, ignored);
  if (ignored) spdlog::warn("{}: cannot be made ({}); it is {}", path, ignored.message(), target);
}

int print_stats(const std::string& path) {
  const auto reading = shm::read_stats(path);
  if (!reading.ok()) return fail(reading.error());
  std::printf("%s", shm::stats_text(*reading, false).c_str());
  return 0;
}

int detach(const Config& config) {
  for (const PortConfig& port : config.ports) {
    if (port.dpdk) continue;
    const auto removed = bpf::Redirect::detach(port.interface);
    if (!removed.ok()) return fail(removed.error());
    spdlog::info("{}: {}", port.interface,
                 *removed ? "program and pins removed" : "nothing of ours was there");
  }
  return 0;
}

// The table to begin with: the last good one, if there is one that holds.
void install_last_good(shm::SnapshotCell& cell, const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error) && !error) {
    spdlog::info("no last good table; answering 503 until the control plane publishes");
    return;
  }
  auto snapshot = shm::load_last_good(path);
  if (!snapshot.ok()) {
    spdlog::warn("the last good table is not used: {}", snapshot.error());
    return;
  }
  const uint64_t version = (*snapshot)->version();
  const auto epoch = cell.install(std::move(*snapshot));
  if (epoch.ok()) spdlog::info("starting with the last good table, version {}", version);
}

shm::ChannelPeers peers_of(const Config& config) {
  shm::ChannelPeers peers;
  if (config.user) peers.allowed_uid = *config.user;
  return peers;
}

// A predecessor that was killed holds its socket until its last thread is gone: wait for that.
template <class Listen>
auto listen_patiently(const Listen& listen) {
  for (int attempt = 1;; ++attempt) {
    auto server = listen();
    if (server.ok() || attempt == listen_attempts_max) return server;
    std::this_thread::sleep_for(listen_retry_after);
  }
}

Result<std::unique_ptr<shm::StatsPage>> create_stats(const Config& config) {
  const std::vector<std::string> names = stats_names(config);
  const std::vector<std::string_view> views(names.begin(), names.end());
  return shm::StatsPage::create(views, worker_count);
}

// SIGTERM and SIGINT as a descriptor; every thread inherits that they are blocked.
UniqueFd stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is a write that fails
  return UniqueFd(signalfd(-1, &signals, SFD_CLOEXEC));
}

void settle_on_cpu(std::thread& thread, std::optional<uint32_t> cpu) {
  pthread_setname_np(thread.native_handle(), "millrace-worker");
  if (!cpu) return;
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(*cpu, &cpus);
  if (pthread_setaffinity_np(thread.native_handle(), sizeof cpus, &cpus) != 0) {
    spdlog::warn("the worker could not be bound to CPU {}", *cpu);
  }
}

// The worker's thread and housekeeping, until a signal says stop.
void serve(Worker& worker, Ports& ports, shm::ChannelServer& server, shm::SnapshotCell& cell,
           shm::StatsPage& stats, const Config& config, int signal_fd, LastGoodSaver& saver,
           ListingServer& listings, LogThread* access_log, const shm::TrafficCounts& counts) {
  const std::vector<bpf::Redirect*> programs = ports.programs();
  WorkerMailbox mailbox;
  mailbox.wake = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  mailbox.unix_seconds = static_cast<int64_t>(time(nullptr));
  WorkerLoop loop(worker, programs, config.idle, mailbox, stats, 0);
  std::thread thread([&] {
    if (const Status registered = ports.register_worker_thread(); !registered.ok())
      spdlog::warn("{}; its ports are slower", registered.error());
    loop.run();
  });
  settle_on_cpu(thread, config.cpu);
  spdlog::info("serving: {} ports, {} MiB of packet memory, {} connections at most",
               config.ports.size(), config.limits.packet_memory_mib, config.limits.connections);
  const auto first_access_log_cell = static_cast<uint32_t>(counter_count + gauge_names.size());
  const auto first_guard_cell =
      static_cast<uint32_t>(first_access_log_cell + access_log_names.size());
  const auto first_program_cell =
      static_cast<uint32_t>(first_guard_cell + Housekeeping::guard_names.size());
  Housekeeping({server, listings, cell, stats, mailbox, programs, access_log, first_access_log_cell,
                first_program_cell, saver, ports.dpdk_ports(),
                Duration::seconds(config.timeouts.drain_seconds), &counts, config.publish_guard,
                first_guard_cell})
      .run(signal_fd);

  mailbox.stop = true;
  const uint64_t one = 1;
  if (write(mailbox.wake.get(), &one, sizeof one) < 0)
    spdlog::warn("the worker is told by its own clock");
  thread.join();
  if (access_log == nullptr) return;
  worker.note_open_exchanges(MonotonicClock().now());
  if (access_log->stop(access_log_stop_max)) return;
  spdlog::warn("the access log's last lines are lost: its file did not take them in time");
  // Its thread may go on in the middle of our end.
  std::fflush(nullptr);
  _exit(0);
}

// Where the data plane keeps its files, made if they are not there.
Status make_folders(const Config& config) {
  std::vector<std::filesystem::path> folders = {std::filesystem::path(config.socket).parent_path(),
                                                config.state_directory};
  if (config.access_log)
    folders.push_back(std::filesystem::path(config.access_log->file).parent_path());
  for (const std::filesystem::path& folder : folders) {
    if (folder.empty()) continue;
    if (const Status made = make_folder(folder.string(), config.user); !made.ok()) return made;
  }
  return Ok{};
}

int run(const Config& config) {
  // First of all: a signal during the start waits until there is something to stop in order.
  const UniqueFd signal_fd = stop_signals();
  const std::filesystem::path socket_folder = std::filesystem::path(config.socket).parent_path();
  if (const Status made = make_folders(config); !made.ok()) return fail(made.error());
  auto stats = create_stats(config);
  if (!stats.ok()) return fail(stats.error());
  auto traffic =
      shm::TrafficPage::create(shm::traffic_rows_fixed + config.limits.traffic_rows, worker_count);
  if (!traffic.ok()) return fail(traffic.error());
  auto counts = shm::TrafficCounts::map(**traffic, worker_count);
  if (!counts.ok()) return fail(counts.error());
  TrafficRows traffic_rows(**traffic);
  shm::SnapshotCell cell(worker_count);
  cell.set_traffic_maps(
      [&](const shm::SnapshotView& snapshot) { return traffic_rows.map(snapshot); });
  auto server = listen_patiently([&] {
    return shm::ChannelServer::listen(config.socket, peers_of(config), cell, (*stats)->fd());
  });
  if (!server.ok()) return fail(server.error());

  // Before anything is attached, so that a mistake here has changed nothing.
  std::unique_ptr<LogThread> access_log;
  if (config.access_log) {
    auto opened = LogThread::create(*config.access_log, config.user);
    if (!opened.ok()) return fail(opened.error());
    access_log = std::move(*opened);
  }
  auto ports = Ports::open(config);
  if (!ports.ok()) return fail(ports.error());

  const std::string last_good_path = config.state_directory + "/last-good.snapshot";
  install_last_good(cell, last_good_path);
  publish_page((socket_folder / "stats").string(), (*stats)->fd());
  publish_page((socket_folder / "traffic").string(), (*traffic)->fd());
  Worker worker(worker_options(config, access_log ? &access_log->ring() : nullptr, **traffic),
                (*ports)->ports(), (*ports)->arena(), cell, MonotonicClock().now());
  auto listings = listen_patiently([&] {
    return ListingServer::listen((socket_folder / shm::listing_socket_name).string(),
                                 peers_of(config), worker.listing());
  });
  if (!listings.ok()) return fail(listings.error());

  if (const Status dropped = drop_privileges(config.user); !dropped.ok())
    return fail(dropped.error());
  auto saver = LastGoodSaver::create(last_good_path);
  if (!saver.ok()) return fail("cannot start: " + saver.error());
  if (access_log) access_log->start();
  serve(worker, **ports, **server, cell, **stats, config, signal_fd.get(), **saver, **listings,
        access_log.get(), **counts);
  return 0;
}

int start(int argc, char** argv) {
  Arguments arguments;
  CLI::App app{"Millrace's data plane: routes HTTP through its own packet engine."};
  app.add_option("--config", arguments.config_path, "the configuration file (YAML)");
  app.add_option("--stats", arguments.stats_path,
                 "print the counters of a running data plane (its stats file) and exit");
  app.add_flag("--check", arguments.check, "read the configuration, say what it means, exit");
  app.add_flag("--detach", arguments.detach,
               "remove our XDP programs from the configured interfaces and exit");
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::printf("%s", app.help().c_str());
    return 0;
  } catch (const CLI::ParseError& error) {
    return fail(error.what());
  }
  if (!arguments.stats_path.empty()) return print_stats(arguments.stats_path);
  if (arguments.config_path.empty()) return fail("--config is required");
  const auto config = read_config(arguments.config_path);
  if (!config.ok()) return fail(config.error());
  if (arguments.check) {
    std::printf("%s: %zu ports, %zu routes, %zu listeners\n", arguments.config_path.c_str(),
                config->ports.size(), config->routes.size() + config->ipv6_routes.size(),
                config->listeners.size() + config->ipv6_listeners.size());
    return 0;
  }
  return arguments.detach ? detach(*config) : run(*config);
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) {
  spdlog::set_default_logger(spdlog::stderr_logger_mt("dataplane"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
  try {
    return millrace::start(argc, argv);
  } catch (const std::exception& exception) {
    return millrace::fail(std::string("cannot start: ") + exception.what());
  }
}

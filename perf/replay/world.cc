#include "perf/replay/world.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/check.h"

namespace millrace::perf {
namespace {

constexpr uint32_t arena_slots = 8'192;
constexpr Duration turn_interval = Duration::microseconds(25);
// Turns that an exchange may take before something is wrong.
constexpr uint32_t patience_turns = 20'000;
// Longer than the delayed-ACK time.
constexpr uint32_t settle_turns = 10'000;
constexpr uint32_t opening_at_once_max = 32;
// Between two such batches: 40,000 connections a second, which is no flood.
constexpr Duration opening_interval = Duration::microseconds(800);
// Upstream connections and those that are being closed, beside the clients'.
constexpr uint32_t connections_spare = 16'384;
constexpr uint32_t access_ring_bytes = 1U << 20;  // what a turn makes
constexpr uint32_t traffic_rows = 8'192;          // as the data plane has them by itself
constexpr uint32_t backends = 4;
constexpr uint64_t tenant_seed = 20'240'601;

const SocketAddress listener{Ipv4Address::from_octets(10, 20, 0, 100), 80};
const SocketAddress backend_first{Ipv4Address::from_octets(10, 20, 0, 11), 8081};
const Ipv4Address gateway = Ipv4Address::from_octets(10, 20, 0, 1);
const Ipv4Address client_first = Ipv4Address::from_octets(10, 64, 0, 1);

Addresses addresses() {
  return {{{2, 0, 0, 0, 0, 1}}, {{2, 0, 0, 0, 0, 2}}, listener,
          client_first,         backend_first,        backends};
}

// With a worker that has no switch, there is nothing to set; the template only lets this compile
// for both.
template <class Options>
void set_fast_paths(Options& options, FastPaths fast_paths) {
  if constexpr (requires { options.fast_paths = true; }) {
    if (fast_paths != FastPaths::as_built) options.fast_paths = fast_paths == FastPaths::on;
  }
}
template <class Options>
constexpr bool has_switch() {
  return requires(Options & options) {
    options.fast_paths = true;
  };
}
template <class W>
uint64_t table_bytes(const W& worker) {
  if constexpr (requires { worker.memory_bytes(); }) {
    return worker.memory_bytes();
  } else {
    return 0;
  }
}

WorkerOptions worker_options(const Scenario& scenario, FastPaths fast_paths,
                             access_log::RecordRing& access_ring, const shm::TrafficPage& traffic) {
  WorkerOptions options;
  options.net.addresses.push_back({0, {listener.address, 24}, {}});
  options.net.routes.push_back({{Ipv4Address{}, 0}, 0, gateway});
  options.net.listeners.push_back(listener);
  options.keys = {{1, 2}, {3, 4}, 5};
  const uint32_t clients = scenario.connections + scenario.idle_connections;
  options.tcp.connections = clients + connections_spare;
  // What is under way at the same time does not grow with those that are idle.
  options.tcp.transfers = connections_spare;
  options.proxy.sessions = connections_spare;
  if (scenario.access_log) options.proxy.access_log = &access_ring;
  options.proxy.traffic = traffic.writer(0);
  set_fast_paths(options, fast_paths);
  return options;
}

// Of this process, as the kernel counts it.
uint64_t resident_bytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  unsigned long long size = 0;
  unsigned long long resident = 0;
  const bool read = file != nullptr && std::fscanf(file, "%llu %llu", &size, &resident) == 2;
  if (file != nullptr) std::fclose(file);
  return read ? resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

uint64_t ticks_now() {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#else
  return MonotonicClock{}.now().since_origin_ns();
#endif
}

// What callgrind counts: not inlined, so that it has a name.
[[gnu::noinline]] void measured_turn(Worker& worker, Instant now) {
  worker.turn(now);
}

}  // namespace

TenantTable replay_table(uint32_t routes) {
  TenantTable table;
  table.routes = routes;
  table.backend = backend_first;
  table.backend_count = backends;
  return table;
}

World::World(const Scenario& scenario, const Recording& recording,
             std::shared_ptr<const shm::Snapshot> snapshot, FastPaths fast_paths)
    : scenario_(scenario),
      now_(Instant::from_ns(1'000'000'000)),
      frames_(packet::FrameMemory::create(arena_slots)),
      arena_(frames_->data(), arena_slots),
      addresses_(addresses()),
      port_({"memory", addresses_.proxy_mac, 1500, packet::ChecksumMode::verify}, arena_),
      peers_(addresses_, scenario.habits, recording, port_),
      traffic_page_(
          std::move(*shm::TrafficPage::create(shm::traffic_rows_fixed + traffic_rows, 1))),
      traffic_rows_(*traffic_page_),
      cell_(1),
      access_ring_(access_ring_bytes),
      memory_{resident_bytes()},
      worker_(worker_options(scenario, fast_paths, access_ring_, *traffic_page_), {&port_}, arena_,
              cell_, now_),
      random_(tenant_seed),
      table_(replay_table(scenario.routes)) {
  memory_.resident_made = resident_bytes();
  memory_.tables = table_bytes(worker_);
  cell_.set_traffic_maps([this](const shm::SnapshotView& view) { return traffic_rows_.map(view); });
  CHECK(cell_.install(std::move(snapshot)).ok());
  worker_.set_date("Tue, 15 Nov 1994 08:12:31 GMT");
}

World::~World() {
  worker_.go_offline();
}

bool World::has_fast_paths_switch() {
  return has_switch<WorkerOptions>();
}

void World::prepare(uint32_t repeats) {
  const uint32_t clients = scenario_.connections + scenario_.idle_connections;
  const uint32_t warm_up = scenario_.connections * scenario_.warm_up_requests;
  peers_.reserve(clients, 1 + warm_up + scenario_.requests * repeats);
  // One goes ahead and asks, so that ARP is settled on both sides before there is a crowd.
  for (connection_count_ = 0; connection_count_ < clients;) {
    const uint32_t crowd = connection_count_ == 0 ? 1 : opening_at_once_max;
    const uint32_t batch = std::min(crowd, clients - connection_count_);
    for (uint32_t i = 0; i < batch; ++i) peers_.open();
    connection_count_ += batch;
    now_ = now_ + opening_interval;
    for (uint32_t turns = 0; !peers_.is_idle(connection_count_ - 1); ++turns) {
      CHECK(turns < patience_turns);
      turn();
    }
    if (connection_count_ == 1) {
      ask(1);
      peers_.acknowledge();  // it may not ask again for long
    }
  }
  first_asking_ = scenario_.idle_connections;
  memory_.resident_open = resident_bytes();
  ask(warm_up);
  port_.set_frames_per_turn(scenario_.frames_per_turn);
}

void World::ask(uint32_t requests) {
  const uint64_t wanted = peers_.answers() + requests;
  const uint32_t tenants = std::min(table_.host_count(), scenario_.tenants_asked_max);
  uint32_t left = requests;
  uint64_t patience = uint64_t{requests} * patience_turns;
  while (peers_.answers() < wanted ||
         (scenario_.habits.lifetime != Lifetime::kept && !peers_.all_are_quiet())) {
    for (uint32_t i = first_asking_; i < connection_count_ && left > 0; ++i) {
      if (!peers_.may_ask(i)) continue;
      const auto tenant = static_cast<uint32_t>(random_.below(tenants));
      peers_.ask(i, tenant_host(tenant), tenant_backend(table_, tenant, 1));
      --left;
    }
    turn();
    CHECK(patience-- > 0);
  }
}

void World::turns(uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) turn();
}

void World::settle() {
  peers_.acknowledge();
  turns(settle_turns);
}

void World::turn() {
  const uint64_t before = ticks_now();
  measured_turn(worker_, now_);
  if (scenario_.access_log) access_ring_.drain(SIZE_MAX, [](ByteView) {});
  ticks_ += ticks_now() - before;
  ++turn_count_;
  peers_.take(now_);
  pass_time();
}

// A worker with frames in its port turns at once; one without sleeps until something is due.
void World::pass_time() {
  now_ = now_ + turn_interval;
  const Instant due = peers_.next_due();
  if (port_.has_waiting() || due == Instant::never()) return;
  now_ = std::max(now_, std::min(due, worker_.next_deadline()));
}

MemoryUse World::memory() const {
  return memory_;
}

}  // namespace millrace::perf

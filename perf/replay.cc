// What one proxied request costs in instructions, from the driver's ring to the driver's ring: a
// real worker over a port in memory, a scripted client and a scripted origin, a keep-alive
// connection on each side. Every answer is checked.
//
// Run it under callgrind, which then counts Worker::turn() only, and of it only what comes after
// the warm-up (perf/replay.sh does):
//   valgrind --tool=callgrind --toggle-collect='millrace::Worker::turn*' replay --routes 10
//
// Instructions a request are the total divided by the requests printed. With --idle the turns have
// nothing to do: what a spinning worker executes while it waits.
#include <getopt.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "base/check.h"
#include "dataplane/packet/frame_memory.h"
#include "dataplane/worker.h"
#include "perf/memory_port.h"
#include "perf/scripted_peers.h"
#include "shm/snapshot_writer.h"

#if __has_include(<valgrind/callgrind.h>)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast"
#include <valgrind/callgrind.h>
static void forget_counts() {
  CALLGRIND_ZERO_STATS;
}
#pragma GCC diagnostic pop
#else
static void forget_counts() {
  std::fprintf(stderr, "replay: built without valgrind's header: the warm-up is counted too\n");
}
#endif

namespace {

using namespace millrace;

constexpr uint32_t arena_slots = 8'192;
constexpr Duration turn_interval = Duration::microseconds(25);
constexpr uint32_t warm_up_requests = 32;  // a connection
// Turns that an exchange may take before something is wrong.
constexpr uint32_t patience_turns = 1'000;
// Longer than the delayed-ACK time.
constexpr uint32_t settle_turns = 10'000;
// Each needs two frames of the port at a time.
constexpr uint32_t connections_max = perf::MemoryPort::receive_frames / 2 - 1;

struct Arguments {
  uint32_t routes = 10;
  uint32_t connections = 1;
  uint32_t requests = 10'000;
  bool idle = false;
};

[[noreturn]] void refuse() {
  std::fprintf(stderr, "usage: replay [--routes N] [--connections N] [--requests N] [--idle]\n");
  std::exit(2);
}

Arguments parse(int argc, char** argv) {
  static constexpr std::array<option, 5> names{{{"routes", 1, nullptr, 'r'},
                                                {"connections", 1, nullptr, 'c'},
                                                {"requests", 1, nullptr, 'n'},
                                                {"idle", 0, nullptr, 'i'},
                                                {nullptr, 0, nullptr, 0}}};
  Arguments arguments;
  for (int key = 0; (key = getopt_long(argc, argv, "", names.data(), nullptr)) != -1;) {
    if (key == 'i') {
      arguments.idle = true;
      continue;
    }
    const auto value = key == '?' ? std::nullopt : parse_decimal(optarg, 1'000'000);
    if (!value || *value == 0) refuse();
    if (key == 'r') arguments.routes = static_cast<uint32_t>(*value);
    if (key == 'c') arguments.connections = static_cast<uint32_t>(*value);
    if (key == 'n') arguments.requests = static_cast<uint32_t>(*value);
  }
  if (optind != argc || arguments.connections > connections_max || arguments.routes < 2) refuse();
  return arguments;
}

std::string host_name(uint32_t index) {
  std::string digits = std::to_string(index);
  return "tenant" + std::string(6 - digits.size(), '0') + digits + ".example";
}

// Two prefixes a host. Only the one that is asked for leads to a service with an endpoint, so a
// request that took another route would come back as 503.
std::shared_ptr<const shm::Snapshot> make_snapshot(uint32_t routes, uint32_t asked_host,
                                                   SocketAddress origin) {
  shm::SnapshotBuilder builder;
  for (uint32_t i = 0; i < routes; ++i) {
    const bool asked = i / 2 == asked_host && i % 2 == 1;
    const shm::RouteSource source{asked ? 0U : 1U, "shop", "shop", i};
    CHECK(builder.add_route(host_name(i / 2), i % 2 == 0 ? "/" : "/api/v1", shm::PathType::prefix,
                            source));
  }
  shm::ServiceInput service;
  service.service_namespace = service.service_name = "shop";
  service.port = "80";
  service.endpoints = {{1, origin.address, origin.port}};
  CHECK(builder.add_service(service).ok());
  const auto built = builder.build(1);
  CHECK(built.ok());
  std::vector<ByteView> segments;
  for (const shm::BuiltSegment& segment : built->segments) segments.push_back(segment.bytes);
  auto snapshot = shm::Snapshot::from_bytes(built->root, segments);
  CHECK(snapshot.ok());
  return std::move(*snapshot);
}

perf::Addresses addresses() {
  return {{{2, 0, 0, 0, 0, 1}},
          {{2, 0, 0, 0, 0, 2}},
          {Ipv4Address::from_octets(10, 20, 0, 100), 80},
          Ipv4Address::from_octets(10, 20, 0, 50),
          {Ipv4Address::from_octets(10, 20, 0, 11), 8081}};
}

WorkerOptions worker_options(const perf::Addresses& at) {
  WorkerOptions options;
  options.net.addresses.push_back({0, {at.listener.address, 24}, {}});
  options.net.listeners.push_back(at.listener);
  options.keys = {{1, 2}, {3, 4}, 5};
  return options;
}

// The worker, its peers and the time that passes between them.
class Replay {
 public:
  explicit Replay(const Arguments& arguments)
      : memory_(packet::FrameMemory::create(arena_slots)),
        arena_(memory_->data(), arena_slots),
        addresses_(addresses()),
        port_({"memory", addresses_.proxy_mac, 1500, packet::ChecksumMode::verify}, arena_),
        cell_(1),
        worker_(worker_options(addresses_), {&port_}, arena_, cell_, now_),
        peers_(addresses_,
               perf::make_exchange(host_name(arguments.routes / 4), "/api/v1/orders/98765"),
               port_) {
    const auto installed =
        cell_.install(make_snapshot(arguments.routes, arguments.routes / 4, addresses_.origin));
    CHECK(installed.ok());
    worker_.set_date("Tue, 15 Nov 1994 08:12:31 GMT");
  }

  ~Replay() { worker_.go_offline(); }
  Replay(const Replay&) = delete;
  Replay& operator=(const Replay&) = delete;

  // The first connection goes ahead and asks, so that ARP is settled before there is a crowd.
  void open(uint32_t connections) {
    for (uint32_t i = 0; i < connections; ++i) {
      peers_.open();
      ++connections_;
      for (uint32_t turns = 0; !peers_.idle(i); ++turns) {
        CHECK(turns < patience_turns);
        turn();
      }
      if (i == 0) ask(1);
    }
  }

  // Every connection asks whenever its last answer has come, until `requests` were asked.
  void ask(uint32_t requests) {
    const uint64_t wanted = peers_.answers() + requests;
    uint32_t left = requests;
    for (uint32_t turns = 0; peers_.answers() < wanted; ++turns) {
      for (uint32_t i = 0; i < connections_ && left > 0; ++i) {
        if (!peers_.idle(i)) continue;
        peers_.ask(i);
        --left;
      }
      turn();
      CHECK(turns < uint64_t{requests} * patience_turns);
    }
  }

  // Nothing is under way any more, on either side.
  void settle() {
    peers_.acknowledge();
    for (uint32_t i = 0; i < settle_turns; ++i) turn();
  }

  void turn() {
    worker_.turn(now_);
    ++turns_;
    peers_.take(now_);
    now_ = now_ + turn_interval;
  }

  uint64_t turns() const { return turns_; }
  const perf::ScriptedPeers& peers() const { return peers_; }
  const nic::PortCounters& frames() const { return port_.counters(); }
  const Worker& worker() const { return worker_; }

 private:
  Instant now_ = Instant::from_ns(1'000'000'000);
  Result<packet::FrameMemory> memory_;
  packet::Arena arena_;
  perf::Addresses addresses_;
  perf::MemoryPort port_;
  shm::SnapshotCell cell_;
  Worker worker_;
  uint32_t connections_ = 0;
  perf::ScriptedPeers peers_;
  uint64_t turns_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  const auto replay = std::make_unique<Replay>(arguments);
  replay->open(arguments.connections);
  replay->ask(warm_up_requests * arguments.connections);
  if (arguments.idle) replay->settle();
  const uint64_t turns = replay->turns();
  const uint64_t received = replay->frames().received_frames;
  const uint64_t sent = replay->frames().transmitted_frames;
  const uint64_t bare = replay->peers().bare_segments();
  forget_counts();
  if (arguments.idle) {
    for (uint32_t i = 0; i < arguments.requests; ++i) replay->turn();
  } else {
    replay->ask(arguments.requests);
  }
  CHECK(replay->worker().frames_conserved());
  const double requests = arguments.requests;
  const auto each = [&](uint64_t count) { return static_cast<double>(count) / requests; };
  std::printf(
      "requests=%u routes=%u connections=%u upstream_connections=%zu turns=%.3f received=%.3f "
      "sent=%.3f bare=%.3f\n",
      arguments.idle ? 0 : arguments.requests, arguments.routes, arguments.connections,
      replay->peers().origin_connections(), each(replay->turns() - turns),
      each(replay->frames().received_frames - received),
      each(replay->frames().transmitted_frames - sent),
      each(replay->peers().bare_segments() - bare));
  return 0;
}

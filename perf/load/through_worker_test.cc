// The load program's two ends around the product's own worker, over faulty wires: the two TCPs
// share no code, so each is a test of the other.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "dataplane/worker.h"
#include "perf/load/load_world.h"
#include "shm/snapshot_writer.h"

namespace millrace::load {
namespace {

constexpr Duration step = Duration::microseconds(20);
const SocketAddress front{Ipv4Address::from_octets(10, 3, 0, 100), 80};
constexpr uint32_t host_count = 50;

std::shared_ptr<const shm::Snapshot> table() {
  shm::SnapshotBuilder builder;
  for (uint32_t i = 0; i < host_count; ++i) {
    const std::string digits = std::to_string(i);
    const std::string host = "tenant" + std::string(6 - digits.size(), '0') + digits + ".example";
    CHECK(builder.add_route(host, "/", shm::PathType::prefix, {0, "load", "load", i}));
  }
  shm::ServiceInput service;
  service.service_namespace = service.service_name = "load";
  service.port = "80";
  service.endpoints = {{1, backend_address, backend_port}};
  CHECK(builder.add_service(service).ok());
  const auto built = builder.build(1);
  CHECK(built.ok());
  std::vector<ByteView> segments;
  for (const shm::BuiltSegment& segment : built->segments) segments.push_back(segment.bytes);
  auto snapshot = shm::Snapshot::from_bytes(built->root, segments);
  CHECK(snapshot.ok());
  return std::move(*snapshot);
}

WorkerOptions worker_options() {
  WorkerOptions options;
  options.net.addresses.push_back({0, {front.address, 8}, {}});
  options.net.listeners.push_back(front);
  options.keys = {{1, 2}, {3, 4}, 5};
  return options;
}

class ThreeStations {
 public:
  ThreeStations(StationOptions asks, StationOptions answers, uint64_t seed)
      : network(seed),
        now(Instant::from_ns(1'000'000'000)),
        client(std::move(asks), network, "client", 1, now),
        backend(std::move(answers), network, "backend", 2, now),
        memory_(16'384),
        cell_(1),
        worker(worker_options(), {&network.add_port(sim_facts("worker", 3), memory_.arena())},
               memory_.arena(), cell_, now) {
    CHECK(cell_.install(table()).ok());
    worker.set_date("Tue, 15 Nov 1994 08:12:31 GMT");
  }
  ~ThreeStations() { worker.go_offline(); }

  bool run_until(const std::function<bool()>& done, Duration limit) {
    for (const Instant end = now + limit; now < end && !done(); now = now + step) {
      client.turn(now);
      worker.turn(now);
      backend.turn(now);
    }
    return done();
  }
  std::string told() {
    const Gauges gauges{};
    const std::string json = to_json(client.figures(), gauges, gauges);
    return json.substr(0, json.find("late_sends")) + "} worker retransmits " +
           std::to_string(worker.counters()[Counter::tcp_segments_retransmitted]);
  }

  nic::SimSwitch network;
  Instant now;
  SimStation client;
  SimStation backend;

 private:
  SimMemory memory_;
  shm::SnapshotCell cell_;

 public:
  Worker worker;
};

struct Case {
  const char* name;
  Lifetime lifetime;
  RequestHead head;
  uint32_t request_body;
  uint32_t response_bytes;
  double loss;
};

class ThroughWorker : public testing::TestWithParam<Case> {};

TEST_P(ThroughWorker, EveryAnswerIsRight) {
  const Case& of = GetParam();
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    ClientOptions options = client_options(front);
    options.connections = 30;
    options.idle_connections = 20;
    options.host_count = host_count;
    options.lifetime = of.lifetime;
    options.seed = seed;
    RequestOptions request;
    request.head = of.head;
    request.body_bytes = of.request_body;
    ThreeStations world(client_station(options, of.response_bytes, request),
                        backend_station(of.response_bytes), seed);
    nic::WireFaults faults;
    faults.delay = Duration::microseconds(40);
    faults.loss = of.loss;
    faults.duplication = of.loss;
    faults.corruption = of.loss / 2;
    faults.reordering = of.loss;
    faults.reordering_delay = Duration::microseconds(300);
    world.network.set_faults(faults);
    const uint64_t wanted = of.response_bytes + of.request_body > 10'000 ? 150 : 1'500;
    ASSERT_TRUE(world.run_until([&] { return world.client.figures().responses_ok >= wanted; },
                                Duration::seconds(90)))
        << of.name << ", seed " << seed << ": " << world.told();
    EXPECT_EQ(world.client.figures().errors_total(), 0U)
        << of.name << ", seed " << seed << ": " << world.told();
    EXPECT_EQ(world.backend.figures().backend_malformed, 0U);
    EXPECT_GE(world.backend.figures().backend_requests, world.client.figures().responses_ok);
    if (of.loss > 0) {
      EXPECT_GT(world.client.figures().bad_frames + world.backend.figures().bad_frames, 0U);
    }
    world.network.set_faults({});
    world.client.station().client()->stop();
    EXPECT_TRUE(world.run_until([&] { return world.client.station().client()->is_stopped(); },
                                Duration::seconds(20)));
    EXPECT_TRUE(world.worker.frames_conserved());
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, ThroughWorker,
    testing::Values(
        Case{"clear", Lifetime::keepalive, RequestHead::browser, 0, 100, 0},
        Case{"lossy", Lifetime::keepalive, RequestHead::browser, 0, 100, 0.01},
        Case{"large_heads", Lifetime::keepalive, RequestHead::large, 0, 1'000, 0.01},
        Case{"large_responses", Lifetime::keepalive, RequestHead::small, 0, 200'000, 0.01},
        Case{"large_requests", Lifetime::keepalive, RequestHead::browser, 60'000, 10, 0.01},
        Case{"one_request_each", Lifetime::request, RequestHead::browser, 0, 100, 0.01}),
    [](const auto& param) { return std::string(param.param.name); });

TEST(ThroughWorkerRoutes, AHostWithoutARouteIsAStatus) {
  ClientOptions options = client_options(front);
  options.connections = 5;
  options.host_count = 2 * host_count;
  ThreeStations world(client_station(options, 100), backend_station(100), 1);
  EXPECT_TRUE(world.run_until([&] { return world.client.figures().responses_ok >= 1'000; },
                              Duration::seconds(20)));
  EXPECT_NEAR(static_cast<double>(world.client.figures().statuses[404]), 1'000, 200);
  EXPECT_EQ(world.client.figures().errors_total(), world.client.figures().statuses[404]);
}

}  // namespace
}  // namespace millrace::load

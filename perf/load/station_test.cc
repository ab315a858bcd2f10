// Client and backend against each other over faulty wires: every answer right, nothing lost, all
// connections ended.
#include "perf/load/station.h"

#include <gtest/gtest.h>

#include <string>

#include "perf/load/load_world.h"

namespace millrace::load {
namespace {

const Instant start_of_time = Instant::from_ns(3'000'000'000'000);
constexpr Duration step = Duration::microseconds(20);

class TwoStations {
 public:
  TwoStations(StationOptions asks, StationOptions answers, uint64_t seed,
              Instant start = start_of_time)
      : network(seed),
        now(start),
        client(std::move(asks), network, "client", 1, start),
        backend(std::move(answers), network, "backend", 2, start) {}

  void turn() {
    const uint32_t moved = client.turn(now) + backend.turn(now);
    now = now + (moved == 0 ? idle_step : step);
  }
  bool run_until(const std::function<bool()>& done, Duration limit) {
    for (const Instant end = now + limit; now < end;) {
      if (done()) return true;
      turn();
    }
    return done();
  }
  // Stops the client; true when both sides have nothing left.
  bool settle() {
    client.station().client()->stop();
    const bool over = run_until(
        [&] {
          return client.station().client()->is_stopped() &&
                 backend.station().backend()->connections_open() == 0;
        },
        Duration::seconds(60));
    for (int i = 0; i < 100; ++i) turn();
    return over && network.frames_conserved() && client.all_slots_free() &&
           backend.all_slots_free();
  }

  nic::SimSwitch network;
  Instant now;
  Duration idle_step = step;  // longer where nothing depends on it
  SimStation client;
  SimStation backend;
};

const SocketAddress backend_itself{backend_address, backend_port};

std::string errors_told(Figures& figures) {
  const Gauges gauges{};
  const std::string json = to_json(figures, gauges, gauges);
  return json.substr(0, json.find("late_sends"));
}

TEST(Station, AClosedLoopAsksAgainAndAgain) {
  ClientOptions options = client_options(backend_itself);
  options.connections = 10;
  TwoStations world(client_station(options, 100), backend_station(100), 1);
  EXPECT_TRUE(world.run_until([&] { return world.client.figures().responses_ok >= 10'000; },
                              Duration::seconds(20)));
  EXPECT_EQ(world.client.figures().errors_total(), 0U);
  EXPECT_EQ(world.client.figures().new_connections, 10U);
  EXPECT_EQ(world.client.station().connections_open(), 10U);
  EXPECT_EQ(world.client.figures().latency.count(), world.client.figures().responses_ok);
  // Acknowledgments ride on requests and responses: two frames an exchange, and what opening takes.
  EXPECT_LT(world.client.port().counters().transmitted_frames,
            world.client.figures().requests + 50);
  EXPECT_LT(world.backend.port().counters().transmitted_frames,
            world.client.figures().requests + 50);
  EXPECT_TRUE(world.settle());
  EXPECT_EQ(world.backend.figures().backend_connections, 10U);
  EXPECT_EQ(world.backend.figures().backend_requests, world.client.figures().requests);
}

struct Weather {
  const char* name;
  Lifetime lifetime;
  RequestHead head;
  uint32_t request_body;
  uint32_t response_bytes;
  bool timestamps;
};

class StationInWeather : public testing::TestWithParam<Weather> {};

TEST_P(StationInWeather, EveryAnswerIsRightThoughFramesAreLostDoubledAndReordered) {
  const Weather& weather = GetParam();
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    ClientOptions options = client_options(backend_itself);
    options.connections = 20;
    options.lifetime = weather.lifetime;
    options.timestamps = weather.timestamps;
    options.host_count = 1'000;
    RequestOptions request;
    request.head = weather.head;
    request.body_bytes = weather.request_body;
    // Sequence numbers wrap within the run for some of the connections.
    const Instant start = Instant::from_ns(seed * 274'000'000'000 / 6);
    TwoStations world(client_station(options, weather.response_bytes, request),
                      backend_station(weather.response_bytes), seed, start);
    nic::WireFaults faults;
    faults.delay = Duration::microseconds(50);
    faults.jitter = Duration::microseconds(30);
    faults.loss = 0.02;
    faults.duplication = 0.02;
    faults.corruption = 0.005;
    faults.reordering = 0.02;
    faults.reordering_delay = Duration::microseconds(300);
    world.network.set_faults(faults);
    const uint64_t wanted = weather.response_bytes > 10'000 ? 200 : 2'000;
    ASSERT_TRUE(world.run_until([&] { return world.client.figures().responses_ok >= wanted; },
                                Duration::seconds(120)))
        << weather.name << ", seed " << seed << ": " << errors_told(world.client.figures());
    EXPECT_EQ(world.client.figures().errors_total(), 0U)
        << weather.name << ", seed " << seed << ": " << errors_told(world.client.figures());
    EXPECT_GT(world.client.figures().bad_frames, 0U);
    world.network.set_faults({});
    EXPECT_TRUE(world.settle()) << weather.name << ", seed " << seed;
    EXPECT_EQ(world.backend.figures().backend_malformed, 0U);
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, StationInWeather,
    testing::Values(
        Weather{"small", Lifetime::keepalive, RequestHead::browser, 0, 100, true},
        Weather{"no_timestamps", Lifetime::keepalive, RequestHead::small, 0, 1'000, false},
        Weather{"head_in_pieces", Lifetime::keepalive, RequestHead::large, 0, 100, true},
        Weather{"large_responses", Lifetime::keepalive, RequestHead::browser, 0, 300'000, true},
        Weather{"large_requests", Lifetime::keepalive, RequestHead::browser, 50'000, 10, true},
        Weather{"empty_responses", Lifetime::keepalive, RequestHead::browser, 0, 0, true},
        Weather{"one_request_each", Lifetime::request, RequestHead::browser, 0, 100, true},
        Weather{"one_large_each", Lifetime::request, RequestHead::large, 3'000, 20'000, false}),
    [](const auto& param) { return std::string(param.param.name); });

TEST(Station, OneRequestAConnectionTakesSevenFrames) {
  ClientOptions options = client_options(backend_itself);
  options.connections = 4;
  options.lifetime = Lifetime::request;
  TwoStations world(client_station(options, 100), backend_station(100), 1);
  EXPECT_TRUE(world.run_until([&] { return world.client.figures().responses_ok >= 100'000; },
                              Duration::seconds(60)));
  EXPECT_EQ(world.client.figures().errors_total(), 0U);
  EXPECT_TRUE(world.settle());
  // More connections than there are places: each was used again.
  EXPECT_GT(world.client.figures().new_connections, uint64_t{request_places});
  EXPECT_NEAR(static_cast<double>(world.client.figures().new_connections),
              static_cast<double>(world.client.figures().requests), 8);
  // SYN, request, FIN, last acknowledgment; SYN-ACK, response, FIN.
  const double requests = static_cast<double>(world.client.figures().requests);
  EXPECT_NEAR(static_cast<double>(world.client.port().counters().transmitted_frames) / requests, 4,
              0.01);
  EXPECT_NEAR(static_cast<double>(world.backend.port().counters().transmitted_frames) / requests, 3,
              0.01);
}

TEST(Station, AnOpenLoopKeepsItsTimesAndCountsFromThem) {
  ClientOptions options = client_options(backend_itself);
  options.connections = 50;
  options.pace = Pace::constant;
  options.rate_per_second = 5'000;
  TwoStations world(client_station(options, 100), backend_station(100), 1);
  nic::WireFaults faults;
  faults.delay = Duration::microseconds(200);
  world.network.set_faults(faults);
  ASSERT_TRUE(world.run_until([&] { return world.client.station().client()->is_ready(); },
                              Duration::seconds(5)));
  const uint64_t before = world.client.figures().requests;
  const Instant begin = world.now;
  while (world.now < begin + Duration::seconds(2)) world.turn();
  EXPECT_NEAR(static_cast<double>(world.client.figures().requests - before), 10'000, 2);
  EXPECT_EQ(world.client.figures().late_sends, 0U);
  // There and back, and what the steps of time add.
  EXPECT_GE(world.client.figures().latency.percentile_ns(0.001), 400'000U);
  EXPECT_LE(world.client.figures().latency.max_ns(), 480'000U);

  // The backend stands still for 100 ms: the requests that were due meanwhile have waited.
  world.client.station().begin_window(world.now, world.client.port().counters());
  for (const Instant end = world.now + Duration::milliseconds(100); world.now < end;
       world.now = world.now + step) {
    world.client.turn(world.now);
  }
  EXPECT_GT(world.client.station().client()->unsent(), 400U);
  while (world.client.station().client()->unsent() > 0) world.turn();
  for (int i = 0; i < 1'000; ++i) world.turn();
  EXPECT_EQ(world.client.figures().errors_total(), 0U);
  EXPECT_GT(world.client.figures().late_sends, 400U);
  EXPECT_GT(world.client.figures().latency.max_ns(), 99'000'000U);
  // They fell due all over the pause, so half of them waited longer than half of it.
  const uint64_t waited = world.client.figures().latency.count();
  EXPECT_GT(world.client.figures().latency.percentile_ns(1 - 240.0 / static_cast<double>(waited)),
            45'000'000U);
  EXPECT_TRUE(world.settle());
}

TEST(Station, AnOpenLoopOfShortConnectionsOpensOneForEachArrival) {
  ClientOptions options = client_options(backend_itself);
  options.connections = 1'000;
  options.lifetime = Lifetime::request;
  options.pace = Pace::poisson;
  options.rate_per_second = 2'000;
  TwoStations world(client_station(options, 100), backend_station(100), 1);
  EXPECT_TRUE(world.run_until([&] { return world.client.figures().responses_ok >= 8'000; },
                              Duration::seconds(8)));
  const auto seconds = static_cast<double>((world.now - start_of_time).count_ns()) / 1e9;
  EXPECT_NEAR(8'000 / seconds, 2'000, 100);
  EXPECT_EQ(world.client.figures().errors_total(), 0U);
  EXPECT_TRUE(world.settle());
}

TEST(Station, ABackendThatStopsLeavesNobodyWaiting) {
  ClientOptions options = client_options(backend_itself);
  options.connections = 3;
  options.idle_connections = 40;
  TwoStations world(client_station(options, 100), backend_station(100), 1);
  ASSERT_TRUE(world.run_until([&] { return world.client.figures().responses_ok >= 100; },
                              Duration::seconds(20)));
  ASSERT_EQ(world.backend.station().backend()->connections_open(), 43U);
  EXPECT_FALSE(world.backend.station().is_stopped());
  world.backend.station().stop();
  ASSERT_TRUE(
      world.run_until([&] { return world.backend.station().is_stopped(); }, Duration::seconds(1)));
  EXPECT_EQ(world.backend.station().backend()->connections_open(), 0U);
  // Each was told, and whoever tries again is refused.
  EXPECT_TRUE(world.run_until([&] { return world.client.station().connections_open() == 0; },
                              Duration::seconds(1)));
  EXPECT_EQ(world.backend.figures().backend_connections, 43U);
}

TEST(Station, SilentOnesStandAndSlowOnesTrickle) {
  ClientOptions options = client_options(backend_itself);
  options.connections = 2;
  options.idle_connections = 300;
  options.slow_clients = 3;
  TwoStations world(client_station(options, 20'000), backend_station(20'000), 1);
  nic::WireFaults faults;
  faults.delay = Duration::milliseconds(2);
  world.network.set_faults(faults);
  world.idle_step = Duration::microseconds(500);
  ASSERT_TRUE(world.run_until([&] { return world.client.station().client()->is_ready(); },
                              Duration::seconds(5)));
  EXPECT_EQ(world.client.station().connections_open(), 305U);
  const Instant begin = world.now;
  EXPECT_TRUE(world.run_until([&] { return world.client.figures().slow_responses_ok >= 6; },
                              Duration::seconds(30)));
  // 20,150 octets at 1,024 in 100 ms, twice.
  EXPECT_GT(world.now - begin, Duration::milliseconds(3'600));
  EXPECT_LT(world.now - begin, Duration::seconds(10));
  EXPECT_GT(world.client.figures().responses_ok, 500U);
  EXPECT_EQ(world.client.figures().errors_total(), 0U);
  EXPECT_EQ(world.client.station().connections_open(), 305U);
  EXPECT_EQ(world.backend.station().backend()->connections_open(), 305U);
  EXPECT_TRUE(world.settle());
}

TEST(Station, MoreConnectionsThanAnAddressHasPorts) {
  ClientOptions options = client_options(backend_itself);
  options.connections = 100;
  options.idle_connections = 70'000;
  options.address_count = 2;
  options.connects_per_second_max = 10'000'000;
  StationOptions answers = backend_station(100);
  answers.backend->connections_max = 80'000;
  TwoStations world(client_station(options, 100), std::move(answers), 1);
  ASSERT_TRUE(world.run_until([&] { return world.client.station().client()->is_ready(); },
                              Duration::seconds(5)))
      << world.client.station().connections_open();
  EXPECT_TRUE(world.run_until([&] { return world.client.figures().responses_ok > 1'000; },
                              Duration::seconds(5)));
  EXPECT_EQ(world.client.station().connections_open(), 70'100U);
  EXPECT_EQ(world.client.figures().errors_total(), 0U);
  EXPECT_TRUE(world.settle());
}

TEST(Station, NobodyThereIsAnErrorByName) {
  ClientOptions options = client_options({backend_address, backend_port + 1});
  options.connections = 3;
  TwoStations world(client_station(options, 100), backend_station(100), 1);
  world.idle_step = Duration::milliseconds(1);
  // A port that the backend does not have is answered by nobody.
  world.run_until([&] { return false; }, Duration::seconds(15));
  EXPECT_EQ(world.client.figures().errors[static_cast<size_t>(LoadError::connect_timeout)], 3U);
  EXPECT_FALSE(world.client.station().client()->is_ready());
}

TEST(Station, AWrongAnswerIsSeen) {
  ClientOptions options = client_options(backend_itself);
  options.connections = 3;
  StationOptions backend = backend_station(100);
  backend.response = ResponseText("not-the-tag", 100);
  TwoStations world(client_station(options, 100), std::move(backend), 1);
  EXPECT_TRUE(world.run_until(
      [&] {
        return world.client.figures().errors[static_cast<size_t>(LoadError::wrong_tag)] > 100;
      },
      Duration::seconds(5)));
  EXPECT_EQ(world.client.figures().responses_ok, 0U);
}

TEST(Station, TheSameSeedIsTheSameRun) {
  const auto run = [] {
    ClientOptions options = client_options(backend_itself);
    options.connections = 7;
    options.pace = Pace::poisson;
    options.rate_per_second = 3'000;
    TwoStations world(client_station(options, 3'000), backend_station(3'000), 4);
    nic::WireFaults faults;
    faults.loss = 0.01;
    world.network.set_faults(faults);
    world.run_until([] { return false; }, Duration::seconds(1));
    return world.network.trace_hash();
  };
  EXPECT_EQ(run(), run());
}

// Client and backend in one station, and another one that only turns frames around.
TEST(Station, ThroughAReflectorBothRolesSpeakWithEachOther) {
  ClientOptions options = client_options(backend_itself);
  options.connections = 64;
  options.host_count = 10;
  StationOptions both = client_station(options, 2'000);
  StationOptions backend = backend_station(2'000);
  both.backend = backend.backend;
  both.response = backend.response;
  both.gateway = Ipv4Address::from_octets(10, 1, 0, 254);
  StationOptions mirror;
  mirror.reflect = true;
  mirror.reflect_address = both.gateway;
  nic::SimSwitch network(1);
  Instant now = start_of_time;
  SimStation station(std::move(both), network, "both", 1, now);
  SimStation reflector(std::move(mirror), network, "mirror", 2, now);
  for (int i = 0; i < 200'000 && station.figures().responses_ok < 20'000; ++i) {
    station.turn(now);
    reflector.turn(now);
    now = now + step;
  }
  EXPECT_GE(station.figures().responses_ok, 20'000U);
  EXPECT_EQ(station.figures().errors_total(), 0U);
  EXPECT_GE(station.figures().requests, station.figures().backend_requests);
  EXPECT_LE(station.figures().requests, station.figures().backend_requests + 64);
  // A request in one segment, a response in two.
  EXPECT_GE(reflector.figures().reflected_frames, 60'000U);
}

}  // namespace
}  // namespace millrace::load

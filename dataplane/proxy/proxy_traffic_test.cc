// What is counted by route and by service. That all routes together have what the access log has is
// looked at behind every other test of the proxy too.
#include "tests/support/proxy_fixture.h"

namespace millrace::proxy_world {
namespace {

using Answers = std::array<uint64_t, 6>;
using Then = OriginReply::Then;

class ProxyTrafficTest : public ProxyFixture {
 protected:
  shm::TrafficReading row(shm::TrafficKind kind, const std::string& name) {
    for (const shm::TrafficReading& row : world().traffic()) {
      if (row.kind == kind && row.name == name) return row;
    }
    ADD_FAILURE() << name;
    return {};
  }
  shm::TrafficReading route(const std::string& name) { return row(shm::TrafficKind::route, name); }
  shm::TrafficReading service(const std::string& name) {
    return row(shm::TrafficKind::service, name);
  }
};

TEST_F(ProxyTrafficTest, AnAnswerCountsForItsRouteAndItsService) {
  origin().on_request = [](const OriginRequest&) {
    OriginReply made = reply(ok("hello\n"));
    made.delay = Duration::milliseconds(30);
    return made;
  };
  ClientConnection& c = world().connect();
  ASSERT_EQ(exchange(c, post("some body", "/a")).status(), 200);
  ASSERT_EQ(exchange(c, get("/b")).status(), 200);
  for (const auto& row :
       {route("shop/shop.example shop.example/"), service("shop/shop.example:80")}) {
    EXPECT_EQ(row.answers, (Answers{0, 0, 2, 0, 0, 0})) << row.name;
    EXPECT_EQ(row.request_octets, 9U);
    EXPECT_EQ(row.response_octets, 12U);
    EXPECT_EQ(row.ours + row.broken_off + row.retries, 0U);
    EXPECT_EQ(row.times_count(), 2U);
    EXPECT_EQ(row.times[shm::traffic_bucket(30'500)], 2U);
    EXPECT_GE(row.time_us_sum, 60'000U);
  }
}

TEST_F(ProxyTrafficTest, TheRouteHasTheWholeTimeTheServiceThatToTheHead) {
  origin().on_request = [](const OriginRequest&) {
    OriginReply made = reply(ok(pattern(2'000'000, 3)));
    made.delay = Duration::milliseconds(5);
    return made;
  };
  ClientConnection& c = world().connect();
  c.reading = false;
  c.send(get());
  world().run_for(Duration::milliseconds(800));
  c.reading = true;
  ASSERT_TRUE(world().run_until([&] { return finals(c) == 1; }));
  world().run_for(Duration::milliseconds(1));
  EXPECT_GE(route("shop/shop.example shop.example/").time_us_sum, 800'000U);
  EXPECT_LT(service("shop/shop.example:80").time_us_sum, 6'000U);
}

TEST_F(ProxyTrafficTest, WhatNoRouteTakesAndWhatIsNoRequest) {
  ClientConnection& c = world().connect();
  ASSERT_EQ(exchange(c, "GET / HTTP/1.1\r\nHost: other.example\r\n\r\n").status(), 404);
  ASSERT_EQ(exchange(c, "GET / HTTP/1.1\r\nHost : bad\r\n\r\n").status(), 400);
  const auto row = route("(no route)");
  EXPECT_EQ(row.answers, (Answers{0, 0, 0, 0, 2, 0}));
  EXPECT_EQ(row.ours, 2U);
  EXPECT_EQ(service("(other services)").requests(), 0U);
}

TEST_F(ProxyTrafficTest, AnAnswerOfOursForAServiceHasNoTimeOfIt) {
  world().install({{host, {}}});
  ClientConnection& c = world().connect();
  ASSERT_EQ(exchange(c, get()).status(), 503);
  const auto row = service("shop/shop.example:80");
  EXPECT_EQ(row.answers, (Answers{0, 0, 0, 0, 0, 1}));
  EXPECT_EQ(row.ours, 1U);
  EXPECT_EQ(row.times_count(), 0U);
  EXPECT_EQ(route("shop/shop.example shop.example/").times_count(), 1U);
}

TEST_F(ProxyTrafficTest, WhatIsBrokenOffAndWhatIsNeverAnswered) {
  origin().on_request = [](const OriginRequest& request) {
    OriginReply made = reply(ok(pattern(10'000, 1)));
    made.cut = 5'000;
    made.then = Then::reset;
    if (request.message.first_line().find("/silent") != std::string::npos) {
      made.delay = Duration::seconds(1'000);
    }
    return made;
  };
  ClientConnection& cut = world().connect();
  cut.send(get());
  ASSERT_TRUE(until_over(cut));
  ClientConnection& silent = world().connect();
  silent.send(get("/silent"));
  world().run_for(Duration::seconds(1));
  world().abort(silent);
  world().run_for(Duration::seconds(1));
  const auto row = route("shop/shop.example shop.example/");
  EXPECT_EQ(row.answers, (Answers{1, 0, 1, 0, 0, 0}));
  EXPECT_EQ(row.broken_off, 1U);
  EXPECT_EQ(service("shop/shop.example:80").times_count(), 1U);
}

TEST_F(ProxyTrafficTest, AnotherAttemptIsARetry) {
  warm_up();
  world().install({{host, {{0, 9'999, true}, {1, origin_port, true}}}});
  world().origin(1).on_request = [](const OriginRequest&) { return reply(ok("one\n")); };
  ClientConnection& c = world().connect();
  for (int i = 0; i < 4; ++i) ASSERT_EQ(exchange(c, get()).status(), 200);
  const auto row = service("shop/shop.example:80");
  EXPECT_GE(row.retries, 1U);
  EXPECT_EQ(row.retries, count(Counter::proxy_upstream_retries));
}

TEST_F(ProxyTrafficTest, ARowStaysWithItsRouteAndGoesWhenTheRouteIsGone) {
  Options options;
  options.traffic_rows = 2;  // one route, one service
  start(options);
  answer(ok("x\n"));
  ClientConnection& c = world().connect();
  ASSERT_EQ(exchange(c, get()).status(), 200);
  world().install({{host, {{0, origin_port, true}}}});
  ASSERT_EQ(exchange(c, get()).status(), 200);
  EXPECT_EQ(route("shop/shop.example shop.example/").requests(), 2U);
  // Another one, twice: the first table with it comes while the old one is still there.
  for (int i = 0; i < 2; ++i) {
    world().install({{"new.example", {{0, origin_port, true}}}});
    world().run_for(Duration::milliseconds(10));
  }
  world().install({{"new.example", {{0, origin_port, true}}}});
  ASSERT_EQ(exchange(c, "GET / HTTP/1.1\r\nHost: new.example\r\n\r\n").status(), 200);
  EXPECT_EQ(route("shop/new.example new.example/").requests(), 1U);
  EXPECT_EQ(route("shop/new.example new.example/").generation, 4U);
}

TEST_F(ProxyTrafficTest, AnExchangeOfAGoneRouteEndsWithTheOthers) {
  Options options;
  options.traffic_rows = 2;
  start(options);
  origin().on_request = [](const OriginRequest&) {
    OriginReply made = reply(ok("late\n"));
    made.delay = Duration::seconds(2);
    return made;
  };
  ClientConnection& c = world().connect();
  c.send(get());
  world().run_for(Duration::milliseconds(100));
  for (int i = 0; i < 3; ++i) {
    world().install({{"new.example", {{0, origin_port, true}}}});
    world().run_for(Duration::milliseconds(10));
  }
  ClientConnection& other = world().connect();
  other.send("GET / HTTP/1.1\r\nHost: new.example\r\n\r\n");
  ASSERT_TRUE(world().run_until([&] { return finals(other) == 1 && finals(c) == 1; }));
  EXPECT_EQ(route("shop/new.example new.example/").requests(), 1U);
  EXPECT_EQ(route("(other routes)").requests(), 1U);
}

TEST_F(ProxyTrafficTest, ATunnelCountsWhenItEndsWithTheTimeToItsHead) {
  origin().on_request = [](const OriginRequest&) {
    return reply(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
        "Upgrade\r\n\r\n");
  };
  ClientConnection& c = world().connect();
  c.send(get("/", "Connection: Upgrade\r\nUpgrade: websocket\r\n"));
  world().run_for(Duration::seconds(100));
  EXPECT_EQ(route("shop/shop.example shop.example/").requests(), 0U);
  world().close(c);
  world().run_for(Duration::seconds(100));
  const auto row = route("shop/shop.example shop.example/");
  EXPECT_EQ(row.answers, (Answers{0, 1, 0, 0, 0, 0}));
  EXPECT_LT(row.time_us_sum, 100'000U);
}

}  // namespace
}  // namespace millrace::proxy_world

// How endpoints that fail, hang or are busy are kept from everybody else.
#include "tests/support/proxy_fixture.h"

namespace millrace::proxy_world {
namespace {

using Then = OriginReply::Then;

class ProxyEndpointsTest : public ProxyFixture {
 protected:
  static constexpr uint16_t nobody_there = 9;

  void start_with(uint32_t requests_max, uint32_t failures_max) {
    Options options;
    options.proxy.endpoints.requests_max = requests_max;
    options.proxy.endpoints.failures_max = failures_max;
    start(options);
  }
  // Requests, one after the other, on one connection; how many were answered 200.
  int ok_of(ClientConnection& c, int requests) {
    int good = 0;
    for (int i = 0; i < requests; ++i) good += exchange(c, get()).status() == 200 ? 1 : 0;
    return good;
  }
  static OriginReply never() {
    OriginReply made;
    made.delay = Duration::seconds(1'000);
    return made;
  }
};

TEST_F(ProxyEndpointsTest, AnEndpointThatHangsTakesNoMoreThanItMay) {
  start_with(3, 0);
  world().install({{host, {{0, origin_port, true}}}, {"other.example", {{1, origin_port, true}}}});
  answer(ok("x"));
  origin(1).on_request = [](const OriginRequest&) { return reply(ok("other")); };
  warm_up();
  origin().on_request = [](const OriginRequest&) { return never(); };
  std::vector<ClientConnection*> waiting;
  for (int i = 0; i < 3; ++i) {
    waiting.push_back(&world().connect());
    waiting.back()->send(get("/hangs"));
  }
  world().run_for(Duration::milliseconds(5));
  ClientConnection& c = world().connect();
  EXPECT_EQ(exchange(c, get()).status(), 503);
  EXPECT_EQ(count(Counter::proxy_endpoints_busy), 1U);
  EXPECT_NE(world().journal().lines().back().json.find(R"("reason":"endpoints_busy")"),
            std::string::npos);
  EXPECT_EQ(exchange(c, "GET / HTTP/1.1\r\nHost: other.example\r\n\r\n").body, "other");
  // One that gives up makes room.
  world().abort(*waiting[0]);
  world().run_for(Duration::milliseconds(5));
  answer(ok("again"));
  EXPECT_EQ(exchange(c, get()).body, "again");
}

TEST_F(ProxyEndpointsTest, ABusyEndpointLeavesItsRequestsToTheOther) {
  start_with(1, 0);
  world().install({{host, {{0, origin_port, true}, {1, origin_port, true}}}});
  origin(0).on_request = [](const OriginRequest&) { return never(); };
  origin(1).on_request = [](const OriginRequest&) { return reply(ok("1")); };
  ClientConnection& c = world().connect();
  // One of the first two is taken by the endpoint that hangs.
  ClientConnection& hanging = world().connect();
  hanging.send(get());
  world().run_for(Duration::milliseconds(5));
  if (finals(hanging) == 1) hanging.send(get());
  world().run_for(Duration::milliseconds(5));
  EXPECT_EQ(ok_of(c, 20), 20);
}

TEST_F(ProxyEndpointsTest, EveryEndOfAnExchangeMakesRoom) {
  start_with(1, 0);
  const auto is_free = [&] {
    answer(ok("free"));
    ClientConnection& check = world().connect();
    const bool free = exchange(check, get()).body == "free";
    world().close(check);
    return free;
  };
  ASSERT_TRUE(is_free());
  for (const Then then : {Then::end, Then::reset}) {
    for (const size_t cut : {size_t{0}, size_t{10}, size_t{60}}) {
      origin().on_request = [&](const OriginRequest&) {
        OriginReply made = reply_and(then, ok(pattern(100, 1)));
        made.cut = cut;
        return made;
      };
      ClientConnection& c = world().connect();
      c.send(post("x"));
      world().run_for(Duration::milliseconds(200));  // an origin waits for a late acknowledgment
      world().close(c);
      world().run_for(Duration::milliseconds(20));
      EXPECT_TRUE(is_free()) << cut;
    }
  }
  // An answer before the body is whole, a body that breaks off, a tunnel that goes on.
  origin().on_head = [](const OriginRequest&) { return std::optional(reply(ok("early"))); };
  ClientConnection& early = world().connect();
  early.send("POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 10\r\n\r\nhalf");
  world().run_for(Duration::milliseconds(20));
  origin().on_head = nullptr;
  EXPECT_TRUE(is_free());
  origin().on_request = [](const OriginRequest&) { return never(); };
  ClientConnection& half = world().connect();
  half.send("POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 10\r\n\r\nhalf");
  half.shutdown();
  world().run_for(Duration::milliseconds(20));
  EXPECT_TRUE(is_free());
  answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
  ClientConnection& tunnel = world().connect();
  tunnel.send(get("/chat", "Connection: Upgrade\r\nUpgrade: websocket\r\n"));
  world().run_for(Duration::milliseconds(20));
  EXPECT_TRUE(is_free()) << "a tunnel is no request any more";
}

TEST_F(ProxyEndpointsTest, AnEndpointThatRefusesIsLeftAloneForAWhile) {
  start_with(0, 5);
  world().install({{host, {{0, nobody_there, true}, {1, origin_port, true}}}});
  origin(1).on_request = [](const OriginRequest&) { return reply(ok("1")); };
  ClientConnection& c = world().connect();
  EXPECT_EQ(ok_of(c, 30), 30) << "whoever was refused was asked elsewhere";
  EXPECT_EQ(count(Counter::proxy_endpoints_ejected), 1U);
  const uint64_t failures = count(Counter::proxy_upstream_failures);
  EXPECT_EQ(failures, 5U) << "nobody asked it afterwards";
  EXPECT_EQ(ok_of(c, 30), 30);
  EXPECT_EQ(count(Counter::proxy_upstream_failures), failures);
  // It is asked once more, and once more again after twice as long.
  world().run_for(Duration::seconds(10));
  EXPECT_EQ(ok_of(c, 30), 30);
  EXPECT_EQ(count(Counter::proxy_upstream_failures), failures + 1);
  world().run_for(Duration::seconds(10));
  EXPECT_EQ(ok_of(c, 30), 30);
  EXPECT_EQ(count(Counter::proxy_upstream_failures), failures + 1);
  world().run_for(Duration::seconds(10));
  EXPECT_EQ(ok_of(c, 30), 30);
  EXPECT_EQ(count(Counter::proxy_upstream_failures), failures + 2);
}

TEST_F(ProxyEndpointsTest, TheOnlyEndpointIsAskedWhateverItHasDone) {
  start_with(0, 2);
  world().install({{host, {{0, nobody_there, true}}}});
  ClientConnection& c = world().connect();
  EXPECT_EQ(ok_of(c, 5), 0);
  world().install({{host, {{0, origin_port, true}}}});
  world().run_for(Duration::milliseconds(1));
  answer(ok("x"));
  EXPECT_EQ(ok_of(c, 5), 5);
}

TEST_F(ProxyEndpointsTest, WhatAnApplicationAnswersIsNoFailureOfItsEndpoint) {
  start_with(0, 1);
  world().install({{host, {{0, origin_port, true}, {1, origin_port, true}}}});
  for (uint32_t number : {0U, 1U}) {
    origin(number).on_request = [](const OriginRequest&) {
      return reply("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
    };
  }
  ClientConnection& c = world().connect();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(exchange(c, get()).status(), 500);
  EXPECT_EQ(count(Counter::proxy_endpoints_ejected), 0U);
  EXPECT_EQ(origin(0).requests().size(), 5U);
}

// A server that closes connections at rest while they are used again has done nothing wrong.
TEST_F(ProxyEndpointsTest, ALostRaceIsNoFailure) {
  start_with(0, 1);
  warm_up();
  bool died = false;
  origin().on_request = [&](const OriginRequest&) {
    if (died) return reply(ok("second"));
    died = true;
    return reply_and(Then::reset, "");
  };
  ClientConnection& c = world().connect();
  EXPECT_EQ(exchange(c, get()).body, "second");
  EXPECT_EQ(count(Counter::proxy_endpoints_ejected), 0U);
}

}  // namespace
}  // namespace millrace::proxy_world

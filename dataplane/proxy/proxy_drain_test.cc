// A worker that is to go: nobody new, what is under way to its end, and then nothing left.
#include "tests/support/proxy_fixture.h"

namespace millrace::proxy_world {
namespace {

using Then = OriginReply::Then;

class ProxyDrainTest : public ProxyFixture {
 protected:
  static constexpr Duration grace = Duration::seconds(5);
  void drain() { world().worker().begin_drain(world().now() + grace, world().now()); }
  bool is_drained() { return world().worker().is_drained(); }
};

TEST_F(ProxyDrainTest, WithNothingOpenItIsOverAtOnce) {
  drain();
  world().run_for(Duration::milliseconds(1));
  EXPECT_TRUE(is_drained());
}

TEST_F(ProxyDrainTest, IdleConnectionsToEndpointsGoAtOnce) {
  ClientConnection& c = world().connect();
  EXPECT_EQ(exchange(c, get()).status(), 200);
  world().close(c);
  world().run_for(Duration::seconds(1));
  ASSERT_EQ(world().worker().proxy().pool().idle_count(), 1U);
  drain();
  world().run_for(Duration::milliseconds(100));
  EXPECT_EQ(world().worker().proxy().pool().count(), 0U);
  EXPECT_TRUE(is_drained());
}

TEST_F(ProxyDrainTest, WhatIsUnderWayIsAnsweredAndSaysClose) {
  origin().on_request = [](const OriginRequest& request) {
    OriginReply made = reply(ok(pattern(20'000, request.connection)));
    made.delay = Duration::seconds(2);
    return made;
  };
  std::vector<ClientConnection*> clients;
  for (int i = 0; i < 5; ++i) {
    clients.push_back(&world().connect());
    clients.back()->send(get());
  }
  // One whose body is on its way, one whose handshake is.
  ClientConnection& uploading = world().connect();
  uploading.send("POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 4\r\n\r\nab");
  world().run_for(Duration::seconds(1));
  drain();
  world().run_for(Duration::milliseconds(10));
  uploading.send("cd");
  for (ClientConnection* c : clients) {
    ASSERT_TRUE(until_over(*c));
    ASSERT_EQ(c->responses().size(), 1U);
    EXPECT_TRUE(c->responses()[0].whole);
    EXPECT_EQ(c->responses()[0].field("Connection"), "close");
    EXPECT_FALSE(c->broken);
  }
  ASSERT_TRUE(until_over(uploading));
  EXPECT_EQ(uploading.responses()[0].status(), 200);
  EXPECT_FALSE(uploading.broken);
  for (ClientConnection* c : clients) world().close(*c);
  world().close(uploading);
  EXPECT_TRUE(world().run_until([&] { return is_drained(); }));
}

TEST_F(ProxyDrainTest, NobodyNewIsLetInAndWhoShakesHandsIs) {
  warm_up();
  ClientConnection& shaking = world().connect();
  drain();
  shaking.send(get());
  ASSERT_TRUE(until_over(shaking));
  ClientConnection& late = world().connect();
  ASSERT_TRUE(until_over(late));
  EXPECT_TRUE(late.broken) << "refused";
  EXPECT_FALSE(late.connected);
}

TEST_F(ProxyDrainTest, AClientAtRestMayAskOnceMoreAndIsClosedThen) {
  ClientConnection& asking = world().connect();
  ClientConnection& silent = world().connect();
  EXPECT_EQ(exchange(asking, get()).status(), 200);
  EXPECT_EQ(exchange(silent, get()).status(), 200);
  world().run_for(Duration::seconds(1));
  const Instant begun = world().now();
  drain();
  world().run_for(Duration::seconds(4));
  EXPECT_FALSE(asking.ended || silent.ended) << "it may be asking at this moment";
  EXPECT_EQ(exchange(asking, get()).field("Connection"), "close");
  ASSERT_TRUE(until_over(asking));
  EXPECT_FALSE(asking.broken);
  ASSERT_TRUE(until_over(silent));
  EXPECT_TRUE(silent.ended && !silent.broken);
  EXPECT_GE(silent.ended_at - begun, grace);
  EXPECT_LT(silent.ended_at - begun, grace + Duration::milliseconds(200));
}

TEST_F(ProxyDrainTest, AnswersOfOurOwnSayCloseToo) {
  ClientConnection& c = world().connect();
  EXPECT_EQ(exchange(c, get()).status(), 200);
  drain();
  const Message answered = exchange(c, "GET / HTTP/1.1\r\nHost: nobody.example\r\n\r\n");
  EXPECT_EQ(answered.status(), 404);
  EXPECT_EQ(answered.field("Connection"), "close");
  EXPECT_TRUE(until_over(c));
}

TEST_F(ProxyDrainTest, H21_TunnelsEndWithTheClientsAtRest) {
  answer("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
  ClientConnection& c = world().connect();
  c.send(get("/", "Connection: Upgrade\r\nUpgrade: websocket\r\n"));
  ASSERT_TRUE(world().run_until([&] { return count(Counter::proxy_tunnels) == 1; }));
  drain();
  world().run_for(Duration::seconds(4));
  origin().say(0, "still here");
  ASSERT_TRUE(world().run_until([&] { return c.received.ends_with("still here"); }));
  ASSERT_TRUE(until_over(c));
  EXPECT_TRUE(c.ended && !c.broken);
  world().close(c);
  EXPECT_TRUE(world().run_until([&] { return is_drained(); }));
}

// More of them than one turn looks at.
TEST_F(ProxyDrainTest, ManyClientsAtRestAreClosedInTime) {
  Options options;
  options.limits.connections = options.client_limits.connections = 4'000;
  options.limits.transfers = options.client_limits.transfers = 4'000;
  options.arena_slots = 16'384;
  start(options);
  std::vector<ClientConnection*> clients;
  for (int i = 0; i < 1'500; ++i) {
    clients.push_back(&world().connect());
    if (i % 50 == 0) world().run_for(Duration::milliseconds(5));
  }
  ASSERT_TRUE(world().run_until([&] {
    return std::all_of(clients.begin(), clients.end(), [](auto* c) { return c->connected; });
  }));
  drain();
  ASSERT_TRUE(world().run_until(
      [&] { return std::all_of(clients.begin(), clients.end(), [](auto* c) { return c->ended; }); },
      grace + Duration::seconds(1)));
  for (ClientConnection* c : clients) world().close(*c);
  EXPECT_TRUE(world().run_until([&] { return is_drained(); }));
}

}  // namespace
}  // namespace millrace::proxy_world

// Upgrade (H21): a tunnel only after the endpoint's 101 and only to the protocol that was asked
// for; until then nothing behind the request moves, and afterwards nothing is read by us.
#include "tests/support/proxy_fixture.h"

namespace millrace::proxy_world {
namespace {

using Then = OriginReply::Then;

const std::string switching =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";

class ProxyTunnelTest : public ProxyFixture {
 protected:
  static constexpr Duration one_ms = Duration::milliseconds(1);
  // A wheel's tick, and the way over the wires.
  static constexpr Duration slack = Duration::microseconds(1'600);

  static std::string upgrade(std::string_view protocol = "websocket") {
    return get("/chat", "Connection: Upgrade\r\nUpgrade: " + std::string(protocol) + "\r\n");
  }
  OriginConnection& peer() { return origin().connections().back(); }
  uint32_t number() { return origin().accepted() - 1; }

  // A client whose request the origin answers with 101.
  ClientConnection& open_tunnel(std::string_view behind = "") {
    answer(switching + "\r\n" + std::string(behind));
    ClientConnection& c = world().connect();
    c.send(upgrade());
    EXPECT_TRUE(
        world().run_until([&] { return c.received.find("\r\n\r\n") != std::string::npos; }));
    return c;
  }
  // What the client has received behind the 101.
  static std::string behind_head(const ClientConnection& c) {
    const size_t end = c.received.find("\r\n\r\n");
    return end == std::string::npos ? "" : c.received.substr(end + 4);
  }
};

TEST_F(ProxyTunnelTest, H21_WhatTheOriginAndTheClientSee) {
  ClientConnection& c = open_tunnel();
  EXPECT_EQ(
      c.received,
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  ASSERT_EQ(origin().requests().size(), 1U);
  EXPECT_EQ(origin().last().message.field("Connection"), "Upgrade");
  EXPECT_EQ(origin().last().message.field("Upgrade"), "websocket");
  EXPECT_EQ(count(Counter::proxy_tunnels), 1U);
  c.send("ping");
  ASSERT_TRUE(world().run_until([&] { return peer().received == "ping"; }));
  origin().say(number(), "pong");
  ASSERT_TRUE(world().run_until([&] { return behind_head(c) == "pong"; }));
}

TEST_F(ProxyTunnelTest, H21_WhatFollowsTheRequestIsHeldUntilThe101AndNeverTakenForARequest) {
  const std::string second = get("/admin");
  std::optional<OriginReply> later;
  origin().on_request = [&](const OriginRequest&) {
    OriginReply made = reply(switching + "\r\n");
    made.delay = Duration::milliseconds(500);
    return made;
  };
  ClientConnection& c = world().connect();
  c.send(upgrade() + second + second);
  world().run_for(Duration::milliseconds(400));
  ASSERT_EQ(origin().accepted(), 1U);
  EXPECT_EQ(peer().received, "") << "not an octet before the 101";
  ASSERT_TRUE(world().run_until([&] { return peer().received == second + second; }));
  EXPECT_EQ(origin().requests().size(), 1U);
  EXPECT_EQ(count(Counter::proxy_requests), 1U);
}

TEST_F(ProxyTunnelTest, H21_WhatStandsBehindThe101GoesAlong) {
  const std::string first = pattern(5'000, 1);
  ClientConnection& c = open_tunnel(first);
  ASSERT_TRUE(world().run_until([&] { return behind_head(c) == first; }));
}

TEST_F(ProxyTunnelTest, H21_NoTunnelWithoutA101) {
  for (const int status : {200, 400, 426, 503}) {
    const std::string head = "HTTP/1.1 " + std::to_string(status) +
                             " x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2"
                             "\r\n\r\nno";
    answer(head);
    origin().forget();
    ClientConnection& c = world().connect();
    c.send(upgrade() + get("/admin"));
    ASSERT_TRUE(until_over(c)) << status;
    ASSERT_EQ(c.responses().size(), 1U) << "what followed was never taken for a request";
    EXPECT_EQ(c.responses()[0].status(), status);
    EXPECT_EQ(c.responses()[0].body, "no");
    EXPECT_EQ(c.responses()[0].field("Connection"), "close");
    EXPECT_FALSE(c.responses()[0].has("Upgrade"));
    EXPECT_EQ(origin().requests().size(), 1U);
    EXPECT_EQ(peer().received, "");
  }
  EXPECT_EQ(count(Counter::proxy_tunnels), 0U);
}

TEST_F(ProxyTunnelTest, H21_AnswersOfOurOwnEndTheConnectionToo) {
  ClientConnection& c = world().connect();
  c.send(
      "GET / HTTP/1.1\r\nHost: nobody.example\r\nConnection: Upgrade\r\nUpgrade: "
      "websocket\r\n\r\n" +
      get("/admin"));
  ASSERT_TRUE(until_over(c));
  ASSERT_EQ(c.responses().size(), 1U);
  EXPECT_EQ(c.responses()[0].status(), 404);
  EXPECT_EQ(origin().requests().size(), 0U);
}

TEST_F(ProxyTunnelTest, H21_101ThatNobodyAskedForIs502) {
  const std::string nothing_asked = get();
  const std::string h2c = upgrade("h2c");
  const std::string with_body =
      "POST / HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Content-Length: 1\r\n\r\nx";
  const std::string line = "HTTP/1.1 101 Switching Protocols\r\n";
  const std::pair<std::string, std::string> cases[] = {
      {nothing_asked, switching},
      {h2c, line + "Upgrade: h2c\r\nConnection: Upgrade\r\n"},
      {with_body, switching},
      {upgrade(), line},
      {upgrade(), line + "Upgrade: websocket\r\n"},
      {upgrade(), line + "Connection: Upgrade\r\n"},
      {upgrade(), line + "Connection: Upgrade\r\nUpgrade: other\r\n"},
      {upgrade(), line + "Connection: Upgrade\r\nUpgrade: websocket, other\r\n"},
      {upgrade("x/1"), line + "Connection: Upgrade\r\nUpgrade: x/1\r\n"},
  };
  for (const auto& [request, response] : cases) {
    answer(response + "\r\nsecret");
    ClientConnection& c = world().connect();
    EXPECT_EQ(exchange(c, request).status(), 502) << request << response;
    EXPECT_EQ(c.received.find("secret"), std::string::npos);
    world().close(c);
  }
  EXPECT_EQ(count(Counter::proxy_tunnels), 0U);
}

TEST_F(ProxyTunnelTest, H21_TheProtocolsNameIsTheSameInAnyCase) {
  answer("HTTP/1.1 101 x\r\nUPGRADE: WebSocket\r\nconnection: keep-alive, upgrade\r\n\r\nhi");
  ClientConnection& c = world().connect();
  c.send(upgrade());
  ASSERT_TRUE(world().run_until([&] { return behind_head(c) == "hi"; }));
}

TEST_F(ProxyTunnelTest, H21_H23_BehindOtherInterimResponsesAndAnotherRequest) {
  ClientConnection& c = world().connect();
  EXPECT_EQ(exchange(c, get()).status(), 200);
  c.received.clear();
  answer("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + switching + "\r\nhello");
  origin().on_request = [before = origin().on_request](const OriginRequest& request) {
    return before(request);
  };
  c.send(upgrade());
  ASSERT_TRUE(world().run_until([&] { return c.received.ends_with("\r\n\r\nhello"); }));
  EXPECT_EQ(c.responses()[0].status(), 103);
  EXPECT_EQ(c.responses()[1].status(), 101);
}

TEST_F(ProxyTunnelTest, H21_AnotherClientNeverGetsATunnelsConnection) {
  ClientConnection& c = open_tunnel();
  world().close(c);
  world().run_for(Duration::seconds(1));
  const uint32_t accepted = origin().accepted();
  answer(ok("fresh"));
  ClientConnection& other = world().connect();
  EXPECT_EQ(exchange(other, get()).body, "fresh");
  EXPECT_EQ(origin().accepted(), accepted + 1);
}

TEST_F(ProxyTunnelTest, H27_AReusedConnectionThatDiesBeforeThe101) {
  warm_up();
  bool died = false;
  origin().on_request = [&](const OriginRequest&) {
    if (died) return reply(switching + "\r\nsecond");
    died = true;
    return reply_and(Then::end, "");
  };
  ClientConnection& c = world().connect();
  c.send(upgrade());
  ASSERT_TRUE(world().run_until([&] { return behind_head(c) == "second"; }));
  EXPECT_EQ(origin().last().message.field("Upgrade"), "websocket");
}

TEST_F(ProxyTunnelTest, H29_TheClientEndsFirst) {
  origin().ends_with_peer = false;
  ClientConnection& c = open_tunnel();
  c.send("last words");
  c.shutdown();
  ASSERT_TRUE(world().run_until([&] { return peer().peer_ended; }));
  EXPECT_EQ(peer().received, "last words");
  world().run_for(Duration::seconds(2));
  const std::string more = pattern(100'000, 2);
  origin().say(number(), more);
  ASSERT_TRUE(world().run_until([&] { return behind_head(c) == more; }));
  EXPECT_FALSE(c.ended);
  origin().say(number(), "", Then::shutdown);
  ASSERT_TRUE(until_over(c));
  EXPECT_TRUE(c.ended);
  EXPECT_FALSE(c.broken);
}

TEST_F(ProxyTunnelTest, H29_TheOriginEndsFirst) {
  origin().ends_with_peer = false;
  ClientConnection& c = open_tunnel();
  origin().say(number(), "bye", Then::shutdown);
  ASSERT_TRUE(until_over(c));
  EXPECT_EQ(behind_head(c), "bye");
  EXPECT_FALSE(c.broken);
  const std::string more = pattern(100'000, 3);
  c.send(more);
  ASSERT_TRUE(world().run_until([&] { return peer().received == more; }));
  c.shutdown();
  ASSERT_TRUE(world().run_until([&] { return peer().peer_ended; }));
  EXPECT_FALSE(peer().broken);
}

TEST_F(ProxyTunnelTest, H29_TheClientHasEndedBeforeThe101) {
  origin().ends_with_peer = false;
  origin().on_request = [&](const OriginRequest&) {
    OriginReply made = reply(switching + "\r\nwelcome");
    made.delay = Duration::milliseconds(300);
    return made;
  };
  ClientConnection& c = world().connect();
  c.send(upgrade() + "all that I have");
  c.shutdown();
  ASSERT_TRUE(world().run_until([&] { return origin().accepted() == 1 && peer().peer_ended; }));
  EXPECT_EQ(peer().received, "all that I have");
  origin().say(number(), "", Then::shutdown);
  ASSERT_TRUE(until_over(c));
  EXPECT_EQ(behind_head(c), "welcome");
}

TEST_F(ProxyTunnelTest, H30_AResetGoesThroughInBothDirections) {
  ClientConnection& first = open_tunnel();
  world().abort(first);
  ASSERT_TRUE(world().run_until([&] { return peer().broken; }));
  ClientConnection& second = open_tunnel();
  origin().say(number(), "", Then::reset);
  ASSERT_TRUE(until_over(second));
  EXPECT_TRUE(second.broken);
  EXPECT_EQ(count(Counter::proxy_tunnels_reset), 2U);
  EXPECT_EQ(count(Counter::proxy_upstream_failures), 0U);
}

TEST_F(ProxyTunnelTest, H31_ATunnelThatIsIdleEndsInTimeAndOneThatIsNotLives) {
  ClientConnection& c = open_tunnel();
  const Duration idle = proxy::Timeouts().tunnel_idle;
  // Far beyond every other deadline of an exchange; then one octet in each direction.
  world().run_for(idle - Duration::seconds(5));
  origin().say(number(), "a");
  ASSERT_TRUE(world().run_until([&] { return behind_head(c) == "a"; }));
  world().run_for(idle - Duration::seconds(5));
  c.send("b");
  ASSERT_TRUE(world().run_until([&] { return peer().received == "b"; }));
  const Instant moved = world().last_turn();
  world().run_for(moved + idle - one_ms - world().now());
  EXPECT_FALSE(c.ended || c.broken) << "too early";
  world().run_for(one_ms + slack);
  EXPECT_TRUE(c.ended) << "too late";
  EXPECT_FALSE(c.broken);
  EXPECT_EQ(count(Counter::proxy_tunnels_idle), 1U);
  ASSERT_TRUE(world().run_until([&] { return peer().ended; }));
}

TEST_F(ProxyTunnelTest, H31_AHalfClosedTunnelHasLessTime) {
  origin().ends_with_peer = false;
  ClientConnection& c = open_tunnel();
  c.shutdown();
  ASSERT_TRUE(world().run_until([&] { return peer().peer_ended; }));
  const Instant moved = world().last_turn();
  world().run_for(moved + proxy::Timeouts().tunnel_half_closed - one_ms - world().now());
  EXPECT_FALSE(c.ended || c.broken) << "too early";
  world().run_for(one_ms + slack);
  EXPECT_TRUE(c.ended) << "too late";
  EXPECT_EQ(count(Counter::proxy_tunnels_idle), 1U);
  origin().say(number(), "", Then::shutdown);
}

// It has the time of a body that stands still, however busy the other direction is.
TEST_F(ProxyTunnelTest, H31_AReaderThatNeverReads) {
  ClientConnection& c = open_tunnel();
  c.reading = false;
  origin().say(number(), pattern(1'000'000, 5));
  for (int i = 0; i < 55; ++i) {
    c.send("x");
    world().run_for(Duration::seconds(1));
  }
  EXPECT_FALSE(c.broken) << "too early";
  for (int i = 0; i < 7; ++i) {
    c.send("x");
    world().run_for(Duration::seconds(1));
  }
  EXPECT_EQ(world().worker().proxy().session_count(), 0U);
  EXPECT_EQ(count(Counter::proxy_tunnels_stalled), 1U);
  c.reading = true;
  EXPECT_TRUE(until_over(c));
  EXPECT_TRUE(c.broken);
}

TEST_F(ProxyTunnelTest, H31_AnEndpointThatNeverReadsAndAClientThatHasEnded) {
  ClientConnection& c = open_tunnel();
  peer().reading = false;
  c.send(pattern(1'000'000, 5));
  c.shutdown();
  world().run_for(Duration::seconds(62));
  EXPECT_EQ(world().worker().proxy().session_count(), 0U);
  EXPECT_EQ(count(Counter::proxy_tunnels_stalled), 1U);
}

// What was queued for a client that reads slowly still arrives when the tunnel's own time is over.
TEST_F(ProxyTunnelTest, H29_T30_SlowReaderOfTheTail) {
  Options options;
  options.client_limits.receive_slots_initial = options.client_limits.receive_slots_max = 8;
  start(options);
  ClientConnection& c = open_tunnel();
  const std::string down = pattern(50'000, 5);
  c.reading = false;
  origin().say(number(), down, Then::shutdown);
  world().run_for(Duration::seconds(1));
  for (int i = 0; i < 3; ++i) {
    world().run_for(Duration::seconds(19));
    c.reading = true;
    world().step();
    c.reading = false;
  }
  world().run_for(Duration::seconds(4));
  c.send("pong");
  world().run_for(Duration::seconds(1));
  c.reading = true;
  ASSERT_TRUE(until_over(c));
  EXPECT_EQ(behind_head(c), down);
  EXPECT_FALSE(c.broken);
}

TEST_F(ProxyTunnelTest, H29_AResetBehindAWholeEnd) {
  ClientConnection& c = open_tunnel();
  const std::string down = pattern(100'000, 5);
  c.reading = false;
  origin().say(number(), down, Then::end);
  world().run_for(Duration::seconds(1));
  c.send("late");  // the endpoint's kernel answers it with a reset
  world().run_for(Duration::seconds(1));
  c.reading = true;
  ASSERT_TRUE(until_over(c));
  EXPECT_EQ(behind_head(c), down);
}

TEST_F(ProxyTunnelTest, H21_TunnelsLeaveSessionsForOthers) {
  Options options;
  options.proxy.sessions = 16;
  start(options);
  for (int i = 0; i < 12; ++i) open_tunnel();
  ClientConnection& refused = world().connect();
  EXPECT_EQ(exchange(refused, upgrade()).status(), 503);
  EXPECT_EQ(count(Counter::proxy_tunnels_full), 1U);
  answer(ok("plain"));
  ClientConnection& c = world().connect();
  EXPECT_EQ(exchange(c, get()).body, "plain");
  // One that ends makes room for another, and so does an upgrade that was declined.
  origin().say(0, "", Then::end);
  world().run_for(Duration::seconds(65));
  ClientConnection& declined = world().connect();
  EXPECT_EQ(exchange(declined, upgrade()).status(), 200);
  world().run_for(Duration::seconds(5));
  open_tunnel();
  EXPECT_EQ(count(Counter::proxy_tunnels), 13U);
}

TEST_F(ProxyTunnelTest, H21_OnlyProtocolsOfTheList) {
  for (const std::string name : {"h2c", "h2c-14", "HTTP2", "spdy/3.1", "websocket2", "x"}) {
    answer(ok("plain"));
    ClientConnection& c = world().connect();
    // It is as if nothing had been asked for: the connection is kept, and what follows is a
    // request.
    EXPECT_EQ(exchange(c, upgrade(name)).body, "plain") << name;
    EXPECT_FALSE(origin().last().message.has("Upgrade")) << name;
    EXPECT_FALSE(origin().last().message.has("Connection")) << name;
    EXPECT_EQ(exchange(c, get()).body, "plain") << name;
  }
  Options options;
  options.proxy.upgrades = {"spdy/3.1"};
  start(options);
  answer("HTTP/1.1 101 x\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n\r\nhi");
  ClientConnection& c = world().connect();
  c.send(upgrade("SPDY/3.1"));
  ASSERT_TRUE(world().run_until([&] { return behind_head(c) == "hi"; }));
  ClientConnection& other = world().connect();
  answer(ok("plain"));
  EXPECT_EQ(exchange(other, upgrade()).body, "plain");
}

// A side that does not read closes the other one's window; nothing is lost and nothing grows.
TEST_F(ProxyTunnelTest, H21_BothDirectionsAtOnceWithReadersThatStop) {
  ClientConnection& c = open_tunnel();
  const std::string up = pattern(1'000'000, 4);
  const std::string down = pattern(1'000'000, 5);
  c.reading = false;
  peer().reading = false;
  c.send(up);
  origin().say(number(), down);
  world().run_for(Duration::seconds(3));
  EXPECT_LT(behind_head(c).size(), 1U);
  c.reading = true;
  ASSERT_TRUE(world().run_until([&] { return behind_head(c) == down; }, Duration::seconds(60)));
  peer().reading = true;
  ASSERT_TRUE(world().run_until([&] { return peer().received == up; }, Duration::seconds(60)));
}

TEST_F(ProxyTunnelTest, H21_OverLinksThatLose) {
  Options options;
  start(options);
  ClientConnection& c = open_tunnel();
  nic::WireFaults faults;
  faults.delay = Duration::milliseconds(1);
  faults.loss = 0.02;
  world().client_port().wire().faults = faults;
  world().port_of_origin(0).wire().faults = faults;
  const std::string up = pattern(300'000, 6);
  const std::string down = pattern(300'000, 7);
  c.send(up);
  c.shutdown();
  origin().say(number(), down);
  ASSERT_TRUE(until_over(c, Duration::seconds(120)));
  EXPECT_EQ(behind_head(c), down);
  EXPECT_EQ(peer().received, up);
}

}  // namespace
}  // namespace millrace::proxy_world

// What goes wrong: endpoints that refuse, die or say nothing, clients that leave or dawdle, memory
// that runs short. Every deadline is looked at from both sides, in virtual time.
#include "tests/support/proxy_fixture.h"

namespace millrace::proxy_world {
namespace {

using Then = OriginReply::Then;

class ProxyFailureTest : public ProxyFixture {
 protected:
  static constexpr Duration one_ms = Duration::milliseconds(1);
  // A wheel's tick, and the way over the wires.
  static constexpr Duration slack = Duration::microseconds(1'600);

  // Nothing happens until one millisecond before the deadline; by one tick behind it, it has.
  template <class Condition>
  void expect_deadline(Instant from, Duration timeout, Condition&& happened) {
    const Instant before = from + timeout - one_ms;
    world().run_for(before - world().now());
    EXPECT_FALSE(happened()) << "too early";
    world().run_for(one_ms + slack);
    EXPECT_TRUE(happened()) << "too late" << world().counters_told();
  }
  void cut_off_origin(uint32_t number) {
    nic::WireFaults faults;
    faults.loss = 1;
    world().port_of_origin(number).wire().faults = faults;
  }
  void reconnect_origin(uint32_t number) {
    nic::WireFaults faults;
    faults.delay = Duration::microseconds(50);
    world().port_of_origin(number).wire().faults = faults;
  }
};

TEST_F(ProxyFailureTest, H27_GetIsSentAgainWhenTheReusedConnectionDies) {
  for (const Then then : {Then::end, Then::reset}) {
    warm_up();
    // The connection dies on the request: it was taken, and there is no octet of an answer.
    bool died = false;
    origin().on_request = [&](const OriginRequest&) {
      if (died) return reply(ok("second"));
      died = true;
      return reply_and(then, "");
    };
    const uint32_t accepted = origin().accepted();
    ClientConnection& c = world().connect();
    c.send(get("/1") + get("/2"));
    ASSERT_TRUE(world().run_until([&] { return finals(c) == 2; }));
    EXPECT_EQ(c.responses()[0].status(), 200);
    EXPECT_EQ(c.responses()[0].body, "second");
    EXPECT_EQ(c.responses()[1].status(), 200);
    ASSERT_EQ(origin().requests().size(), 3U);
    EXPECT_EQ(origin().requests()[1].message.first_line(), "GET /1 HTTP/1.1");
    EXPECT_EQ(origin().requests()[2].message.first_line(), "GET /2 HTTP/1.1");
    EXPECT_EQ(origin().accepted(), accepted + 1);
    answer(ok("hello\n"));
    world().close(c);
    world().run_for(Duration::seconds(31));
  }
  EXPECT_EQ(count(Counter::proxy_upstream_retries), 2U);
}

// Our forwarding fields make the largest head there is larger than a head may be. It is answered,
// one way or the other, and the worker lives.
TEST_F(ProxyFailureTest, H27_LargestHeadsOnAConnectionThatDies) {
  for (const size_t octets : {60'000U, 65'000U, 65'400U, 65'536U}) {
    warm_up();
    bool died = false;
    origin().on_request = [&](const OriginRequest&) {
      if (died) return reply(ok("second"));
      died = true;
      return reply_and(Then::reset, "");
    };
    std::string head = "GET /large HTTP/1.1\r\nHost: " + std::string(host) + "\r\n";
    while (octets - head.size() > 8'100) head += "X-Fill: " + std::string(8'000, 'x') + "\r\n";
    head += "X-Last: " + std::string(octets - head.size() - 12, 'x') + "\r\n\r\n";
    ASSERT_EQ(head.size(), octets);
    ClientConnection& c = world().connect();
    const Message answered = exchange(c, head);
    EXPECT_TRUE(answered.status() == 200 || answered.status() == 502) << answered.status();
    if (octets == 60'000) {
      EXPECT_EQ(answered.body, "second");
    }
    answer(ok("hello\n"));
    world().close(c);
    world().run_for(Duration::seconds(31));
  }
  EXPECT_EQ(world().fetch(get()).empty(), false);
}

TEST_F(ProxyFailureTest, H27_PostIsNeverSentTwice) {
  for (const Then then : {Then::end, Then::reset}) {
    for (const std::string& body : {std::string(), std::string("charge the card")}) {
      warm_up();
      answer("", then);
      ClientConnection& c = world().connect();
      EXPECT_EQ(exchange(c, post(body)).status(), 502);
      EXPECT_EQ(origin().requests().size(), 1U);
      EXPECT_EQ(count(Counter::proxy_upstream_retries), 0U);
      answer(ok("hello\n"));
      EXPECT_EQ(exchange(c, get()).status(), 200) << "the 502 kept the client's connection";
      world().close(c);
      world().run_for(Duration::seconds(31));
    }
  }
}

TEST_F(ProxyFailureTest, H27_PutWithABodyIsNotSentTwice) {
  warm_up();
  answer("", Then::end);
  ClientConnection& c = world().connect();
  EXPECT_EQ(
      exchange(c, "PUT / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 4\r\n\r\nbody").status(),
      502);
  EXPECT_EQ(origin().requests().size(), 1U);
}

TEST_F(ProxyFailureTest, H27_FreshConnectionThatDiesIsNotRetried) {
  answer("", Then::end);
  ClientConnection& c = world().connect();
  EXPECT_EQ(exchange(c, get()).status(), 502);
  EXPECT_EQ(origin().requests().size(), 1U);
}

TEST_F(ProxyFailureTest, H27_NoRetryOnceAnOctetOfTheResponseCame) {
  warm_up();
  answer("H", Then::end);
  ClientConnection& c = world().connect();
  EXPECT_EQ(exchange(c, get()).status(), 502);
  EXPECT_EQ(origin().requests().size(), 1U);
}

TEST_F(ProxyFailureTest, H27_RefusedConnectionGoesToTheNextEndpoint) {
  world().install({{host, {{0, 9'999, true}, {1, origin_port, true}}}});
  ClientConnection& c = world().connect();
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(exchange(c, get("/" + std::to_string(i))).status(), 200) << i;
    const std::string body = pattern(3'000, i);
    EXPECT_EQ(exchange(c, post(body)).status(), 200) << i;
    EXPECT_TRUE(origin(1).last().message.body == body);
  }
  EXPECT_EQ(origin(1).requests().size(), 12U);
  EXPECT_GT(count(Counter::proxy_upstream_retries), 0U);
}

TEST_F(ProxyFailureTest, H27_AllEndpointsRefuse) {
  world().install({{host, {{0, 9'999, true}, {1, 9'999, true}, {0, 9'998, true}}}});
  ClientConnection& c = world().connect();
  EXPECT_EQ(exchange(c, get()).status(), 502);
  EXPECT_EQ(count(Counter::proxy_upstream_connects), 3U) << "bounded";
  EXPECT_EQ(exchange(c, get()).status(), 502) << "the connection stays";
  c.send(post("unread"));
  ASSERT_TRUE(until_over(c));
  EXPECT_EQ(c.responses().back().status(), 502);
  EXPECT_EQ(c.responses().back().field("Connection"), "close") << "its body was not read";
}

TEST_F(ProxyFailureTest, H27_AcceptedAndResetAtOnce) {
  origin(0).reset_on_accept = true;
  world().install({{host, {{0, origin_port, true}, {1, origin_port, true}}}});
  for (int i = 0; i < 4; ++i) {
    const int status = read_message(world().fetch(get()), Kind::response).status();
    EXPECT_TRUE(status == 200 || status == 502) << status;
  }
}

TEST_F(ProxyFailureTest, H27_TableChangesBetweenTheAttempts) {
  warm_up();
  bool died = false;
  origin().on_request = [&](const OriginRequest&) {
    if (died) return reply(ok("same"));
    died = true;
    world().install({{host, {{1, origin_port, true}}}});
    return reply_and(Then::end, "");
  };
  ClientConnection& c = world().connect();
  EXPECT_EQ(exchange(c, get()).status(), 200);
  EXPECT_EQ(origin(1).requests().size(), 1U) << "the second attempt goes by the new table";
  // And when the route is gone between the attempts, it is gone.
  origin(1).on_request = [&](const OriginRequest&) {
    world().install({{"other.example", {}}});
    return reply_and(Then::end, "");
  };
  EXPECT_EQ(exchange(c, get()).status(), 404);
}

TEST_F(ProxyFailureTest, H30_ClientThatLeavesTakesTheUpstreamConnectionAlong) {
  warm_up();
  for (const bool with_reset : {true, false}) {
    origin().on_request = [](const OriginRequest&) {
      OriginReply made = reply(ok(pattern(500'000, 1)));
      made.delay = Duration::milliseconds(20);
      return made;
    };
    ClientConnection& c = world().connect();
    c.send(get());
    if (with_reset) {
      world().run_until([&] { return origin().requests().size() == 1; });
    } else {
      world().run_until([&] { return c.received.size() > 20'000; });
    }
    EXPECT_EQ(origin().standing(), 1U);
    if (with_reset) world().abort(c);
    world().close(c);  // with text under way: reset as soon as it arrives
    world().run_for(Duration::milliseconds(100));
    EXPECT_EQ(origin().standing(), 0U);
    EXPECT_EQ(world().worker().proxy().session_count(), 0U);
    EXPECT_EQ(world().worker().proxy().pool().count(), 0U);
    origin().forget();
  }
  EXPECT_EQ(count(Counter::proxy_client_aborts), 2U);
}

TEST_F(ProxyFailureTest, H30_ClientThatLeavesDuringTheHandshakeWithTheOrigin) {
  cut_off_origin(0);
  ClientConnection& c = world().connect();
  c.send(get());
  world().run_for(Duration::milliseconds(200));
  EXPECT_EQ(world().worker().proxy().pool().count(), 1U);
  world().abort(c);
  world().run_for(Duration::milliseconds(5));
  EXPECT_EQ(world().worker().proxy().session_count(), 0U);
  EXPECT_EQ(world().worker().proxy().pool().count(), 0U);
  reconnect_origin(0);
}

// The handshake's last segment and a reset arrive in one burst.
TEST_F(ProxyFailureTest, H30_ClientThatResetsInTheTurnItWasAcceptedInLeavesNoSession) {
  ClientConnection& c = world().connect();
  world().run_until([&] { return c.connected; });
  // Its ACK is on the wire; the reset, on a wire without delay, arrives with it.
  world().worker_port().wire().faults.delay = Duration();
  world().abort(c);
  world().run_for(Duration::milliseconds(50));
  EXPECT_EQ(world().worker().proxy().session_count(), 0U);
  EXPECT_EQ(world().worker().tcp().connection_count(), 0U);
}

// The client's reset reaches the worker in the same turn as what the origin says, behind it: the
// head that was kept for another attempt is gone when the exchange wants to let go of it.
TEST_F(ProxyFailureTest, H30_ClientResetsInTheTurnInWhichTheOriginAccepts) {
  ClientConnection& c = world().connect();
  c.send(get());
  ASSERT_TRUE(world().run_until([&] { return origin().host().tcp().connection_count() == 1; }));
  world().worker_port().wire().faults.delay = Duration();  // catches up with the SYN-ACK
  world().abort(c);
  world().run_for(Duration::milliseconds(50));
  EXPECT_EQ(world().worker().proxy().session_count(), 0U);
}

TEST_F(ProxyFailureTest, H30_ClientResetsInTheTurnInWhichTheResponseBegins) {
  warm_up();
  ClientConnection& c = world().connect();
  c.send(get());
  ASSERT_TRUE(world().run_until([&] { return origin().requests().size() == 1; }));
  world().worker_port().wire().faults.delay = Duration();  // catches up with the response
  world().abort(c);
  world().run_for(Duration::milliseconds(50));
  EXPECT_EQ(world().worker().proxy().session_count(), 0U);
}

// --- H31 ---

TEST_F(ProxyFailureTest, H31_SilentClientIsClosedWithoutAWord) {
  ClientConnection& c = world().connect();
  world().run_until([&] { return count(Counter::proxy_sessions_accepted) == 1; });
  expect_deadline(world().last_turn(), Duration::seconds(60), [&] { return c.ended; });
  EXPECT_EQ(c.received, "");
  EXPECT_EQ(world().worker().proxy().session_count(), 0U);
}

TEST_F(ProxyFailureTest, H31_ClientAtRestHoldsNoSession) {
  ClientConnection& c = world().connect();
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(exchange(c, get()).status(), 200);
    world().run_for(Duration::milliseconds(150));
    EXPECT_EQ(world().worker().proxy().session_count(), 1U) << "a pause is no rest";
  }
  world().run_for(Duration::milliseconds(60));
  EXPECT_EQ(world().worker().proxy().session_count(), 0U);
  EXPECT_EQ(exchange(c, get()).status(), 200) << "and goes on when it likes";
  world().run_for(Duration::seconds(30));
  EXPECT_EQ(exchange(c, get()).status(), 200);
  world().run_for(Duration::seconds(59));
  EXPECT_FALSE(c.ended) << "its time begins anew with each exchange";
}

TEST_F(ProxyFailureTest, H30_ClientAtRestThatLeavesIsForgotten) {
  ClientConnection& ends = world().connect();
  ClientConnection& resets = world().connect();
  for (ClientConnection* c : {&ends, &resets}) ASSERT_EQ(exchange(*c, get()).status(), 200);
  world().run_for(Duration::seconds(1));
  ASSERT_EQ(world().worker().proxy().session_count(), 0U);
  ends.shutdown();
  world().abort(resets);
  EXPECT_TRUE(until_over(ends));
  EXPECT_TRUE(ends.ended) << "closed, not reset";
  EXPECT_EQ(count(Counter::proxy_client_aborts), 0U) << "nothing was under way";
}

TEST_F(ProxyFailureTest, H31_FirstHeadHasTenSecondsHoweverItTrickles) {
  ClientConnection& c = world().connect();
  const std::string head = get("/slow");
  c.send(head.substr(0, 1));
  world().run_until([&] { return world().worker().proxy().session_count() == 1; });
  const Instant began = world().last_turn();
  for (size_t i = 1; i < 19; ++i) {
    world().run_for(Duration::milliseconds(500));
    c.send(head.substr(i, 1));
  }
  expect_deadline(began, Duration::seconds(10), [&] { return finals(c) == 1; });
  EXPECT_EQ(c.responses()[0].status(), 408);
  EXPECT_TRUE(until_over(c));
  EXPECT_TRUE(c.ended);
  EXPECT_EQ(count(Counter::proxy_client_timeouts), 1U);
}

TEST_F(ProxyFailureTest, H31_LaterHeadHasTenSecondsFromItsFirstOctet) {
  ClientConnection& c = world().connect();
  ASSERT_EQ(exchange(c, get()).status(), 200);
  world().run_for(Duration::seconds(40));
  c.send("GET /slow");
  world().run_for(Duration::microseconds(60));
  const Instant began = world().last_turn();
  world().run_for(Duration::seconds(5));
  c.send(" HTTP/1.1\r\n");
  expect_deadline(began, Duration::seconds(10), [&] { return finals(c) == 2; });
  EXPECT_EQ(c.responses()[1].status(), 408);
}

TEST_F(ProxyFailureTest, H31_IdleClientIsClosedAfterAMinute) {
  ClientConnection& c = world().connect();
  ASSERT_EQ(exchange(c, get()).status(), 200);
  const Instant done = world().last_turn();
  expect_deadline(done - Duration::microseconds(60), Duration::seconds(60),
                  [&] { return c.ended; });
  EXPECT_EQ(c.responses().size(), 1U);
}

TEST_F(ProxyFailureTest, H31_ConnectTimeoutIs504) {
  warm_up();
  world().run_for(Duration::seconds(31));  // no idle connection
  cut_off_origin(0);
  ClientConnection& c = world().connect();
  c.send(get());
  world().run_until([&] { return world().worker().proxy().pool().count() == 1; });
  expect_deadline(world().last_turn() - Duration::microseconds(20), Duration::seconds(5),
                  [&] { return finals(c) == 1; });
  EXPECT_EQ(c.responses()[0].status(), 504);
  EXPECT_EQ(count(Counter::proxy_upstream_timeouts), 1U);
  reconnect_origin(0);
  EXPECT_EQ(exchange(c, get()).status(), 200) << "the connection stays";
}

TEST_F(ProxyFailureTest, H31_FirstOctetTimeoutIs504OnFreshAndReusedConnections) {
  origin().on_request = [](const OriginRequest&) {
    OriginReply made = reply(ok("never"));
    made.delay = Duration::seconds(1'000);
    return made;
  };
  for (const bool reused : {false, true}) {
    if (reused) {
      const auto silent = origin().on_request;
      answer(ok("hello\n"));
      warm_up();
      origin().on_request = silent;
    }
    ClientConnection& c = world().connect();
    c.send(get());
    world().run_until([&] { return origin().requests().size() == 1; });
    // The clock runs from the connection's (or the request's) leaving, a wire or three before.
    expect_deadline(world().last_turn() - Duration::microseconds(220), Duration::seconds(60),
                    [&] { return finals(c) == 1; });
    EXPECT_EQ(c.responses()[0].status(), 504);
    world().run_for(Duration::milliseconds(5));
    EXPECT_EQ(origin().standing(), 0U);
    EXPECT_EQ(origin().requests().size(), 1U) << "a timeout is not retried";
    origin().forget();
    world().close(c);
  }
}

TEST_F(ProxyFailureTest, H31_InterimResponsesDoNotPutTheDeadlineOff) {
  warm_up();
  origin().on_request = [](const OriginRequest&) { return reply(""); };
  ClientConnection& c = world().connect();
  c.send(get());
  world().run_until([&] { return origin().requests().size() == 1; });
  const Instant began = world().last_turn();
  for (int i = 0; i < 5; ++i) {
    world().run_for(Duration::seconds(11));
    origin().say(0, "HTTP/1.1 103 Early Hints\r\n\r\n");
  }
  expect_deadline(began - Duration::microseconds(120), Duration::seconds(60),
                  [&] { return finals(c) == 1; });
  EXPECT_EQ(c.responses().back().status(), 504);
}

TEST_F(ProxyFailureTest, H31_ResponseHeadThatTricklesIs504) {
  origin().on_request = [](const OriginRequest&) { return reply("HTTP/1.1 200 OK\r\n"); };
  ClientConnection& c = world().connect();
  c.send(get());
  world().run_until([&] { return origin().requests().size() == 1; });
  const Instant began = world().last_turn();
  for (int i = 0; i < 5; ++i) {
    world().run_for(Duration::seconds(11));
    origin().say(0, "X: 1\r\n");
  }
  expect_deadline(began - Duration::microseconds(220), Duration::seconds(60),
                  [&] { return finals(c) == 1; });
  EXPECT_EQ(c.responses()[0].status(), 504);
}

TEST_F(ProxyFailureTest, H31_RequestBodyThatStallsIs408) {
  ClientConnection& c = world().connect();
  c.send("POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 10\r\n\r\nabc");
  world().run_for(Duration::seconds(20));
  c.send("d");
  world().run_for(Duration::microseconds(60));
  expect_deadline(world().last_turn() - Duration::microseconds(60), Duration::seconds(60),
                  [&] { return finals(c) == 1; });
  EXPECT_EQ(c.responses()[0].status(), 408);
  EXPECT_TRUE(until_over(c));
  EXPECT_EQ(origin().requests().size(), 0U);
}

// A body that never stands still, and never comes to its end either.
TEST_F(ProxyFailureTest, H31_RequestBodyThatTricklesIs408) {
  Options options;
  options.proxy.request_body_rate_min = 100;
  start(options);
  warm_up();
  ClientConnection& c = world().connect();
  c.send("POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 100000\r\n\r\n");
  world().run_for(Duration::milliseconds(1));
  const Instant began = world().now();
  // Fifty octets a second: half of what it takes. Behind t seconds 20 + t / 2 are due.
  for (int second = 0; second < 60 && finals(c) == 0; ++second) {
    c.send(std::string(50, 'x'));
    world().run_for(Duration::seconds(1));
  }
  ASSERT_EQ(finals(c), 1U);
  EXPECT_EQ(c.responses()[0].status(), 408);
  const Duration took = world().now() - began;
  EXPECT_GE(took, Duration::seconds(39));
  EXPECT_LE(took, Duration::seconds(42));
  EXPECT_EQ(count(Counter::proxy_client_timeouts), 1U);
}

TEST_F(ProxyFailureTest, H31_RequestBodyThatIsFastEnoughMayTakeItsTime) {
  Options options;
  options.proxy.request_body_rate_min = 100;
  start(options);
  answer(ok("thanks"));
  ClientConnection& c = world().connect();
  c.send("POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 20000\r\n\r\n");
  for (int second = 0; second < 180 && finals(c) == 0; ++second) {
    c.send(std::string(125, 'x'));
    world().run_for(Duration::seconds(1));
  }
  ASSERT_EQ(finals(c), 1U);
  EXPECT_EQ(c.responses()[0].body, "thanks");
}

// An endpoint that reads nothing for a while holds the client's text up: nobody is too slow.
TEST_F(ProxyFailureTest, H31_AClientIsNotSlowWhileItsEndpointDoesNotRead) {
  Options options;
  options.proxy.request_body_rate_min = 100'000;
  start(options);
  answer(ok("thanks"));
  warm_up();
  origin().reading = false;
  ClientConnection& c = world().connect();
  c.send(post(pattern(3'000'000, 9)));
  world().run_for(Duration::seconds(55));
  EXPECT_EQ(finals(c), 0U);
  origin().reading = true;
  ASSERT_TRUE(world().run_until([&] { return finals(c) == 1; }));
  EXPECT_EQ(c.responses()[0].body, "thanks");
}

TEST_F(ProxyFailureTest, H31_OriginThatStopsReadingTheBodyIs504) {
  Options options;
  options.origin_limits.receive_slots_initial = options.origin_limits.receive_slots_max = 3;
  start(options);
  origin().reading = false;
  ClientConnection& c = world().connect();
  c.send("POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 900000\r\n\r\n" +
         pattern(900'000, 1));
  ASSERT_TRUE(world().run_until([&] { return finals(c) == 1; }, Duration::seconds(90)));
  EXPECT_EQ(c.responses()[0].status(), 504) << "the client was ready all the time";
}

TEST_F(ProxyFailureTest, H31_ResponseBodyThatStallsIsReset) {
  answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
  ClientConnection& c = world().connect();
  c.send(get());
  world().run_until([&] { return c.received.find("abc") != std::string::npos; });
  expect_deadline(world().last_turn() - Duration::microseconds(60), Duration::seconds(60),
                  [&] { return c.broken; });
}

TEST_F(ProxyFailureTest, H31_ClientThatStopsReadingIsReset) {
  Options options;
  options.client_limits.receive_slots_initial = options.client_limits.receive_slots_max = 2;
  start(options);
  answer(ok(pattern(1'000'000, 1)));
  ClientConnection& c = world().connect();
  c.reading = false;
  c.send(get());
  ASSERT_TRUE(until_over(c, Duration::seconds(90)));
  EXPECT_TRUE(c.broken);
  world().run_for(Duration::milliseconds(10));
  EXPECT_EQ(world().worker().proxy().session_count(), 0U);
  EXPECT_EQ(origin().standing(), 0U);
}

// --- memory ---

TEST_F(ProxyFailureTest, SmallArenaAndManySlowReadersOfChunkedBodies) {
  Options options;
  options.arena_slots = 256;
  options.client_limits.receive_slots_initial = options.client_limits.receive_slots_max = 4;
  start(options);
  const std::string body = pattern(300'000, 1);
  answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(body, 30'000));
  std::vector<ClientConnection*> readers;
  for (int i = 0; i < 40; ++i) {
    readers.push_back(&world().connect());
    readers.back()->reading = false;
    readers.back()->send(get());
    world().run_for(Duration::milliseconds(3));
  }
  world().run_for(Duration::seconds(10));
  EXPECT_GT(world().worker().arena().free_count(), 0U);
  for (ClientConnection* c : readers) c->reading = true;
  const auto all_over = [&] {
    for (ClientConnection* c : readers) {
      if (!c->broken && c->received.size() < body.size()) return false;
    }
    return true;
  };
  EXPECT_TRUE(world().run_until(all_over, Duration::seconds(200))) << world().counters_told();
  world().run_for(Duration::milliseconds(100));
  size_t whole = 0;
  for (ClientConnection* c : readers) {
    if (c->broken) continue;
    ASSERT_EQ(finals(*c), 1U);
    const Message message = c->responses()[0];
    if (message.status() != 200) continue;
    EXPECT_TRUE(message.body == body);
    ++whole;
  }
  EXPECT_GE(whole, readers.size() / 4);
  for (ClientConnection* c : readers) world().close(*c);
  world().run_for(Duration::seconds(5));
  EXPECT_EQ(read_message(world().fetch(get()), Kind::response).status(), 200) << "recovered";
}

TEST_F(ProxyFailureTest, SmallArenaAndManySlowUploads) {
  Options options;
  options.arena_slots = 256;
  options.origin_limits.receive_slots_initial = options.origin_limits.receive_slots_max = 4;
  start(options);
  origin().reading = false;
  const std::string body = pattern(100'000, 2);
  std::vector<ClientConnection*> writers;
  for (int i = 0; i < 40; ++i) {
    writers.push_back(&world().connect());
    writers.back()->send(
        "POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n" +
        chunked(body, 7'000));
    world().run_for(Duration::milliseconds(2));
  }
  world().run_for(Duration::seconds(10));
  origin().reading = true;
  const auto all_over = [&] {
    for (ClientConnection* c : writers) {
      if (!c->broken && finals(*c) == 0) return false;
    }
    return true;
  };
  EXPECT_TRUE(world().run_until(all_over, Duration::seconds(200))) << world().counters_told();
  for (const OriginRequest& request : origin().requests())
    EXPECT_TRUE(request.message.body == body);
  EXPECT_GE(origin().requests().size(), writers.size() / 2);
  for (ClientConnection* c : writers) world().close(*c);
  world().run_for(Duration::seconds(5));
  EXPECT_EQ(read_message(world().fetch(get()), Kind::response).status(), 200) << "recovered";
}

// Arenas of many sizes, so that every border between "there is room" and "there is none" is met in
// the middle of a chunk.
TEST_F(ProxyFailureTest, ChunkedBodiesAtEveryFillingOfTheArena) {
  for (uint32_t slots = 96; slots < 400; slots += 13) {
    Options options;
    options.arena_slots = slots;
    options.seed = slots;
    options.client_limits.receive_slots_initial = options.client_limits.receive_slots_max = 32;
    start(options);
    const std::string body = pattern(400'000, slots);
    answer("HTTP/1.1 200 OK\r\n\r\n" + body, Then::end);
    std::vector<ClientConnection*> readers;
    for (int i = 0; i < 6; ++i) {
      readers.push_back(&world().connect());
      readers.back()->reading = i % 2 == 0;
      readers.back()->send(get());
    }
    world().run_for(Duration::seconds(2));
    for (ClientConnection* c : readers) c->reading = true;
    world().run_until(
        [&] {
          for (ClientConnection* c : readers) {
            if (!c->broken && c->received.size() < body.size()) return false;
          }
          return true;
        },
        Duration::seconds(100));
    ASSERT_EQ(world().settle(), "") << slots;
  }
}

}  // namespace
}  // namespace millrace::proxy_world

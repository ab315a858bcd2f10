// The way down: response framings towards clients of both versions, interim responses, bodies that
// must not be there, bodies that are not whole.
#include "tests/support/proxy_fixture.h"

namespace millrace::proxy_world {
namespace {

using Then = OriginReply::Then;

class ProxyResponseTest : public ProxyFixture {
 protected:
  static std::string get_1_0() { return "GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n"; }
  static std::string chunked_response(std::string_view body, size_t chunk_bytes) {
    return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(body, chunk_bytes);
  }
  // A megabyte for /large, the other answer for everything else; room for many connections.
  void start_with_large_answers(const std::string& other = ok("small")) {
    Options options;
    options.limits.connections = options.client_limits.connections = 2'048;
    start(options);
    origin().on_request = [other, large = ok(pattern(1'000'000, 4))](const OriginRequest& request) {
      return reply(request.message.first_line().find("/large") != std::string::npos ? large
                                                                                    : other);
    };
  }
};

TEST_F(ProxyResponseTest, BodiesOfAllSizesAndFramingsToHttp11) {
  ClientConnection& c = world().connect();
  uint64_t seed = 0;
  for (size_t bytes : {0U, 1U, 15U, 16U, 1'430U, 1'448U, 4'096U, 65'536U, 300'000U}) {
    const std::string body = pattern(bytes, ++seed);
    SCOPED_TRACE(bytes);
    answer(ok(body));
    Message message = exchange(c, get());
    EXPECT_TRUE(message.whole && message.body == body);
    EXPECT_EQ(message.field("Content-Length"), std::to_string(bytes));
    for (size_t chunk_bytes : {1U, 100U, 1'448U, 100'000U}) {
      if (chunk_bytes < 100 && bytes > 5'000) continue;
      answer(chunked_response(body, chunk_bytes));
      message = exchange(c, get());
      EXPECT_TRUE(message.whole && message.chunked && message.body == body) << chunk_bytes;
    }
    answer("HTTP/1.1 200 OK\r\n\r\n" + body, Then::end);
    message = exchange(c, get());
    EXPECT_TRUE(message.whole && message.chunked && message.body == body) << "until close";
    EXPECT_EQ(message.field("Connection"), "");
  }
  EXPECT_FALSE(c.ended);
}

TEST_F(ProxyResponseTest, BodiesOfAllFramingsToHttp10) {
  for (size_t bytes : {0U, 1U, 1'448U, 100'000U}) {
    const std::string body = pattern(bytes, bytes);
    SCOPED_TRACE(bytes);
    const std::vector<std::pair<std::string, Then>> framings = {
        {ok(body), Then::keep},
        {chunked_response(body, 999), Then::keep},
        {"HTTP/1.1 200 OK\r\n\r\n" + body, Then::end},
        {"HTTP/1.0 200 OK\r\n\r\n" + body, Then::end}};
    for (const auto& [bytes_of_answer, then] : framings) {
      answer(bytes_of_answer, then);
      ClientConnection& c = world().connect();
      c.send(get_1_0());
      ASSERT_TRUE(until_over(c));
      EXPECT_TRUE(c.ended);
      const Message message = read_message(c.received, Kind::response, c.ended);
      EXPECT_FALSE(message.has("Transfer-Encoding"));
      EXPECT_TRUE(message.body == body);
      EXPECT_EQ(message.field("Connection"), "close");
    }
  }
}

TEST_F(ProxyResponseTest, ChunkedResponseCutAtEveryOffset) {
  const std::string response = chunked_response("abcdefghij", 4);
  ClientConnection& c = world().connect();
  for (size_t cut = 1; cut < response.size(); ++cut) {
    origin().on_request = [&](const OriginRequest&) {
      OriginReply made = reply(response);
      made.offsets = {cut};
      return made;
    };
    ASSERT_EQ(exchange(c, get()).body, "abcdefghij") << cut;
  }
  EXPECT_EQ(origin().accepted(), 1U);
}

TEST_F(ProxyResponseTest, SlowReaderHoldsTheOriginUp) {
  Options options;
  options.client_limits.receive_slots_initial = options.client_limits.receive_slots_max = 4;
  options.limits.receive_slots_initial = options.limits.receive_slots_max = 8;
  options.limits.send_slots_max = 8;
  start(options);
  const std::string body = pattern(1'000'000, 4);
  for (const std::string& bytes : {ok(body), chunked_response(body, 5'000)}) {
    answer(bytes);
    ClientConnection& c = world().connect();
    c.reading = false;
    c.send(get());
    world().run_for(Duration::seconds(20));
    EXPECT_LT(world().worker().tcp().slots_held(), 48U);
    c.reading = true;
    ASSERT_TRUE(
        world().run_until([&] { return c.received.size() >= body.size() && finals(c) == 1; },
                          Duration::seconds(300)));
    EXPECT_TRUE(c.responses()[0].body == body);
  }
}

// Clients that ask for much and do not read it share memory with each other, and leave the others
// theirs: each costs four slots of an eighth of it, once a few have filled the rest; of more than
// that memory bears, those go that have not read for a while.
TEST_F(ProxyResponseTest, T50_SlowReadersLeaveRoomForOthers) {
  for (const uint32_t slow : {20U, 100U, 230U}) {
    start_with_large_answers();
    for (uint32_t i = 0; i < slow; ++i) {
      ClientConnection& c = world().connect();
      c.reading = false;
      c.send(get("/large"));
      world().run_for(Duration::milliseconds(10));
    }
    world().run_for(Duration::seconds(2));
    for (int i = 0; i < 10; ++i) {
      ClientConnection& c = world().connect();
      c.send(get());
      ASSERT_TRUE(world().run_until([&] { return finals(c) == 1; }, Duration::seconds(1)))
          << slow << " " << i;
      EXPECT_EQ(c.responses()[0].status(), 200);
      world().close(c);
    }
    EXPECT_EQ(world().count(Counter::tcp_stalled_shed) > 0, slow >= 100) << slow;
  }
}

// While they come, and from then on: nobody else waits for a segment of theirs that was dropped, or
// it would take them a retransmission timeout, 200 ms at least.
TEST_F(ProxyResponseTest, T50_SlowReadersDelayNobodyElse) {
  constexpr Duration answer_max = Duration::milliseconds(100);
  for (const uint32_t slow : {20U, 100U, 230U}) {
    start_with_large_answers();
    ClientConnection& kept = world().connect();
    const auto answers_at_once = [&](ClientConnection& other) {
      other.received.clear();
      other.send(get());
      return world().run_until([&] { return finals(other) == 1; }, answer_max);
    };
    for (uint32_t i = 0; i < 2 * slow; ++i) {
      if (i < slow) {
        ClientConnection& reader = world().connect();
        reader.reading = false;
        reader.send(get("/large"));
      }
      world().run_for(Duration::milliseconds(5));
      ASSERT_TRUE(answers_at_once(kept)) << slow << " " << i;
      ClientConnection& fresh = world().connect();
      ASSERT_TRUE(answers_at_once(fresh)) << slow << " " << i;
      world().close(fresh);
    }
    EXPECT_GT(count(Counter::tcp_text_dropped_no_memory), 0U) << slow;  // of theirs
  }
}

// What needs more than one segment waits, in the worst case, until those who read nothing are shed.
TEST_F(ProxyResponseTest, T50_LongHeadsAndAnswersOutliveSlowReaders) {
  constexpr Duration answer_max = Duration::seconds(4);
  const std::string long_field = "Cookie: " + std::string(6'000, 'c') + "\r\n";
  const std::string body = pattern(20'000, 2);
  const std::string long_answer =
      "HTTP/1.1 200 OK\r\nX-" + long_field + "Content-Length: 20000\r\n\r\n" + body;
  for (const uint32_t slow : {20U, 100U, 230U}) {
    start_with_large_answers(long_answer);
    ClientConnection& kept = world().connect();
    const auto answered = [&](ClientConnection& other) {
      other.received.clear();
      other.send("GET / HTTP/1.1\r\nHost: shop.example\r\n" + long_field + "\r\n");
      return world().run_until([&] { return finals(other) == 1; }, answer_max) &&
             other.responses()[0].body == body;
    };
    for (uint32_t i = 0; i < slow; ++i) {
      ClientConnection& reader = world().connect();
      reader.reading = false;
      reader.send(get("/large"));
      if (i % 10 != 9) continue;
      ASSERT_TRUE(answered(kept)) << slow << " " << i;
      ClientConnection& fresh = world().connect();
      ASSERT_TRUE(answered(fresh)) << slow << " " << i;
      world().close(fresh);
    }
  }
}

TEST_F(ProxyResponseTest, H22_HeadAndBodilessStatuses) {
  ClientConnection& c = world().connect();
  answer("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n");
  c.send("HEAD / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
  ASSERT_TRUE(world().run_until([&] { return c.received.find("\r\n\r\n") != std::string::npos; }));
  EXPECT_EQ(read_message(c.received, Kind::response_to_head).field("Content-Length"), "1234");
  answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  c.received.clear();
  c.send("HEAD / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
  ASSERT_TRUE(world().run_until([&] { return c.received.find("\r\n\r\n") != std::string::npos; }));
  c.received.clear();
  answer("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n");
  Message message = exchange(c, get());
  EXPECT_EQ(message.status(), 304);
  EXPECT_EQ(message.field("Content-Length"), "99");
  answer("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n");
  message = exchange(c, get());
  EXPECT_EQ(message.status(), 204);
  EXPECT_FALSE(message.has("Content-Length"));
  answer(ok("still here"));
  EXPECT_EQ(exchange(c, get()).body, "still here");
  EXPECT_EQ(origin().accepted(), 1U);
}

TEST_F(ProxyResponseTest, H22_OctetsBehindABodilessResponseCostTheOriginItsConnection) {
  const std::string poison = ok("poison");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 51\r\n\r\n" + poison},
      {"GET", "HTTP/1.1 204 No Content\r\n\r\n" + poison},
      {"GET", "HTTP/1.1 304 Not Modified\r\n\r\n" + poison},
      {"GET", ok("right") + poison}};
  for (const auto& [method, bytes] : cases) {
    answer(bytes);
    ClientConnection& c = world().connect();
    c.send(method + " / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    ASSERT_TRUE(
        world().run_until([&] { return c.received.find("\r\n\r\n") != std::string::npos; }));
    world().run_for(Duration::milliseconds(20));
    EXPECT_EQ(c.received.find("poison"), std::string::npos);
    EXPECT_EQ(world().worker().proxy().pool().idle_count(), 0U);
    answer(ok("clean"));
    c.received.clear();
    EXPECT_EQ(exchange(c, get()).body, "clean");
    world().run_for(Duration::milliseconds(5));
    // Forget the good connection too, so that each case begins anew.
    world().run_for(Duration::seconds(31));
  }
}

TEST_F(ProxyResponseTest, H25_UnsolicitedOctetsOnAnIdleConnectionCloseIt) {
  warm_up();
  ASSERT_EQ(world().worker().proxy().pool().idle_count(), 1U);
  origin().say(0, ok("poison"));
  world().run_for(Duration::milliseconds(10));
  EXPECT_EQ(world().worker().proxy().pool().idle_count(), 0U);
  EXPECT_EQ(count(Counter::proxy_upstream_unsolicited), 1U);
  EXPECT_EQ(read_message(world().fetch(get()), Kind::response).body, "hello\n");
  EXPECT_EQ(origin().accepted(), 2U);
}

// The octets and the next request reach the worker within one turn, the request first: what came
// before the request was sent cannot be its answer.
TEST_F(ProxyResponseTest, H25_UnsolicitedOctetsInTheSameTurnAsTheNextRequest) {
  ClientConnection& c = world().connect();
  ASSERT_EQ(exchange(c, get("/1")).status(), 200);
  world().run_for(Duration::milliseconds(300));
  c.send(get("/2"));
  origin().say(0, ok("poison"));
  ASSERT_TRUE(world().run_until([&] { return finals(c) == 2 || c.ended || c.broken; }));
  ASSERT_EQ(c.responses().size(), 2U);
  EXPECT_EQ(c.responses()[1].body, "hello\n");
}

// The same with the end of the idle connection: it was known before the request was sent.
TEST_F(ProxyResponseTest, H25_IdleConnectionEndsInTheSameTurnAsTheNextRequest) {
  for (const Then then : {Then::end, Then::reset}) {
    for (const std::string& request : {get("/2"), post("body")}) {
      ClientConnection& c = world().connect();
      ASSERT_EQ(exchange(c, get("/1")).status(), 200);
      world().run_for(Duration::milliseconds(300));
      c.send(request);
      origin().say(origin().accepted() - 1, "", then);
      ASSERT_TRUE(world().run_until([&] { return finals(c) == 2 || c.ended || c.broken; }));
      ASSERT_EQ(c.responses().size(), 2U);
      EXPECT_EQ(c.responses()[1].status(), 200) << request.substr(0, 4) << static_cast<int>(then);
      world().close(c);
      world().run_for(Duration::seconds(31));
    }
  }
}

// A client that says the beginning of its next request in the turn in which the response ends: the
// idle connection did nothing wrong.
TEST_F(ProxyResponseTest, H25_ResponseReadOnTheClientsEventLeavesTheConnectionIdle) {
  warm_up();
  ClientConnection& c = world().connect();
  ASSERT_EQ(exchange(c, get("/1")).status(), 200);
  world().run_for(Duration::milliseconds(300));
  origin().on_request = [](const OriginRequest&) {
    OriginReply made = reply(ok("two"));
    made.delay = Duration::milliseconds(5);
    return made;
  };
  c.send(get("/2"));
  ASSERT_TRUE(world().run_until([&] { return origin().requests().size() == 2; }));
  // Both leave for the worker in the same step, the client's first.
  const Instant answered_at = origin().connections().back().out.front().at;
  ASSERT_TRUE(world().run_until([&] { return world().now() >= answered_at; }));
  c.send("GE");
  world().run_for(Duration::milliseconds(20));
  EXPECT_EQ(count(Counter::proxy_upstream_unsolicited), 0U);
}

TEST_F(ProxyResponseTest, H23_InterimResponses) {
  ClientConnection& c = world().connect();
  answer("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" +
         ok("final"));
  c.send(get());
  ASSERT_TRUE(world().run_until([&] { return finals(c) == 1; }));
  ASSERT_EQ(c.responses().size(), 3U);
  EXPECT_EQ(c.responses()[0].head, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
  EXPECT_EQ(c.responses()[2].body, "final");
  EXPECT_EQ(count(Counter::proxy_responses_1xx), 2U);
  // 100 that nobody waits for is swallowed.
  answer("HTTP/1.1 100 Continue\r\n\r\n" + ok("final"));
  c.received.clear();
  c.send(get());
  ASSERT_TRUE(world().run_until([&] { return finals(c) == 1; }));
  EXPECT_EQ(c.responses().size(), 1U);
}

TEST_F(ProxyResponseTest, H23_NoInterimResponseToHttp10) {
  answer("HTTP/1.1 103 Early Hints\r\n\r\n" + ok("final"));
  const std::string got = world().fetch(get_1_0());
  EXPECT_EQ(got.substr(0, 15), "HTTP/1.1 200 OK");
}

TEST_F(ProxyResponseTest, H23_SixteenInterimResponsesPassSeventeenDoNot) {
  std::string hints;
  for (int i = 0; i < 16; ++i) hints += "HTTP/1.1 103 Early Hints\r\n\r\n";
  answer(hints + ok("final"));
  ClientConnection& c = world().connect();
  EXPECT_EQ(exchange(c, get()).status(), 200);
  EXPECT_EQ(c.responses().size(), 17U);
  answer(hints + "HTTP/1.1 100 Continue\r\n\r\n" + ok("final"));
  EXPECT_EQ(exchange(c, get()).status(), 502);
}

TEST_F(ProxyResponseTest, H21_SwitchingProtocolsIsRefused) {
  answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nbytes");
  ClientConnection& c = world().connect();
  EXPECT_EQ(exchange(c, get("/", "Upgrade: websocket\r\nConnection: upgrade\r\n")).status(), 502);
  EXPECT_EQ(c.received.find("bytes"), std::string::npos);
}

TEST_F(ProxyResponseTest, H24_ResponseCutAtEveryOffsetIsNeverACleanEnd) {
  const std::vector<std::string> responses = {ok("0123456789"), chunked_response("0123456789", 4)};
  for (const std::string& bytes : responses) {
    const size_t head = bytes.find("\r\n\r\n") + 4;
    for (const Then then : {Then::end, Then::reset}) {
      for (size_t cut = 0; cut < bytes.size(); ++cut) {
        origin().on_request = [&](const OriginRequest&) {
          OriginReply made = reply_and(then, bytes);
          made.cut = cut;
          return made;
        };
        ClientConnection& c = world().connect();
        c.send(get());
        world().run_until([&] { return c.broken || c.ended || finals(c) > 0; });
        const std::string where = std::to_string(cut) + (then == Then::end ? " FIN" : " RST");
        if (cut < head) {
          ASSERT_EQ(finals(c), 1U) << where;
          EXPECT_EQ(c.responses()[0].status(), 502) << where;
          EXPECT_FALSE(c.ended) << where;
        } else {
          EXPECT_TRUE(c.broken) << where;
          EXPECT_FALSE(c.ended) << where;
          EXPECT_EQ(finals(c), 0U) << where;
        }
        world().close(c);
      }
    }
  }
}

TEST_F(ProxyResponseTest, H24_UntilCloseBodyThatIsResetIsNoCleanEnd) {
  for (const std::string& request : {get(), get_1_0()}) {
    answer("HTTP/1.1 200 OK\r\n\r\nhalf of it", Then::reset);
    ClientConnection& c = world().connect();
    c.send(request);
    ASSERT_TRUE(until_over(c));
    EXPECT_TRUE(c.broken);
    EXPECT_FALSE(c.ended);
  }
}

TEST_F(ProxyResponseTest, H24_MalformedBodiesAndHeads) {
  for (const char* bytes :
       {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n"}) {
    answer(bytes);
    ClientConnection& c = world().connect();
    EXPECT_EQ(exchange(c, get()).status(), 502) << bytes;
    EXPECT_EQ(exchange(c, get()).status(), 502) << "the client's connection stays";
    world().close(c);
  }
  answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcdX\r\n0\r\n\r\n");
  ClientConnection& c = world().connect();
  c.send(get());
  ASSERT_TRUE(until_over(c));
  EXPECT_TRUE(c.broken);
  EXPECT_EQ(finals(c), 0U);
}

TEST_F(ProxyResponseTest, ConnectionCloseOfTheOriginIsObeyedAndNotPassedOn) {
  answer(ok("one", "Connection: close\r\n"), Then::end);
  ClientConnection& c = world().connect();
  for (int i = 0; i < 3; ++i) {
    const Message message = exchange(c, get());
    EXPECT_EQ(message.body, "one");
    EXPECT_FALSE(message.has("Connection"));
  }
  EXPECT_EQ(origin().accepted(), 3U);
  answer("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold");
  for (int i = 0; i < 2; ++i) EXPECT_EQ(exchange(c, get()).body, "old");
  EXPECT_EQ(origin().accepted(), 5U) << "HTTP/1.0 without keep-alive is not kept";
}

// All of the response is on its way to a client that does not read: it needs no more octets of
// ours, so the origin's connection is free for others.
TEST_F(ProxyResponseTest, ResponseThatIsQueuedWholeLetsTheOriginGo) {
  Options options;
  options.limits.send_slots_max = 8;
  options.client_limits.receive_slots_initial = options.client_limits.receive_slots_max = 2;
  start(options);
  answer(ok(pattern(8 * 1'448 - 120, 8)));
  ClientConnection& c = world().connect();
  c.reading = false;
  c.send(get());
  world().run_for(Duration::seconds(5));
  EXPECT_EQ(world().worker().proxy().pool().idle_count(), 1U);
}

}  // namespace
}  // namespace millrace::proxy_world

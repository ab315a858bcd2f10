// What the access log says: one record an exchange, in whatever way it ends. That there is one for
// every request, and that it is possible, is looked at behind every other test of the proxy too.
#include "tests/support/proxy_fixture.h"

namespace millrace::proxy_world {
namespace {

using access_log::ExchangeEnd;
using access_log::LocalReason;
using Then = OriginReply::Then;

class ProxyAccessLogTest : public ProxyFixture {
 protected:
  const millrace::testing::JournalLine& last() {
    world().step();
    EXPECT_FALSE(world().journal().lines().empty());
    return world().journal().lines().back();
  }
  void expect(uint16_t status, ExchangeEnd end, LocalReason reason) {
    const millrace::testing::JournalLine& line = last();
    EXPECT_EQ(line.record.status, status) << line.json;
    EXPECT_EQ(line.record.end, end) << line.json;
    EXPECT_EQ(line.record.reason, reason) << line.json;
  }
  size_t lines() { return world().journal().lines().size(); }
  static uint64_t us_between(uint64_t from_ns, uint64_t to_ns) { return (to_ns - from_ns) / 1'000; }
};

TEST_F(ProxyAccessLogTest, AnAnswerOfAnEndpoint) {
  origin().on_request = [](const OriginRequest&) {
    OriginReply made = reply(ok("hello\n"));
    made.delay = Duration::milliseconds(30);
    return made;
  };
  ClientConnection& c = world().connect();
  ASSERT_EQ(exchange(c, post("some body", "/a?b")).status(), 200);
  expect(200, ExchangeEnd::complete, LocalReason::none);
  const auto& record = last().record;
  EXPECT_EQ(last().target, "/a?b");
  EXPECT_NE(last().service, "");
  EXPECT_EQ(record.request_body_octets, 9U);
  EXPECT_EQ(record.response_body_octets, 6U);
  EXPECT_EQ(record.attempts, 1);
  EXPECT_FALSE(record.reused);
  EXPECT_TRUE(record.keep_alive);
  EXPECT_EQ(record.endpoint_port, origin_port);
  // A connection takes at least the way there and back, over wires of 50 us.
  EXPECT_GE(us_between(record.routed_ns, record.connected_ns), 100U);
  EXPECT_GE(us_between(record.connected_ns, record.responded_ns), 30'000U);
  EXPECT_LT(us_between(record.connected_ns, record.responded_ns), 31'000U);
  // The second one on the same connections.
  ASSERT_EQ(exchange(c, get("/again")).status(), 200);
  EXPECT_TRUE(last().record.reused);
  EXPECT_EQ(last().record.connected_ns, last().record.routed_ns);
  EXPECT_EQ(last().record.request_body_octets, 0U);
  EXPECT_EQ(lines(), 2U);
}

TEST_F(ProxyAccessLogTest, ALongAnswerEndsWithItsLastOctet) {
  answer(ok(pattern(200'000, 5)));
  ClientConnection& c = world().connect();
  ASSERT_EQ(exchange(c, get()).body.size(), 200'000U);
  expect(200, ExchangeEnd::complete, LocalReason::none);
  EXPECT_EQ(last().record.response_body_octets, 200'000U);
  EXPECT_GT(last().record.ended_ns, last().record.responded_ns);
}

TEST_F(ProxyAccessLogTest, HeadsThatBecomeNoRequest) {
  ClientConnection& broken = world().connect();
  exchange(broken, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
  expect(400, ExchangeEnd::complete, LocalReason::head_invalid);
  EXPECT_EQ(last().record.head_error, http::HeadError::host_duplicate);
  EXPECT_FALSE(last().record.keep_alive);
  ClientConnection& cut = world().connect();
  cut.send("GET / HTTP/1.1\r\nHo");
  cut.shutdown();
  ASSERT_TRUE(until_over(cut));
  expect(400, ExchangeEnd::complete, LocalReason::head_cut);
  ClientConnection& slow = world().connect();
  slow.send("GET / HTTP/1.1\r\nHo");
  ASSERT_TRUE(until_over(slow));
  expect(408, ExchangeEnd::complete, LocalReason::head_timeout);
  EXPECT_NEAR(static_cast<double>(us_between(last().record.began_ns, last().record.ended_ns)),
              10'000'000, 2'000);
  EXPECT_EQ(lines(), 3U);
}

// What an earlier exchange on the connection has moved is not this one's.
TEST_F(ProxyAccessLogTest, ABrokenHeadBehindARequestHasNoBody) {
  answer(ok("hello\n"));
  ClientConnection& c = world().connect();
  exchange(c, post("some body"));
  exchange(c, "GET / HTTP/1.1\r\n\r\n");
  expect(400, ExchangeEnd::complete, LocalReason::head_invalid);
  EXPECT_EQ(last().record.request_body_octets, 0U);
  EXPECT_EQ(last().record.response_body_octets, 0U);
}

TEST_F(ProxyAccessLogTest, AHeadThatTakesItsTimeBeginsWithItsFirstOctet) {
  answer(ok("hello\n"));
  ClientConnection& c = world().connect();
  c.send("GET / HTTP/1.1\r\n");
  world().run_for(Duration::milliseconds(700));
  ASSERT_EQ(exchange(c, "Host: shop.example\r\n\r\n").status(), 200);
  EXPECT_NEAR(static_cast<double>(us_between(last().record.began_ns, last().record.routed_ns)),
              700'000, 1'000);
}

TEST_F(ProxyAccessLogTest, RequestsThatNobodyIsSent) {
  world().install({{host, {{0, origin_port, true}}}, {"empty.example", {}}});
  ClientConnection& c = world().connect();
  EXPECT_EQ(exchange(c, "GET / HTTP/1.1\r\nHost: nowhere\r\n\r\n").status(), 404);
  expect(404, ExchangeEnd::complete, LocalReason::no_route);
  EXPECT_EQ(last().service, "");
  EXPECT_TRUE(last().record.keep_alive);
  EXPECT_EQ(exchange(c, "GET / HTTP/1.1\r\nHost: empty.example\r\n\r\n").status(), 503);
  expect(503, ExchangeEnd::complete, LocalReason::no_endpoint);
  EXPECT_NE(last().service, "");
  EXPECT_EQ(exchange(c, get("/a%2fb")).status(), 400);
  expect(400, ExchangeEnd::complete, LocalReason::path_refused);
  EXPECT_EQ(last().target, "/a%2fb");
  EXPECT_EQ(exchange(c, "OPTIONS * HTTP/1.1\r\nHost: shop.example\r\n\r\n").status(), 404);
  expect(404, ExchangeEnd::complete, LocalReason::no_path);
}

TEST_F(ProxyAccessLogTest, EndpointsThatDoNotAnswer) {
  constexpr uint16_t nobody_there = 9;
  world().install({{host, {{0, nobody_there, true}}}});
  ClientConnection& c = world().connect();
  EXPECT_EQ(exchange(c, get()).status(), 502);
  expect(502, ExchangeEnd::complete, LocalReason::endpoint_failed);
  EXPECT_EQ(last().record.attempts, 3) << "each was refused";
  EXPECT_EQ(last().record.connected_ns, 0U);
  EXPECT_EQ(last().record.endpoint_port, nobody_there);

  world().install({{host, {{0, origin_port, true}}}});
  world().run_for(Duration::milliseconds(1));
  origin().on_request = [](const OriginRequest&) {
    OriginReply made = reply(ok("late"));
    made.delay = Duration::seconds(90);
    return made;
  };
  c.send(get());
  ASSERT_TRUE(world().run_until([&] { return finals(c) == 2; }, Duration::seconds(70)));
  expect(504, ExchangeEnd::complete, LocalReason::endpoint_timeout);
  EXPECT_NEAR(static_cast<double>(us_between(last().record.began_ns, last().record.ended_ns)),
              60'000'000, 5'000);
}

TEST_F(ProxyAccessLogTest, ExchangesThatAreBrokenOff) {
  // The endpoint, in the middle of its answer.
  origin().on_request = [](const OriginRequest&) {
    OriginReply made = reply_and(Then::reset, ok(pattern(50'000, 1)));
    made.cut = 20'000;
    return made;
  };
  ClientConnection& cut = world().connect();
  cut.send(get());
  ASSERT_TRUE(until_over(cut));
  expect(200, ExchangeEnd::response_truncated, LocalReason::none);
  EXPECT_LT(last().record.response_body_octets, 20'000U);
  EXPECT_GT(last().record.response_body_octets, 0U);

  // The client, while it waits, and in the middle of its body.
  origin().on_request = [](const OriginRequest&) {
    OriginReply made = reply(ok("late"));
    made.delay = Duration::seconds(5);
    return made;
  };
  ClientConnection& gone = world().connect();
  gone.send(get("/gone"));
  world().run_for(Duration::milliseconds(100));
  world().abort(gone);
  world().run_for(Duration::milliseconds(100));
  expect(0, ExchangeEnd::client_aborted, LocalReason::none);
  ClientConnection& ended = world().connect();
  ended.send("POST /half HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 10\r\n\r\nfive");
  ended.shutdown();
  ASSERT_TRUE(until_over(ended));
  expect(400, ExchangeEnd::complete, LocalReason::body_invalid);

  // Nobody, for too long, in the middle of an answer.
  origin().on_request = [](const OriginRequest&) {
    OriginReply made = reply(ok(pattern(50'000, 1)));
    made.cut = 20'000;
    return made;
  };
  ClientConnection& still = world().connect();
  still.send(get("/still"));
  ASSERT_TRUE(until_over(still, Duration::seconds(70)));
  expect(200, ExchangeEnd::timed_out, LocalReason::none);
}

TEST_F(ProxyAccessLogTest, BodiesThatAreTooSlowOrTooLarge) {
  ClientConnection& slow = world().connect();
  slow.send("POST /slow HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 10\r\n\r\nfive");
  ASSERT_TRUE(until_over(slow, Duration::seconds(70)));
  expect(408, ExchangeEnd::complete, LocalReason::body_timeout);
  EXPECT_EQ(last().record.request_body_octets, 4U);

  Options options;
  options.proxy.request_body_bytes_max = 100;
  start(options);
  ClientConnection& large = world().connect();
  EXPECT_EQ(exchange(large, post(std::string(101, 'x'))).status(), 413);
  expect(413, ExchangeEnd::complete, LocalReason::body_too_large);
  EXPECT_EQ(last().record.attempts, 0);
}

TEST_F(ProxyAccessLogTest, ATunnelIsOneLineAtItsEnd) {
  answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
  ClientConnection& c = world().connect();
  c.send(get("/chat", "Connection: Upgrade\r\nUpgrade: websocket\r\n"));
  ASSERT_TRUE(world().run_until([&] { return c.received.find("\r\n\r\n") != std::string::npos; }));
  c.send("ping!");
  origin().say(0, "pong");
  world().run_for(Duration::milliseconds(200));
  EXPECT_EQ(lines(), 0U);
  c.shutdown();
  ASSERT_TRUE(until_over(c));
  expect(101, ExchangeEnd::tunnel_ended, LocalReason::none);
  EXPECT_EQ(last().record.request_body_octets, 5U);
  EXPECT_EQ(last().record.response_body_octets, 4U);
  EXPECT_NE(last().json.find(R"("upgrade":"websocket")"), std::string::npos);
  EXPECT_GE(us_between(last().record.responded_ns, last().record.ended_ns), 200'000U);

  ClientConnection& broken = world().connect();
  broken.send(get("/chat", "Connection: Upgrade\r\nUpgrade: websocket\r\n"));
  ASSERT_TRUE(
      world().run_until([&] { return broken.received.find("\r\n\r\n") != std::string::npos; }));
  world().abort(broken);
  world().run_for(Duration::milliseconds(100));
  expect(101, ExchangeEnd::tunnel_reset, LocalReason::none);
}

}  // namespace
}  // namespace millrace::proxy_world

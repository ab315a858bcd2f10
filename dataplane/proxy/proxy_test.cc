// The proxy as a whole: one worker between clients and origins, on a simulated network.
#include "tests/support/proxy_fixture.h"

namespace millrace::proxy_world {
namespace {

class ProxyTest : public ProxyFixture {};

constexpr const char* epoch_date = "Thu, 01 Jan 1970 00:00:00 GMT";

TEST_F(ProxyTest, H14_H33_GetReachesTheOriginWithACanonicalHead) {
  answer(
      "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nETag: \"x\"\r\nConnection: keep-alive, x-hop\r\n"
      "X-Hop: 1\r\nKeep-Alive: timeout=5\r\n\r\nabc");
  const std::string got = world().fetch(
      "GET /a/b?c=d&e HTTP/1.1\r\nhost: SHOP.example:80\r\nAccept:   */*  \r\n"
      "X-Forwarded-For: 1.2.3.4\r\nx-real-ip: 1.2.3.4\r\nX_Forwarded_For: 6.6.6.6\r\n"
      "X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nForwarded: for=9.9.9.9\r\n"
      "Connection: close, X-Secret\r\nX-Secret: 1\r\nTE: trailers\r\nUpgrade: h2c\r\n"
      "Proxy-Connection: keep-alive\r\nKeep-Alive: 1\r\nCookie: a=b\r\n\r\n");
  ASSERT_EQ(origin().requests().size(), 1U);
  EXPECT_EQ(origin().last().raw,
            "GET /a/b?c=d&e HTTP/1.1\r\nHost: shop.example:80\r\nAccept: */*\r\nCookie: a=b\r\n"
            "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: http\r\n"
            "X-Forwarded-Host: shop.example:80\r\nX-Forwarded-Port: 80\r\n"
            "X-Real-IP: 10.0.0.1\r\n\r\n");
  EXPECT_EQ(got, std::string("HTTP/1.1 200 OK\r\nETag: \"x\"\r\nDate: ") + epoch_date +
                     "\r\nServer: millrace\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
}

TEST_F(ProxyTest, H32_DateAndServerOfTheOriginStay) {
  world().worker().set_date("Sun, 06 Nov 1994 08:49:37 GMT");
  answer(ok("x", "Date: Mon, 07 Nov 1994 08:49:37 GMT\r\nServer: other\r\n"));
  const std::string got = world().fetch(get());
  EXPECT_EQ(got,
            "HTTP/1.1 200 OK\r\nDate: Mon, 07 Nov 1994 08:49:37 GMT\r\nServer: other\r\n"
            "Content-Length: 1\r\n\r\nx");
  answer(ok("x"));
  EXPECT_NE(world().fetch(get()).find("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
            std::string::npos);
}

TEST_F(ProxyTest, KeepAliveReusesBothSides) {
  ClientConnection& c = world().connect();
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(exchange(c, get("/" + std::to_string(i))).status(), 200) << i;
  }
  EXPECT_EQ(origin().accepted(), 1U);
  EXPECT_EQ(origin().requests().size(), 20U);
  EXPECT_EQ(count(Counter::proxy_upstream_connects), 1U);
  EXPECT_EQ(count(Counter::proxy_upstream_reuses), 19U);
  // Another client gets the idle connection too.
  EXPECT_EQ(read_message(world().fetch(get()), Kind::response).status(), 200);
  EXPECT_EQ(origin().accepted(), 1U);
}

TEST_F(ProxyTest, Http10KeepAliveOnlyWhenAsked) {
  ClientConnection& plain = world().connect();
  EXPECT_EQ(exchange(plain, "GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n").field("Connection"),
            "close");
  EXPECT_TRUE(until_over(plain));
  EXPECT_TRUE(plain.ended);
  ClientConnection& kept = world().connect();
  const std::string asking =
      "GET / HTTP/1.0\r\nHost: shop.example\r\nConnection: keep-alive\r\n\r\n";
  EXPECT_EQ(exchange(kept, asking).field("Connection"), "keep-alive");
  EXPECT_EQ(exchange(kept, asking).status(), 200);
  EXPECT_FALSE(kept.ended);
}

TEST_F(ProxyTest, Http10WithoutHostGetsTheAddressItConnectedTo) {
  world().install({{"", {{0, origin_port, true}}}});
  EXPECT_EQ(read_message(world().fetch("GET / HTTP/1.0\r\n\r\n"), Kind::response).status(), 200);
  EXPECT_EQ(origin().last().message.field("Host"), "10.0.0.2");
}

TEST_F(ProxyTest, H26_PipelinedRequestsAreAnsweredInOrder) {
  // The first answers come late: nobody may overtake them.
  origin().on_request = [](const OriginRequest& request) {
    OriginReply made = reply(ok(request.message.first_line()));
    made.delay = request.message.head.find("/slow") != std::string::npos
                     ? Duration::milliseconds(300)
                     : Duration();
    return made;
  };
  std::string all;
  for (int i = 0; i < 50; ++i) all += get((i % 10 == 0 ? "/slow" : "/fast") + std::to_string(i));
  ClientConnection& c = world().connect();
  c.send(all);
  ASSERT_TRUE(world().run_until([&] { return finals(c) == 50; }));
  const auto responses = c.responses();
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(responses[i].body, std::string("GET ") + (i % 10 == 0 ? "/slow" : "/fast") +
                                     std::to_string(i) + " HTTP/1.1");
  }
}

TEST_F(ProxyTest, H26_AnErrorLeavesTheEarlierOnesAnswered) {
  ClientConnection& c = world().connect();
  c.send(get("/1") + get("/2") + "GET nonsense\r\n\r\n" + get("/4"));
  ASSERT_TRUE(until_over(c));
  EXPECT_TRUE(c.ended);
  const auto responses = c.responses();
  ASSERT_EQ(responses.size(), 3U);
  EXPECT_EQ(responses[0].status(), 200);
  EXPECT_EQ(responses[1].status(), 200);
  EXPECT_EQ(responses[2].status(), 400);
  EXPECT_EQ(responses[2].field("Connection"), "close");
  EXPECT_EQ(origin().requests().size(), 2U);
}

TEST_F(ProxyTest, H26_PipelinedHeadsThatFillSeveralSegments) {
  std::string all;
  for (int i = 0; i < 30; ++i)
    all += get("/" + std::to_string(i), "X-Filler: " + std::string(700, 'f') + "\r\n");
  ClientConnection& c = world().connect();
  c.send(all);
  ASSERT_TRUE(world().run_until([&] { return finals(c) == 30; }));
  EXPECT_EQ(origin().requests().size(), 30U);
}

TEST_F(ProxyTest, H26_PipeliningBehindABody) {
  const std::string body = pattern(5'000, 3);
  ClientConnection& c = world().connect();
  c.send(post(body, "/1") + get("/2") + post(body, "/3") + get("/4"));
  ASSERT_TRUE(world().run_until([&] { return finals(c) == 4; }));
  ASSERT_EQ(origin().requests().size(), 4U);
  EXPECT_EQ(origin().requests()[0].message.body, body);
  EXPECT_EQ(origin().requests()[2].message.body, body);
  EXPECT_EQ(origin().requests()[3].message.first_line(), "GET /4 HTTP/1.1");
}

TEST_F(ProxyTest, HeadsCutAtEveryOffsetOnBothSides) {
  const std::string request = get("/cut", "X-A: 1\r\nX-B: two\r\n");
  const std::string response = ok("body", "X-C: 3\r\n");
  for (size_t cut = 1; cut < std::max(request.size(), response.size()); ++cut) {
    origin().on_request = [&](const OriginRequest&) {
      OriginReply made = reply(response);
      made.offsets = {cut};
      return made;
    };
    ClientConnection& c = world().connect();
    c.send(request, {cut});
    ASSERT_TRUE(world().run_until([&] { return finals(c) == 1; })) << cut;
    EXPECT_EQ(c.responses()[0].body, "body") << cut;
    world().close(c);
  }
  for (const OriginRequest& request_seen : origin().requests())
    EXPECT_EQ(request_seen.message.field("X-B"), "two");
}

TEST_F(ProxyTest, HeadsOctetByOctetOnBothSides) {
  const std::string request = get("/cut", "X-A: 1\r\n");
  const std::string response = ok("body", "X-C: 3\r\n");
  std::vector<size_t> everywhere;
  for (size_t i = 1; i < 200; ++i) everywhere.push_back(i);
  origin().on_request = [&](const OriginRequest&) {
    OriginReply made = reply(response);
    made.offsets = everywhere;
    return made;
  };
  ClientConnection& c = world().connect();
  c.send(request + request, everywhere);
  ASSERT_TRUE(world().run_until([&] { return finals(c) == 2; }));
  EXPECT_EQ(origin().requests().size(), 2U);
}

TEST_F(ProxyTest, LargeHeadsInBothDirections) {
  std::string fields;
  for (int i = 0; i < 60; ++i)
    fields += "X-" + std::to_string(i) + ": " + std::string(1'000, 'v') + "\r\n";
  answer(ok("ok", fields));
  ClientConnection& c = world().connect();
  for (int i = 0; i < 3; ++i) {
    const Message message = exchange(c, get("/large", fields));
    ASSERT_EQ(message.status(), 200) << c.received.substr(0, 200);
    EXPECT_EQ(message.field("X-59"), std::string(1'000, 'v'));
    EXPECT_EQ(origin().last().message.field("X-59"), std::string(1'000, 'v'));
  }
}

TEST_F(ProxyTest, TableSwapTakesEffectAtTheNextRequest) {
  world().install({{host, {{0, origin_port, true}}}});
  ClientConnection& c = world().connect();
  EXPECT_EQ(exchange(c, get("/1")).status(), 200);
  world().install({{host, {{1, origin_port, true}}}});
  EXPECT_EQ(exchange(c, get("/2")).status(), 200);
  EXPECT_EQ(origin(0).requests().size(), 1U);
  EXPECT_EQ(origin(1).requests().size(), 1U);
  world().install({{"other.example", {{1, origin_port, true}}}});
  const Message message = exchange(c, get("/3"));
  EXPECT_EQ(message.status(), 404);
  EXPECT_EQ(message.field("Connection"), "");
  world().install({{host, {{0, origin_port, true}}}});
  EXPECT_EQ(exchange(c, get("/4")).status(), 200);
  EXPECT_EQ(origin(0).requests().size(), 2U);
}

TEST_F(ProxyTest, TableSwapLeavesTheExchangeUnderWay) {
  const std::string body = pattern(200'000, 9);
  origin().on_request = [&](const OriginRequest&) {
    OriginReply made = reply(ok(body));
    made.delay = Duration::milliseconds(50);
    return made;
  };
  ClientConnection& c = world().connect();
  c.send(get());
  world().run_until([&] { return origin().requests().size() == 1; });
  world().install({{"other.example", {}}});
  ASSERT_TRUE(world().run_until([&] { return finals(c) == 1; }));
  EXPECT_EQ(c.responses()[0].body, body);
}

TEST_F(ProxyTest, H28_RemovedEndpointsIdleConnectionIsNotUsedAgain) {
  warm_up();
  ASSERT_EQ(world().worker().proxy().pool().idle_count(), 1U);
  world().install({{host, {{0, origin_port + 1, true}}}});
  EXPECT_EQ(read_message(world().fetch(get()), Kind::response).status(), 200);
  EXPECT_EQ(origin().last().port, origin_port + 1);
  EXPECT_EQ(origin().accepted(), 2U);
  // The old one goes when its time has come.
  world().run_for(Duration::seconds(32));
  EXPECT_EQ(world().worker().proxy().pool().count(), 0U);
}

TEST_F(ProxyTest, H28_ServicesDoNotShareConnections) {
  world().install(
      {{"a.example", {{0, origin_port, true}}}, {"b.example", {{0, origin_port, true}}}});
  for (int i = 0; i < 4; ++i) {
    const std::string name = i % 2 == 0 ? "a.example" : "b.example";
    EXPECT_EQ(
        read_message(world().fetch("GET / HTTP/1.1\r\nHost: " + name + "\r\n\r\n"), Kind::response)
            .status(),
        200);
  }
  ASSERT_EQ(origin().requests().size(), 4U);
  for (const OriginRequest& request : origin().requests())
    EXPECT_EQ(request.message.field("Host"), request.connection == 0 ? "a.example" : "b.example");
}

// Sessions that are held between two exchanges are no reason to turn anybody away.
TEST_F(ProxyTest, SessionsAtRestMakeRoom) {
  Options options;
  options.proxy.sessions = 4;
  start(options);
  std::vector<ClientConnection*> clients;
  for (int i = 0; i < 9; ++i) clients.push_back(&world().connect());
  for (int round = 0; round < 3; ++round) {
    for (ClientConnection* client : clients) ASSERT_EQ(exchange(*client, get()).status(), 200);
  }
  EXPECT_EQ(count(Counter::proxy_sessions_full), 0U);
}

TEST_F(ProxyTest, SessionTableFullResetsTheNewcomerAndRecovers) {
  Options options;
  options.proxy.sessions = 4;
  start(options);
  std::vector<ClientConnection*> held;
  for (int i = 0; i < 4; ++i) {
    held.push_back(&world().connect());
    held.back()->send("GET / HTTP/1.1\r\n");  // a head that is not whole
  }
  world().run_for(Duration::milliseconds(1));
  ClientConnection& refused = world().connect();
  world().run_for(Duration::milliseconds(1));
  EXPECT_FALSE(refused.broken) << "a silent client needs no session";
  refused.send(get());
  ASSERT_TRUE(until_over(refused));
  EXPECT_TRUE(refused.broken);
  EXPECT_EQ(count(Counter::proxy_sessions_full), 1U);
  EXPECT_EQ(exchange(*held[0], "Host: shop.example\r\n\r\n").status(), 200) << "the others go on";
  EXPECT_EQ(read_message(world().fetch(get()), Kind::response).status(), 200);
}

TEST_F(ProxyTest, PoolRecordsFullAnswers503AndRecovers) {
  Options options;
  options.proxy.pool.connections = 2;
  start(options);
  bool let_go = false;
  origin().on_request = [&](const OriginRequest&) {
    OriginReply made = reply(ok("late"));
    made.delay = let_go ? Duration() : Duration::seconds(1);
    return made;
  };
  ClientConnection& a = world().connect();
  ClientConnection& b = world().connect();
  a.send(get());
  b.send(get());
  world().run_until([&] { return origin().requests().size() == 2; });
  ClientConnection& third = world().connect();
  EXPECT_EQ(exchange(third, get()).status(), 503);
  EXPECT_EQ(count(Counter::proxy_upstream_records_full), 1U);
  let_go = true;
  ASSERT_TRUE(world().run_until([&] { return finals(a) == 1 && finals(b) == 1; }));
  EXPECT_EQ(exchange(third, get()).status(), 200) << "the 503 kept the connection";
}

TEST_F(ProxyTest, IdlePoolForgetsAfterItsTime) {
  warm_up();
  EXPECT_EQ(world().worker().proxy().pool().idle_count(), 1U);
  world().run_for(Duration::milliseconds(29'500));
  EXPECT_EQ(world().worker().proxy().pool().idle_count(), 1U);
  world().run_for(Duration::milliseconds(700));
  EXPECT_EQ(world().worker().proxy().pool().idle_count(), 0U);
  EXPECT_EQ(read_message(world().fetch(get()), Kind::response).status(), 200);
  EXPECT_EQ(origin().accepted(), 2U);
}

TEST_F(ProxyTest, RoundRobinOverEndpoints) {
  world().install({{host, {{0, origin_port, true}, {1, origin_port, true}}}});
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(read_message(world().fetch(get()), Kind::response).status(), 200);
  EXPECT_EQ(origin(0).requests().size(), 10U);
  EXPECT_EQ(origin(1).requests().size(), 10U);
}

}  // namespace
}  // namespace millrace::proxy_world

// What endpoints are told about the way that a request has come: by a stranger, by a proxy that is
// trusted, by a balancer that speaks the PROXY protocol, in a circle.
#include "tests/support/proxy_fixture.h"

namespace millrace::proxy_world {
namespace {

class ProxyForwardingTest : public ProxyFixture {
 protected:
  // A world whose clients (10.0.0.1) are trusted, or not.
  void start_with(bool trusted, bool proxy_headers = false) {
    Options options;
    if (trusted) options.proxy.forwarding.trusted.ipv4 = {*Ipv4Prefix::parse("10.0.0.0/30")};
    if (proxy_headers) options.proxy.proxy_header_listeners = {{"10.0.0.2", 80}};
    options.proxy.forwarding.loop_id = "millrace-1f";
    options.proxy.forwarding.writes_request_id = true;
    start(options);
    answer(ok("hello\n"));
  }
  std::string told(std::string_view name) { return origin().last().message.field(name); }
  const std::string& logged() {
    world().step();
    return world().journal().lines().back().json;
  }
};

const std::string earlier =
    "X-Forwarded-For: 203.0.113.5, 10.0.0.3\r\nX-Forwarded-Proto: HTTPS\r\n"
    "X-Forwarded-Host: Shop.Example:8443\r\nX-Forwarded-Port: 8443\r\nX-Forwarded-Prefix: /shop\r\n"
    "X-Real-IP: 9.9.9.9\r\nX-Request-ID: theirs-1\r\n";

TEST_F(ProxyForwardingTest, H33_OfAStrangerNothingIsPassedOn) {
  start_with(false);
  ClientConnection& c = world().connect();
  ASSERT_EQ(exchange(c, get("/", earlier)).status(), 200);
  EXPECT_EQ(told("X-Forwarded-For"), "10.0.0.1");
  EXPECT_EQ(told("X-Forwarded-Proto"), "http");
  EXPECT_EQ(told("X-Forwarded-Host"), "shop.example");
  EXPECT_EQ(told("X-Forwarded-Port"), "80");
  EXPECT_EQ(told("X-Forwarded-Prefix"), "");
  EXPECT_EQ(told("X-Real-IP"), "10.0.0.1");
  EXPECT_EQ(told("CDN-Loop"), "millrace-1f");
  EXPECT_EQ(told("X-Request-ID").size(), 32U);
  EXPECT_NE(told("X-Request-ID"), "theirs-1");
  EXPECT_NE(logged().find(R"("client":"10.0.0.1","client_port")"), std::string::npos) << logged();
  EXPECT_NE(logged().find("\"request_id\":\"" + told("X-Request-ID") + "\""), std::string::npos);
  // Another request, another number.
  const std::string first = told("X-Request-ID");
  ASSERT_EQ(exchange(c, get("/", earlier)).status(), 200);
  EXPECT_NE(told("X-Request-ID"), first);
}

TEST_F(ProxyForwardingTest, H33_ATrustedProxyIsBelieved) {
  start_with(true);
  ClientConnection& c = world().connect();
  ASSERT_EQ(exchange(c, get("/", earlier)).status(), 200);
  EXPECT_EQ(told("X-Forwarded-For"), "203.0.113.5, 10.0.0.3, 10.0.0.1");
  EXPECT_EQ(told("X-Forwarded-Proto"), "https");
  EXPECT_EQ(told("X-Forwarded-Host"), "shop.example:8443");
  EXPECT_EQ(told("X-Forwarded-Port"), "8443");
  EXPECT_EQ(told("X-Forwarded-Prefix"), "/shop");
  EXPECT_EQ(told("X-Real-IP"), "203.0.113.5");
  EXPECT_EQ(told("X-Request-ID"), "theirs-1");
  EXPECT_NE(logged().find(R"("client":"203.0.113.5","peer":"10.0.0.1","peer_port")"),
            std::string::npos)
      << logged();
}

// What a trusted proxy passes on unread can still be nonsense, or an attack.
TEST_F(ProxyForwardingTest, H33_H34_NonsenseOfATrustedProxyIsNotPassedOn) {
  start_with(true);
  ClientConnection& c = world().connect();
  const std::string nonsense =
      "X-Forwarded-For: \"><script>, 10.0.0.3\r\nX-Forwarded-Proto: gopher\r\n"
      "X-Forwarded-Host: evil.example/x?y\r\nX-Forwarded-Port: 99999\r\nX-Request-ID: a b\r\n";
  ASSERT_EQ(exchange(c, get("/", nonsense)).status(), 200);
  EXPECT_EQ(told("X-Forwarded-For"), "10.0.0.3, 10.0.0.1");
  EXPECT_EQ(told("X-Forwarded-Proto"), "http");
  EXPECT_EQ(told("X-Forwarded-Host"), "shop.example");
  EXPECT_EQ(told("X-Forwarded-Port"), "80");
  EXPECT_EQ(told("X-Real-IP"), "10.0.0.3");
  EXPECT_EQ(told("X-Request-ID").size(), 32U);
}

TEST_F(ProxyForwardingTest, H33_ARequestThatIsSentAgainKeepsItsNumber) {
  start_with(false);
  warm_up();
  std::vector<std::string> numbers;
  origin().on_request = [&](const OriginRequest& request) {
    numbers.push_back(request.message.field("X-Request-ID"));
    return numbers.size() == 1 ? reply_and(OriginReply::Then::reset, "") : reply(ok("second"));
  };
  ClientConnection& c = world().connect();
  ASSERT_EQ(exchange(c, get()).body, "second");
  ASSERT_EQ(numbers.size(), 2U);
  EXPECT_EQ(numbers[0], numbers[1]);
}

TEST_F(ProxyForwardingTest, H36_ARequestThatComesBackIsNotSentOn) {
  start_with(false);
  ClientConnection& c = world().connect();
  ASSERT_EQ(exchange(c, get("/", "CDN-Loop: other, millrace-2f\r\n")).status(), 200);
  EXPECT_NE(origin().last().raw.find("CDN-Loop: other, millrace-2f\r\n"), std::string::npos);
  EXPECT_NE(origin().last().raw.find("CDN-Loop: millrace-1f\r\n"), std::string::npos);
  origin().forget();
  EXPECT_EQ(exchange(c, get("/", "CDN-Loop: other, millrace-1f\r\n")).status(), 508);
  EXPECT_TRUE(origin().requests().empty());
  EXPECT_EQ(count(Counter::proxy_loops), 1U);
  EXPECT_NE(logged().find(R"("reason":"loop")"), std::string::npos) << logged();
  EXPECT_EQ(exchange(c, get()).status(), 200) << "the connection lives on";
}

TEST_F(ProxyForwardingTest, H32_MaxForwardsCountsDownAndEndsHere) {
  start_with(false);
  ClientConnection& c = world().connect();
  const auto ask = [&](std::string_view method, std::string_view hops) {
    return exchange(c, std::string(method) + " / HTTP/1.1\r\nHost: shop.example\r\n" +
                           "Max-Forwards: " + std::string(hops) + "\r\n\r\n");
  };
  EXPECT_EQ(ask("OPTIONS", "5").status(), 200);
  EXPECT_EQ(told("Max-Forwards"), "4");
  EXPECT_EQ(ask("GET", "5").status(), 200);
  EXPECT_EQ(told("Max-Forwards"), "5") << "of other methods it means nothing";
  EXPECT_EQ(ask("OPTIONS", "many").status(), 200);
  EXPECT_EQ(told("Max-Forwards"), "many");
  origin().forget();
  const Message last = ask("OPTIONS", "0");
  EXPECT_EQ(last.status(), 200);
  EXPECT_NE(last.field("Allow"), "");
  EXPECT_TRUE(origin().requests().empty());
  EXPECT_EQ(count(Counter::proxy_last_recipient), 1U);
  EXPECT_EQ(exchange(c, get()).status(), 200) << "the connection lives on";
}

// ---- PROXY headers -----------------------------------------------------------------------------

const std::string line = "PROXY TCP4 192.0.2.77 10.0.0.2 40001 80\r\n";

TEST_F(ProxyForwardingTest, H33_ABalancerSaysWhoTheClientIs) {
  start_with(true, true);
  ClientConnection& c = world().connect();
  ASSERT_EQ(exchange(c, line + get("/", "X-Forwarded-For: 6.6.6.6\r\n")).status(), 200);
  EXPECT_EQ(told("X-Forwarded-For"), "192.0.2.77")
      << "who is not trusted, although the balancer is";
  EXPECT_EQ(told("X-Real-IP"), "192.0.2.77");
  EXPECT_NE(logged().find(R"("client":"192.0.2.77","client_port":40001)"), std::string::npos)
      << logged();
  // The connection remembers it, also over a rest in which it has no session.
  world().run_for(Duration::seconds(5));
  EXPECT_EQ(world().worker().proxy().session_count(), 0U);
  ASSERT_EQ(exchange(c, get()).status(), 200);
  EXPECT_EQ(told("X-Real-IP"), "192.0.2.77");
}

TEST_F(ProxyForwardingTest, H33_AnotherConnectionHasAnotherClient) {
  start_with(true, true);
  for (int i = 1; i <= 5; ++i) {
    ClientConnection& c = world().connect();
    const std::string address = "192.0.2." + std::to_string(i);
    ASSERT_EQ(exchange(c, "PROXY TCP4 " + address + " 10.0.0.2 1 80\r\n" + get()).status(), 200);
    EXPECT_EQ(told("X-Real-IP"), address);
    world().close(c);
    world().run_for(Duration::seconds(1));
    // A record that is used again knows nothing of its last client.
    ClientConnection& check = world().connect();
    ASSERT_EQ(exchange(check, "PROXY UNKNOWN\r\n" + get()).status(), 200);
    EXPECT_EQ(told("X-Real-IP"), "10.0.0.1");
    world().close(check);
    world().run_for(Duration::seconds(1));
  }
}

TEST_F(ProxyForwardingTest, H33_OfAClientThatTheBalancerDoesNotNameNothingIsBelieved) {
  start_with(true, true);
  ClientConnection& c = world().connect();
  ASSERT_EQ(exchange(c, "PROXY UNKNOWN\r\n" + get("/", earlier)).status(), 200);
  EXPECT_EQ(told("X-Forwarded-For"), "10.0.0.1");
  EXPECT_EQ(told("X-Forwarded-Prefix"), "");
  EXPECT_NE(told("X-Request-ID"), "theirs-1");
}

TEST_F(ProxyForwardingTest, H33_ATrustedSchemeBringsItsPortOrNone) {
  start_with(true);
  ClientConnection& c = world().connect();
  ASSERT_EQ(exchange(c, get("/", "X-Forwarded-Proto: https\r\n")).status(), 200);
  EXPECT_EQ(told("X-Forwarded-Proto"), "https");
  EXPECT_EQ(told("X-Forwarded-Port"), "");
}

TEST_F(ProxyForwardingTest, AHeaderMayComeInPieces) {
  start_with(true, true);
  const std::string all = line + get();
  for (size_t cut = 1; cut < line.size() + 3; ++cut) {
    ClientConnection& c = world().connect();
    c.send(all, {cut});
    ASSERT_TRUE(world().run_until([&] { return finals(c) == 1; })) << cut;
    EXPECT_EQ(told("X-Real-IP"), "192.0.2.77");
    world().close(c);
  }
}

TEST_F(ProxyForwardingTest, WhoeverSendsNoHeaderIsResetAndNothingIsAnswered) {
  start_with(true, true);
  for (const std::string& text : {get(), std::string("PROXY TCP4 nobody\r\n") + get()}) {
    ClientConnection& c = world().connect();
    c.send(text);
    ASSERT_TRUE(until_over(c));
    EXPECT_TRUE(c.broken);
    EXPECT_EQ(c.received, "");
  }
  // One that ends in the middle of its header.
  ClientConnection& cut = world().connect();
  cut.send(line.substr(0, 10));
  cut.shutdown();
  ASSERT_TRUE(until_over(cut));
  EXPECT_EQ(cut.received, "");
  EXPECT_EQ(count(Counter::proxy_headers_refused), 3U);
  EXPECT_TRUE(origin().requests().empty());
}

TEST_F(ProxyForwardingTest, H31_AHeaderHasToBeWholeInTime) {
  start_with(true, true);
  ClientConnection& c = world().connect();
  c.send(line.substr(0, 10));
  world().run_for(Duration::milliseconds(9'900));
  EXPECT_FALSE(c.broken);
  ASSERT_TRUE(until_over(c, Duration::milliseconds(200)));
  EXPECT_TRUE(c.broken);
}

TEST_F(ProxyForwardingTest, H33_OnlyATrustedPeerMaySpeakForOthers) {
  start_with(false, true);
  ClientConnection& c = world().connect();
  c.send(line + get());
  ASSERT_TRUE(until_over(c));
  EXPECT_TRUE(c.broken);
  EXPECT_EQ(count(Counter::proxy_headers_untrusted), 1U);
  EXPECT_TRUE(origin().requests().empty());
}

TEST_F(ProxyForwardingTest, AListenerWithoutItTakesNoHeader) {
  start_with(true, false);
  ClientConnection& c = world().connect();
  EXPECT_EQ(exchange(c, line + get()).status(), 400);
}

}  // namespace
}  // namespace millrace::proxy_world

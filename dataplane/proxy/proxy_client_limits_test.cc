// What one client may have and ask, so that it cannot have everything.
#include "tests/support/proxy_fixture.h"

namespace millrace::proxy_world {
namespace {

class ProxyClientLimitsTest : public ProxyFixture {
 protected:
  void begin(uint32_t connections, uint32_t requests, const char* trusted = nullptr) {
    Options options;
    options.proxy.clients = {connections, requests};
    if (trusted != nullptr) {
      options.proxy.forwarding.trusted = {{*Ipv4Prefix::parse(trusted)}, {}};
    }
    start(options);
    answer(ok("x\n"));
  }
};

TEST_F(ProxyClientLimitsTest, OneMoreConnectionThanAClientMayHaveIsReset) {
  begin(3, 0);
  std::vector<ClientConnection*> held;
  for (int i = 0; i < 3; ++i) {
    held.push_back(&world().connect());
    EXPECT_EQ(exchange(*held.back(), get()).status(), 200);
  }
  ClientConnection& more = world().connect();
  more.send(get());
  EXPECT_TRUE(until_over(more));
  EXPECT_TRUE(more.broken);
  EXPECT_EQ(count(Counter::proxy_client_connections_full), 1U);
  // However one of them ends, its place is free.
  world().close(*held[0]);
  world().run_for(Duration::seconds(1));
  ClientConnection& next = world().connect();
  EXPECT_EQ(exchange(next, get()).status(), 200);
  world().abort(*held[1]);
  world().run_for(Duration::seconds(1));
  ClientConnection& third = world().connect();
  EXPECT_EQ(exchange(third, get()).status(), 200);
  EXPECT_EQ(exchange(third, "nonsense\r\n\r\n").status(), 400);  // closed by us
  world().run_for(Duration::seconds(10));
  ClientConnection& fourth = world().connect();
  EXPECT_EQ(exchange(fourth, get()).status(), 200);
  // One at rest that nobody uses is closed after a minute.
  world().run_for(Duration::seconds(120));
  for (int i = 0; i < 3; ++i) {
    ClientConnection& fresh = world().connect();
    EXPECT_EQ(exchange(fresh, get()).status(), 200) << i;
  }
  EXPECT_EQ(count(Counter::proxy_client_connections_full), 1U);
}

TEST_F(ProxyClientLimitsTest, ATrustedProxyMayHaveAnyNumber) {
  begin(2, 0, "10.0.0.0/24");
  for (int i = 0; i < 5; ++i) {
    ClientConnection& c = world().connect();
    EXPECT_EQ(exchange(c, get()).status(), 200) << i;
  }
  EXPECT_EQ(count(Counter::proxy_client_connections_full), 0U);
}

TEST_F(ProxyClientLimitsTest, WhoAsksTooFastIsAnswered429AndGoesOn) {
  begin(0, 5);
  ClientConnection& c = world().connect();
  ClientConnection& other = world().connect();
  int limited = 0;
  for (int i = 0; i < 8; ++i) {
    const int status = exchange(i % 2 == 0 ? c : other, get()).status();
    EXPECT_EQ(status, i < 5 ? 200 : 429) << i;
    limited += status == 429 ? 1 : 0;
  }
  EXPECT_EQ(count(Counter::proxy_client_requests_limited), static_cast<uint64_t>(limited));
  EXPECT_EQ(origin().requests().size(), 5U);
  world().run_for(Duration::milliseconds(200));
  EXPECT_EQ(exchange(c, get()).status(), 200);
  EXPECT_EQ(exchange(c, get()).status(), 429);
}

TEST_F(ProxyClientLimitsTest, BehindATrustedProxyEachClientCountsByItself) {
  begin(0, 2, "10.0.0.1/32");
  ClientConnection& c = world().connect();
  for (int client = 1; client <= 3; ++client) {
    const std::string field = "X-Forwarded-For: 192.0.2." + std::to_string(client) + "\r\n";
    EXPECT_EQ(exchange(c, get("/", field)).status(), 200);
    EXPECT_EQ(exchange(c, get("/", field)).status(), 200);
    EXPECT_EQ(exchange(c, get("/", field)).status(), 429);
  }
}

// What is refused for its framing's sake must not be read as the next request.
TEST_F(ProxyClientLimitsTest, ABodyThatIsNotReadEndsTheConnection) {
  begin(0, 1);
  ClientConnection& c = world().connect();
  ASSERT_EQ(exchange(c, get()).status(), 200);
  const Message refused = exchange(c, post(get("/smuggled")));
  EXPECT_EQ(refused.status(), 429);
  EXPECT_EQ(refused.field("Connection"), "close");
  world().run_for(Duration::seconds(3));
  EXPECT_EQ(origin().requests().size(), 1U);
}

}  // namespace
}  // namespace millrace::proxy_world

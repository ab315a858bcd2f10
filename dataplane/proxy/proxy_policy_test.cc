// What the Ingress of a route may ask for beside its backend: an endpoint by a hash or by a cookie,
// a PROXY header for it, slashes that are encoded.
#include <set>

#include "tests/support/proxy_fixture.h"

namespace millrace::proxy_world {
namespace {

using shm::HashSource;
using shm::ServiceBalance;
using shm::ServicePolicyInput;
using Then = OriginReply::Then;

constexpr uint32_t origins = 4;

class ProxyPolicyTest : public ProxyFixture {
 protected:
  void SetUp() override { begin(Options()); }
  void begin(Options options) {
    options.origins = origins;
    start(options);
    for (uint32_t i = 0; i < origins; ++i) {
      origin(i).on_request = [i](const OriginRequest&) {
        return reply(ok("origin " + std::to_string(i) + "\n"));
      };
    }
  }
  static std::vector<Endpoint> all() {
    return {{0, origin_port, true},
            {1, origin_port, true},
            {2, origin_port, true},
            {3, origin_port, true}};
  }
  void install(const ServicePolicyInput& policy, std::vector<Endpoint> endpoints = all()) {
    world().install({{host, std::move(endpoints), "/", policy}});
  }
  // Which origin answers.
  uint32_t asked(ClientConnection& c, std::string_view request) {
    const Message answer = exchange(c, request);
    EXPECT_EQ(answer.status(), 200);
    return answer.body.size() > 7 ? static_cast<uint32_t>(answer.body[7] - '0') : UINT32_MAX;
  }
  // "name=value" of the answer's Set-Cookie; "": there is none.
  std::string cookie(ClientConnection& c, std::string_view request) {
    const std::string field = exchange(c, request).field("Set-Cookie");
    return field.substr(0, field.find(';'));
  }
};

TEST_F(ProxyPolicyTest, AHeaderThatIsHashedLeadsToOneEndpoint) {
  install({ServiceBalance::hash, HashSource::header, 0, "x-tenant"});
  ClientConnection& c = world().connect();
  std::set<uint32_t> seen;
  for (int tenant = 0; tenant < 24; ++tenant) {
    const std::string field = "X-Tenant: t" + std::to_string(tenant) + "\r\n";
    const uint32_t first = asked(c, get("/", field));
    EXPECT_EQ(asked(c, get("/another", field)), first);
    ClientConnection& other = world().connect();
    EXPECT_EQ(asked(other, get("/", field)), first);
    seen.insert(first);
  }
  EXPECT_EQ(seen.size(), size_t{origins});
  // Without it each in its turn.
  seen.clear();
  for (uint32_t i = 0; i < origins; ++i) seen.insert(asked(c, get()));
  EXPECT_EQ(seen.size(), size_t{origins});
}

TEST_F(ProxyPolicyTest, PathAddressAndCookieMayBeHashed) {
  ClientConnection& c = world().connect();
  install({ServiceBalance::hash, HashSource::path, 0, ""});
  std::set<uint32_t> seen;
  for (int i = 0; i < 24; ++i) {
    const std::string path = "/image/" + std::to_string(i);
    const uint32_t first = asked(c, get(path));
    EXPECT_EQ(asked(c, get(path + "?query=is&no=part")), first);
    seen.insert(first);
  }
  EXPECT_EQ(seen.size(), size_t{origins});
  install({ServiceBalance::hash, HashSource::client_address, 0, ""});
  seen.clear();
  for (int i = 0; i < 6; ++i) {
    ClientConnection& other = world().connect();
    seen.insert(asked(other, get()));
  }
  EXPECT_EQ(seen.size(), 1U);
  install({ServiceBalance::hash, HashSource::cookie, 0, "user"});
  seen.clear();
  for (int i = 0; i < 24; ++i) {
    const std::string user = "user=u" + std::to_string(i);
    const uint32_t first = asked(c, get("/", "Cookie: a=b; " + user + "; c=d\r\n"));
    EXPECT_EQ(asked(c, get("/", "Cookie: user2=x; xuser=y\r\nCookie: " + user + "\r\n")), first);
    seen.insert(first);
  }
  EXPECT_EQ(seen.size(), size_t{origins});
}

TEST_F(ProxyPolicyTest, WhatIsHashedSurvivesARetryOnAnotherEndpoint) {
  // Half of the endpoints refuse connections.
  install({ServiceBalance::hash, HashSource::header, 0, "x-tenant"},
          {{0, 9'999, true}, {1, origin_port, true}, {2, 9'999, true}, {3, origin_port, true}});
  ClientConnection& c = world().connect();
  for (int tenant = 0; tenant < 12; ++tenant) {
    const std::string field = "X-Tenant: t" + std::to_string(tenant) + "\r\n";
    const Message answer = exchange(c, get("/", field));
    EXPECT_TRUE(answer.status() == 200 || answer.status() == 502) << answer.head;
  }
  EXPECT_GT(count(Counter::proxy_upstream_retries), 0U);
}

TEST_F(ProxyPolicyTest, AClientComesBackToItsEndpointByItsCookie) {
  install({ServiceBalance::unset, HashSource::none, shm::policy_sticky_cookie, "route"});
  ClientConnection& c = world().connect();
  const Message first = exchange(c, get());
  const std::string field = first.field("Set-Cookie");
  EXPECT_EQ(field.substr(0, 6), "route=") << first.head;
  EXPECT_EQ(field.substr(field.find(';')), "; Path=/; HttpOnly; SameSite=Lax");
  const std::string mine = field.substr(0, field.find(';'));
  EXPECT_EQ(mine.size(), 6U + 16U);
  const uint32_t origin_number = static_cast<uint32_t>(first.body[7] - '0');
  for (int i = 0; i < 6; ++i) {
    ClientConnection& other = world().connect();
    const Message again = exchange(other, get("/", "Cookie: a=1; " + mine + "\r\n"));
    EXPECT_EQ(again.body, "origin " + std::to_string(origin_number) + "\n");
    EXPECT_FALSE(again.has("Set-Cookie"));
  }
  // Its endpoint is gone: another one, and another cookie.
  std::vector<Endpoint> fewer = all();
  fewer.erase(fewer.begin() + origin_number);
  install({ServiceBalance::unset, HashSource::none, shm::policy_sticky_cookie, "route"}, fewer);
  const std::string next = cookie(c, get("/", "Cookie: " + mine + "\r\n"));
  EXPECT_NE(next, "");
  EXPECT_NE(next, mine);
  EXPECT_EQ(cookie(c, get("/", "Cookie: " + next + "\r\n")), "");
}

TEST_F(ProxyPolicyTest, ACookieThatIsNoneOfOursCountsForNothing) {
  install({ServiceBalance::unset, HashSource::none, shm::policy_sticky_cookie, "route"});
  ClientConnection& c = world().connect();
  for (const char* value :
       {"", "x", "0", "00000000000000000", "zzzzzzzzzzzzzzzz", "-000000000000001",
        "0x00000000000001", "0000000000000000", "ffffffffffffffff", "0000000100001f9"}) {
    EXPECT_NE(cookie(c, get("/", "Cookie: route=" + std::string(value) + "\r\n")), "") << value;
  }
}

TEST_F(ProxyPolicyTest, AnOriginsOwnCookiesStay) {
  install({ServiceBalance::unset, HashSource::none, shm::policy_sticky_cookie, "route"});
  for (uint32_t i = 0; i < origins; ++i) {
    origin(i).on_request = [](const OriginRequest&) {
      return reply(ok(pattern(100'000, 1), "Set-Cookie: own=1\r\n"));  // not by the fast door
    };
  }
  ClientConnection& c = world().connect();
  const Message answer = exchange(c, get());
  EXPECT_NE(answer.head.find("Set-Cookie: own=1\r\n"), std::string::npos);
  EXPECT_NE(answer.head.find("Set-Cookie: route="), std::string::npos);
}

TEST_F(ProxyPolicyTest, EncodedSlashesAreForTheRouteToSay) {
  const ServicePolicyInput passes{ServiceBalance::unset, HashSource::none,
                                  shm::policy_passes_encoded_slash, ""};
  const ServicePolicyInput refuses{ServiceBalance::unset, HashSource::none,
                                   shm::policy_refuses_encoded_slash, ""};
  const auto table = [&] {
    world().install({{host, {{0, origin_port, true}}, "/"},
                     {host, {{0, origin_port, true}}, "/open", passes},
                     {host, {{0, origin_port, true}}, "/shut", refuses}});
  };
  table();
  ClientConnection& c = world().connect();
  EXPECT_EQ(exchange(c, get("/a%2Fb")).status(), 400);
  EXPECT_EQ(exchange(c, get("/open/a%2Fb%5cc")).status(), 200);
  EXPECT_EQ(origin(0).last().message.first_line(), "GET /open/a%2Fb%5cc HTTP/1.1");
  // What is resolved counts: the path ends in another route.
  EXPECT_EQ(exchange(c, get("/open/../a%2Fb")).status(), 400);
  EXPECT_EQ(exchange(c, get("/x/../open/%7Ea%2Fb")).status(), 200);
  EXPECT_EQ(origin(0).last().message.first_line(), "GET /open/~a%2Fb HTTP/1.1");
  EXPECT_EQ(exchange(c, get("/shut/a%2Fb")).status(), 400);
  EXPECT_EQ(exchange(c, get("/open/a%00b")).status(), 400);
  EXPECT_EQ(count(Counter::proxy_paths_refused), 4U);
  Options options;
  options.proxy.paths.passes_encoded_slash = true;
  begin(options);
  table();
  ClientConnection& other = world().connect();
  EXPECT_EQ(exchange(other, get("/a%2Fb")).status(), 200);
  EXPECT_EQ(exchange(other, get("/shut/a%2fb")).status(), 400);
}

TEST_F(ProxyPolicyTest, EveryConnectionToAnEndpointBeginsWithItsClientsHeader) {
  install({ServiceBalance::unset, HashSource::none, shm::policy_proxy_header_v1, ""},
          {{0, origin_port, true}});
  ClientConnection& c = world().connect();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(exchange(c, get("/" + std::to_string(i))).status(), 200);
  ClientConnection& other = world().connect();
  EXPECT_EQ(exchange(other, post("a body", "/3")).status(), 200);
  ASSERT_EQ(origin(0).requests().size(), 4U);
  EXPECT_EQ(origin(0).accepted(), 4U);  // none is used for a second request
  std::set<std::string> headers;
  for (int i = 0; i < 4; ++i) {
    const std::string& raw = origin(0).requests()[static_cast<size_t>(i)].raw;
    const std::string header = raw.substr(0, raw.find("\r\n"));
    EXPECT_EQ(header.rfind("PROXY TCP4 10.0.0.1 10.0.0.2 ", 0), 0U) << raw;
    EXPECT_EQ(header.substr(header.size() - 3), " 80");
    EXPECT_EQ(
        raw.substr(header.size() + 2).rfind((i < 3 ? "GET /" : "POST /") + std::to_string(i), 0),
        0U);
    headers.insert(header);
  }
  EXPECT_EQ(headers.size(), 2U);  // a port each client
}

TEST_F(ProxyPolicyTest, ARetryBeginsWithTheHeaderOnce) {
  install({ServiceBalance::unset, HashSource::none, shm::policy_proxy_header_v1, ""},
          {{0, 9'999, true}, {1, origin_port, true}});
  for (int i = 0; i < 4; ++i) {
    ClientConnection& c = world().connect();
    EXPECT_EQ(exchange(c, get()).status(), 200);
  }
  EXPECT_GT(count(Counter::proxy_upstream_retries), 0U);
  for (const OriginRequest& request : origin(1).requests()) {
    EXPECT_EQ(request.raw.rfind("PROXY TCP4 ", 0), 0U);
    EXPECT_EQ(request.raw.find("PROXY", 1), std::string::npos);
    EXPECT_NE(request.raw.find("\r\nGET / HTTP/1.1\r\n"), std::string::npos);
  }
}

TEST_F(ProxyPolicyTest, AConnectionOfAServiceWithHeadersIsNotUsedByOneWithout) {
  // The same endpoint under two policies; its pooled connections are those without a header.
  const ServicePolicyInput with{ServiceBalance::unset, HashSource::none,
                                shm::policy_proxy_header_v1, ""};
  install({}, {{0, origin_port, true}});
  ClientConnection& c = world().connect();
  EXPECT_EQ(exchange(c, get("/plain")).status(), 200);
  install(with, {{0, origin_port, true}});
  EXPECT_EQ(exchange(c, get("/told")).status(), 200);
  EXPECT_EQ(origin(0).last().raw.rfind("PROXY ", 0), 0U);
  install({}, {{0, origin_port, true}});
  EXPECT_EQ(exchange(c, get("/plain")).status(), 200);
  EXPECT_EQ(origin(0).last().raw.rfind("GET /plain", 0), 0U);
}

// A request is said again in the words of its first attempt: where the table of now wants others,
// it is not said again.
TEST_F(ProxyPolicyTest, H27_APolicyThatChangesBetweenTheAttempts) {
  struct Change {
    uint8_t before, after;
    int status;
  };
  const uint8_t sticky = shm::policy_sticky_cookie;
  for (const Change& change :
       {Change{shm::policy_passes_encoded_slash, 0, 400},
        Change{shm::policy_passes_encoded_slash, shm::policy_passes_encoded_slash, 200},
        Change{shm::policy_passes_encoded_slash,
               shm::policy_passes_encoded_slash | shm::policy_proxy_header_v1, 502},
        Change{static_cast<uint8_t>(shm::policy_passes_encoded_slash | sticky),
               shm::policy_passes_encoded_slash, 200}}) {
    begin(Options());
    const auto table = [&](uint8_t flags) {
      install(
          {ServiceBalance::unset, HashSource::none, flags, (flags & sticky) != 0 ? "route" : ""},
          {{0, origin_port, true}});
    };
    table(change.before);
    ClientConnection& c = world().connect();
    ASSERT_EQ(exchange(c, get("/warm")).status(), 200);
    bool died = false;
    origin(0).on_request = [&](const OriginRequest&) {
      if (died) return reply(ok("again\n"));
      died = true;
      table(change.after);
      return reply_and(Then::end, "");
    };
    const Message answer = exchange(c, get("/a%2Fb"));
    EXPECT_EQ(answer.status(), change.status);
    EXPECT_FALSE(answer.has("Set-Cookie"));
    EXPECT_EQ(origin(0).requests().size(), change.status == 200 ? 3U : 2U);
    EXPECT_EQ(world().settle(), "");
  }
}

}  // namespace
}  // namespace millrace::proxy_world

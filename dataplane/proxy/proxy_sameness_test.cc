// What must not make a difference: fast doors (H38), encodings of bodies (H37), paths that other
// servers keep for themselves (H35, H40).
#include "tests/support/proxy_fixture.h"

namespace millrace::proxy_world {
namespace {

class ProxySamenessTest : public ProxyFixture {
 protected:
  // What a client and the origin get to see of a conversation, without the Date of the turn.
  std::string transcript(bool fast_paths, const std::vector<std::string>& requests) {
    Options options;
    options.proxy.fast_paths = fast_paths;
    options.limits.fast_paths = fast_paths;
    start(options);
    origin().on_request = [](const OriginRequest& request) { return reply_to(request); };
    ClientConnection& c = world().connect();
    for (const std::string& request : requests) {
      c.send(request);
      world().run_for(Duration::milliseconds(200));
    }
    std::string seen = c.received + (c.ended ? "<end>" : "") + (c.broken ? "<reset>" : "");
    for (const OriginRequest& request : origin().requests())
      seen += "\n--- " + std::to_string(request.connection) + "\n" + request.raw;
    return seen;
  }

  static OriginReply reply_to(const OriginRequest& request) {
    const std::string line = request.message.first_line();
    const std::string path = line.substr(line.find(' ') + 1, line.rfind(' ') - line.find(' ') - 1);
    if (path == "/chunked") {
      return reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
                   chunked(pattern(5'000, 1), 700));
    }
    if (path == "/no-content") return reply("HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n");
    if (path == "/not-modified")
      return reply("HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\nETag: \"e\"\r\n\r\n");
    if (path == "/large") return reply(ok(pattern(100'000, 2)));
    if (path == "/early") return reply("HTTP/1.1 103 x\r\nLink: <y>\r\n\r\n" + ok("after"));
    if (path == "/close")
      return reply_and(OriginReply::Then::end, ok("bye", "Connection: close\r\n"));
    if (path == "/broken") return reply("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello");
    if (line.starts_with("HEAD ")) return reply("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    return reply(ok("hello " + path));
  }
};

TEST_F(ProxySamenessTest, H38_AFastDoorChangesNothingThatAnybodySees) {
  const std::string head = "HEAD / HTTP/1.1\r\nHost: shop.example\r\n\r\n";
  const std::vector<std::string> conversations[] = {
      {get("/1"), get("/2"), get("/3", "Cookie: a=b\r\nConnection: keep-alive\r\n")},
      {get("/1") + get("/2") + get("/large") + get("/4")},
      {post("body"), post(pattern(50'000, 3)), get("/a/../b")},
      {get("/chunked"), get("/no-content"), get("/not-modified"), get("/early"), head, get("/x")},
      {get("/large"), get("/close"), get("/y")},
      {get("/broken"), get("/z")},
      {get("/1", "Connection: close\r\n"), get("/2")},
      {"GET /1 HTTP/1.0\r\nHost: shop.example\r\nConnection: keep-alive\r\n\r\n", get("/2")},
      {get("/1"), "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"},
      {"GET http://shop.example/abs HTTP/1.1\r\nHost: other\r\n\r\n", get("/..", ""), get("/2")},
      {"GET / HTTP/1.1\r\nHost: nobody\r\n\r\n", get("/2")},
  };
  for (const std::vector<std::string>& requests : conversations) {
    const std::string with = transcript(true, requests);
    EXPECT_EQ(with, transcript(false, requests));
    EXPECT_NE(with.find("HTTP/1.1 "), std::string::npos);
  }
}

TEST_F(ProxySamenessTest, H37_EncodedBodiesAndTheirFieldsAreNotTouched) {
  const std::string octets = pattern(3'000, 4);
  const std::string fields =
      "Content-Encoding: gzip\r\nETag: \"e\"\r\nContent-MD5: x==\r\nVary: Accept-Encoding\r\n";
  answer(ok(octets, fields));
  ClientConnection& c = world().connect();
  const Message got = exchange(c, get("/", "Accept-Encoding: gzip, br;q=0.5\r\n"));
  EXPECT_EQ(got.body, octets);
  EXPECT_NE(got.head.find(fields), std::string::npos) << got.head;
  EXPECT_EQ(origin().last().message.field("Accept-Encoding"), "gzip, br;q=0.5");
  // Nor is anything asked for that the client did not ask for.
  EXPECT_EQ(exchange(c, get()).body, octets);
  EXPECT_FALSE(origin().last().message.has("Accept-Encoding"));
}

// Whatever its name, a path belongs to the service; without one it is 404, and never a redirect.
TEST_F(ProxySamenessTest, H35_H40_NothingOfOurOwnIsServed) {
  ClientConnection& c = world().connect();
  for (const char* path : {"/healthz", "/readyz", "/metrics", "/stats", "/admin", "/api/rawdata",
                           "/dashboard/", "/ping", "//evil.example/", "/.well-known/x"}) {
    EXPECT_EQ(exchange(c, get(path)).status(), 200) << path;
    EXPECT_EQ(origin().last().message.first_line(), std::string("GET ") + path + " HTTP/1.1");
    const Message nobody =
        exchange(c, "GET " + std::string(path) + " HTTP/1.1\r\nHost: nobody.example\r\n\r\n");
    EXPECT_EQ(nobody.status(), 404) << path;
    EXPECT_FALSE(nobody.has("Location")) << path;
  }
}

}  // namespace
}  // namespace millrace::proxy_world

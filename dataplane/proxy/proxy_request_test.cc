// The way up: request bodies, expectations, refusals and our own replies.
#include "tests/support/proxy_fixture.h"

namespace millrace::proxy_world {
namespace {

class ProxyRequestTest : public ProxyFixture {};

// Everything a body can be: how it is framed, how long it is, how it is cut.
struct BodyCase {
  size_t bytes;
  size_t chunk_bytes;  // 0: Content-Length
};

std::string post_of(const std::string& body, size_t chunk_bytes) {
  const std::string start = "POST /upload HTTP/1.1\r\nHost: shop.example\r\n";
  if (chunk_bytes == 0)
    return start + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  return start + "Transfer-Encoding: chunked\r\n\r\n" + chunked(body, chunk_bytes);
}

TEST_F(ProxyRequestTest, BodiesOfAllSizesInBothFramings) {
  ClientConnection& c = world().connect();
  uint64_t seed = 0;
  for (size_t bytes :
       {0U, 1U, 2U, 15U, 16U, 17U, 1'447U, 1'448U, 1'449U, 4'096U, 65'535U, 300'000U}) {
    for (size_t chunk_bytes : {0U, 1U, 7U, 1'400U, 65'536U}) {
      if (chunk_bytes != 0 && chunk_bytes < 1'000 && bytes > 5'000) continue;
      const std::string body = pattern(bytes, ++seed);
      ASSERT_EQ(exchange(c, post_of(body, chunk_bytes)).status(), 200)
          << bytes << " " << chunk_bytes;
      const OriginRequest& request = origin().last();
      ASSERT_TRUE(request.message.body == body) << bytes << " " << chunk_bytes;
      EXPECT_EQ(request.message.chunked, chunk_bytes != 0);
      EXPECT_EQ(request.message.field("Content-Length"),
                chunk_bytes == 0 ? std::to_string(bytes) : "");
    }
  }
  EXPECT_EQ(origin().accepted(), 1U);
}

TEST_F(ProxyRequestTest, BodiesWithSmallWindowsAndAPauseOfTheReader) {
  Options options;
  options.limits.receive_slots_initial = options.limits.receive_slots_max = 4;
  options.limits.send_slots_max = 8;
  options.origin_limits.receive_slots_initial = options.origin_limits.receive_slots_max = 3;
  start(options);
  const std::string body = pattern(300'000, 5);
  for (size_t chunk_bytes : {0U, 1'000U}) {
    origin().reading = false;
    ClientConnection& c = world().connect();
    c.send(post_of(body, chunk_bytes));
    world().run_for(Duration::seconds(10));
    // Backpressure: what waits in the worker is bounded by the windows, not by the body.
    EXPECT_LT(world().worker().tcp().slots_held(), 32U);
    origin().reading = true;
    ASSERT_TRUE(world().run_until([&] { return finals(c) == 1; }, Duration::seconds(120)));
    EXPECT_TRUE(origin().last().message.body == body);
  }
}

TEST_F(ProxyRequestTest, H11_H13_ExtensionsAndTrailersAreDropped) {
  ClientConnection& c = world().connect();
  const std::string head =
      "POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(exchange(c, head + "3;a=b;c=\"d\"\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\n").status(), 200);
  const std::string& raw = origin().last().raw;
  EXPECT_EQ(raw.substr(raw.find("\r\n\r\n") + 4), "3\r\nabc\r\n0\r\n\r\n");
}

// One who sends thousands of chunks of one octet has them framed anew by the segment, not one by
// one; what is wrong behind them is as wrong as ever.
TEST_F(ProxyRequestTest, H11_ChunksThatComeTogetherLeaveTogether) {
  ClientConnection& c = world().connect();
  const std::string body = pattern(3'000, 8);
  EXPECT_EQ(exchange(c, post_of(body, 1)).status(), 200);
  EXPECT_EQ(origin().last().message.body, body);
  const std::string& raw = origin().last().raw;
  EXPECT_LT(raw.size() - raw.find("\r\n\r\n"), body.size() + 300);
  c.send(post_of("abc", 1) + post_of("def", 1));
  ASSERT_TRUE(world().run_until([&] { return finals(c) == 3; }));
  EXPECT_EQ(origin().last().message.body, "def");
  const size_t requests = origin().requests().size();
  std::string broken = post_of(body, 1);
  broken.replace(broken.size() - 25, 1, "x");
  c.send(broken);
  ASSERT_TRUE(until_over(c));
  EXPECT_EQ(c.responses().back().status(), 400);
  EXPECT_EQ(origin().requests().size(), requests);
}

TEST_F(ProxyRequestTest, ChunkedBodyCutAtEveryOffset) {
  const std::string request = post_of("abcdefghij", 4);
  ClientConnection& c = world().connect();
  for (size_t cut = 1; cut < request.size(); ++cut) {
    const size_t before = finals(c);
    c.send(request, {cut});
    ASSERT_TRUE(world().run_until([&] { return finals(c) > before; })) << cut;
    ASSERT_EQ(origin().last().message.body, "abcdefghij") << cut;
  }
}

TEST_F(ProxyRequestTest, H11_MalformedChunkIsNeverAWholeRequestAtTheOrigin) {
  const std::string head =
      "POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const char* body : {"3\r\nabcd\r\n0\r\n\r\n", "x\r\n", "3\nabc\r\n0\r\n\r\n",
                           "0x3\r\nabc\r\n0\r\n\r\n", "3\r\nabc\r\n0\r\nbad trailer\r\n\r\n"}) {
    ClientConnection& c = world().connect();
    c.send(head + body + get("/smuggled"));
    ASSERT_TRUE(until_over(c)) << body;
    EXPECT_EQ(c.responses()[0].status(), 400) << body;
    EXPECT_EQ(c.responses().size(), 1U) << body;
    world().run_for(Duration::milliseconds(10));
    EXPECT_EQ(origin().requests().size(), 0U) << body;
    EXPECT_EQ(origin().standing(), 0U) << body;
  }
}

TEST_F(ProxyRequestTest, ClientEndsInsideItsBody) {
  ClientConnection& c = world().connect();
  c.send("POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 10\r\n\r\nabc");
  c.shutdown();
  ASSERT_TRUE(until_over(c));
  EXPECT_EQ(c.responses()[0].status(), 400);
  EXPECT_EQ(origin().requests().size(), 0U);
}

TEST_F(ProxyRequestTest, H19_ExpectContinue) {
  ClientConnection& c = world().connect();
  const std::string body = pattern(20'000, 6);
  c.send(
      "POST / HTTP/1.1\r\nHost: shop.example\r\nExpect: 100-continue\r\nContent-Length: "
      "20000\r\n\r\n");
  ASSERT_TRUE(world().run_until([&] { return !c.received.empty(); }));
  EXPECT_EQ(c.received, "HTTP/1.1 100 Continue\r\n\r\n");
  c.send(body);
  ASSERT_TRUE(world().run_until([&] { return finals(c) == 1; }));
  EXPECT_FALSE(origin().last().message.has("Expect"));
  EXPECT_TRUE(origin().last().message.body == body);
  EXPECT_EQ(c.responses().size(), 2U) << "one 100 and the answer";
  EXPECT_EQ(exchange(c, get()).status(), 200);
}

TEST_F(ProxyRequestTest, H19_OneContinueAlthoughTheFirstEndpointRefused) {
  // The port refuses: the request goes to the next endpoint, the 100 does not go out twice.
  world().install({{host, {{0, 9'999, true}, {1, origin_port, true}}}});
  for (int i = 0; i < 2; ++i) {  // whichever endpoint is first
    ClientConnection& c = world().connect();
    c.send(
        "POST / HTTP/1.1\r\nHost: shop.example\r\nExpect: 100-continue\r\nContent-Length: "
        "3\r\n\r\n");
    ASSERT_TRUE(world().run_until([&] { return !c.received.empty(); }));
    world().run_for(Duration::milliseconds(50));
    c.send("abc");
    ASSERT_TRUE(world().run_until([&] { return finals(c) == 1; }));
    EXPECT_EQ(c.responses().size(), 2U) << c.received;
    EXPECT_EQ(c.responses().back().status(), 200);
  }
}

TEST_F(ProxyRequestTest, H19_FinalAnswerInsteadOfTheBody) {
  origin().on_head = [](const OriginRequest&) {
    return reply("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
  };
  ClientConnection& c = world().connect();
  c.send(
      "POST / HTTP/1.1\r\nHost: shop.example\r\nExpect: 100-continue\r\nContent-Length: "
      "50\r\n\r\n");
  ASSERT_TRUE(until_over(c));
  EXPECT_TRUE(c.ended);
  EXPECT_EQ(c.responses().back().status(), 417);
  EXPECT_EQ(c.responses().back().field("Connection"), "close");
  // What comes now is a body that nobody waits for, and looks like a request.
  c.send(get("/smuggled"));
  world().run_for(Duration::seconds(3));
  EXPECT_EQ(origin().requests().size(), 0U);
  EXPECT_EQ(origin().standing(), 0U) << "a connection with half a request is not used again";
}

TEST_F(ProxyRequestTest, H20_EarlyFinalResponseEndsTheConnectionAndTheBodyIsNoRequest) {
  origin().on_head = [](const OriginRequest&) {
    return reply("HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nbig\n");
  };
  for (size_t pause_ms : {0U, 5U, 500U}) {
    ClientConnection& c = world().connect();
    c.send("POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 100000\r\n\r\nxyz");
    if (pause_ms > 0) world().run_for(Duration::milliseconds(static_cast<int64_t>(pause_ms)));
    c.send(get("/smuggled") + pattern(50'000, 1));
    ASSERT_TRUE(until_over(c)) << pause_ms;
    EXPECT_TRUE(c.ended) << "an end, not a reset that could overtake the answer";
    ASSERT_EQ(c.responses().size(), 1U);
    EXPECT_EQ(c.responses()[0].status(), 413);
    EXPECT_EQ(c.responses()[0].body, "big\n");
    EXPECT_EQ(c.responses()[0].field("Connection"), "close");
  }
  EXPECT_EQ(origin().requests().size(), 0U);
}

TEST_F(ProxyRequestTest, H20_LocalReplyBeforeTheBodyIsRead) {
  for (const std::string& framing : {std::string("Content-Length: 42\r\n\r\n"),
                                     std::string("Transfer-Encoding: chunked\r\n\r\n")}) {
    ClientConnection& c = world().connect();
    c.send("POST / HTTP/1.1\r\nHost: nowhere.example\r\n" + framing);
    c.send(get("/smuggled"));
    ASSERT_TRUE(until_over(c));
    EXPECT_TRUE(c.ended);
    ASSERT_EQ(c.responses().size(), 1U);
    EXPECT_EQ(c.responses()[0].status(), 404);
    EXPECT_EQ(c.responses()[0].field("Connection"), "close");
    c.send(get("/smuggled-too"));
    world().run_for(Duration::seconds(1));
  }
  EXPECT_EQ(origin().requests().size(), 0U);
}

TEST_F(ProxyRequestTest, H20_LingerEndsWithinItsTime) {
  ClientConnection& c = world().connect();
  c.send("GET nonsense\r\n\r\n");
  ASSERT_TRUE(until_over(c));
  EXPECT_EQ(world().worker().proxy().session_count(), 1U) << "waits for the client's FIN";
  world().run_for(Duration::milliseconds(1'900));
  EXPECT_EQ(world().worker().proxy().session_count(), 1U);
  world().run_for(Duration::milliseconds(200));
  EXPECT_EQ(world().worker().proxy().session_count(), 0U);
}

TEST_F(ProxyRequestTest, LocalRepliesAndWhetherTheConnectionStays) {
  struct Case {
    std::string request;
    int status;
    bool stays;
  };
  const std::string host_line = "Host: shop.example\r\n";
  const std::vector<Case> cases = {
      {"GET / HTTP/1.1\r\nHost: nowhere.example\r\n\r\n", 404, true},
      {"GET / HTTP/1.1\r\nHost: nowhere.example\r\nConnection: close\r\n\r\n", 404, false},
      {"GET / HTTP/1.0\r\nHost: nowhere.example\r\n\r\n", 404, false},
      {"OPTIONS * HTTP/1.1\r\n" + host_line + "\r\n", 404, true},
      {"POST / HTTP/1.1\r\nHost: nowhere.example\r\nContent-Length: 0\r\n\r\n", 404, true},
      {"GET / HTTP/1.1\r\n\r\n", 400, false},
      {"GET  / HTTP/1.1\r\n" + host_line + "\r\n", 400, false},
      {"GET / HTTP/1.1\n" + host_line + "\r\n", 400, false},
      {"POST / HTTP/1.1\r\n" + host_line +
           "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
       400, false},
      {"GET /" + std::string(9'000, 'a') + " HTTP/1.1\r\n" + host_line + "\r\n", 414, false},
      {"GET / HTTP/1.1\r\n" + host_line + "X: " + std::string(17'000, 'a') + "\r\n\r\n", 431,
       false},
      {"TRACE / HTTP/1.1\r\n" + host_line + "\r\n", 405, false},
      {"CONNECT a:1 HTTP/1.1\r\n" + host_line + "\r\n", 501, false},
      {"GET / HTTP/2.0\r\n" + host_line + "\r\n", 505, false},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.request.substr(0, 60));
    ClientConnection& c = world().connect();
    const Message message = exchange(c, one.request);
    EXPECT_EQ(message.status(), one.status);
    EXPECT_EQ(message.field("Connection"), one.stays ? "" : "close");
    EXPECT_EQ(message.body, message.first_line().substr(9) + "\n");
    EXPECT_TRUE(message.has("Date"));
    if (one.stays) {
      EXPECT_EQ(exchange(c, get()).status(), 200);
      EXPECT_FALSE(c.ended);
    } else {
      EXPECT_TRUE(until_over(c));
      EXPECT_TRUE(c.ended);
    }
    world().close(c);
  }
}

TEST_F(ProxyRequestTest, H6_TooManyAndTooLargeHeadsAnswer431) {
  std::string many;
  for (int i = 0; i < 129; ++i) many += "X-" + std::to_string(i) + ": 1\r\n";
  EXPECT_EQ(read_message(world().fetch(get("/", many)), Kind::response).status(), 431);
  std::string large;
  for (int i = 0; i < 70; ++i)
    large += "X-" + std::to_string(i) + ": " + std::string(1'000, 'v') + "\r\n";
  EXPECT_EQ(read_message(world().fetch(get("/", large)), Kind::response).status(), 431);
}

TEST_F(ProxyRequestTest, LocalReplyToHeadHasNoBody) {
  ClientConnection& c = world().connect();
  c.send("HEAD / HTTP/1.1\r\nHost: nowhere.example\r\n\r\n" + get());
  ASSERT_TRUE(world().run_until([&] { return c.received.find("hello") != std::string::npos; }));
  const Message first = read_message(c.received, Kind::response_to_head);
  EXPECT_EQ(first.status(), 404);
  EXPECT_EQ(first.field("Content-Length"), "14");
  EXPECT_EQ(read_message(std::string_view(c.received).substr(first.bytes), Kind::response).status(),
            200);
}

TEST_F(ProxyRequestTest, NoEndpointAnswers503AndKeepsTheConnection) {
  world().install({{host, {}}, {"notready.example", {{0, origin_port, false}}}});
  ClientConnection& c = world().connect();
  EXPECT_EQ(exchange(c, get()).status(), 503);
  EXPECT_EQ(exchange(c, "GET / HTTP/1.1\r\nHost: notready.example\r\n\r\n").status(), 503);
  world().install({{host, {{0, origin_port, true}}}});
  EXPECT_EQ(exchange(c, get()).status(), 200);
}

TEST_F(ProxyRequestTest, H29_HalfClosedClientGetsItsResponse) {
  origin().on_request = [](const OriginRequest&) {
    OriginReply made = reply(ok(pattern(100'000, 2)));
    made.delay = Duration::seconds(1);
    return made;
  };
  ClientConnection& c = world().connect();
  c.send(get("/1") + get("/2"));
  c.shutdown();
  ASSERT_TRUE(until_over(c));
  EXPECT_TRUE(c.ended);
  ASSERT_EQ(c.responses().size(), 2U);
  EXPECT_TRUE(c.responses()[1].body == pattern(100'000, 2));
}

TEST_F(ProxyRequestTest, H29_HalfCloseBehindABodyAndBehindAPartialHead) {
  ClientConnection& whole = world().connect();
  whole.send(post("body"));
  whole.shutdown();
  ASSERT_TRUE(until_over(whole));
  EXPECT_EQ(whole.responses()[0].status(), 200);
  ClientConnection& partial = world().connect();
  partial.send("GET / HTTP/1.1\r\nHost: sho");
  partial.shutdown();
  ASSERT_TRUE(until_over(partial));
  EXPECT_TRUE(partial.ended);
  EXPECT_EQ(partial.responses()[0].status(), 400);
}

TEST_F(ProxyRequestTest, ClientThatSaysNothingAndEnds) {
  ClientConnection& c = world().connect();
  world().run_until([&] { return c.connected; });
  c.shutdown();
  ASSERT_TRUE(until_over(c));
  EXPECT_TRUE(c.ended);
  EXPECT_EQ(c.received, "");
}

// A client that pipelines requests that we answer ourselves and never reads must be held up by its
// own window: what waits for it is bounded.
TEST_F(ProxyRequestTest, H26_UnreadLocalRepliesAreBounded) {
  Options options;
  options.arena_slots = 1'024;
  options.client_limits.receive_slots_initial = options.client_limits.receive_slots_max = 4;
  start(options);
  ClientConnection& c = world().connect();
  c.reading = false;
  std::string all;
  for (int i = 0; i < 20'000; ++i) all += "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
  c.send(all);
  world().run_for(Duration::seconds(5));
  EXPECT_LT(world().worker().tcp().slots_held(), 200U)
      << "of " << world().worker().arena().capacity();
  EXPECT_FALSE(c.broken);
  c.reading = true;
  ASSERT_TRUE(
      world().run_until([&] { return finals(c) > 5'000 || c.broken; }, Duration::seconds(60)));
  EXPECT_FALSE(c.broken);
}

// H18: what is matched is what the origin gets, and what it could read otherwise is refused.
TEST_F(ProxyRequestTest, H18_PathsAreSentAsTheyWereMatched) {
  world().install(
      {{host, {{0, origin_port, true}}, "/"}, {host, {{1, origin_port, true}}, "/admin"}});
  const struct {
    const char* sent;
    const char* line;
    uint32_t origin;
  } rows[] = {
      {"/admin/x", "GET /admin/x HTTP/1.1", 1},
      {"/a/../admin", "GET /admin HTTP/1.1", 1},
      {"/a/%2e%2E/admin?x=/../y", "GET /admin?x=/../y HTTP/1.1", 1},
      {"/%61dmin", "GET /admin HTTP/1.1", 1},
      {"/admin/../a/./b", "GET /a/b HTTP/1.1", 0},
      {"/admin/..", "GET / HTTP/1.1", 0},
      {"/caf%C3%A9%20x", "GET /caf%C3%A9%20x HTTP/1.1", 0},
      {"http://shop.example/./admin", "GET /admin HTTP/1.1", 1},
  };
  ClientConnection& c = world().connect();
  for (const auto& row : rows) {
    EXPECT_EQ(exchange(c, get(row.sent)).status(), 200) << row.sent;
    ASSERT_FALSE(origin(row.origin).requests().empty()) << row.sent;
    EXPECT_EQ(origin(row.origin).last().message.first_line(), row.line);
    origin(row.origin).forget();
    EXPECT_TRUE(origin(1 - row.origin).requests().empty()) << row.sent;
  }
  for (const char* refused : {"/admin%2fx", "/..", "/a/../../admin", "/a%00", "/a\\..\\admin",
                              "/a%", "/..;/admin", "/a%5cb"}) {
    EXPECT_EQ(exchange(c, get(refused)).status(), 400) << refused;
    EXPECT_TRUE(origin(0).requests().empty() && origin(1).requests().empty()) << refused;
  }
  EXPECT_EQ(count(Counter::proxy_paths_refused), 8U);
  EXPECT_EQ(count(Counter::proxy_paths_rewritten), 6U);
}

TEST_F(ProxyRequestTest, H18_EncodedSlashesPassWhereTheyMay) {
  Options options;
  options.proxy.paths.passes_encoded_slash = true;
  start(options);
  ClientConnection& c = world().connect();
  EXPECT_EQ(exchange(c, get("/@scope%2Fname")).status(), 200);
  EXPECT_EQ(origin().last().message.first_line(), "GET /@scope%2Fname HTTP/1.1");
  EXPECT_EQ(exchange(c, get("/a\\b")).status(), 400);
}

TEST_F(ProxyRequestTest, H20_BodiesOverTheLimitAnswer413) {
  Options options;
  options.proxy.request_body_bytes_max = 10'000;
  start(options);
  for (const size_t bytes : {9'999U, 10'000U, 10'001U, 100'000U}) {
    for (const size_t chunk_bytes : {0U, 10U, 3'000U, 100'000U}) {
      SCOPED_TRACE(std::to_string(bytes) + " " + std::to_string(chunk_bytes));
      origin().forget();
      ClientConnection& c = world().connect();
      c.send(post_of(pattern(bytes, bytes), chunk_bytes) + get("/behind"));
      if (bytes <= 10'000) {
        ASSERT_TRUE(world().run_until([&] { return finals(c) == 2; }));
        EXPECT_EQ(c.responses()[0].status(), 200);
        continue;
      }
      ASSERT_TRUE(until_over(c));
      ASSERT_GE(c.responses().size(), 1U);
      EXPECT_EQ(c.responses()[0].status(), 413);
      EXPECT_EQ(c.responses()[0].field("Connection"), "close");
      EXPECT_EQ(finals(c), 1U) << "its body is never the next request";
      world().run_for(Duration::milliseconds(20));
      EXPECT_EQ(origin().requests().size(), 0U) << "never whole at the origin";
    }
  }
}

// The limit holds for a body whose origin has begun to answer, too.
TEST_F(ProxyRequestTest, H20_BodyOverTheLimitBehindAnEarlyResponse) {
  Options options;
  options.proxy.request_body_bytes_max = 10'000;
  start(options);
  origin().on_head = [](const OriginRequest&) {
    return reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n");
  };
  ClientConnection& c = world().connect();
  c.send("POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n");
  ASSERT_TRUE(world().run_until([&] { return c.received.find("early") != std::string::npos; }));
  c.send(chunked(pattern(200'000, 1), 5'000));
  world().run_for(Duration::seconds(5));
  EXPECT_TRUE(c.ended || c.broken);
  EXPECT_EQ(origin().requests().size(), 0U);
}

}  // namespace
}  // namespace millrace::proxy_world

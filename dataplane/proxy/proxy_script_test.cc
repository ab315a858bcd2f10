// Origins by a script: each response stops for a while, ends or is reset behind every one of its
// octets (H22 to H25). A client never takes a part for the whole, and the client after it gets its
// own answer.
#include "tests/support/proxy_fixture.h"

namespace millrace::proxy_world {
namespace {

using Then = OriginReply::Then;

constexpr Duration stall = Duration::milliseconds(40);

struct Script {
  const char* what;
  std::string request;
  std::string response;
  size_t head_end = 0;  // where its final head ends
  size_t whole = 0;     // where the client has all of it; SIZE_MAX: at the connection's end
  int status = 200;
  std::string body;  // as the client must see it
};

Script script(const char* what, std::string request, std::string head, std::string body_text,
              int status, std::string body, std::string interim = "", std::string behind = "") {
  Script made{what,   std::move(request), interim + head + body_text + behind, 0, 0,
              status, std::move(body)};
  made.head_end = interim.size() + head.size();
  made.whole = made.head_end + body_text.size();
  return made;
}

class ProxyScriptTest : public ProxyFixture {
 protected:
  static std::vector<Script> scripts() {
    const std::string body = pattern(60, 3);
    const std::string length = "HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n";
    std::vector<Script> all = {
        script("a length", get(), length, body, 200, body),
        script("chunks", get(), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
               "1e;name=\"a;b\"\r\n" + body.substr(0, 30) + "\r\n1E\r\n" + body.substr(30) +
                   "\r\n0\r\nTrailer: x\r\n\r\n",
               200, body),
        script("interim responses", get(), length, body, 200, body,
               "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"),
        script("no content", get(), "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", "", 204, ""),
        script("not modified", get(), "HTTP/1.1 304 Not Modified\r\nContent-Length: 60\r\n\r\n", "",
               304, ""),
        script("an answer to HEAD", "HEAD / HTTP/1.1\r\nHost: shop.example\r\n\r\n", length, "",
               200, ""),
        script("HTTP/1.0", get(), "HTTP/1.0 200 OK\r\nContent-Length: 60\r\n\r\n", body, 200, body),
        script("to the connection's end", get(), "HTTP/1.1 200 OK\r\nX: y\r\n\r\n", body, 200,
               body),
        script("another answer behind", get(), length, body, 200, body, "",
               "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"),
        script("octets behind no content", get(), "HTTP/1.1 204 No Content\r\n\r\n", "", 204, "",
               "", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"),
    };
    for (Script& made : all) {
      if (std::string_view(made.what) == "to the connection's end") made.whole = SIZE_MAX;
    }
    return all;
  }
  void follow(const Script& made, size_t offset, Then then) {
    origin().on_request = [&made, offset, then](const OriginRequest& request) {
      if (request.message.first_line().find("/innocent") != std::string::npos) {
        return reply(ok("innocent\n"));
      }
      OriginReply answer = reply_and(then, made.response);
      if (then == Then::keep) {  // a stall: the rest is said later
        answer.bytes = made.response.substr(0, offset);
      } else {
        answer.cut = offset;
      }
      return answer;
    };
  }
  // A world looks at every connection that it ever had: after a while it is made anew.
  void renew_now_and_then() {
    if (++rounds_ % rounds_a_world != 0) return;
    EXPECT_EQ(world().settle(), "");
    start(Options());
  }
  void expect_innocent(const std::string& where) {
    ClientConnection& c = world().connect();
    EXPECT_EQ(exchange(c, get("/innocent")).body, "innocent\n") << where;
    world().close(c);
  }
  static void expect_whole(const ClientConnection& c, const Script& made,
                           const std::string& where) {
    const auto all = read_client(c, made);
    ASSERT_FALSE(all.empty()) << where;
    EXPECT_EQ(all.back().status(), made.status) << where;
    EXPECT_EQ(all.back().body, made.body) << where;
    EXPECT_TRUE(all.back().whole) << where;
    EXPECT_EQ(c.received.find("forged"), std::string::npos) << where;
  }
  // An answer to HEAD has no body, which its own head does not tell.
  static std::vector<Message> read_client(const ClientConnection& c, const Script& made) {
    if (made.request.rfind("HEAD", 0) != 0) return c.responses();
    Message message = read_message(c.received, Kind::response_to_head, c.ended);
    return message.whole ? std::vector<Message>{message} : std::vector<Message>{};
  }
  static size_t whole_finals(const ClientConnection& c, const Script& made) {
    size_t number = 0;
    for (const Message& message : read_client(c, made)) {
      number += message.whole && message.status() >= 200 ? 1 : 0;
    }
    return number;
  }

 private:
  static constexpr uint32_t rounds_a_world = 100;
  uint32_t rounds_ = 0;
};

TEST_F(ProxyScriptTest, AStallBehindEveryOctetChangesNothing) {
  for (const Script& made : scripts()) {
    for (size_t offset = 0; offset <= made.response.size(); ++offset) {
      follow(made, offset, Then::keep);
      ClientConnection& c = world().connect();
      c.send(made.request);
      const size_t asked = origin().requests().size();
      world().run_until([&] { return origin().requests().size() > asked; });
      world().run_for(stall);
      // What has come behind a whole answer is nobody's: the proxy has closed that connection.
      OriginConnection& upstream = origin().connections()[origin().last().connection];
      if (upstream.live) {
        const bool ends = made.whole == SIZE_MAX;
        origin().say(upstream.number, made.response.substr(offset), ends ? Then::end : Then::keep);
      }
      const std::string where = std::string(made.what) + ", stalled at " + std::to_string(offset);
      world().run_until([&] { return whole_finals(c, made) > 0 || c.broken; },
                        Duration::seconds(2));
      expect_whole(c, made, where);
      world().close(c);
      expect_innocent(where);
      origin().forget();
      renew_now_and_then();
    }
  }
}

TEST_F(ProxyScriptTest, AnEndBehindEveryOctetIsNeverAWholeAnswer) {
  for (const Script& made : scripts()) {
    for (const Then then : {Then::end, Then::reset}) {
      for (size_t offset = 0; offset <= made.response.size(); ++offset) {
        follow(made, offset, then);
        ClientConnection& c = world().connect();
        c.send(made.request);
        world().run_until([&] { return whole_finals(c, made) > 0 || c.broken || c.ended; },
                          Duration::seconds(2));
        const std::string where = std::string(made.what) +
                                  (then == Then::end ? ", ended at " : ", reset at ") +
                                  std::to_string(offset);
        const bool to_the_end = made.whole == SIZE_MAX;
        if (offset < made.head_end) {
          ASSERT_EQ(whole_finals(c, made), 1U) << where;
          EXPECT_EQ(read_client(c, made).back().status(), 502) << where;
        } else if (to_the_end && then == Then::end) {
          ASSERT_EQ(whole_finals(c, made), 1U) << where;
          EXPECT_EQ(read_client(c, made).back().body,
                    made.response.substr(made.head_end, offset - made.head_end))
              << where;
        } else if (to_the_end || offset < made.whole) {
          EXPECT_TRUE(c.broken) << where;
          EXPECT_FALSE(c.ended) << where;
          EXPECT_EQ(whole_finals(c, made), 0U) << where;
        } else {
          expect_whole(c, made, where);
        }
        world().close(c);
        expect_innocent(where);
        origin().forget();
        renew_now_and_then();
      }
    }
  }
}

// H20: a final answer while the request's body is still coming, cut at every octet of the body.
TEST_F(ProxyScriptTest, AnEarlyAnswerToAnUploadEndsTheClientsConnection) {
  const std::string body = pattern(40, 9);
  const std::string head = "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 40\r\n\r\n";
  origin().on_head = [](const OriginRequest& request) -> std::optional<OriginReply> {
    if (request.message.first_line().find("/innocent") != std::string::npos) return std::nullopt;
    return reply("HTTP/1.1 413 Content Too Large\r\nContent-Length: 6\r\n\r\nlarge\n");
  };
  origin().on_request = [](const OriginRequest&) { return reply(ok("innocent\n")); };
  for (size_t sent = 0; sent < body.size(); ++sent) {
    ClientConnection& c = world().connect();
    c.send(head + body.substr(0, sent));
    world().run_until([&] { return finals(c) > 0 || c.broken; }, Duration::seconds(2));
    ASSERT_EQ(finals(c), 1U) << sent;
    EXPECT_EQ(c.responses()[0].status(), 413);
    EXPECT_EQ(c.responses()[0].field("Connection"), "close");
    // The rest of the body, and what would be a request if it were taken for one.
    c.send(body.substr(sent) + get("/smuggled"));
    world().run_for(stall);
    EXPECT_EQ(finals(c), 1U) << sent;
    for (const OriginRequest& request : origin().requests()) {
      EXPECT_EQ(request.raw.find("/smuggled"), std::string::npos) << sent;
    }
    world().close(c);
    expect_innocent("an early answer after " + std::to_string(sent));
    origin().forget();
  }
}

}  // namespace
}  // namespace millrace::proxy_world

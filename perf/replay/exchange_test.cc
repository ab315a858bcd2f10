#include "perf/replay/exchange.h"

#include <gtest/gtest.h>

namespace millrace::perf {
namespace {

constexpr const char* recorded =
    "# what it is\n"
    "=== client sends\nGET / HTTP/1.1\nHost: {host}\nX-Request-Id: {id}\n\n"
    "=== origin receives\nGET / HTTP/1.1\nX-Request-Id: {id}\nX-Forwarded-For: {client}\n\n"
    "=== origin sends\nHTTP/1.1 200 OK\nContent-Length: 305\n\nword\n@octets 300\n"
    "=== client receives\nHTTP/1.1 200 OK\nContent-Length: 305\n\nword\n@octets 300\n";

Exchange exchange(const Recording& recording) {
  return recording.with({"a.example", "192.0.2.1", "00000001-00000002"});
}

ByteView bytes(std::string_view text) {
  return as_bytes(text);
}

TEST(Exchange, LinesBecomeHeadsAndNamesAreFilledIn) {
  const auto recording = Recording::parse(recorded, "x.http");
  ASSERT_TRUE(recording.ok()) << recording.error();
  const Exchange made = exchange(*recording);
  EXPECT_EQ(made.client_sends.head,
            "GET / HTTP/1.1\r\nHost: a.example\r\nX-Request-Id: 00000001-00000002\r\n\r\n");
  EXPECT_TRUE(made.client_sends.body.empty());
  EXPECT_NE(made.origin_receives.head.find("X-Forwarded-For: 192.0.2.1\r\n"), std::string::npos);
  EXPECT_EQ(made.origin_sends.body.size(), 305U);
  EXPECT_EQ(made.origin_sends.body.substr(0, 5), "word\n");
  EXPECT_EQ(exchange_id(made.client_sends.head), "00000001-00000002");
}

TEST(Exchange, EveryOctetCounts) {
  const auto recording = Recording::parse(recorded, "x.http");
  ASSERT_TRUE(recording.ok());
  const Exchange made = exchange(*recording);
  const Text& text = made.origin_sends;
  std::string whole(text.size(), '\0');
  text.copy(0, {reinterpret_cast<uint8_t*>(whole.data()), whole.size()});
  EXPECT_EQ(whole, text.head + std::string(text.body));
  for (size_t from = 0; from < whole.size(); from += 7) {
    for (size_t size : {size_t{1}, size_t{60}, whole.size() - from}) {
      std::string part = whole.substr(from, size);
      EXPECT_TRUE(text.holds(from, bytes(part)));
      part.back() = static_cast<char>(part.back() ^ 1);
      EXPECT_FALSE(text.holds(from, bytes(part)));
    }
  }
  EXPECT_FALSE(text.holds(1, bytes(whole)));
}

TEST(Exchange, AFaultNamesItsLine) {
  const auto error_of = [](std::string_view text) {
    const auto recording = Recording::parse(text, "x.http");
    return recording.ok() ? std::string() : recording.error();
  };
  EXPECT_EQ(error_of("GET /\n"), "x.http:1: text before the first message");
  EXPECT_EQ(error_of("=== origin sends\n"), "x.http:1: not the message that comes next");
  EXPECT_EQ(error_of("=== client sends\nGET / HTTP/1.1\n=== origin receives\n"),
            "x.http:3: the head before has no empty line at its end");
  EXPECT_EQ(error_of("=== client sends\nGET / HTTP/1.1\n\n@octets many\n"),
            "x.http:4: @octets wants a number up to 67108864");
  EXPECT_EQ(error_of("=== client sends\nGET / HTTP/1.1\n\n"),
            "x.http:3: a message is missing or not whole");
  EXPECT_EQ(error_of("=== client"), "x.http:1: the last line has no end");
  std::string without_id = recorded;
  without_id.replace(without_id.find("X-Request-Id"), 12, "X-Another-Id");
  EXPECT_NE(error_of(without_id).find("a request has no X-Request-Id"), std::string::npos);
}

}  // namespace
}  // namespace millrace::perf

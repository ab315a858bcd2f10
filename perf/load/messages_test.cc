#include "perf/load/messages.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/random.h"
#include "perf/load/heads.h"
#include "perf/load/wire.h"

namespace millrace::load {
namespace {

RequestText request(const RequestOptions& options) {
  auto made = RequestText::make(options);
  EXPECT_TRUE(made.ok()) << made.error();
  return std::move(*made);
}

std::string why_not(RequestOptions options) {
  const auto made = RequestText::make(options);
  return made.ok() ? "" : made.error();
}

// Whatever piece is asked for: its octets are those of the whole, its sum is theirs.
template <class Text, class Write>
void expect_pieces(const std::string& whole, const Write& write) {
  Random random(5);
  for (int i = 0; i < 5'000; ++i) {
    const auto offset = static_cast<uint32_t>(random.below(whole.size()));
    const auto bytes =
        static_cast<uint32_t>(1 + random.below(std::min<uint64_t>(whole.size() - offset, 1460)));
    std::vector<uint8_t> piece(bytes);
    const uint16_t sum = write(piece.data(), offset, bytes);
    ASSERT_EQ(as_text(piece), whole.substr(offset, bytes)) << offset << " " << bytes;
    // 0 and 0xffff are the same number in ones' complement.
    ASSERT_EQ(sum % 0xffff, sum_of_text(piece) % 0xffff) << offset << " " << bytes;
  }
}

TEST(RequestText, TheSetsHaveTheirLengthsAndReadAsRequests) {
  const std::pair<RequestHead, size_t> sets[] = {{RequestHead::small, 80},
                                                 {RequestHead::browser, 300},
                                                 {RequestHead::large, 1500},
                                                 {RequestHead::forwarded, 400}};
  for (const auto& [head, bytes] : sets) {
    RequestOptions options;
    options.head = head;
    options.host_count = 1'000'000;
    const RequestText made = request(options);
    EXPECT_EQ(made.bytes(), bytes);
    const std::string text = made.text(42);
    EXPECT_TRUE(text.starts_with("GET / HTTP/1.1\r\nHost: tenant000042.example\r\n")) << text;
    EXPECT_EQ(find_head_end(text), text.size());
    EXPECT_TRUE(read_request_head(text).well_formed);
    EXPECT_FALSE(read_request_head(text).close_announced);
  }
}

// So that the load program's self-test reads what it reads behind a proxy.
TEST(RequestText, TheForwardedHeadIsTheBrowsersAsAProxySendsIt) {
  RequestOptions options;
  options.host_count = 5;
  options.head = RequestHead::forwarded;
  const std::string text = request(options).text(3);
  EXPECT_TRUE(text.starts_with("GET / HTTP/1.1\r\nHost: tenant000003.example\r\n")) << text;
  EXPECT_EQ(text.find("Connection:"), std::string::npos) << text;
  for (const char* field : {"X-Forwarded-For: ", "X-Forwarded-Proto: http\r\n",
                            "X-Forwarded-Host: tenant", "X-Real-IP: "}) {
    EXPECT_NE(text.find(field), std::string::npos) << field;
  }
}

TEST(RequestText, EveryPieceOfEveryHostHasItsOctetsAndItsSum) {
  for (const char* pattern : {"tenant%06u.example", "x%03u", "%09u.odd.example", "fixed.example"}) {
    for (uint32_t body : {0U, 1U, 5'000U}) {
      RequestOptions options;
      options.host_pattern = pattern;
      options.body_bytes = body;
      const RequestText made = request(options);
      for (uint32_t host : {0U, 7U, 999U}) {
        const std::string whole = made.text(host);
        expect_pieces<RequestText>(whole, [&](uint8_t* to, uint32_t offset, uint32_t bytes) {
          return made.write(to, host, offset, bytes);
        });
        // The way it usually goes: all of the head at once.
        std::vector<uint8_t> head(find_head_end(whole));
        const uint16_t sum = made.write(head.data(), host, 0, static_cast<uint32_t>(head.size()));
        EXPECT_EQ(as_text(head), whole.substr(0, head.size()));
        EXPECT_EQ(sum % 0xffff, sum_of_text(head) % 0xffff);
      }
    }
  }
}

TEST(RequestText, ABodyMakesItAPost) {
  RequestOptions options;
  options.body_bytes = 12'345;
  const std::string text = request(options).text(0);
  EXPECT_TRUE(text.starts_with("POST "));
  const Head head = read_request_head(text.substr(0, find_head_end(text)));
  EXPECT_EQ(head.content_bytes, 12'345U);
  EXPECT_EQ(text.size(), head.head_bytes + 12'345U);
  EXPECT_EQ(find_head_end(text.substr(head.head_bytes)), head_missing);
}

TEST(RequestText, WhatCannotBeAskedIsRefused) {
  RequestOptions options;
  EXPECT_EQ(why_not(options), "");
  options.host_count = 1'000'001;
  EXPECT_NE(why_not(options).find("no room"), std::string::npos);
  for (const char* pattern : {"a%u", "a%6u", "a%06d", "%01u%01u", "a b", "%0", "a/b"}) {
    RequestOptions bad;
    bad.host_pattern = pattern;
    EXPECT_NE(why_not(bad), "") << pattern;
  }
  RequestOptions path;
  path.path = "no-slash";
  EXPECT_NE(why_not(path), "");
  path.path = "/a b";
  EXPECT_NE(why_not(path), "");
}

TEST(ResponseText, EveryPieceHasItsOctetsAndItsSum) {
  for (uint32_t body : {0U, 1U, 5U, 100U, 1'300U, 1'460U, 70'000U}) {
    const ResponseText made("the-tag", body);
    const std::string whole = made.text();
    ASSERT_EQ(whole.size(), made.bytes());
    const Head head = read_response_head(whole.substr(0, find_head_end(whole)));
    EXPECT_TRUE(head.well_formed);
    EXPECT_EQ(head.status, 200);
    EXPECT_EQ(head.content_bytes, body);
    EXPECT_EQ(head.head_bytes + body, whole.size());
    EXPECT_NEAR(head.head_bytes, 150, 4);
    EXPECT_TRUE(std::string_view("the-tag").starts_with(
        std::string_view(whole).substr(head.head_bytes, 7)));
    expect_pieces<ResponseText>(whole, [&](uint8_t* to, uint32_t offset, uint32_t bytes) {
      return made.write(to, offset, bytes);
    });
    if (whole.size() <= 1460) {
      std::vector<uint8_t> all(whole.size());
      const uint16_t sum = made.write(all.data(), 0, made.bytes());
      EXPECT_EQ(as_text(all), whole);
      EXPECT_EQ(sum % 0xffff, sum_of_text(all) % 0xffff);
    }
  }
}

}  // namespace
}  // namespace millrace::load

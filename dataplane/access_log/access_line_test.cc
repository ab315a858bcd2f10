#include "dataplane/access_log/access_line.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <utility>

namespace millrace::access_log {
namespace {

// 2026-11-27 17:20:45.123456789 UTC, less the second that the records begin at.
constexpr uint64_t wall_ns = 1'795'800'045'123'456'789U - 1'000'000'000U;

std::string pushed(AccessRecord record,
                   std::initializer_list<std::pair<Text, std::string_view>> texts) {
  std::string all;
  for (const auto& [text, value] : texts) {  // in their order
    record.text_bytes[static_cast<size_t>(text)] = static_cast<uint16_t>(value.size());
    all += value;
  }
  return std::string(reinterpret_cast<const char*>(&record), sizeof record) + all;
}

std::string line(const std::string& text, Format format) {
  std::string out;
  append_line(AccessEntry(as_bytes(text)), format, wall_ns, out);
  return out;
}

AccessRecord plain_record() {
  AccessRecord record{};
  record.began_ns = 1'000'000'000;
  record.routed_ns = 1'000'010'000;
  record.connected_ns = 1'000'210'000;
  record.responded_ns = 1'001'000'000;
  record.ended_ns = 1'001'500'000;
  record.request_body_octets = 5;
  record.response_body_octets = 2326;
  record.endpoint_address = 0x0af4000a;
  record.endpoint_port = 8080;
  record.client_port = 40000;
  record.status = 200;
  record.attempts = 1;
  record.version = http::Version::http_1_1;
  record.end = ExchangeEnd::complete;
  record.keep_alive = true;
  return record;
}

std::string plain() {
  return pushed(plain_record(), {{Text::client, "10.20.0.50"},
                                 {Text::method, "GET"},
                                 {Text::host, "shop.example"},
                                 {Text::target, "/cart?id=7"},
                                 {Text::user_agent, "curl/7.88"},
                                 {Text::referer, "http://a/"},
                                 {Text::route, "default/shop"},
                                 {Text::service, "default/web:http"}});
}

TEST(AccessLine, Json) {
  EXPECT_EQ(line(plain(), Format::json),
            R"({"time":"2026-11-27T17:20:45.123456Z","client":"10.20.0.50","client_port":40000,)"
            R"("method":"GET","host":"shop.example","target":"/cart?id=7","version":"HTTP/1.1",)"
            R"("user_agent":"curl/7.88","referer":"http://a/","status":200,"end":"complete",)"
            R"("route":"default/shop","service":"default/web:http","endpoint":"10.244.0.10:8080",)"
            R"("attempts":1,"reused":false,"keep_alive":true,"request_body_bytes":5,)"
            R"("response_body_bytes":2326,"head_us":10,"connect_us":200,"response_us":790,)"
            R"("body_us":500,"total_us":1500})"
            "\n");
}

TEST(AccessLine, Combined) {
  EXPECT_EQ(line(plain(), Format::combined),
            "10.20.0.50 - - [27/Nov/2026:17:20:45 +0000] \"GET /cart?id=7 HTTP/1.1\" 200 2326 "
            "\"http://a/\" \"curl/7.88\"\n");
}

TEST(AccessLine, WhatWasRefusedHasNoRequest) {
  AccessRecord record{};
  record.began_ns = record.routed_ns = record.ended_ns = 1'000'000'000;
  record.responded_ns = record.ended_ns;
  record.status = 400;
  record.end = ExchangeEnd::complete;
  record.reason = LocalReason::head_invalid;
  record.head_error = http::HeadError::host_missing;
  const std::string text = pushed(record, {{Text::client, "2001:db8::1"}});
  const std::string json = line(text, Format::json);
  EXPECT_EQ(json.find("\"method\""), std::string::npos) << json;
  EXPECT_EQ(json.find("\"endpoint\""), std::string::npos) << json;
  EXPECT_NE(json.find(R"("status":400,"end":"complete","reason":"head_invalid","head_error":")"),
            std::string::npos)
      << json;
  EXPECT_EQ(line(text, Format::combined),
            "2001:db8::1 - - [27/Nov/2026:17:20:45 +0000] \"-\" 400 0 \"-\" \"-\"\n");
}

// Of the quotes of a line those that are not behind a backslash, which are ours.
size_t bare_quotes(const std::string& text) {
  size_t count = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      ++count;
    }
  }
  return count;
}

// Every octet that a request may carry somewhere: a line stays one line, JSON stays JSON.
TEST(AccessLine, H39_NothingThatAClientSendsBreaksOutOfItsPlace) {
  std::string every;
  for (int octet = 0; octet < 256; ++octet) every += static_cast<char>(octet);
  const auto with = [](std::string_view target, std::string_view agent) {
    return pushed(plain_record(), {{Text::client, "::1"},
                                   {Text::method, "GET"},
                                   {Text::target, target},
                                   {Text::user_agent, agent}});
  };
  for (const Format format : {Format::json, Format::combined}) {
    const size_t ours = bare_quotes(line(with("x", "x"), format));
    for (const std::string& text : {with(every, "x"), with("x", every), with(every, every)}) {
      const std::string got = line(text, format);
      EXPECT_EQ(got.find('\n'), got.size() - 1);
      for (const char c : got.substr(0, got.size() - 1)) {
        ASSERT_TRUE(c >= 0x20 && c < 0x7f) << static_cast<int>(c);
      }
      EXPECT_EQ(bare_quotes(got), ours) << got;
    }
  }
  const std::string text = with(every, every);
  EXPECT_NE(line(text, Format::json).find(R"(\u000a)"), std::string::npos);
  EXPECT_NE(line(text, Format::json).find(R"(\u00ff)"), std::string::npos);
  EXPECT_NE(line(text, Format::combined).find(R"(\x0d\x0e)"), std::string::npos);
}

TEST(AccessLine, ATextThatWasCutSaysSo) {
  const std::string target(text_bytes_max[static_cast<size_t>(Text::target)], 'p');
  const std::string json =
      line(pushed(plain_record(),
                  {{Text::client, "::1"}, {Text::method, "GET"}, {Text::target, target}}),
           Format::json);
  EXPECT_NE(json.find(R"("target_cut":true)"), std::string::npos);
}

TEST(AccessLine, PhasesThatDidNotComeAreLeftOut) {
  AccessRecord record = plain_record();
  record.connected_ns = record.responded_ns = 0;
  const std::string json =
      line(pushed(record, {{Text::client, "::1"}, {Text::method, "GET"}}), Format::json);
  EXPECT_EQ(json.find("connect_us"), std::string::npos);
  EXPECT_EQ(json.find("response_us"), std::string::npos);
  EXPECT_NE(json.find(R"("body_us":1490,"total_us":1500})"), std::string::npos) << json;
}

TEST(AccessLine, WhoeverCameByAnotherHasAPeer) {
  const std::string json = line(pushed(plain_record(), {{Text::client, "192.0.2.1"},
                                                        {Text::peer, "10.0.0.2"},
                                                        {Text::method, "GET"},
                                                        {Text::request_id, "id-1"}}),
                                Format::json);
  EXPECT_NE(json.find(R"("client":"192.0.2.1","peer":"10.0.0.2","peer_port":40000,)"
                      R"("request_id":"id-1",)"),
            std::string::npos)
      << json;
}

TEST(AccessLine, AnExchangeWithoutAnAnswerHasNoStatus) {
  AccessRecord record = plain_record();
  record.status = 0;
  record.response_body_octets = 0;
  EXPECT_EQ(
      line(pushed(record, {{Text::client, "::1"}, {Text::method, "GET"}, {Text::target, "/"}}),
           Format::combined),
      "::1 - - [27/Nov/2026:17:20:45 +0000] \"GET / HTTP/1.1\" - 0 \"-\" \"-\"\n");
}

}  // namespace
}  // namespace millrace::access_log

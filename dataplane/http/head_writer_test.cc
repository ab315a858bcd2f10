// What the writers do besides the cases of request_head_test and response_head_test: room, bounds,
// our own replies.
#include "dataplane/http/head_writer.h"

#include <gtest/gtest.h>

#include <ctime>
#include <string>
#include <vector>

#include "dataplane/http/head_output.h"
#include "dataplane/http/head_parser.h"
#include "dataplane/http/head_testing.h"
#include "tests/support/guard_page.h"

namespace millrace::http {
namespace {

constexpr std::string_view date = "Sun, 06 Nov 1994 08:49:37 GMT";
const ForwardingFields forwarding{"192.0.2.7", "http", "203.0.113.1"};

RequestHead parsed(const std::string& in) {
  RequestHead head;
  size_t consumed = 0;
  EXPECT_EQ(parse_request_head(as_bytes(in), head, consumed), ParseStatus::complete) << in;
  return head;
}

TEST(HeadWriter, TooLittleRoomWritesNothingAndNeverBeyond) {
  const std::string in = "POST http://b:81/x?y HTTP/1.1\r\nHost: a\r\nFoo: bar\r\n\r\n";
  const RequestHead head = parsed(in);
  millrace::testing::GuardPage page(4096);
  const size_t needed = write_request_head(head, forwarding, page.reserve(4096));
  ASSERT_GT(needed, in.size());
  for (size_t room = 0; room < needed; ++room) {
    ASSERT_EQ(write_request_head(head, forwarding, page.reserve(room)), 0U) << room;
  }
  EXPECT_EQ(write_request_head(head, forwarding, page.reserve(needed)), needed);
}

// Between just enough room and all that the writer likes, it takes one way or the other: the head
// is the same, and nothing beyond the room is touched. Pieces of all lengths, so that all ways of
// copying them end at the guard page sooner or later.
TEST(HeadWriter, AnyRoomThatIsEnoughGivesTheSameHead) {
  for (size_t length = 1; length < 200; length += length < 70 ? 1 : 13) {
    const std::string text(length, 'v');
    const std::string in = "POST /" + text + "?" + text +
                           " HTTP/1.1\r\nHost: " + text.substr(0, 60) + ":81\r\nA-" + text + ": " +
                           text + "\r\nA_b: c\r\nAccept: " + text + "\r\nCookie:" + text +
                           "\r\nContent-Length: 12345678901\r\n\r\n";
    const RequestHead head = parsed(in);
    const std::string address(1 + length % 40, 'a');
    const ForwardingFields fields{address, "http", "unused"};
    millrace::testing::GuardPage page(8192);
    const ByteSpan all = page.reserve(8192);
    const size_t needed = write_request_head(head, fields, all);
    ASSERT_NE(needed, 0U);
    const std::string expected(as_text(all.first(needed)));
    for (size_t room = needed; room < needed + 1500; room += 1 + length % 5) {
      const ByteSpan output = page.reserve(room);
      ASSERT_EQ(write_request_head(head, fields, output), needed) << room;
      ASSERT_EQ(as_text(output.first(needed)), expected) << room;
    }
    ASSERT_EQ(write_request_head(head, fields, page.reserve(needed - 1)), 0U);
  }
}

// Two canonical lines, which are written in one piece.
std::string run_of(size_t bytes) {
  return "A: " + std::string(bytes / 2, 'a') + "\r\nB: " + std::string(bytes / 2, 'b') + "\r\n";
}

// What is not written whole is not written beyond its room either, wherever it had to stop: in
// front of the fields, in their first run, or behind a field that does not go on.
TEST(HeadWriter, HeadsThatAreTooLargeStayInTheirRoom) {
  millrace::testing::GuardPage page(4096);
  for (const size_t path_bytes : {1U, 100U, 300U, 400U, 600U, 900U}) {
    for (const size_t run_bytes : {100U, 400U, 1'000U, 3'000U}) {
      for (const bool plain_line : {true, false}) {
        const std::string run = run_of(run_bytes);
        const std::string in = "GET " + std::string(plain_line ? "" : "http://b") + "/" +
                               std::string(path_bytes, 'p') + " HTTP/1.1\r\nHost: b\r\n" + run +
                               "Connection: keep-alive\r\n" + run + "Odd:x\r\n" + run + "\r\n";
        const RequestHead head = parsed(in);
        for (size_t room = 0; room < 3'500; room += 37) {
          const ByteSpan output = page.reserve(room);
          const size_t written = write_request_head(head, forwarding, output);
          ASSERT_LE(written, room);
        }
      }
    }
  }
}

TEST(HeadWriter, ResponsesThatAreTooLargeStayInTheirRoom) {
  millrace::testing::GuardPage page(4096);
  for (const size_t reason_bytes : {1U, 300U, 700U}) {
    for (const size_t run_bytes : {100U, 400U, 1'000U, 3'000U}) {
      const std::string run = run_of(run_bytes);
      const std::string in = "HTTP/1.1 200 " + std::string(reason_bytes, 'r') + "\r\n" + run +
                             "Connection: keep-alive\r\n" + run + "Odd:x\r\n" + run +
                             "Content-Length: 5\r\n\r\n";
      ResponseHead head;
      size_t consumed = 0;
      ASSERT_EQ(parse_response_head(as_bytes(in), Method::get, head, consumed),
                ParseStatus::complete);
      ResponseOptions options;
      options.framing = client_framing(head, Version::http_1_1);
      for (size_t room = 0; room < 3'500; room += 37) {
        ASSERT_LE(write_response_head(head, options, page.reserve(room)), room);
      }
    }
  }
}

TEST(HeadWriter, EveryLengthIsWrittenInDecimal) {
  for (uint64_t length :
       {0ULL, 1ULL, 9ULL, 10ULL, 99ULL, 100ULL, 612ULL, 999ULL, 1000ULL, 9999ULL, 10'000ULL,
        65'536ULL, 123'456'789ULL, static_cast<unsigned long long>(content_length_max)}) {
    const std::string line = "Content-Length: " + std::to_string(length) + "\r\n";
    const std::string in = "HTTP/1.1 200 OK\r\nServer: s\r\nDate: d\r\n" + line + "\r\n";
    ResponseHead head;
    size_t consumed = 0;
    ASSERT_EQ(parse_response_head(as_bytes(in), Method::get, head, consumed),
              ParseStatus::complete);
    ResponseOptions options;
    options.framing = client_framing(head, Version::http_1_1);
    std::vector<uint8_t> output(3 * head_growth_bytes_max);
    EXPECT_EQ(as_text(ByteView(output).first(write_response_head(head, options, output))), in);
  }
  for (unsigned number = 0; number < 10'000; ++number) {
    uint8_t octets[32];
    RoomyOutput roomy(octets, sizeof octets);
    roomy.decimal(number);
    roomy.octet('.');
    const std::string expected = std::to_string(number) + ".";
    ASSERT_EQ(as_text(ByteView(octets).first(expected.size())), expected);
  }
}

TEST(HeadWriter, ResponseAndReplyTooLittleRoom) {
  const std::string in = "HTTP/1.1 200 OK\r\nFoo: bar\r\nContent-Length: 5\r\n\r\n";
  ResponseHead head;
  size_t consumed = 0;
  ASSERT_EQ(parse_response_head(as_bytes(in), Method::get, head, consumed), ParseStatus::complete);
  ResponseOptions options;
  options.framing = head.framing;
  options.date = date;
  millrace::testing::GuardPage page(4096);
  const size_t needed = write_response_head(head, options, page.reserve(4096));
  for (size_t room = 0; room < needed; ++room) {
    ASSERT_EQ(write_response_head(head, options, page.reserve(room)), 0U);
  }
  LocalReply reply;
  const size_t reply_bytes = write_local_reply(reply, page.reserve(local_reply_bytes_max));
  for (size_t room = 0; room < reply_bytes; ++room) {
    ASSERT_EQ(write_local_reply(reply, page.reserve(room)), 0U);
  }
}

TEST(HeadWriter, HeadsGrowByNoMoreThanIsPromised) {
  std::string in = "POST http://" + std::string(255, 'h') + ":65535 HTTP/1.1\r\nHost:a\r\n";
  for (size_t i = 1; i < fields_max; ++i) in += "a:b\r\n";
  in += "\r\n";
  std::vector<uint8_t> output(10'000);
  const size_t request = write_request_head(parsed(in), forwarding, output);
  ASSERT_NE(request, 0U);
  const size_t texts = 2 * forwarding.client_address.size() + forwarding.scheme.size();
  EXPECT_LE(request, in.size() + head_growth_bytes_max + texts);

  std::string response = "HTTP/1.1 200\r\n";
  for (size_t i = 0; i < fields_max; ++i) response += "a:b\r\n";
  response += "\r\n";
  ResponseHead head;
  size_t consumed = 0;
  ASSERT_EQ(parse_response_head(as_bytes(response), Method::get, head, consumed),
            ParseStatus::complete);
  ResponseOptions options;
  options.framing = BodyFraming::chunked();
  options.keep_alive = false;
  options.date = date;
  EXPECT_LE(write_response_head(head, options, output), response.size() + head_growth_bytes_max);
}

// The origin takes the canonical head for the same request: what was understood is what is said.
TEST(HeadWriter, CanonicalRequestIsAFixedPoint) {
  for (const std::string start : {"GET http://B.example:81/x?y HTTP/1.1\r\nHost: a\r\n",
                                  "POST / HTTP/1.0\r\n", "OPTIONS * HTTP/1.1\r\nHost:A.\r\n"}) {
    const std::string in = start + "Foo:bar\r\nX-Real-IP: 9\r\nConnection: x\r\nx: 1\r\n\r\n";
    std::vector<uint8_t> first(2000);
    first.resize(write_request_head(parsed(in), forwarding, first));
    const std::string once(as_text(first));
    std::vector<uint8_t> second(2000);
    second.resize(write_request_head(parsed(once), forwarding, second));
    EXPECT_EQ(as_text(second), once);
  }
}

TEST(HeadWriterDeath, H34_InsertedTextsCannotEndALine) {
  const std::string in = "GET / HTTP/1.0\r\n\r\n";
  const RequestHead head = parsed(in);
  const std::string long_one = std::string(40, 'a') + "\n" + std::string(40, 'a');
  for (const size_t room : {size_t{200}, size_t{4000}}) {
    std::vector<uint8_t> output(room);
    for (const char* evil : {"1.2.3.4\r\nX: y", "a b", "\n", "\x80", "\x7f", long_one.c_str()}) {
      EXPECT_DEATH(write_request_head(head, {evil, "http", "h"}, output), "invariant");
      EXPECT_DEATH(write_request_head(head, {"a", evil, "h"}, output), "invariant");
      EXPECT_DEATH(write_request_head(head, {"a", "http", evil}, output), "invariant");
    }
  }
}

TEST(LocalReply, H39_IsGenericAndWhole) {
  for (const int status : {400, 404, 405, 408, 413, 414, 417, 431, 500, 501, 502, 503, 504, 505}) {
    for (bool keep_alive : {false, true}) {
      for (bool to_head : {false, true}) {
        LocalReply reply;
        reply.status = static_cast<uint16_t>(status);
        reply.keep_alive = keep_alive;
        reply.to_head_request = to_head;
        reply.date = date;
        std::vector<uint8_t> output(local_reply_bytes_max);
        output.resize(write_local_reply(reply, output));
        ASSERT_FALSE(output.empty());
        ResponseHead head;
        size_t consumed = 0;
        ASSERT_EQ(parse_response_head(output, to_head ? Method::head : Method::get, head, consumed),
                  ParseStatus::complete);
        EXPECT_EQ(head.status, status);
        EXPECT_EQ(head.keep_alive, keep_alive);
        EXPECT_TRUE(head.has_content_length);
        EXPECT_EQ(head.content_length, local_reply_text(reply.status).size());
        EXPECT_EQ(as_text(output).substr(consumed), to_head ? "" : local_reply_text(reply.status));
        EXPECT_EQ(head.fields.find(FieldName::allow) != nullptr, status == 405);
        EXPECT_EQ(head.fields.find(FieldName::date)->value(), date);
        EXPECT_EQ(head.fields.find(FieldName::server)->value(), "millrace");
      }
    }
  }
  EXPECT_TRUE(local_reply_text(299).empty());
}

TEST(LocalReply, IsWrittenAsExpected) {
  LocalReply reply;
  reply.status = 404;
  reply.client_version = Version::http_1_0;
  reply.keep_alive = true;
  reply.date = date;
  std::vector<uint8_t> output(local_reply_bytes_max);
  output.resize(write_local_reply(reply, output));
  EXPECT_EQ(as_text(output),
            "HTTP/1.1 404 Not Found\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: millrace\r\n"
            "Content-Type: text/plain\r\nContent-Length: 14\r\nConnection: keep-alive\r\n\r\n"
            "404 Not Found\n");
}

TEST(LocalReply, ContinueIsAnInterimResponse) {
  ResponseHead head;
  size_t consumed = 0;
  ASSERT_EQ(parse_response_head(as_bytes(continue_bytes), Method::post, head, consumed),
            ParseStatus::complete);
  EXPECT_EQ(consumed, continue_bytes.size());
  EXPECT_TRUE(head.is_informational());
}

std::string date_of(int64_t seconds) {
  std::array<char, http_date_bytes> text;
  format_http_date(seconds, text);
  return {text.data(), text.size()};
}

TEST(HttpDate, H32_KnownDates) {
  EXPECT_EQ(date_of(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");  // the RFC's example
  EXPECT_EQ(date_of(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(date_of(-1), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(date_of(951782400), "Tue, 29 Feb 2000 00:00:00 GMT");
  EXPECT_EQ(date_of(4107542399), "Sun, 28 Feb 2100 23:59:59 GMT");
  EXPECT_EQ(date_of(4107542400), "Mon, 01 Mar 2100 00:00:00 GMT");
  EXPECT_EQ(date_of(253402300799), "Fri, 31 Dec 9999 23:59:59 GMT");
  EXPECT_EQ(date_of(INT64_MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
}

TEST(HttpDate, AgreesWithTheCLibrary) {
  for (int64_t seconds = 0; seconds < 253'402'300'799; seconds += 86'400 * 37 + 12'345) {
    const auto at = static_cast<time_t>(seconds);
    std::tm parts{};
    gmtime_r(&at, &parts);
    char text[64];
    std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    ASSERT_EQ(date_of(seconds), text);
  }
}

}  // namespace
}  // namespace millrace::http

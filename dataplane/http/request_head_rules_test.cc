// Rules of request heads that a table of bytes and answers does not show: several heads compared,
// properties of the structure, cost.
#include <gtest/gtest.h>
#include <string>
#include <vector>
#include "dataplane/http/head_parser.h"
#include "dataplane/http/head_testing.h"
#include "dataplane/http/head_writer.h"
#include "tests/support/guard_page.h"

namespace millrace::http {
namespace {

using testing::RequestParser;

RequestHead parsed(const std::string& in) {
  RequestHead head;
  size_t consumed = 0;
  EXPECT_EQ(parse_request_head(as_bytes(in), head, consumed), ParseStatus::complete);
  return head;
}

std::string bytes(size_t count, char c) {
  return std::string(count, c);
}
// A GET with these field lines besides Host.
std::string get(const std::string& lines) {
  return "GET / HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n";
}
std::string post(const std::string& lines) {
  return "POST / HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n";
}

TEST(RequestHead, H14_KeepAliveFollowsVersionAndOptions) {
  struct {
    const char* version;
    const char* connection;
    bool keep_alive;
  } const rows[] = {
      {"1.1", "", true},
      {"1.1", "Connection: close\r\n", false},
      {"1.1", "Connection: keep-alive\r\n", true},
      {"1.1", "Connection: keep-alive, CLOSE\r\n", false},
      {"1.1", "Connection: keep-alive\r\nConnection: close\r\n", false},
      {"1.1", "Connection: closed\r\n", true},
      {"1.1", "Proxy-Connection: close\r\n", true},
      {"1.0", "", false},
      {"1.0", "Connection: Keep-Alive\r\n", true},
      {"1.0", "Connection: keep-alive, close\r\n", false},
      {"1.0", "Proxy-Connection: keep-alive\r\n", false},
  };
  for (const auto& row : rows) {
    const std::string in =
        std::string("GET / HTTP/") + row.version + "\r\nHost: a\r\n" + row.connection + "\r\n";
    EXPECT_EQ(parsed(in).keep_alive, row.keep_alive) << in;
  }
}

TEST(RequestHead, H19_ExpectCountsOnlyWhereABodyComes) {
  const std::string expect = "Expect: 100-continue\r\n";
  const std::string five = "Content-Length: 5\r\n";
  EXPECT_TRUE(parsed(post(five + expect)).expects_continue);
  EXPECT_TRUE(parsed(post("Transfer-Encoding: chunked\r\n" + expect)).expects_continue);
  EXPECT_FALSE(parsed(post(five)).expects_continue);
  EXPECT_FALSE(parsed(post(expect)).expects_continue);
  EXPECT_FALSE(parsed(post("Content-Length: 0\r\n" + expect)).expects_continue);
  EXPECT_FALSE(parsed("POST / HTTP/1.0\r\nHost: a\r\n" + five + expect + "\r\n").expects_continue);
}

TEST(RequestHead, TellsHostPortPathAndQueryApart) {
  const std::string in = "GET /p/q?x=1?y HTTP/1.1\r\nHost: Example.COM.:8080\r\n\r\n";
  const RequestHead head = parsed(in);
  EXPECT_EQ(head.host(), "example.com");
  EXPECT_EQ(head.port, 8080);
  EXPECT_EQ(head.path, "/p/q");
  EXPECT_TRUE(head.has_query);
  EXPECT_EQ(head.query, "x=1?y");
  EXPECT_EQ(head.form, TargetForm::origin);
  ASSERT_NE(head.fields.find(FieldName::host), nullptr);
  EXPECT_EQ(head.fields.find(FieldName::host)->value(), "Example.COM.:8080");
  EXPECT_EQ(head.fields.find(FieldName::cookie), nullptr);
}

TEST(RequestHead, NothingIsPartial) {
  RequestHead request;
  ResponseHead response;
  size_t consumed = 1;
  EXPECT_EQ(parse_request_head(ByteView(), request, consumed), ParseStatus::partial);
  EXPECT_EQ(parse_response_head(ByteView(), Method::get, response, consumed), ParseStatus::partial);
  EXPECT_EQ(consumed, 0U);
}

TEST(RequestHead, H2_EmptyLineBeforeIsConsumed) {
  RequestHead head;
  size_t consumed = 0;
  const std::string in = "\r\n" + get("");
  ASSERT_EQ(parse_request_head(as_bytes(in + "GET"), head, consumed), ParseStatus::complete);
  EXPECT_EQ(consumed, in.size());
}

// 64 KiB in single octets: with HeadScan the lines already judged are not judged again for each.
TEST(RequestHead, H6_GrowsByBytesInLinearTime) {
  std::string in = "GET / HTTP/1.1\r\nHost: a\r\n";
  while (in.size() + 16000 < head_bytes_max) in += "Foo: " + bytes(15900, 'v') + "\r\n";
  RequestHead head;
  size_t consumed = 0;
  HeadScan scan;
  for (size_t size = 1; size <= in.size(); ++size) {
    ASSERT_EQ(parse_request_head(as_bytes(in).first(size), head, consumed, &scan),
              ParseStatus::partial);
    ASSERT_EQ(scan.bytes_seen, size);
  }
  in += "\r\n";
  EXPECT_EQ(parse_request_head(as_bytes(in), head, consumed, &scan), ParseStatus::complete);
  EXPECT_EQ(consumed, in.size());
}

TEST(HeadErrors, EveryRefusalHasASentenceAndAStatus) {
  for (size_t i = 1; i < head_error_count; ++i) {
    const auto error = static_cast<HeadError>(i);
    EXPECT_FALSE(sentence(error).empty());
    EXPECT_FALSE(local_reply_text(reply_status(error)).empty()) << sentence(error);
    EXPECT_GE(reply_status(error), 400);
  }
  EXPECT_EQ(reply_status(HeadError::target_too_long), 414);
  EXPECT_EQ(reply_status(HeadError::fields_too_many), 431);
  EXPECT_EQ(reply_status(HeadError::head_too_large), 431);
  EXPECT_EQ(reply_status(HeadError::version_unsupported), 505);
  EXPECT_EQ(reply_status(HeadError::method_not_allowed), 405);
  EXPECT_EQ(reply_status(HeadError::connect_unsupported), 501);
  EXPECT_EQ(reply_status(HeadError::framing_ambiguous), 400);
}

}  // namespace
}  // namespace millrace::http

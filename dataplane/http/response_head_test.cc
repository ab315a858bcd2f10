// Responses as bytes (H24: no less strict than requests), and what the client gets to see.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "dataplane/http/head_parser.h"
#include "dataplane/http/head_testing.h"
#include "dataplane/http/head_writer.h"
#include "tests/support/guard_page.h"

namespace millrace::http {
namespace {

using testing::all_manners;
using testing::describe;
using testing::Manner;
using testing::place_prefix;
using testing::ResponseParser;
using Kind = BodyFraming::Kind;
using E = HeadError;

constexpr std::string_view date = "Sun, 06 Nov 1994 08:49:37 GMT";

struct Case {
  std::string name;
  std::string in;
  HeadError error = HeadError::none;
  BodyFraming framing;
  bool keep_alive = false;
  std::string
      canonical;  // for an HTTP/1.1 client that is kept; Date and Server stand as <D> and <S>
  Method method = Method::get;
};

Case ok(std::string name, std::string in, BodyFraming framing, bool keep_alive,
        std::string canonical, Method method = Method::get) {
  return {name, in, E::none, framing, keep_alive, canonical, method};
}
Case bad(std::string name, std::string in, HeadError error, Method method = Method::get) {
  return {name, in, error, {}, false, "", method};
}

std::string expand(std::string text) {
  const std::pair<std::string, std::string> marks[] = {
      {"<D>", "Date: " + std::string(date) + "\r\n"}, {"<S>", "Server: millrace\r\n"}};
  for (const auto& [mark, with] : marks) {
    const size_t at = text.find(mark);
    if (at != text.npos) text.replace(at, mark.size(), with);
  }
  return text;
}

const std::string chunked = "Transfer-Encoding: chunked\r\n";

std::string response(const std::string& lines) {
  return "HTTP/1.1 200 OK\r\n" + lines + "\r\n";
}

void add_status_lines(std::vector<Case>& to) {
  const std::string five = "Content-Length: 5\r\n";
  const auto framing = BodyFraming::content_length(5);
  to.push_back(ok("H24_plain", response(five), framing, true,
                  "HTTP/1.1 200 OK\r\n<D><S>Content-Length: 5\r\n\r\n"));
  to.push_back(ok("H24_empty_reason", "HTTP/1.1 200 \r\n" + five + "\r\n", framing, true,
                  "HTTP/1.1 200 \r\n<D><S>Content-Length: 5\r\n\r\n"));
  to.push_back(ok("H24_no_reason", "HTTP/1.1 200\r\n" + five + "\r\n", framing, true,
                  "HTTP/1.1 200 \r\n<D><S>Content-Length: 5\r\n\r\n"));
  to.push_back(ok("H24_long_reason", "HTTP/1.1 404 a b\tc \xc3\xa4\r\n" + five + "\r\n", framing,
                  true, "HTTP/1.1 404 a b\tc \xc3\xa4\r\n<D><S>Content-Length: 5\r\n\r\n"));
  to.push_back(ok("H24_status_999", "HTTP/1.1 999 x\r\n" + five + "\r\n", framing, true,
                  "HTTP/1.1 999 x\r\n<D><S>Content-Length: 5\r\n\r\n"));
  to.push_back(ok("H24_http_1_0", "HTTP/1.0 200 OK\r\n" + five + "\r\n", framing, false,
                  "HTTP/1.1 200 OK\r\n<D><S>Content-Length: 5\r\n\r\n"));
  to.push_back(ok("H24_http_1_0_keep_alive",
                  "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + five + "\r\n", framing, true,
                  "HTTP/1.1 200 OK\r\n<D><S>Content-Length: 5\r\n\r\n"));
  int number = 0;
  for (const char* line : {"HTTP/1.1 200OK",   "HTTP/1.1  200 OK", "HTTP/1.1\t200 OK",
                           "HTTP/1.1 20 OK",   "HTTP/1.1 2000",    "HTTP/1.1 099 x",
                           "HTTP/1.1 000 x",   "HTTP/1.1 2x0 OK",  "HTTP/1.1 +20 OK",
                           "HTTP/1.1 -20 OK",  "HTTP/1.1",         "HTTP/1.1 ",
                           "HTTP/1.1 200\tOK", "http/1.1 200 OK",  "HTTP/1 200 OK",
                           "ICY 200 OK",       "200 OK",           "",
                           " HTTP/1.1 200 OK", "HTTP/1.10 200 OK"}) {
    to.push_back(bad("H24_status_line_" + std::to_string(++number), std::string(line) + "\r\n\r\n",
                     E::status_line_malformed));
  }
  to.push_back(bad("H24_http_2", "HTTP/2.0 200 OK\r\n\r\n", E::version_unsupported));
  to.push_back(bad("H24_http_0_9", "HTTP/0.9 200 OK\r\n\r\n", E::version_unsupported));
  to.push_back(bad("H24_empty_line_before", "\r\n" + response(five), E::status_line_malformed));
  to.push_back(bad("H24_control_in_reason", "HTTP/1.1 200 O\x01K\r\n\r\n", E::field_value_invalid));
  to.push_back(bad("H2_bare_lf_after_status_line", "HTTP/1.1 200 OK\n\r\n", E::line_end_invalid));
  to.push_back(bad("H2_bare_cr_in_reason", "HTTP/1.1 200 O\rK\r\n\r\n", E::line_end_invalid));
  to.push_back(bad("H24_status_line_without_end", "HTTP/1.1 200 " + std::string(20000, 'x'),
                   E::status_line_malformed));
}

void add_fields(std::vector<Case>& to) {
  const std::string line = "HTTP/1.1 200 OK\r\n";
  const std::string five = "Content-Length: 5\r\n";
  const auto kept = [&](const std::string& name, const std::string& lines,
                        const std::string& sent) {
    to.push_back(ok(name, response(lines + five), BodyFraming::content_length(5), true,
                    line + sent + five + "\r\n"));
  };
  kept("H32_origins_date_and_server_are_kept", "date: x\r\nSERVER: y\r\n",
       "date: x\r\nSERVER: y\r\n");
  kept("H32_date_is_added", "Server: y\r\n", "Server: y\r\n<D>");
  kept("H32_server_is_added", "Date: x\r\n", "Date: x\r\n<S>");
  kept("H14_hop_by_hop_fields",
       "Keep-Alive: timeout=5\r\nConnection: keep-alive\r\nUpgrade: h2\r\nTrailer: x\r\nTE: y\r\n"
       "Proxy-Authenticate: z\r\nProxy-Connection: close\r\nETag: \"e\"\r\n",
       "ETag: \"e\"\r\n<D><S>");
  kept("H14_nominated_field", "Connection: X-Foo\r\nx-foo: 1\r\nVary: y\r\n", "Vary: y\r\n<D><S>");
  kept("H14_nominated_date_is_replaced", "Connection: date\r\nDate: x\r\n", "<D><S>");
  kept("H14_protected_nomination_is_ignored",
       "Connection: Transfer-Encoding, Set-Cookie, Content-Length\r\nSet-Cookie: a=b\r\n",
       "Set-Cookie: a=b\r\n<D><S>");
  kept("H14_protected_nomination_is_ignored_beside_another",
       "Connection: X-Foo, Set-Cookie, Authorization\r\nSet-Cookie: a=b\r\nX-Foo: 1\r\n",
       "Set-Cookie: a=b\r\n<D><S>");
  kept("H33_forwarding_names_and_underscores_of_origins_stay",
       "X-Forwarded-For: x\r\nX_Foo: y\r\nHost: z\r\nExpect: what\r\n",
       "X-Forwarded-For: x\r\nX_Foo: y\r\nHost: z\r\nExpect: what\r\n<D><S>");
  kept("H5_obs_text_in_value", "Content-Disposition: \xe4\xff\r\n",
       "Content-Disposition: \xe4\xff\r\n<D><S>");
  to.push_back(ok("H14_connection_close", response("Connection: close\r\n" + five),
                  BodyFraming::content_length(5), false, line + "<D><S>" + five + "\r\n"));
  to.push_back(
      bad("H14_connection_no_token", response("Connection: a b\r\n"), E::connection_invalid));
  to.push_back(bad("H3_obs_fold", response("Foo: a\r\n b\r\n" + five), E::field_line_folded));
  to.push_back(
      bad("H4_space_before_colon", response("Content-Length : 5\r\n"), E::field_name_invalid));
  to.push_back(bad("H4_empty_name", response(": x\r\n"), E::field_name_invalid));
  to.push_back(bad("H4_no_colon", response("Foo\r\n"), E::field_name_invalid));
  to.push_back(
      bad("H5_nul_in_value", response(std::string("Foo: a\0b\r\n", 10)), E::field_value_invalid));
  to.push_back(bad("H2_bare_lf_in_value", response("Foo: a\nb: c\r\n"), E::line_end_invalid));
  to.push_back(bad(
      "H6_129_fields",
      [] {
        std::string lines;
        for (int i = 0; i < 129; ++i) lines += "f: v\r\n";
        return response(lines);
      }(),
      E::fields_too_many));
  to.push_back(
      bad("H6_line_without_end", line + "Foo: " + std::string(20000, 'v'), E::field_line_too_long));
}

void add_framings(std::vector<Case>& to) {
  const std::string five = "Content-Length: 5\r\n";
  const std::string line = "HTTP/1.1 200 OK\r\n";
  to.push_back(ok("H24_chunked", response(chunked), BodyFraming::chunked(), true,
                  line + "<D><S>" + chunked + "\r\n"));
  to.push_back(ok("H24_until_close", response(""), BodyFraming::until_close(), false,
                  line + "<D><S>" + chunked + "\r\n"));
  to.push_back(ok("H24_until_close_with_keep_alive", response("Connection: keep-alive\r\n"),
                  BodyFraming::until_close(), false, line + "<D><S>" + chunked + "\r\n"));
  to.push_back(ok("H24_http_1_0_until_close", "HTTP/1.0 200 OK\r\n\r\n", BodyFraming::until_close(),
                  false, line + "<D><S>" + chunked + "\r\n"));
  to.push_back(ok("H24_length_zero", response("Content-Length: 0\r\n"),
                  BodyFraming::content_length(0), true, line + "<D><S>Content-Length: 0\r\n\r\n"));
  to.push_back(bad("H9_CL_TE", response(five + chunked), E::framing_ambiguous));
  to.push_back(
      bad("H9_TE_CL_to_head", response(chunked + five), E::framing_ambiguous, Method::head));
  to.push_back(bad("H10_TE_on_http_1_0", "HTTP/1.0 200 OK\r\n" + chunked + "\r\n",
                   E::transfer_encoding_in_http_1_0));
  to.push_back(bad("H7_CL_CL_equal", response(five + five), E::content_length_duplicate));
  to.push_back(bad("H7_list", response("Content-Length: 5, 5\r\n"), E::content_length_invalid));
  to.push_back(bad("H7_empty", response("Content-Length:\r\n"), E::content_length_invalid));
  to.push_back(bad("H7_negative", response("Content-Length: -1\r\n"), E::content_length_invalid));
  to.push_back(bad("H7_overflow", response("Content-Length: 18446744073709551617\r\n"),
                   E::content_length_invalid));
  to.push_back(bad("H7_checked_without_body_too", response("Content-Length: x\r\n"),
                   E::content_length_invalid, Method::head));
  to.push_back(bad("H8_identity", response("Transfer-Encoding: identity\r\n"),
                   E::transfer_encoding_invalid));
  to.push_back(bad("H8_gzip_chunked", response("Transfer-Encoding: gzip, chunked\r\n"),
                   E::transfer_encoding_unsupported));
  to.push_back(bad("H8_two_lines", response(chunked + chunked), E::transfer_encoding_duplicate));
  const auto none = BodyFraming::none();
  to.push_back(ok("H22_head_keeps_length", response(five), none, true,
                  line + "<D><S>" + five + "\r\n", Method::head));
  to.push_back(ok("H22_head_with_chunked", response(chunked), none, true, line + "<D><S>\r\n",
                  Method::head));
  to.push_back(
      ok("H22_head_without_length", response(""), none, true, line + "<D><S>\r\n", Method::head));
  to.push_back(ok("H22_304_keeps_length", "HTTP/1.1 304 Not Modified\r\n" + five + "\r\n", none,
                  true, "HTTP/1.1 304 Not Modified\r\n<D><S>" + five + "\r\n"));
  to.push_back(ok("H22_304_without_length", "HTTP/1.1 304 Not Modified\r\n\r\n", none, true,
                  "HTTP/1.1 304 Not Modified\r\n<D><S>\r\n"));
  to.push_back(ok("H22_204_drops_length", "HTTP/1.1 204 No Content\r\n" + five + "\r\n", none, true,
                  "HTTP/1.1 204 No Content\r\n<D><S>\r\n"));
  to.push_back(ok("H22_204_drops_chunked", "HTTP/1.1 204 No Content\r\n" + chunked + "\r\n", none,
                  true, "HTTP/1.1 204 No Content\r\n<D><S>\r\n"));
  to.push_back(
      ok("H23_100", "HTTP/1.1 100 Continue\r\n\r\n", none, true, "HTTP/1.1 100 Continue\r\n\r\n"));
  to.push_back(ok("H23_103_keeps_fields_only",
                  "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n" + five + "Connection: close\r\n\r\n",
                  none, false, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"));
  const std::string switching = "HTTP/1.1 101 Switching Protocols\r\n";
  to.push_back(ok("H21_101_names_its_protocol",
                  switching + "upgrade: x/1\r\nX-A: b\r\nConnection:upgrade\r\n" + five + "\r\n",
                  none, true, switching + "X-A: b\r\nConnection: Upgrade\r\nUpgrade: x/1\r\n\r\n"));
  to.push_back(ok("H21_101_without_the_option", switching + "Upgrade: x\r\n\r\n", none, true,
                  switching + "\r\n"));
  to.push_back(ok("H21_101_without_a_protocol", switching + "Connection: upgrade\r\n\r\n", none,
                  true, switching + "\r\n"));
  to.push_back(ok("H21_upgrade_of_another_status_is_not_passed_on",
                  response("Upgrade: websocket\r\nConnection: upgrade\r\n" + five),
                  BodyFraming::content_length(5), true, line + "<D><S>" + five + "\r\n"));
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  add_status_lines(cases);
  add_fields(cases);
  add_framings(cases);
  return cases;
}

class ResponseHeadCase : public ::testing::TestWithParam<Case> {
 protected:
  millrace::testing::GuardPage page_{64 * 1024};
};

TEST_P(ResponseHeadCase, IsTakenForWhatItIs) {
  const Case& of = GetParam();
  for (const Manner& manner : all_manners()) {
    const ByteView in = place_prefix(page_, of.in, of.in.size(), manner.readable);
    ResponseHead head;
    size_t consumed = 0;
    const ParseStatus status = parse_response_head_at(manner.level, in, of.method, head, consumed,
                                                      nullptr, manner.readable);
    if (of.error != HeadError::none) {
      ASSERT_EQ(status, ParseStatus::error);
      EXPECT_EQ(sentence(head.error), sentence(of.error));
      continue;
    }
    ASSERT_EQ(status, ParseStatus::complete);
    EXPECT_EQ(consumed, of.in.size());
    EXPECT_EQ(describe(head.framing), describe(of.framing));
    EXPECT_EQ(head.keep_alive, of.keep_alive);
    ResponseOptions options;
    options.framing = client_framing(head, Version::http_1_1);
    options.date = date;
    // With all the room that the writer likes, and with none to spare.
    std::vector<uint8_t> output(of.in.size() + 3 * head_growth_bytes_max);
    size_t written = write_response_head(head, options, output);
    EXPECT_EQ(as_text(ByteView(output).first(written)), expand(of.canonical));
    output.assign(written, 0);
    written = write_response_head(head, options, output);
    EXPECT_EQ(as_text(ByteView(output).first(written)), expand(of.canonical));
  }
}

TEST_P(ResponseHeadCase, DoesNotDependOnHowItArrives) {
  const Case& of = GetParam();
  const std::string& in = of.in;
  const std::string whole = ResponseParser{of.method, {VectorLevel::off, {}}}(page_.place(in));
  const size_t stride = in.size() > 4000 ? 13 : 1;
  for (const Manner& manner : all_manners()) {
    const ResponseParser parse{of.method, manner};
    HeadScan by_byte;
    bool is_decided = false;
    for (size_t size = 0; size <= in.size(); size += stride) {
      const ByteView prefix = place_prefix(page_, in, size, manner.readable);
      const std::string answer = parse(prefix);
      EXPECT_EQ(answer, parse(prefix, &by_byte));
      is_decided = is_decided || answer != "partial";
      if (is_decided) {
        ASSERT_EQ(answer, whole) << "prefix of " << size;
      }
      HeadScan split;
      EXPECT_EQ(answer, parse(prefix, &split));
      EXPECT_EQ(parse(place_prefix(page_, in, in.size(), manner.readable), &split), whole)
          << "split at " << size;
    }
    for (const std::string& more : {std::string("x"), std::string("\r\n\r\n"), response("")}) {
      const std::string both = in + more;
      EXPECT_EQ(parse(place_prefix(page_, both, both.size(), manner.readable)), whole);
    }
  }
}

TEST_P(ResponseHeadCase, DoesNotDependOnWhatStandsBefore) {
  const Case& of = GetParam();
  const size_t line_end = of.in.find("\r\n");
  if (line_end == of.in.npos || line_end == 0 || of.in.size() > 2000) return;
  for (size_t filled = 0; filled < 34; ++filled) {
    std::string longer = of.in;
    longer.insert(line_end + 2, "ETag: " + std::string(filled, 'f') + "\r\nX-Unlisted: u\r\n");
    const std::string whole =
        ResponseParser{of.method, {VectorLevel::off, {}}}(page_.place(longer));
    for (const Manner& manner : all_manners()) {
      const ByteView placed = place_prefix(page_, longer, longer.size(), manner.readable);
      ASSERT_EQ((ResponseParser{of.method, manner}(placed)), whole) << filled;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Wire, ResponseHeadCase, ::testing::ValuesIn(all_cases()),
                         [](const auto& param) { return param.param.name; });

std::string written(const std::string& in, Version version, bool keep_alive) {
  ResponseHead head;
  size_t consumed = 0;
  EXPECT_EQ(parse_response_head(as_bytes(in), Method::get, head, consumed), ParseStatus::complete);
  ResponseOptions options;
  options.client_version = version;
  options.keep_alive = keep_alive;
  options.framing = client_framing(head, version);
  options.date = date;
  std::vector<uint8_t> output(in.size() + head_growth_bytes_max);
  const size_t bytes = write_response_head(head, options, output);
  return std::string(as_text(ByteView(output).first(bytes)));
}

TEST(ResponseHead, H10_OldClientGetsNoChunks) {
  const std::string head = expand("HTTP/1.1 200 OK\r\n<D><S>");
  EXPECT_EQ(written(response(chunked), Version::http_1_0, false),
            head + "Connection: close\r\n\r\n");
  EXPECT_EQ(written(response(""), Version::http_1_0, false), head + "Connection: close\r\n\r\n");
  EXPECT_EQ(written(response("Content-Length: 5\r\n"), Version::http_1_0, true),
            head + "Content-Length: 5\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(written(response("Content-Length: 5\r\n"), Version::http_1_0, false),
            head + "Content-Length: 5\r\nConnection: close\r\n\r\n");
}

TEST(ResponseHead, ConnectionThatWillCloseSaysSo) {
  const std::string head = expand("HTTP/1.1 200 OK\r\n<D><S>");
  EXPECT_EQ(written(response("Content-Length: 5\r\n"), Version::http_1_1, false),
            head + "Content-Length: 5\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(written(response(chunked), Version::http_1_1, true), head + chunked + "\r\n");
}

TEST(ResponseHead, KeptConnectionNeedsAnEndOfBody) {
  ResponseHead head;
  size_t consumed = 0;
  ASSERT_EQ(parse_response_head(as_bytes(response("")), Method::get, head, consumed),
            ParseStatus::complete);
  ResponseOptions options;
  options.keep_alive = true;
  options.framing = BodyFraming::until_close();
  std::vector<uint8_t> output(1000);
  EXPECT_DEATH(write_response_head(head, options, output), "invariant does not hold");
}

}  // namespace
}  // namespace millrace::http

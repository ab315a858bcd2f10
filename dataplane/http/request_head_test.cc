// Requests as bytes: what each is taken for, and what the origin gets to see. Every case runs
// whole, byte by byte, at every split and in front of further bytes, at every level of vector
// instructions, and up against a guard page or in front of octets that must not matter.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "dataplane/http/head_parser.h"
#include "dataplane/http/head_testing.h"
#include "dataplane/http/head_writer.h"
#include "dataplane/http/request_cases.h"
#include "tests/support/guard_page.h"

namespace millrace::http {
namespace {

using testing::all_manners;
using testing::bytes;
using testing::canonical;
using testing::forwarding;
using testing::get;
using testing::Manner;
using testing::place_prefix;
using testing::RequestCase;
using testing::RequestParser;

testing::RequestCases all_cases() {
  testing::RequestCases cases;
  testing::add_start_lines(cases);
  testing::add_line_ends(cases);
  testing::add_names(cases);
  testing::add_values(cases);
  testing::add_limits(cases);
  testing::add_content_lengths(cases);
  testing::add_transfer_encodings(cases);
  testing::add_upgrades(cases);
  testing::add_connections(cases);
  testing::add_hosts(cases);
  testing::add_targets(cases);
  return cases;
}

class RequestHeadCase : public ::testing::TestWithParam<RequestCase> {
 protected:
  millrace::testing::GuardPage page_{256 * 1024};
};

TEST_P(RequestHeadCase, IsTakenForWhatItIs) {
  const RequestCase& of = GetParam();
  for (const Manner& manner : all_manners()) {
    const ByteView in = place_prefix(page_, of.in, of.in.size(), manner.readable);
    RequestHead head;
    size_t consumed = 0;
    const ParseStatus status =
        parse_request_head_at(manner.level, in, head, consumed, nullptr, manner.readable);
    if (of.error != HeadError::none) {
      ASSERT_EQ(status, ParseStatus::error);
      EXPECT_EQ(sentence(head.error), sentence(of.error));
      continue;
    }
    ASSERT_EQ(status, ParseStatus::complete)
        << (status == ParseStatus::error ? sentence(head.error) : "partial");
    EXPECT_EQ(consumed, of.in.size());
    // With all the room that the writer likes, and with none to spare.
    std::vector<uint8_t> output(of.in.size() + 3 * head_growth_bytes_max);
    size_t written = write_request_head(head, forwarding, output);
    EXPECT_EQ(as_text(ByteView(output).first(written)), canonical(of));
    output.assign(written, 0);
    written = write_request_head(head, forwarding, output);
    EXPECT_EQ(as_text(ByteView(output).first(written)), canonical(of));
  }
}

// Whole, byte by byte, at every split, in every manner; the answer may not depend on any of it.
TEST_P(RequestHeadCase, DoesNotDependOnHowItArrives) {
  const std::string& in = GetParam().in;
  const std::string whole = RequestParser{{VectorLevel::off, {}}}(page_.place(in));
  // Large inputs are many: every octet of them is tried at the seams, elsewhere one in 97.
  const size_t stride = in.size() > 4000 ? 97 : 1;
  for (const Manner& manner : all_manners()) {
    const RequestParser parse{manner};
    HeadScan by_byte;
    bool is_decided = false;
    for (size_t size = 0; size <= in.size();
         size += size + stride > in.size() && size != in.size() ? in.size() - size : stride) {
      const ByteView prefix = place_prefix(page_, in, size, manner.readable);
      const std::string answer = parse(prefix);
      is_decided = is_decided || answer != "partial";
      if (is_decided || size == in.size()) {
        ASSERT_EQ(answer, whole) << "prefix of " << size;
      }
      if (answer == "partial" || by_byte.bytes_seen != 0 || size == 0) {
        EXPECT_EQ(parse(prefix, &by_byte), answer) << "grown to " << size;
      }
      HeadScan split;
      EXPECT_EQ(parse(prefix, &split), answer);
      if (answer == "partial") {
        EXPECT_EQ(parse(place_prefix(page_, in, in.size(), manner.readable), &split), whole)
            << "split at " << size;
      }
    }
  }
}

TEST_P(RequestHeadCase, DoesNotDependOnWhatFollows) {
  const std::string& in = GetParam().in;
  const std::string whole = RequestParser{{VectorLevel::off, {}}}(page_.place(in));
  for (const Manner& manner : all_manners()) {
    for (const std::string& more : {std::string("x"), std::string("\r\n"), get(""),
                                    std::string("\0\xff\n", 3), bytes(20000, 'x')}) {
      const std::string both = in + more;
      EXPECT_EQ(RequestParser{manner}(place_prefix(page_, both, both.size(), manner.readable)),
                whole);
    }
  }
}

// Behind lines that fill whole vectors, so that each case also meets the code for them in the
// middle of a head: what is told about the head but for those lines is the same.
TEST_P(RequestHeadCase, DoesNotDependOnWhatStandsBefore) {
  const std::string& in = GetParam().in;
  const size_t line_end = in.find("\r\n");
  if (line_end == in.npos || line_end == 0 || in.size() > 2000) return;
  for (size_t filled = 0; filled < 34; ++filled) {
    std::string longer = in;
    longer.insert(line_end + 2, "Accept: " + bytes(filled, 'f') + "\r\nX-Unlisted: u\r\n");
    const std::string whole = RequestParser{{VectorLevel::off, {}}}(page_.place(longer));
    for (const Manner& manner : all_manners()) {
      const ByteView placed = place_prefix(page_, longer, longer.size(), manner.readable);
      ASSERT_EQ(RequestParser{manner}(placed), whole) << filled;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Wire, RequestHeadCase, ::testing::ValuesIn(all_cases()),
                         [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace millrace::http

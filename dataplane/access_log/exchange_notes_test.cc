#include "dataplane/access_log/exchange_notes.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "dataplane/access_log/access_line.h"
#include "dataplane/http/head_parser.h"

namespace millrace::access_log {
namespace {

const Instant start = Instant::from_ns(1'000'000'000);
Instant after_us(int64_t us) {
  return start + Duration::microseconds(us);
}

class ExchangeNotesTest : public testing::Test {
 protected:
  // Parses text, which has to live on, and begins the exchange of session.
  void begin(uint32_t session, const std::string& text, Instant now = start) {
    size_t consumed = 0;
    head_ = std::make_unique<http::RequestHead>();
    const auto status = http::parse_request_head(as_bytes(text), *head_, consumed);
    ASSERT_NE(status, http::ParseStatus::partial);
    notes.begin(session, {"10.0.0.1", "", 40'000, "id-1"}, head_.get(), now, now);
  }
  // Entries look into the octets of the records, which are kept.
  std::vector<AccessEntry> entries() {
    ring.drain(SIZE_MAX, [&](ByteView record) {
      kept_.push_back(std::make_unique<std::string>(as_text(record)));
    });
    std::vector<AccessEntry> all;
    for (const auto& record : kept_) all.emplace_back(as_bytes(*record));
    return all;
  }
  AccessEntry only() {
    const auto all = entries();
    EXPECT_EQ(all.size(), 1U);
    return all.front();
  }

  RecordRing ring{1U << 16};
  ExchangeNotes notes{&ring, 4};

 private:
  std::unique_ptr<http::RequestHead> head_;
  std::vector<std::unique_ptr<std::string>> kept_;
};

TEST_F(ExchangeNotesTest, OneRecordSaysItAll) {
  begin(2,
        "GET /a/b?c=d HTTP/1.1\r\nHost: Shop.Example:8080\r\nUser-Agent: tester/1\r\n"
        "Referer: http://x/\r\n\r\n");
  notes.routed(2, {"shop", "front", "shop", "web", "http"});
  notes.attempted(2, 0x0a000009, 8080, false, after_us(10));
  notes.connected(2, after_us(200));
  notes.responded(2, 204, after_us(900));
  notes.blame(2, ExchangeEnd::complete);
  EXPECT_TRUE(notes.end(2, 11, 22, true, after_us(1'000)));
  const AccessEntry entry = only();
  EXPECT_EQ(entry.text(Text::client), "10.0.0.1");
  EXPECT_EQ(entry.text(Text::method), "GET");
  EXPECT_EQ(entry.text(Text::host), "shop.example");
  EXPECT_EQ(entry.text(Text::target), "/a/b?c=d");
  EXPECT_EQ(entry.text(Text::user_agent), "tester/1");
  EXPECT_EQ(entry.text(Text::referer), "http://x/");
  EXPECT_EQ(entry.text(Text::upgrade), "");
  EXPECT_EQ(entry.text(Text::peer), "");
  EXPECT_EQ(entry.text(Text::request_id), "id-1");
  EXPECT_EQ(entry.text(Text::route), "shop/front");
  EXPECT_EQ(entry.text(Text::service), "shop/web:http");
  const AccessRecord& record = entry.record();
  EXPECT_EQ(record.client_port, 40'000);
  EXPECT_EQ(record.endpoint_address, 0x0a000009U);
  EXPECT_EQ(record.endpoint_port, 8080);
  EXPECT_EQ(record.status, 204);
  EXPECT_EQ(record.attempts, 1);
  EXPECT_EQ(record.end, ExchangeEnd::complete);
  EXPECT_EQ(record.reason, LocalReason::none);
  EXPECT_FALSE(record.reused);
  EXPECT_TRUE(record.keep_alive);
  EXPECT_EQ(record.request_body_octets, 11U);
  EXPECT_EQ(record.response_body_octets, 22U);
  EXPECT_EQ(record.connected_ns - record.routed_ns, 200'000U);
  EXPECT_EQ(record.responded_ns - record.routed_ns, 900'000U);
  EXPECT_EQ(record.ended_ns - record.began_ns, 1'000'000U);
}

TEST_F(ExchangeNotesTest, EndsOnceAndOnlyWhatHasBegun) {
  EXPECT_TRUE(notes.end(0, 0, 0, false, start));
  begin(0, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(notes.is_open(0));
  EXPECT_TRUE(notes.end(0, 0, 0, false, start));
  EXPECT_FALSE(notes.is_open(0));
  EXPECT_TRUE(notes.end(0, 0, 0, false, start));
  // What comes late, of an exchange that is over, changes nothing.
  notes.responded(0, 200, start);
  notes.blame(0, ExchangeEnd::timed_out);
  EXPECT_EQ(only().record().end, ExchangeEnd::aborted);
}

TEST_F(ExchangeNotesTest, TheFirstBlameCounts) {
  begin(0, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  notes.blame(0, ExchangeEnd::client_aborted);
  notes.blame(0, ExchangeEnd::timed_out);
  EXPECT_TRUE(notes.end(0, 0, 0, false, start));
  EXPECT_EQ(only().record().end, ExchangeEnd::client_aborted);
}

TEST_F(ExchangeNotesTest, AnotherAttemptSaysItsRouteAnew) {
  begin(1, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  notes.routed(1, {"long-namespace", "long-ingress-name", "long-namespace", "service", "http"});
  notes.attempted(1, 1, 80, true, start);
  notes.routed(1, {"n", "i", "n", "s", "80"});
  notes.attempted(1, 2, 81, false, after_us(5));
  EXPECT_TRUE(notes.end(1, 0, 0, false, after_us(9)));
  const AccessEntry entry = only();
  EXPECT_EQ(entry.text(Text::target), "/");
  EXPECT_EQ(entry.text(Text::route), "n/i");
  EXPECT_EQ(entry.text(Text::service), "n/s:80");
  EXPECT_EQ(entry.record().attempts, 2);
  EXPECT_EQ(entry.record().endpoint_port, 81);
  EXPECT_EQ(entry.record().connected_ns, 0U) << "the second connection never stood";
}

TEST_F(ExchangeNotesTest, TextsAreCutAtTheirLimits) {
  const std::string long_query(3'000, 'q');
  const std::string long_agent(1'000, 'u');
  begin(0,
        "GET /?" + long_query + " HTTP/1.1\r\nHost: a\r\nUser-Agent: " + long_agent + "\r\n\r\n");
  notes.routed(0, {std::string(63, 'n'), std::string(253, 'i'), std::string(63, 'n'),
                   std::string(63, 's'), std::string(15, 'p')});
  EXPECT_TRUE(notes.end(0, 0, 0, false, start));
  const AccessEntry entry = only();
  EXPECT_EQ(entry.text(Text::target), "/?" + std::string(1022, 'q'));
  EXPECT_TRUE(entry.is_cut(Text::target));
  EXPECT_EQ(entry.text(Text::user_agent), std::string(256, 'u'));
  EXPECT_EQ(entry.text(Text::route).size(), 63U + 1 + 253);
  EXPECT_FALSE(entry.is_cut(Text::route));
  EXPECT_EQ(entry.text(Text::service).size(), 63U + 1 + 63 + 1 + 15);
}

TEST_F(ExchangeNotesTest, H39_OfAHeadThatBreaksARuleOnlyTheRuleIsKept) {
  begin(0, "GET /secret HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n");
  notes.give_reason(0, LocalReason::head_invalid);
  notes.responded(0, 400, start);
  EXPECT_TRUE(notes.end(0, 0, 0, false, start));
  const AccessEntry entry = only();
  EXPECT_EQ(entry.text(Text::method), "");
  EXPECT_EQ(entry.text(Text::target), "");
  EXPECT_EQ(entry.record().head_error, http::HeadError::field_name_invalid);
  EXPECT_EQ(entry.record().status, 400);
}

TEST_F(ExchangeNotesTest, AFullRingIsSaidAndTheNextExchangeHasItsNote) {
  RecordRing small(1U << 14);
  ExchangeNotes few(&small, 1);
  uint32_t lost = 0;
  for (int i = 0; i < 200; ++i) {
    few.begin(0, {"10.0.0.1", "", 1, ""}, nullptr, start, start);
    if (!few.end(0, 0, 0, false, start)) ++lost;
  }
  EXPECT_GT(lost, 50U);
  small.drain(SIZE_MAX, [](ByteView) {});
  few.begin(0, {"10.0.0.1", "", 1, ""}, nullptr, start, start);
  EXPECT_TRUE(few.end(0, 0, 0, false, start));
}

TEST(ExchangeNotes, WithoutALogNothingIsKept) {
  ExchangeNotes notes(nullptr, 1'000'000);
  EXPECT_FALSE(notes.wanted());
  EXPECT_EQ(notes.memory_bytes(), 0U);
  notes.begin(5, {"10.0.0.1", "", 1, ""}, nullptr, start, start);
  EXPECT_FALSE(notes.is_open(5));
  EXPECT_TRUE(notes.end(5, 0, 0, false, start));
}

}  // namespace
}  // namespace millrace::access_log

#include "perf/load/response_check.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "perf/load/messages.h"

namespace millrace::load {
namespace {

class ResponseCheckTest : public testing::Test {
 protected:
  // Feeds the text in pieces of so many octets; the last progress.
  Progress feed(std::string_view text, size_t piece, size_t* taken_in_all = nullptr) {
    Progress progress = Progress::more;
    size_t at = 0;
    while (at < text.size() && progress == Progress::more) {
      size_t taken = 0;
      progress = check.take(connection, as_bytes(text.substr(at, piece)), &taken);
      at += taken;
    }
    if (taken_in_all != nullptr) *taken_in_all = at;
    return progress;
  }
  uint64_t errors(LoadError error) const { return figures.errors[static_cast<size_t>(error)]; }
  static std::string answer(std::string_view head, std::string_view body) {
    return "HTTP/1.1 " + std::string(head) + "\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + std::string(body);
  }

  Figures figures;
  ResponseCheck check{{200, "tag"}, figures};
  Connection connection{};
  std::string right = ResponseText("tag", 200).text();
};

TEST_F(ResponseCheckTest, ARightOneIsRightHoweverItIsCut) {
  for (size_t piece = 1; piece <= right.size(); ++piece) {
    ASSERT_EQ(feed(right, piece), Progress::done) << piece;
    ASSERT_EQ(figures.responses_ok, piece);
    ASSERT_EQ(connection.head_buffer, 0);
  }
  EXPECT_EQ(figures.errors_total(), 0U);
}

TEST_F(ResponseCheckTest, StatusesAreCountedByNumberAndTheConnectionGoesOn) {
  const std::string text = answer("503 Service Unavailable", "no");
  EXPECT_EQ(feed(text, 1000), Progress::done);
  EXPECT_EQ(feed(text, 7), Progress::done);
  EXPECT_EQ(figures.statuses[503], 2U);
  EXPECT_EQ(figures.responses_ok, 0U);
  EXPECT_EQ(feed(right, 1000), Progress::done);
  EXPECT_EQ(figures.responses_ok, 1U);
}

TEST_F(ResponseCheckTest, AnotherLengthOrTagIsWrong) {
  EXPECT_EQ(feed(ResponseText("tag", 201).text(), 1000), Progress::done);
  EXPECT_EQ(errors(LoadError::wrong_length), 1U);
  EXPECT_EQ(feed(ResponseText("other", 200).text(), 1000), Progress::done);
  EXPECT_EQ(errors(LoadError::wrong_tag), 1U);
  // The same head as a right one: the body alone gives it away.
  EXPECT_EQ(feed(right, 1000), Progress::done);
  EXPECT_EQ(feed(ResponseText("tog", 200).text(), 1000), Progress::done);
  EXPECT_EQ(errors(LoadError::wrong_tag), 2U);
  EXPECT_EQ(figures.responses_ok, 1U);
}

TEST_F(ResponseCheckTest, WithoutALengthOrAHeadItIsBroken) {
  EXPECT_EQ(feed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 1000),
            Progress::broken);
  EXPECT_EQ(feed("HTTP/1.1 200 OK\r\n\r\nabc", 1000), Progress::broken);
  EXPECT_EQ(errors(LoadError::unframed), 2U);
  EXPECT_EQ(feed("SMTP ready\r\n\r\n", 1000), Progress::broken);
  EXPECT_EQ(feed("HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n", 1000), Progress::broken);
  EXPECT_EQ(errors(LoadError::malformed), 2U);
  Connection endless{};
  Progress progress = Progress::more;
  const std::string dots(1000, '.');
  for (int i = 0; i < 9 && progress == Progress::more; ++i) {
    size_t taken = 0;
    progress = check.take(endless, as_bytes(dots), &taken);
  }
  EXPECT_EQ(progress, Progress::broken);
  check.forget(endless);
}

TEST_F(ResponseCheckTest, InterimResponsesAreNoAnswer) {
  const std::string text =
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + right;
  EXPECT_EQ(feed(text, 10'000), Progress::done);
  EXPECT_EQ(feed(text, 11), Progress::done);
  EXPECT_EQ(figures.responses_ok, 2U);
  EXPECT_EQ(figures.errors_total(), 0U);
}

TEST_F(ResponseCheckTest, OnlyTheResponseIsTaken) {
  size_t taken = 0;
  EXPECT_EQ(feed(right + "HTTP/1.1", 10'000, &taken), Progress::done);
  EXPECT_EQ(taken, right.size());
}

TEST_F(ResponseCheckTest, CloseIsSeenAndKeptForTheConnection) {
  EXPECT_EQ(feed(answer("200 OK\r\nConnection: close", "tag" + std::string(197, 'x')), 1000),
            Progress::done);
  EXPECT_TRUE(connection.is(flag_close_announced));
}

TEST_F(ResponseCheckTest, ManyKindsOfHeadsAreAllJudgedForThemselves) {
  Random random(3);
  uint64_t expected_ok = 0;
  uint64_t expected_bad = 0;
  for (int i = 0; i < 2'000; ++i) {
    // More kinds than are remembered, and longer heads than are.
    const uint64_t kind = random.below(8);
    const bool ok = kind % 2 == 0;
    const std::string filler(kind == 6 || kind == 7 ? 2'000 : kind, 'f');
    const std::string head = (ok ? "200 OK\r\nX-Kind: " : "404 Not Found\r\nX-Kind: ") + filler;
    ASSERT_EQ(feed(answer(head, "tag" + std::string(197, 'y')), 1 + random.below(3'000)),
              Progress::done);
    ++(ok ? expected_ok : expected_bad);
  }
  EXPECT_EQ(figures.responses_ok, expected_ok);
  EXPECT_EQ(figures.statuses[404], expected_bad);
}

}  // namespace
}  // namespace millrace::load

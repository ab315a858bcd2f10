#include "base/paced_line.h"

#include <gtest/gtest.h>

#include <vector>

namespace millrace {
namespace {

class PacedLineTest : public ::testing::Test {
 protected:
  Instant after_ms(int64_t ms) { return start_ + Duration::milliseconds(ms); }

  const Instant start_ = Instant::from_ns(1'000'000'000'000);
  std::vector<std::string> info_, debug_;
  PacedLine line_{[this](const std::string& text) { info_.push_back(text); },
                  [this](const std::string& text) { debug_.push_back(text); }};
};

TEST_F(PacedLineTest, TheFirstAfterQuietIsSaidAtOnce) {
  line_.say(start_, "a");
  EXPECT_EQ(info_, std::vector<std::string>{"a"});
  EXPECT_EQ(line_.due(), Instant::never()) << "nothing was left out, so nobody need wake up";
  line_.say(after_ms(1'000), "b");
  EXPECT_EQ(info_.back(), "b");
  EXPECT_TRUE(debug_.empty());
}

TEST_F(PacedLineTest, AStormIsOneLineASecondWithTheNewestAndACount) {
  for (int i = 0; i < 100; ++i) line_.say(after_ms(i * 50), "version " + std::to_string(i));
  // At 0, 1, 2, 3 and 4 s; what came at those moments is behind the line.
  ASSERT_GE(info_.size(), 5u);
  EXPECT_LE(info_.size(), 6u);
  EXPECT_EQ(info_[0], "version 0");
  EXPECT_EQ(info_[1], "version 19 (18 more before it)");
  EXPECT_EQ(line_.due(), after_ms(5'000));
  line_.turn(line_.due());
  EXPECT_EQ(info_.back(), "version 99 (19 more before it)") << "the last one is said, if later";
  EXPECT_EQ(line_.due(), Instant::never());
  EXPECT_EQ(debug_.size(), 99u);
}

TEST_F(PacedLineTest, WhatIsLeftAtTheEndIsSaid) {
  line_.say(start_, "a");
  line_.say(after_ms(1), "b");
  line_.flush();
  EXPECT_EQ(info_, (std::vector<std::string>{"a", "b"}));
  line_.flush();
  EXPECT_EQ(info_.size(), 2u);
}

}  // namespace
}  // namespace millrace

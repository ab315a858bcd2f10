// The impairment stage between two namespaces: it loses what the seed chose and nothing else, and
// is never early.
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "tests/peers/delay_line.h"
#include "tests/peers/impairment.h"
#include "tests/support/lab/namespace.h"
#include "tests/support/lab/packet_socket.h"
#include "tests/support/lab/process.h"

namespace millrace::peers {
namespace {

using Clock = std::chrono::steady_clock;

// Fates do not depend on time as long as the rate is not limited.
std::set<uint32_t> numbers_with(Fate fate, const Impairments& what, uint64_t seed, uint32_t count) {
  Impairment impairment(what, seed);
  std::set<uint32_t> numbers;
  for (uint32_t i = 0; i < count; ++i) {
    if (impairment.judge(100, false, Instant()).fate == fate) numbers.insert(i);
  }
  return numbers;
}

TEST(ImpairmentTest, LosesTheShareThatWasAskedFor) {
  Impairments what;
  what.loss = 0.05;
  const double lost = static_cast<double>(numbers_with(Fate::lost, what, 1, 100'000).size());
  EXPECT_NEAR(lost, 5'000, 300);
  EXPECT_NE(numbers_with(Fate::lost, what, 1, 1'000), numbers_with(Fate::lost, what, 2, 1'000));
}

TEST(ImpairmentTest, BurstsHaveTheMeanLengthThatWasAskedFor) {
  Impairments what;
  what.burst_begin = 0.01;
  what.burst_frames = 8;
  const auto lost = numbers_with(Fate::lost_in_burst, what, 3, 200'000);
  uint32_t bursts = 0;
  for (const uint32_t number : lost) bursts += number == 0 || lost.count(number - 1) == 0 ? 1 : 0;
  ASSERT_GT(bursts, 1'000U);
  EXPECT_NEAR(static_cast<double>(lost.size()) / bursts, 8, 0.8);
}

TEST(ImpairmentTest, OneSettingDoesNotChangeWhatAnotherChooses) {
  Impairments loss;
  loss.loss = 0.1;
  Impairments both = loss;
  both.reorder = 0.2;
  both.reorder_delay = Duration::milliseconds(4);
  EXPECT_EQ(numbers_with(Fate::lost, loss, 9, 5'000), numbers_with(Fate::lost, both, 9, 5'000));
}

TEST(ImpairmentTest, ALinkOfLimitedRateHasAQueue) {
  Impairments what;
  what.rate_bits = 8'000'000;  // 1,000 octets take 1 ms
  what.queue_octets = 10'000;
  Impairment impairment(what, 1);
  const Instant now = Instant::from_ns(5'000'000);
  for (int i = 1; i <= 11; ++i) {
    const auto verdict = impairment.judge(1'000, false, now);
    EXPECT_EQ(verdict.fate, Fate::passed);
    EXPECT_EQ(verdict.due, now + Duration::milliseconds(i));
  }
  EXPECT_EQ(impairment.judge(1'000, false, now).fate, Fate::queue_full);
  EXPECT_EQ(impairment.judge(1'000, false, now + Duration::milliseconds(2)).fate, Fate::passed);
}

TEST(DelayLineTest, GivesFramesInTheOrderOfTheirTimes) {
  DelayLine line(3);
  const std::vector<uint8_t> first{1};
  const std::vector<uint8_t> second{2};
  const std::vector<uint8_t> third{3};
  line.put(first, Instant::from_ns(30));
  line.put(second, Instant::from_ns(10));
  line.put(third, Instant::from_ns(10));
  EXPECT_TRUE(line.full());
  EXPECT_TRUE(line.take_due(Instant::from_ns(9), 8).empty());
  const auto& due = line.take_due(Instant::from_ns(10), 8);
  ASSERT_EQ(due.size(), 2U);
  EXPECT_EQ(due[0][0], 2);
  EXPECT_EQ(due[1][0], 3);
  line.give_back();
  EXPECT_FALSE(line.full());
  EXPECT_EQ(line.next_due(), Instant::from_ns(30));
}

// a0 [a] -- w0 [wire: impair] w1 -- b0 [b]
class ImpairTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string reason = lab::why_no_namespaces();
    if (!reason.empty()) GTEST_SKIP() << reason;
    a_ = std::make_unique<lab::Namespace>();
    wire_ = std::make_unique<lab::Namespace>();
    b_ = std::make_unique<lab::Namespace>();
    lab::join({*a_, "a0", ""}, {*wire_, "w0", ""});
    lab::join({*wire_, "w1", ""}, {*b_, "b0", ""});
    from_ = std::make_unique<lab::PacketSocket>(*a_, "a0");
    to_ = std::make_unique<lab::PacketSocket>(*b_, "b0");
  }
  void start(const std::vector<std::string>& settings) {
    std::vector<std::string> words{IMPAIR_PROGRAM, "--a", "w0", "--b", "w1"};
    words.insert(words.end(), settings.begin(), settings.end());
    process_ = std::make_unique<lab::Process>(*wire_, words);
    ASSERT_EQ(process_->line(), "ready");
  }
  static std::vector<uint8_t> numbered(uint32_t number, size_t octets) {
    std::vector<uint8_t> frame(octets, 0x5a);
    std::memset(frame.data(), 2, 12);
    store_be16(&frame[12], 0x0800);
    store_be32(&frame[14], number);
    return frame;
  }
  void send(uint32_t number, size_t octets = 200) {
    // Before: whoever is held up behind the call would take the frame for early.
    sent_at_[number] = Clock::now();
    ASSERT_TRUE(from_->send(numbered(number, octets)));
  }
  struct Arrival {
    uint32_t number = 0;
    double ms = 0;  // under way
  };
  // Takes what has come until nothing has for a second; `most` ends it sooner.
  void receive(size_t most) {
    Clock::time_point last = Clock::now();
    while (arrived_.size() < most && Clock::now() - last < std::chrono::seconds(1)) {
      if (!receive_one()) {
        std::this_thread::sleep_for(std::chrono::microseconds(200));
        continue;
      }
      last = Clock::now();
    }
  }
  bool receive_one() {
    const std::vector<uint8_t> frame = to_->receive();
    if (frame.size() < 18 || load_be16(&frame[12]) != 0x0800) return false;
    const uint32_t number = load_be32(&frame[14]);
    EXPECT_EQ(frame, numbered(number, frame.size()));
    const std::chrono::duration<double, std::milli> way = Clock::now() - sent_at_[number];
    arrived_.push_back({number, way.count()});
    return true;
  }
  std::string end() {
    process_->signal(SIGTERM);
    const std::string said = process_->rest();
    EXPECT_EQ(process_->wait(), 0);
    return said;
  }

  std::unique_ptr<lab::Namespace> a_;
  std::unique_ptr<lab::Namespace> wire_;
  std::unique_ptr<lab::Namespace> b_;
  std::unique_ptr<lab::PacketSocket> from_;
  std::unique_ptr<lab::PacketSocket> to_;
  std::unique_ptr<lab::Process> process_;
  std::map<uint32_t, Clock::time_point> sent_at_;
  std::vector<Arrival> arrived_;
};

TEST_F(ImpairTest, LosesExactlyWhatTheSeedChose) {
  constexpr uint32_t count = 2'000;
  Impairments what;
  what.loss = 0.05;
  what.burst_begin = 0.005;
  what.burst_frames = 4;
  start({"--seed", "7", "--loss", "5", "--burst", "0.5,4", "--delay", "5"});
  for (uint32_t i = 0; i < count; ++i) {
    send(i);
    if (i % 50 == 49) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  receive(count);
  const auto lost = numbers_with(Fate::lost, what, 14, count);
  const auto lost_in_bursts = numbers_with(Fate::lost_in_burst, what, 14, count);
  EXPECT_GT(lost.size(), 50U);
  EXPECT_GT(lost_in_bursts.size(), 10U);
  ASSERT_EQ(arrived_.size(), count - lost.size() - lost_in_bursts.size());
  uint32_t expected = 0;
  for (const Arrival& arrival : arrived_) {
    while (lost.count(expected) + lost_in_bursts.count(expected) > 0) ++expected;
    ASSERT_EQ(arrival.number, expected++);
    EXPECT_GE(arrival.ms, 5);
  }
  const std::string figures = end();
  EXPECT_NE(figures.find("a_to_b received=2000 "), std::string::npos) << figures;
  EXPECT_NE(figures.find(" lost=" + std::to_string(lost.size()) + " "), std::string::npos)
      << figures;
}

TEST_F(ImpairTest, HoldsBackWhatTheSeedChose) {
  constexpr uint32_t count = 200;
  Impairments what;
  what.reorder = 0.1;
  start({"--seed", "3", "--reorder", "10,20", "--delay", "2"});
  for (uint32_t i = 0; i < count; ++i) {
    send(i);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  receive(count);
  ASSERT_EQ(arrived_.size(), count);
  const auto held_back = numbers_with(Fate::held_back, what, 6, count);
  EXPECT_GT(held_back.size(), 5U);
  uint32_t next = 0;
  uint32_t overtaken = 0;
  for (const Arrival& arrival : arrived_) {
    if (held_back.count(arrival.number) > 0) {
      EXPECT_GE(arrival.ms, 22);
      overtaken += arrival.number < next ? 1 : 0;
      continue;
    }
    EXPECT_GE(arrival.number, next);  // all others keep their order
    EXPECT_GE(arrival.ms, 2);
    next = arrival.number;
  }
  EXPECT_GT(overtaken, held_back.size() / 2);
}

TEST_F(ImpairTest, KeepsToTheRate) {
  start({"--seed", "1", "--rate", "8", "--queue", "20"});
  const Clock::time_point began = Clock::now();
  for (uint32_t i = 0; i < 100; ++i) send(i, 1'000);
  receive(100);
  // 1 ms each: some 20 fit into the queue, and one on the link for each ms that the sending took.
  const std::chrono::duration<double, std::milli> took = Clock::now() - began;
  EXPECT_GE(arrived_.size(), 20U);
  EXPECT_LE(static_cast<double>(arrived_.size()), took.count());
  EXPECT_NE(end().find(" no_room=0 not_taken=0 missed=0 too_long=0 "), std::string::npos);
}

TEST_F(ImpairTest, BadUsageIsOneLineAndTwo) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{IMPAIR_PROGRAM, "--a", "w0", "--b", "w1"},
        {IMPAIR_PROGRAM, "--a", "w0", "--b", "w9", "--seed", "1"},
        {IMPAIR_PROGRAM, "--a", "w0", "--b", "w1", "--seed", "1", "--loss", "101"},
        {IMPAIR_PROGRAM, "--a", "w0", "--b", "w1", "--seed", "1", "--reorder", "3"}}) {
    EXPECT_EQ(lab::Process(*wire_, words).wait(), 2);
  }
}

}  // namespace
}  // namespace millrace::peers

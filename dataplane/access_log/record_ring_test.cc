#include "dataplane/access_log/record_ring.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "base/random.h"

namespace millrace::access_log {
namespace {

constexpr size_t everything = SIZE_MAX;

bool push(RecordRing& ring, const std::string& text) {
  return ring.push(as_bytes(text));
}

std::vector<std::string> drain(RecordRing& ring, size_t bytes_most = everything) {
  std::vector<std::string> records;
  ring.drain(bytes_most, [&](ByteView record) { records.emplace_back(as_text(record)); });
  return records;
}

// Its number, and a length and octets that follow from it.
std::string numbered(uint64_t number, size_t bytes_most) {
  const size_t bytes = number * 7919 % bytes_most;
  std::string text = std::to_string(number) + ":";
  for (size_t i = 0; i < bytes; ++i) text += static_cast<char>('a' + (number + i) % 26);
  return text;
}

TEST(RecordRing, GivesBackWhatWasPushedInOrder) {
  RecordRing ring(RecordRing::bytes_min);
  EXPECT_TRUE(drain(ring).empty());
  EXPECT_TRUE(push(ring, "one"));
  EXPECT_TRUE(push(ring, ""));
  EXPECT_TRUE(push(ring, "three"));
  EXPECT_EQ(drain(ring), (std::vector<std::string>{"one", "", "three"}));
  EXPECT_TRUE(drain(ring).empty());
}

TEST(RecordRing, RefusesWhenFullAndGoesOnAfterwards) {
  RecordRing ring(RecordRing::bytes_min);
  const std::string record(500, 'x');
  size_t taken = 0;
  while (push(ring, record)) ++taken;
  // 4096 octets, each record with a header of 8 and padded to 8: 512.
  EXPECT_EQ(taken, 8U);
  EXPECT_FALSE(push(ring, record));
  EXPECT_EQ(drain(ring, 1).size(), 1U);
  EXPECT_TRUE(push(ring, record)) << "the room of the one that was taken";
  EXPECT_FALSE(push(ring, record));
  EXPECT_EQ(drain(ring).size(), 8U);
}

TEST(RecordRing, RefusesWhatIsLargerThanAQuarter) {
  RecordRing ring(RecordRing::bytes_min);
  EXPECT_FALSE(push(ring, std::string(ring.record_bytes_max() + 1, 'x')));
  EXPECT_TRUE(push(ring, std::string(ring.record_bytes_max(), 'x')));
  EXPECT_EQ(drain(ring).front().size(), ring.record_bytes_max());
}

TEST(RecordRing, DrainsNoMoreThanItWasAskedFor) {
  RecordRing ring(RecordRing::bytes_min);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(push(ring, std::string(100, 'x')));
  size_t records = 0;
  EXPECT_TRUE(ring.drain(150, [&](ByteView) { ++records; }));
  EXPECT_EQ(records, 2U) << "the second begins before 150 octets are there";
  EXPECT_FALSE(ring.drain(everything, [&](ByteView) { ++records; }));
  EXPECT_EQ(records, 5U);
}

// Every place in the ring is a record's first, and its last.
TEST(RecordRing, WrapsAtEveryPlace) {
  RecordRing ring(RecordRing::bytes_min);
  Random random(7);
  uint64_t pushed = 0;
  uint64_t taken = 0;
  for (int round = 0; round < 20'000; ++round) {
    for (uint64_t i = random.below(12); i > 0; --i) {
      if (!push(ring, numbered(pushed, 700))) break;
      ++pushed;
    }
    for (const std::string& record : drain(ring, random.below(3'000))) {
      ASSERT_EQ(record, numbered(taken, 700));
      ++taken;
    }
  }
  for (const std::string& record : drain(ring)) ASSERT_EQ(record, numbered(taken++, 700));
  EXPECT_EQ(taken, pushed);
  EXPECT_GT(pushed, 10'000U);
}

TEST(RecordRing, BetweenTwoThreadsNothingIsLostOrTorn) {
  RecordRing ring(1U << 14);
  constexpr uint64_t total = 100'000;
  std::thread producer([&] {
    for (uint64_t number = 0; number < total;) {
      if (push(ring, numbered(number, 300))) {
        ++number;
      } else {
        std::this_thread::yield();
      }
    }
  });
  uint64_t taken = 0;
  uint64_t wrong = 0;
  while (taken < total) {
    ring.drain(2'000, [&](ByteView record) {
      if (as_text(record) != numbered(taken, 300)) ++wrong;
      ++taken;
    });
    std::this_thread::yield();
  }
  producer.join();
  EXPECT_EQ(wrong, 0U);
  EXPECT_TRUE(drain(ring).empty());
}

}  // namespace
}  // namespace millrace::access_log

#include "dataplane/tcp/reassembly.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "dataplane/packet/frame_memory.h"

namespace millrace::tcp {
namespace {

class ReassemblyTest : public ::testing::Test {
 protected:
  static constexpr uint32_t slots = 1'024;

  ReassemblyTest()
      : memory_(std::move(packet::FrameMemory::create(slots)).value()),
        arena_(memory_.data(), slots),
        records_(arena_) {}

  ReassemblyOutcome insert(uint32_t at, const std::string& text, uint32_t slots_max = 512) {
    const auto outcome = reassembly_.insert(records_, base_ + at, as_bytes(text), slots_max, 0);
    reassembly_.check(records_);
    return outcome;
  }
  static ByteView as_bytes(const std::string& text) {
    return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
  }
  // "10-20 30-40"
  std::string ranges() const {
    std::string text;
    for (uint32_t i = 0; i < reassembly_.range_count(); ++i) {
      text += (i == 0 ? "" : " ") + told(reassembly_.range(i).begin, reassembly_.range(i).end);
    }
    return text;
  }
  std::string sack(size_t wanted) const {
    std::array<SackBlock, sack_blocks_max> blocks;
    const size_t count = reassembly_.write_sack(blocks, wanted);
    std::string text;
    for (size_t i = 0; i < count; ++i)
      text += (i == 0 ? "" : " ") + told(blocks[i].begin, blocks[i].end);
    return text;
  }
  std::string told(Seq begin, Seq end) const {
    return std::to_string(octets_between(base_, begin)) + "-" +
           std::to_string(octets_between(base_, end));
  }
  std::string take(uint32_t at) {
    SlotChain chain;
    const uint32_t octets = reassembly_.take_front(records_, base_ + at, chain);
    reassembly_.check(records_);
    std::string text;
    for (SlotIndex slot = chain.head; slot != slot_none; slot = records_[slot].next)
      text.append(reinterpret_cast<const char*>(records_.data(slot)), records_[slot].length);
    EXPECT_EQ(text.size(), octets);
    records_.drop_all(chain);
    return text;
  }

  packet::FrameMemory memory_;
  packet::Arena arena_;
  SlotRecords records_;
  Reassembly reassembly_;
  Seq base_{0xffff'fff0};
};

TEST_F(ReassemblyTest, T36_NeighborsAreOneRange) {
  EXPECT_EQ(insert(10, "aaaaa"), ReassemblyOutcome::stored);
  EXPECT_EQ(insert(20, "bbbbb"), ReassemblyOutcome::stored);
  EXPECT_EQ(ranges(), "10-15 20-25");
  EXPECT_EQ(insert(15, "ccccc"), ReassemblyOutcome::stored);
  EXPECT_EQ(ranges(), "10-25");
  EXPECT_EQ(insert(5, "ddddd"), ReassemblyOutcome::stored);
  EXPECT_EQ(ranges(), "5-25");
  EXPECT_EQ(take(5), "dddddaaaaacccccbbbbb");
  EXPECT_EQ(arena_.free_count(), arena_.capacity());
}

TEST_F(ReassemblyTest, T37_TheFirstOctetsWin) {
  insert(10, "aaa");
  insert(16, "bbb");
  EXPECT_EQ(insert(8, "XXXXXXXXXXXXX"), ReassemblyOutcome::stored);
  EXPECT_EQ(ranges(), "8-21");
  EXPECT_EQ(insert(9, "YYYY"), ReassemblyOutcome::duplicate);
  EXPECT_EQ(take(8), "XXaaaXXXbbbXX");
}

TEST_F(ReassemblyTest, T36_BoundedInRangesAndSlots) {
  for (uint32_t i = 0; i < Reassembly::ranges_max; ++i)
    EXPECT_EQ(insert(10 + 2 * i, "a"), ReassemblyOutcome::stored);
  EXPECT_EQ(insert(10 + 2 * Reassembly::ranges_max, "a"), ReassemblyOutcome::full);
  // What joins a range still fits.
  EXPECT_EQ(insert(11, "b"), ReassemblyOutcome::stored);
  EXPECT_EQ(reassembly_.range_count(), Reassembly::ranges_max - 1);
  reassembly_.drop_all(records_);
  EXPECT_EQ(arena_.free_count(), arena_.capacity());
  const std::string long_text(packet::payload_bytes_max * 3, 'x');
  EXPECT_EQ(insert(10, long_text, 2), ReassemblyOutcome::full);
  EXPECT_EQ(reassembly_.slot_count(), 2U);
  reassembly_.drop_all(records_);
}

TEST_F(ReassemblyTest, T15_TheRangeThatChangedLastComesFirst) {
  insert(10, "a");
  insert(20, "a");
  insert(30, "a");
  insert(40, "a");
  EXPECT_EQ(sack(3), "40-41 30-31 20-21");
  insert(21, "b");
  EXPECT_EQ(sack(3), "20-22 40-41 30-31");
  EXPECT_EQ(sack(4), "20-22 40-41 30-31 10-11");
  // A repetition is where the duplicate was.
  insert(10, "c");
  EXPECT_EQ(sack(2), "10-11 20-22");
  EXPECT_EQ(take(10), "a");
  EXPECT_EQ(sack(4), "20-22 40-41 30-31");
  reassembly_.drop_all(records_);
}

TEST_F(ReassemblyTest, T15_WhatChangesInTurnPushesNothingOut) {
  insert(10, "a");
  for (uint32_t at = 50; at > 10; at -= 10) insert(at, "a");
  for (uint32_t i = 1; i < 4; ++i) {
    insert(30 + i, "b");
    insert(40 + i, "b");
  }
  EXPECT_EQ(sack(4), "40-44 30-34 20-21 50-51");
  // A range that grows into the next one leaves room for the one that was told of before them.
  insert(44, "cccccc");
  EXPECT_EQ(sack(4), "40-51 30-34 20-21 10-11");
  reassembly_.drop_all(records_);
}

// Random text against an array of octets in which the first one to be written stays.
TEST_F(ReassemblyTest, T37_AgreesWithAnArrayOfOctets) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    Random random(seed);
    constexpr uint32_t span = 6'000;
    std::vector<std::optional<char>> octets(span);
    const uint64_t longest = random.chance(0.5) ? 2'000 : 20;
    for (int step = 0; step < 100; ++step) {
      const auto at = static_cast<uint32_t>(1 + random.below(span - longest - 1));
      std::string text(1 + random.below(longest), static_cast<char>('a' + step % 26));
      const auto outcome = insert(at, text);
      if (outcome == ReassemblyOutcome::full) continue;
      bool fresh = false;
      for (size_t i = 0; i < text.size(); ++i) {
        fresh |= !octets[at + i].has_value();
        if (!octets[at + i]) octets[at + i] = text[i];
      }
      ASSERT_EQ(outcome == ReassemblyOutcome::stored, fresh) << seed;
      ASSERT_TRUE(reassembly_.covers(base_ + at, base_ + at + static_cast<uint32_t>(text.size())));
    }
    std::string held;
    std::string expected;
    while (!reassembly_.empty()) held += take(octets_between(base_, reassembly_.range(0).begin));
    for (const auto& octet : octets) {
      if (octet) expected += *octet;
    }
    // A full table may have kept a part of what was refused.
    if (held.size() == expected.size()) {
      ASSERT_EQ(held, expected) << seed;
    }
    ASSERT_GE(held.size(), expected.size()) << seed;
  }
  EXPECT_EQ(arena_.free_count(), arena_.capacity());
}

}  // namespace
}  // namespace millrace::tcp

#include "dataplane/tcp/scoreboard.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/random.h"
#include "dataplane/packet/frame_memory.h"

namespace millrace::tcp {
namespace {

class ScoreboardTest : public ::testing::Test {
 protected:
  static constexpr uint32_t slots = 6'000;
  static constexpr uint16_t octets = 100;

  ScoreboardTest()
      : memory_(std::move(packet::FrameMemory::create(slots)).value()),
        arena_(memory_.data(), slots),
        records_(arena_) {}

  // A queue of count records from first_ on, sent one a microsecond.
  void fill(uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) push();
    ASSERT_TRUE(board_.build(pages_, records_, queue_, next_));
    board_.check(records_);
  }
  SlotIndex push() {
    const SlotIndex slot = arena_.acquire(0);
    records_.adopt(slot, next_, octets);
    records_[slot].sent_at = now_;
    now_ = now_ + Duration::microseconds(1);
    next_ += octets;
    records_.push_back(queue_, slot);
    return slot;
  }
  Seq at(uint32_t record) const { return first_ + record * octets; }
  std::vector<uint32_t> sack(Seq begin, Seq end) {
    std::vector<uint32_t> marked;
    board_.mark_sacked(records_, begin, end, [&](Scoreboard::Place place) {
      marked.push_back(octets_between(first_, records_[board_.slot(place)].seq) / octets);
    });
    board_.check(records_);
    return marked;
  }
  // Cuts a record in two behind its 40th octet; returns the slot of the rest.
  SlotIndex split(uint32_t record) {
    const Scoreboard::Place place = board_.find(records_, at(record));
    const SlotIndex slot = board_.slot(place);
    const SlotIndex rest = arena_.acquire(0);
    records_.adopt(rest, records_[slot].seq + 40, 60);
    records_[rest].sent_at = records_[slot].sent_at;
    records_[slot].cut_to(40);
    records_.insert_after(queue_, slot, rest);
    board_.split(place, rest);
    board_.check(records_);
    return rest;
  }
  uint32_t number(Scoreboard::Place place) const {
    return octets_between(first_, records_[board_.slot(place)].seq) / octets;
  }

  packet::FrameMemory memory_;
  packet::Arena arena_;
  SlotRecords records_;
  ScoreboardPages pages_{ScoreboardPages::count_for(2 * slots, 2)};  // two boards on one queue
  SlotChain queue_;
  Scoreboard board_;
  Seq first_{0xffff'ff00};  // the numbers wrap early
  Seq next_ = first_;
  Instant now_ = Instant::from_ns(1'000);
};

TEST_F(ScoreboardTest, T16_MarksWholeRecordsOnce) {
  fill(10);
  EXPECT_EQ(sack(at(2), at(4)), (std::vector<uint32_t>{2, 3}));
  EXPECT_EQ(sack(at(2), at(5)), (std::vector<uint32_t>{4}));
  // What a block covers in part stays in flight.
  EXPECT_EQ(sack(at(6) + 1, at(8) + 1), (std::vector<uint32_t>{7}));
  EXPECT_TRUE(sack(at(2), at(5)).empty());
  EXPECT_EQ(board_.sacked_records(), 4U);
  EXPECT_EQ(board_.sacked_octets(), 400U);
}

TEST_F(ScoreboardTest, T17_TheOldestIsTheOneSentEarliest) {
  fill(5);
  EXPECT_EQ(number(board_.oldest()), 0U);
  board_.mark_lost(records_, board_.oldest());
  EXPECT_EQ(number(board_.oldest()), 1U);
  EXPECT_EQ(number(board_.first_lost()), 0U);
  records_[board_.slot(board_.first_lost())].sent_at = now_;
  board_.sent_again(records_, board_.first_lost());
  board_.check(records_);
  EXPECT_EQ(board_.first_lost(), Scoreboard::no_place);
  // 1, 2, 3, 4 and then 0 again.
  for (const uint32_t expected : {1U, 2U, 3U, 4U, 0U}) {
    EXPECT_EQ(number(board_.oldest()), expected);
    board_.mark_lost(records_, board_.oldest());
  }
  EXPECT_EQ(board_.oldest(), Scoreboard::no_place);
  EXPECT_EQ(board_.lost_octets(), 500U);
}

TEST_F(ScoreboardTest, T16_WhatWasLostAndArrivesAfterAllIsNotLost) {
  fill(4);
  board_.mark_all_lost(records_);
  EXPECT_EQ(sack(at(1), at(3)), (std::vector<uint32_t>{1, 2}));
  EXPECT_EQ(board_.lost_octets(), 200U);
  board_.forget_sacked_and_lose_all(records_);
  board_.check(records_);
  EXPECT_EQ(board_.sacked_octets(), 0U);
  EXPECT_EQ(board_.lost_octets(), 400U);
  board_.forget_lost(records_);
  board_.check(records_);
  EXPECT_EQ(number(board_.oldest()), 0U);
}

TEST_F(ScoreboardTest, T16_AFullRingWrapsAndTakesNoMore) {
  fill(Scoreboard::records_max);
  EXPECT_TRUE(board_.full());
  EXPECT_EQ(sack(at(0), at(Scoreboard::records_max)).size(), Scoreboard::records_max);
  for (int i = 0; i < 300; ++i) {
    board_.pop_front(records_);
    records_.pop_front(queue_);
  }
  for (int i = 0; i < 300; ++i) board_.append(records_, push());
  board_.check(records_);
  EXPECT_TRUE(board_.full());
  const uint32_t fresh = Scoreboard::records_max + 50;
  EXPECT_EQ(sack(at(fresh), at(fresh + 100)).size(), 100U);
  Scoreboard another;
  push();
  EXPECT_FALSE(another.build(pages_, records_, queue_, next_));
  EXPECT_EQ(another.page_count(), 0U);
  board_.clear();
  EXPECT_EQ(pages_.in_use(), 0U);
}

TEST_F(ScoreboardTest, T16_ABoardHoldsAsManyPagesAsItNeeds) {
  fill(1);
  EXPECT_EQ(pages_.in_use(), 1U);
  // A window that moves on for ever: the pages behind it go back.
  for (int i = 0; i < 20'000; ++i) {
    board_.append(records_, push());
    if (board_.count() > 70) {
      board_.pop_front(records_);
      records_.pop_front(queue_);
    }
    ASSERT_LE(pages_.in_use(), 3U);
    ASSERT_EQ(pages_.in_use(), board_.page_count());
  }
  while (board_.count() > 0) {
    board_.pop_front(records_);
    records_.pop_front(queue_);
  }
  EXPECT_EQ(pages_.in_use(), 0U);
}

// A peer makes every other segment young and then has us take back that anything was lost: sorted,
// not searched for one by one.
TEST_F(ScoreboardTest, T16_TakingBackManyLossesIsNotQuadratic) {
  fill(Scoreboard::records_max);
  board_.mark_all_lost(records_);
  for (uint32_t i = 0; i < Scoreboard::records_max; i += 2) {
    const Scoreboard::Place place = board_.find(records_, at(i));
    records_[board_.slot(place)].sent_at = now_;
    now_ = now_ + Duration::microseconds(1);
    board_.sent_again(records_, place);
  }
  board_.forget_lost(records_);
  board_.check(records_);
  EXPECT_EQ(board_.lost_octets(), 0U);
  EXPECT_EQ(number(board_.oldest()), 1U);
}

TEST_F(ScoreboardTest, ASplitRecordIsTwo) {
  fill(6);
  EXPECT_EQ(sack(at(3), at(5)).size(), 2U);
  const SlotIndex rest = split(1);
  EXPECT_EQ(board_.count(), 7U);
  EXPECT_EQ(board_.slot(board_.find(records_, at(1) + 50)), rest);
  EXPECT_EQ(board_.sacked_octets(), 200U);
}

TEST_F(ScoreboardTest, ASplitKeepsTheOrderByTime) {
  fill(200);
  // The front is the youngest, as after a loss that was repaired.
  for (uint32_t i = 0; i < 100; ++i) {
    const Scoreboard::Place front = board_.find(records_, at(i));
    board_.mark_lost(records_, front);
    records_[board_.slot(front)].sent_at = now_;
    now_ = now_ + Duration::microseconds(1);
    board_.sent_again(records_, front);
  }
  for (uint32_t i = 0; i < 200; i += 7) split(i);
  EXPECT_EQ(number(board_.oldest()), 100U);
  EXPECT_EQ(board_.count(), 229U);
}

// Random steps against a model that is a list and walks it.
TEST_F(ScoreboardTest, T16_AgreesWithAPlainList) {
  struct Model {
    Seq seq;
    bool sacked = false;
    bool lost = false;
    Instant sent_at;
  };
  Random random(5);
  fill(0);
  std::vector<Model> model;
  for (int step = 0; step < 40'000; ++step) {
    switch (random.below(20) == 0 ? 6 : random.below(6)) {
      case 0:
      case 1:
        if (board_.full()) break;
        model.push_back({next_, false, false, now_});
        board_.append(records_, push());
        break;
      case 2:
        if (model.empty()) break;
        board_.pop_front(records_);
        records_.pop_front(queue_);
        model.erase(model.begin());
        break;
      case 3: {
        if (model.empty()) break;
        const Seq begin =
            model[random.below(model.size())].seq + static_cast<uint32_t>(random.below(3) * 50);
        const Seq end = begin + static_cast<uint32_t>(random.below(2'000));
        board_.mark_sacked(records_, begin, end, [](Scoreboard::Place) {});
        for (Model& m : model) {
          if (m.seq < begin || m.seq + octets > end) continue;
          m.sacked = true;
          m.lost = false;
        }
        break;
      }
      case 4: {
        if (board_.oldest() == Scoreboard::no_place) break;
        const Seq seq = records_[board_.slot(board_.oldest())].seq;
        board_.mark_lost(records_, board_.oldest());
        for (Model& m : model) m.lost |= m.seq == seq;
        break;
      }
      case 6: {
        if (random.below(10) != 0) break;
        board_.forget_lost(records_);
        for (Model& m : model) m.lost = false;
        break;
      }
      default: {
        const Scoreboard::Place place = board_.first_lost();
        if (place == Scoreboard::no_place) break;
        const Seq seq = records_[board_.slot(place)].seq;
        records_[board_.slot(place)].sent_at = now_;
        board_.sent_again(records_, place);
        for (Model& m : model) {
          if (m.seq != seq) continue;
          EXPECT_TRUE(m.lost);
          m.lost = false;
          m.sent_at = now_;
        }
        now_ = now_ + Duration::microseconds(1);
      }
    }
    board_.check(records_);
    const Model* lost = nullptr;
    const Model* oldest = nullptr;
    uint32_t sacked = 0;
    for (const Model& m : model) {
      sacked += m.sacked ? 1U : 0U;
      if (m.lost && lost == nullptr) lost = &m;
      if (!m.lost && !m.sacked && (oldest == nullptr || m.sent_at < oldest->sent_at)) oldest = &m;
    }
    ASSERT_EQ(board_.sacked_records(), sacked);
    ASSERT_EQ(board_.first_lost() == Scoreboard::no_place, lost == nullptr);
    ASSERT_EQ(board_.oldest() == Scoreboard::no_place, oldest == nullptr);
    if (lost != nullptr) {
      ASSERT_EQ(records_[board_.slot(board_.first_lost())].seq, lost->seq);
    }
    if (oldest != nullptr) {
      ASSERT_EQ(records_[board_.slot(board_.oldest())].seq, oldest->seq);
    }
    ASSERT_EQ(pages_.in_use(), board_.page_count());
  }
}

}  // namespace
}  // namespace millrace::tcp

#include "dataplane/packet/arena.h"

#include <gtest/gtest.h>

#include "dataplane/packet/frame_memory.h"

namespace millrace::packet {
namespace {

class ArenaTest : public ::testing::Test {
 protected:
  FrameMemory memory_ = std::move(FrameMemory::create(4)).value();
  Arena arena_{memory_.data(), 4};
};

TEST_F(ArenaTest, SlotIsFreeOnlyWhenOwnerAndPortAreDone) {
  const SlotIndex slot = arena_.acquire();
  arena_.mark_in_port(slot);
  arena_.drop(slot);
  EXPECT_EQ(arena_.free_count(), 3U) << "the port still reads it";
  arena_.mark_sent(slot);
  EXPECT_EQ(arena_.free_count(), 4U);
}

TEST_F(ArenaTest, SlotSentButUnacknowledgedStays) {
  const SlotIndex slot = arena_.acquire();
  arena_.mark_in_port(slot);
  arena_.mark_sent(slot);
  EXPECT_EQ(arena_.free_count(), 3U);
  arena_.drop(slot);
  EXPECT_EQ(arena_.free_count(), 4U);
}

TEST_F(ArenaTest, ReserveIsKeptForThoseWhoMayUseIt) {
  arena_.acquire();
  arena_.acquire();
  EXPECT_EQ(arena_.acquire(2), slot_none);
  EXPECT_NE(arena_.acquire(1), slot_none);
  EXPECT_NE(arena_.acquire(), slot_none);
  EXPECT_EQ(arena_.acquire(), slot_none);
}

TEST_F(ArenaTest, DroppingTwiceIsOurBug) {
  const SlotIndex slot = arena_.acquire();
  arena_.drop(slot);
  EXPECT_DEATH(arena_.drop(slot), "invariant");
}

}  // namespace
}  // namespace millrace::packet

#include "base/slab.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

struct Record {
  int value = 7;
};

TEST(Slab, StaleHandleFindsNothing) {
  Slab<Record> slab(2);
  const auto first = slab.acquire();
  slab[first].value = 1;
  slab.release(first);
  const auto second = slab.acquire();
  EXPECT_EQ(second.index, first.index);
  EXPECT_EQ(slab.find(first), nullptr);
  EXPECT_EQ(slab[second].value, 7) << "a fresh record starts from its defaults";
}

TEST(Slab, FullSlabAnswersAnEmptyHandle) {
  Slab<Record> slab(2);
  const auto a = slab.acquire();
  EXPECT_TRUE(slab.acquire());
  EXPECT_FALSE(slab.acquire());
  slab.release(a);
  EXPECT_TRUE(slab.acquire());
  EXPECT_EQ(slab.in_use(), 2U);
}

TEST(SlabDeathTest, ReleasingTwiceIsOurBug) {
  Slab<Record> slab(1);
  const auto id = slab.acquire();
  slab.release(id);
  EXPECT_DEATH(slab.release(id), "invariant");
}

}  // namespace
}  // namespace millrace

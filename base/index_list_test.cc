#include "base/index_list.h"

#include <gtest/gtest.h>

#include <deque>

#include "base/random.h"

namespace millrace {
namespace {

TEST(IndexList, AgreesWithADequeUnderRandomUse) {
  Random random(7);
  constexpr uint32_t count = 16;
  IndexLinks links(count);
  IndexList list;
  std::deque<uint32_t> model;
  for (int step = 0; step < 20'000; ++step) {
    const auto index = static_cast<uint32_t>(random.below(count));
    const auto found = std::find(model.begin(), model.end(), index);
    ASSERT_EQ(links.linked(index), found != model.end());
    if (found == model.end()) {
      links.push_back(list, index);
      model.push_back(index);
    } else if (random.chance(0.5)) {
      links.remove(list, index);
      model.erase(found);
    } else {
      ASSERT_EQ(links.pop_front(list), model.front());
      model.pop_front();
    }
    ASSERT_EQ(list.count, model.size());
    ASSERT_EQ(list.empty(), model.empty());
  }
}

}  // namespace
}  // namespace millrace

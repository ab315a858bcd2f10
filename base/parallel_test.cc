#include "base/parallel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace millrace {
namespace {

TEST(Parallel, DoesEachThingOnceWithAnyNumberOfThreads) {
  for (const size_t threads : {0U, 1U, 2U, 4U, 7U}) {
    for (const size_t count : {0U, 1U, 2U, 3U, 15U, 16U, 17U, 1'000U, 1'023U}) {
      for (const size_t things_a_thread : {1U, 3U, 500U}) {
        std::vector<int> done(count, 0);
        for_ranges(count, things_a_thread, {threads}, [&](size_t first, size_t end) {
          for (size_t i = first; i < end; ++i) ++done[i];
        });
        EXPECT_TRUE(std::all_of(done.begin(), done.end(), [](int times) { return times == 1; }))
            << threads << ' ' << count << ' ' << things_a_thread;
      }
    }
  }
}

// Waits in every range until all threads are there.
TEST(Parallel, IsDoneByAsManyThreadsAsWereAskedFor) {
  std::mutex lock;
  std::set<std::thread::id> seen;
  std::atomic<size_t> there{0};
  for_ranges(64, 1, {3}, [&](size_t, size_t) {
    {
      const std::lock_guard<std::mutex> held(lock);
      if (seen.insert(std::this_thread::get_id()).second) ++there;
    }
    while (there < 3) std::this_thread::yield();
  });
  EXPECT_EQ(seen.size(), 3U);
  EXPECT_TRUE(seen.contains(std::this_thread::get_id()));
}

TEST(Parallel, FewThingsStayOnTheCallingThread) {
  for (const size_t count : {1U, 10U, 199U}) {
    size_t calls = 0;
    for_ranges(count, 100, {4}, [&](size_t first, size_t end) {
      EXPECT_EQ(first, 0U);
      EXPECT_EQ(end, count);
      ++calls;
    });
    EXPECT_EQ(calls, 1U);
  }
}

}  // namespace
}  // namespace millrace

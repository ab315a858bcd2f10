#include "shm/snapshot_store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "shm/snapshot_test_support.h"

namespace millrace::shm {
namespace {

using testing::open_builder;
using testing::walk;

std::shared_ptr<const Snapshot> content(uint64_t version) {
  SnapshotBuilder builder;
  RouteSource source;
  const std::string name = "v" + std::to_string(version);
  source.ingress_name = name;
  CHECK(builder.add_route("h.example", "/", PathType::prefix, source).ok());
  return open_builder(builder, version);
}

TEST(SnapshotCell, BeforeTheFirstInstallTheBuiltInServes) {
  SnapshotCell cell(1);
  const InstalledSnapshot& now = cell.enter(0);
  EXPECT_EQ(now.view->version(), 0U);
  EXPECT_NE(now.view->cluster_default().route, index_none);
  cell.leave(0);
}

TEST(SnapshotCell, S4EpochsOnlyRiseWhileVersionsGoBack) {
  SnapshotCell cell(1);
  uint64_t last = cell.epoch();
  for (uint64_t version : {10U, 11U, 12U}) {
    const auto epoch = cell.install(content(version));
    ASSERT_TRUE(epoch.ok());
    EXPECT_EQ(*epoch, last + 1);
    last = *epoch;
  }
  const auto epoch = cell.rollback(10);
  ASSERT_TRUE(epoch.ok()) << epoch.error();
  EXPECT_EQ(*epoch, last + 1);
  EXPECT_EQ(cell.enter(0).view->version(), 10U);
  EXPECT_EQ(cell.enter(0).epoch, *epoch);
  cell.leave(0);
}

// The same memory, installed twice, is two installs: a worker inside the first is not taken to be
// inside the second.
TEST(SnapshotCell, S4GoingBackAndForthIsNoAba) {
  SnapshotCell cell(2);
  const auto a = content(1);
  const auto b = content(2);
  ASSERT_TRUE(cell.install(a).ok());
  const InstalledSnapshot& held = cell.enter(0);
  ASSERT_TRUE(cell.install(b).ok());
  ASSERT_TRUE(cell.rollback(1).ok());
  EXPECT_EQ(cell.retired_count(), 2U) << "worker 0 is inside the first install of version 1";
  EXPECT_EQ(held.view->version(), 1U);
  EXPECT_LT(cell.applied_epoch(), cell.epoch());
  cell.enter(0);
  cell.reclaim();
  EXPECT_EQ(cell.retired_count(), 0U);
  EXPECT_EQ(cell.applied_epoch(), cell.epoch());
  cell.leave(0);
}

TEST(SnapshotCell, TheLastEightContentsStayAndNoMore) {
  SnapshotCell cell(1);
  std::vector<std::weak_ptr<const Snapshot>> all;
  for (uint64_t version = 1; version <= 12; ++version) {
    auto snapshot = content(version);
    all.push_back(snapshot);
    ASSERT_TRUE(cell.install(std::move(snapshot)).ok());
  }
  for (uint64_t version = 1; version <= 12; ++version) {
    EXPECT_EQ(all[version - 1].expired(), version <= 4) << version;
  }
  const auto gone = cell.rollback(4);
  ASSERT_FALSE(gone.ok());
  EXPECT_EQ(gone.error(), "version 4 is not kept any more; kept are 12, 11, 10, 9, 8, 7, 6, 5");
  EXPECT_TRUE(cell.rollback(5).ok());
  EXPECT_EQ(cell.window().size(), rollback_window);
  ASSERT_TRUE(cell.install(content(13)).ok());
  EXPECT_FALSE(all[4].expired()) << "the content rolled back to became the most recent";
  EXPECT_TRUE(all[5].expired());
}

TEST(SnapshotCell, S5ASleepingWorkerPinsNothing) {
  SnapshotCell cell(2);
  cell.enter(0);
  cell.leave(0);  // asleep from here on
  for (uint64_t version = 1; version <= 200; ++version) {
    cell.enter(1);
    ASSERT_TRUE(cell.install(content(version)).ok());
    EXPECT_LE(cell.retired_count(), 1U);
  }
  EXPECT_EQ(cell.enter(0).view->version(), 200U);
  cell.leave(0);
  cell.leave(1);
}

TEST(SnapshotCell, S5AHangingWorkerBoundsMemoryAndKeepsItsSnapshot) {
  SnapshotCell cell(2);
  ASSERT_TRUE(cell.install(content(1000)).ok());
  const InstalledSnapshot& held = cell.enter(0);
  uint32_t installed = 0;
  Result<uint64_t> last = uint64_t{0};
  for (uint64_t version = 1; version <= 50; ++version) {
    last = cell.install(content(version));
    if (last.ok()) ++installed;
  }
  EXPECT_EQ(installed, retired_installs_max);
  EXPECT_FALSE(last.ok());
  EXPECT_EQ(cell.enter(1).view->version(), retired_installs_max) << "the last one that went in";
  EXPECT_EQ(held.view->version(), 1000U);
  walk(*held.view);
  cell.enter(0);  // it moves again
  EXPECT_TRUE(cell.install(content(51)).ok());
  cell.leave(0);
  cell.leave(1);
}

TEST(SnapshotCell, SegmentsAreFoundInTheWholeWindow) {
  SnapshotCell cell(1);
  const auto first = content(1);
  const uint64_t id = first->view().directory()[0].segment_id;
  ASSERT_TRUE(cell.install(first).ok());
  ASSERT_TRUE(cell.install(content(2)).ok());
  EXPECT_EQ(cell.find_segment(id), first->segments()[0]);
  EXPECT_EQ(cell.find_segment(id + 1), nullptr);
}

// Workers read everything in what they entered while the writer installs, rolls back and frees.
// Meaningful under ThreadSanitizer and AddressSanitizer; here it also checks that a worker's
// epochs never go back.
TEST(SnapshotCell, S5WorkersReadWhileTheWriterInstalls) {
  constexpr uint32_t workers = 3;
  constexpr uint64_t installs = 3000;
  SnapshotCell cell(workers);
  std::vector<std::shared_ptr<const Snapshot>> contents;
  for (uint64_t version = 1; version <= 20; ++version) contents.push_back(content(version));
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> turns{0};
  std::vector<std::thread> threads;
  for (uint32_t worker = 0; worker < workers; ++worker) {
    threads.emplace_back([&, worker] {
      uint64_t last = 0;
      for (uint64_t turn = 0; !stop.load(std::memory_order_relaxed); ++turn) {
        const InstalledSnapshot& now = cell.enter(worker);
        CHECK(now.epoch >= last);
        last = now.epoch;
        const RoutesSegment& segment = now.view->routes_segment(0);
        const std::string_view name = segment.text(segment.routes[0].ingress_name);
        CHECK(now.view->version() == 0 || name == "v" + std::to_string(now.view->version()));
        turns.fetch_add(1, std::memory_order_relaxed);
        if (turn % 7 == worker) {
          cell.leave(worker);
          std::this_thread::yield();
        }
      }
      cell.leave(worker);
    });
  }
  uint64_t refused = 0;
  for (uint64_t i = 0; i < installs; ++i) {
    // A copy each time, so that memory is really unmapped when it leaves the window.
    const auto copy = [&] {
      const auto& from = contents[i % contents.size()];
      std::vector<ByteView> views;
      for (const SegmentMemory& segment : from->segments()) views.push_back(segment->view());
      return *Snapshot::from_bytes(from->root_bytes(), views);
    };
    const bool ok = i % 5 == 4 ? cell.rollback(cell.window().back()->version()).ok()
                               : cell.install(copy()).ok();
    if (!ok) {
      ++refused;
      std::this_thread::yield();
    }
  }
  stop.store(true);
  for (std::thread& thread : threads) thread.join();
  cell.reclaim();
  EXPECT_EQ(cell.retired_count(), 0U);
  EXPECT_LT(refused, installs);
  EXPECT_GT(turns.load(), 0U);
}

}  // namespace
}  // namespace millrace::shm

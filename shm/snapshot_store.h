// SnapshotCell: hands the current snapshot from the housekeeping thread to the workers, and keeps
// what workers may still read.
//
// Two numbers, not to be confused. The *epoch* counts installs of this process: one more each time,
// never reused; retirement goes by it. The *version* belongs to the content and may go back: a
// rollback installs an older content under a new epoch.
//
// A worker's turn costs one load and one store: enter() loads the current install and announces its
// epoch. Having announced epoch e it holds nothing older than e. A worker that is about to sleep
// calls leave() and then pins nothing, however long it sleeps. Waking up costs one more fenced
// store, so that the writer either sees the worker or the worker sees the new install.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/result.h"
#include "shm/snapshot.h"
#include "shm/traffic_page.h"

namespace millrace::shm {

constexpr uint32_t workers_max = 64;
constexpr uint32_t rollback_window = 8;  // contents that stay mapped, the current one included
// Installs that a worker which is awake has not left yet. Only a worker that hangs lets them
// accumulate; then installs are refused rather than memory given out.
constexpr uint32_t retired_installs_max = 8;

// One install; what a worker sees.
struct InstalledSnapshot {
  const SnapshotView* view = nullptr;  // never nullptr once installed
  uint64_t epoch = 0;
  std::shared_ptr<const TrafficMap> traffic;  // where its routes are counted; nullptr: nowhere
  std::shared_ptr<const Snapshot> owner;      // touched by the writer only
};

class SnapshotCell {
 public:
  // Installs Snapshot::built_in() as epoch 2, the first. worker_count: 1 to workers_max.
  explicit SnapshotCell(uint32_t worker_count);
  ~SnapshotCell();  // no worker may be inside
  SnapshotCell(const SnapshotCell&) = delete;
  SnapshotCell& operator=(const SnapshotCell&) = delete;

  // ---- worker side: wait-free; each worker uses its own number ----
  // Valid until the same worker's next enter() or leave(). Once a turn.
  const InstalledSnapshot& enter(uint32_t worker) {
    std::atomic<uint64_t>& slot = slots_[worker].epoch;
    if (slot.load(std::memory_order_relaxed) == offline) return enter_from_sleep(slot);
    const InstalledSnapshot* current = current_.load(std::memory_order_acquire);
    slot.store(current->epoch, std::memory_order_release);
    return *current;
  }
  // Before sleeping or ending: the worker holds nothing any more.
  void leave(uint32_t worker) { slots_[worker].epoch.store(offline, std::memory_order_release); }

  // ---- writer side: one thread ----
  // Says for each snapshot that is installed from now on where its routes are counted. The maps are
  // dropped with their installs.
  using MapTraffic = std::function<std::shared_ptr<const TrafficMap>(const SnapshotView&)>;
  void set_traffic_maps(MapTraffic map_traffic) { map_traffic_ = std::move(map_traffic); }

  // Makes `snapshot` current and gives its epoch. Error: a worker that is awake has not moved for
  // retired_installs_max installs; the current snapshot stays.
  Result<uint64_t> install(std::shared_ptr<const Snapshot> snapshot);
  // Installs the content `version` of the window again, under a new epoch.
  Result<uint64_t> rollback(uint64_t version);
  // Frees what no worker reads any more. install() does it too; also called on housekeeping's tick.
  void reclaim();

  const InstalledSnapshot& current() const { return *current_.load(std::memory_order_relaxed); }
  uint64_t epoch() const { return current().epoch; }
  // Every worker that is awake has announced at least this epoch; equal to epoch() when the current
  // install is in use everywhere.
  uint64_t applied_epoch() const;
  // Most recent first; the current content is the first one.
  const std::deque<std::shared_ptr<const Snapshot>>& window() const { return window_; }
  // A segment of any content in the window; nullptr when none holds it.
  SegmentMemory find_segment(uint64_t segment_id) const;
  // Installs that are neither current nor freed yet.
  size_t retired_count() const { return retired_.size(); }

 private:
  static constexpr uint64_t offline = 0;   // announced by a worker that holds nothing
  static constexpr uint64_t entering = 1;  // holds anything: older than every install's epoch

  struct alignas(64) WorkerSlot {
    std::atomic<uint64_t> epoch{offline};
  };

  const InstalledSnapshot& enter_from_sleep(std::atomic<uint64_t>& slot);
  uint64_t least_announced_epoch() const;

  alignas(64) std::atomic<const InstalledSnapshot*> current_{nullptr};
  std::array<WorkerSlot, workers_max> slots_;
  uint32_t worker_count_;
  MapTraffic map_traffic_;
  uint64_t next_epoch_ = 2;
  std::unique_ptr<InstalledSnapshot> current_owner_;
  std::deque<std::unique_ptr<InstalledSnapshot>> retired_;  // oldest first
  std::deque<std::shared_ptr<const Snapshot>> window_;
};

}  // namespace millrace::shm

#include "shm/snapshot_store.h"

#include <algorithm>
#include <utility>

namespace millrace::shm {

SnapshotCell::SnapshotCell(uint32_t worker_count) : worker_count_(worker_count) {
  CHECK(worker_count >= 1 && worker_count <= workers_max);
  CHECK(install(Snapshot::built_in()).ok());
}

SnapshotCell::~SnapshotCell() {
  for (uint32_t i = 0; i < worker_count_; ++i) {
    CHECK(slots_[i].epoch.load(std::memory_order_acquire) == offline);
  }
}

// The announcement and the load must not pass each other, nor the writer's store and its look at
// the announcements: in the one order of sequentially consistent operations either the writer sees
// `entering` or the worker sees the new install.
const InstalledSnapshot& SnapshotCell::enter_from_sleep(std::atomic<uint64_t>& slot) {
  slot.store(entering, std::memory_order_seq_cst);
  const InstalledSnapshot* current = current_.load(std::memory_order_seq_cst);
  slot.store(current->epoch, std::memory_order_release);
  return *current;
}

uint64_t SnapshotCell::least_announced_epoch() const {
  uint64_t least = UINT64_MAX;
  for (uint32_t i = 0; i < worker_count_; ++i) {
    const uint64_t epoch = slots_[i].epoch.load(std::memory_order_seq_cst);
    if (epoch != offline) least = std::min(least, epoch);
  }
  return least;
}

Result<uint64_t> SnapshotCell::install(std::shared_ptr<const Snapshot> snapshot) {
  reclaim();
  if (retired_.size() >= retired_installs_max) {
    return Error{"a worker has not taken up the last " + std::to_string(retired_installs_max) +
                 " snapshots; no more are installed until it moves"};
  }
  auto installed = std::make_unique<InstalledSnapshot>();
  installed->view = &snapshot->view();
  installed->epoch = next_epoch_++;
  installed->owner = snapshot;
  if (map_traffic_) installed->traffic = map_traffic_(snapshot->view());
  current_.store(installed.get(), std::memory_order_seq_cst);
  if (current_owner_ != nullptr) retired_.push_back(std::move(current_owner_));
  current_owner_ = std::move(installed);

  // The same content again moves to the front instead of taking a second place.
  window_.erase(std::remove(window_.begin(), window_.end(), snapshot), window_.end());
  window_.push_front(std::move(snapshot));
  if (window_.size() > rollback_window) window_.pop_back();
  reclaim();
  return current_owner_->epoch;
}

Result<uint64_t> SnapshotCell::rollback(uint64_t version) {
  for (const std::shared_ptr<const Snapshot>& snapshot : window_) {
    if (snapshot->version() == version) return install(snapshot);
  }
  std::string held;
  for (const std::shared_ptr<const Snapshot>& snapshot : window_) {
    held += (held.empty() ? "" : ", ") + std::to_string(snapshot->version());
  }
  return Error{"version " + std::to_string(version) + " is not kept any more; kept are " + held};
}

// An install may go once every worker that is awake has announced a later one.
void SnapshotCell::reclaim() {
  const uint64_t least = least_announced_epoch();
  while (!retired_.empty() && retired_.front()->epoch < least) retired_.pop_front();
}

uint64_t SnapshotCell::applied_epoch() const {
  return std::min(least_announced_epoch(), epoch());
}

SegmentMemory SnapshotCell::find_segment(uint64_t segment_id) const {
  for (const std::shared_ptr<const Snapshot>& snapshot : window_) {
    if (SegmentMemory memory = snapshot->find_segment(segment_id)) return memory;
  }
  return nullptr;
}

}  // namespace millrace::shm

// The stats page: counters that the data plane writes and anybody with the descriptor or file may
// read. Its readers treat it as hostile: sizes are checked, values are only numbers and short text.
//
// Layout: StatsHeader | StatsBlock[worker_count]; a block is counters_max cells of a name and a
// value. Names are written once at start; values by the owning worker with relaxed stores.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace millrace::shm {

constexpr uint64_t stats_magic = 0x31544154534c4c4dU;  // "MLLSTAT1"
constexpr uint32_t stats_abi = 2;
constexpr uint32_t stats_workers_max = 64;
constexpr uint32_t stats_counters_max = 512;     // a worker
constexpr uint32_t stats_name_bytes_max = 48;    // zero-padded; at least one zero at the end
constexpr uint32_t stats_error_bytes_max = 256;  // likewise

// Text guarded by a sequence: odd while it is being written.
struct StatsText {
  std::atomic<uint64_t> sequence;
  std::array<std::atomic<uint64_t>, stats_error_bytes_max / 8> words;
};

struct StatsHeader {
  uint64_t magic;
  uint32_t abi;
  uint32_t pid;
  uint64_t start_time_unix_ns;            // CLOCK_REALTIME
  std::atomic<uint64_t> applied_epoch;    // in use by every worker that is awake
  std::atomic<uint64_t> applied_version;  // its content
  uint32_t worker_count;
  uint32_t counter_count;  // used cells in each block
  StatsText last_error;    // the last refusal or failure
  StatsText guard_reason;  // why the guard last went back to the table before
};
static_assert(sizeof(StatsHeader) == 576 && offsetof(StatsHeader, applied_epoch) == 24);
static_assert(offsetof(StatsHeader, worker_count) == 40 && offsetof(StatsHeader, last_error) == 48);
static_assert(offsetof(StatsHeader, guard_reason) == 312);
static_assert(std::atomic<uint64_t>::is_always_lock_free);

struct StatsCell {
  char name[stats_name_bytes_max];
  std::atomic<uint64_t> value;
};
static_assert(sizeof(StatsCell) == 56 && offsetof(StatsCell, value) == 48);

struct StatsBlock {
  StatsCell cells[stats_counters_max];
};
static_assert(sizeof(StatsBlock) == 56 * 512 && sizeof(StatsBlock) % 64 == 0);

// The data plane's side.
class StatsPage {
 public:
  // Names: at most stats_counters_max, each 1 to 47 bytes of printable ASCII; worker_count 1 to
  // stats_workers_max.
  static Result<std::unique_ptr<StatsPage>> create(std::span<const std::string_view> names,
                                                   uint32_t worker_count);
  ~StatsPage();
  StatsPage(const StatsPage&) = delete;
  StatsPage& operator=(const StatsPage&) = delete;

  // For handing to readers; sized for good (F_SEAL_SHRINK, F_SEAL_GROW), not write-sealed.
  int fd() const { return fd_.get(); }

  // ---- a worker's own block: one writer each, so a load and a store, no locked instruction ----
  void add(uint32_t worker, uint32_t counter, uint64_t amount) {
    std::atomic<uint64_t>& cell = blocks_[worker].cells[counter].value;
    cell.store(cell.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  void set(uint32_t worker, uint32_t counter, uint64_t value) {
    blocks_[worker].cells[counter].value.store(value, std::memory_order_relaxed);
  }

  // ---- housekeeping ----
  void set_applied(uint64_t epoch, uint64_t version);
  // Both are cut at 255 bytes; control bytes become '?'.
  void set_last_error(std::string_view sentence);
  void set_guard_reason(std::string_view sentence);

 private:
  StatsPage(UniqueFd fd, void* memory, size_t size);
  UniqueFd fd_;
  void* memory_;
  size_t size_;
  StatsHeader* header_;
  StatsBlock* blocks_;
};

// A reader's copy of everything, at one moment per value.
struct StatsReading {
  struct Counter {
    std::string name;
    std::vector<uint64_t> per_worker;
    uint64_t sum = 0;
  };
  uint32_t pid = 0;
  uint64_t start_time_unix_ns = 0;
  uint64_t applied_epoch = 0;
  uint64_t applied_version = 0;
  std::string last_error;
  std::string guard_reason;
  std::vector<Counter> counters;
};

class StatsReader {
 public:
  // Maps read-only. Error: too small, wrong magic or ABI, counts out of bounds. The descriptor may
  // be a memfd from the data plane or /proc/PID/fd/N opened for reading.
  static Result<std::unique_ptr<StatsReader>> map(int fd);
  ~StatsReader();
  StatsReader(const StatsReader&) = delete;
  StatsReader& operator=(const StatsReader&) = delete;

  StatsReading read() const;

 private:
  StatsReader(const void* memory, size_t size, uint32_t worker_count, uint32_t counter_count);
  const void* memory_;
  size_t size_;
  uint32_t worker_count_;  // as checked when mapped; the page's own may change under us
  uint32_t counter_count_;
};

}  // namespace millrace::shm

// What a few rows of the traffic page say at this moment: how many exchanges, how many of them
// failed. For who asks often and of single rows; TrafficReader reads everything.
#pragma once

#include <cstdint>
#include <memory>

#include "base/result.h"
#include "shm/traffic_page.h"

namespace millrace::shm {

struct TrafficCount {
  uint64_t requests = 0;  // that had a final answer
  uint64_t failures = 0;  // of them: 5xx, or an answer that was begun and did not become whole

  TrafficCount operator-(const TrafficCount& before) const {
    return {requests - before.requests, failures - before.failures};
  }
  TrafficCount& operator+=(const TrafficCount& other) {
    requests += other.requests;
    failures += other.failures;
    return *this;
  }
  double share() const {
    return requests == 0 ? 0 : static_cast<double>(failures) / static_cast<double>(requests);
  }
  bool operator==(const TrafficCount&) const = default;
};

class TrafficCounts {
 public:
  // Of our own page: its counts of rows and workers are believed.
  static Result<std::unique_ptr<TrafficCounts>> map(const TrafficPage& page, uint32_t worker_count);
  ~TrafficCounts();
  TrafficCounts(const TrafficCounts&) = delete;
  TrafficCounts& operator=(const TrafficCounts&) = delete;

  uint32_t row_count() const { return row_count_; }
  // The generation of the row's name; 0: never used.
  uint32_t generation(uint32_t row) const;
  // Of all workers, for that generation; zero when the row has gone to somebody else.
  TrafficCount count(TrafficRef ref) const;
  // Of all exchanges, whatever route took them.
  TrafficCount total() const;

 private:
  TrafficCounts(const void* memory, size_t size, uint32_t row_count, uint32_t worker_count)
      : memory_(memory), size_(size), row_count_(row_count), worker_count_(worker_count) {}
  const TrafficValues& values(uint32_t row, uint32_t worker) const;

  const void* memory_;
  size_t size_;
  uint32_t row_count_;
  uint32_t worker_count_;
};

}  // namespace millrace::shm

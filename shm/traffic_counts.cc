#include "shm/traffic_counts.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

namespace millrace::shm {

namespace {

const TrafficName* names_of(const void* memory) {
  return reinterpret_cast<const TrafficName*>(static_cast<const uint8_t*>(memory) +
                                              sizeof(TrafficHeader));
}

// Loads acquire: who sees a value sees the generation that it was counted in (TrafficWriter::add).
void add(const TrafficValues& values, TrafficCount* count) {
  for (size_t status_class = 1; status_class < values.answers.size(); ++status_class) {
    count->requests += values.answers[status_class].load(std::memory_order_acquire);
  }
  count->failures += values.answers.back().load(std::memory_order_acquire) +
                     values.broken_off.load(std::memory_order_acquire);
}

}  // namespace

Result<std::unique_ptr<TrafficCounts>> TrafficCounts::map(const TrafficPage& page,
                                                          uint32_t worker_count) {
  struct stat info {};
  if (::fstat(page.fd(), &info) != 0) {
    return Error{std::string("cannot read the traffic page's size: ") + std::strerror(errno)};
  }
  const auto size = static_cast<size_t>(info.st_size);
  void* memory = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, page.fd(), 0);
  if (memory == MAP_FAILED) {
    return Error{std::string("cannot map the traffic page: ") + std::strerror(errno)};
  }
  return std::unique_ptr<TrafficCounts>(
      new TrafficCounts(memory, size, page.row_count(), worker_count));
}

TrafficCounts::~TrafficCounts() {
  ::munmap(const_cast<void*>(memory_), size_);
}

const TrafficValues& TrafficCounts::values(uint32_t row, uint32_t worker) const {
  const auto* first = reinterpret_cast<const TrafficValues*>(names_of(memory_) + row_count_);
  return first[size_t{worker} * row_count_ + row];
}

uint32_t TrafficCounts::generation(uint32_t row) const {
  return names_of(memory_)[row].generation.load(std::memory_order_acquire);
}

TrafficCount TrafficCounts::count(TrafficRef ref) const {
  TrafficCount sum;
  if (ref.row >= row_count_) return sum;
  for (uint32_t worker = 0; worker < worker_count_; ++worker) {
    const TrafficValues& one = values(ref.row, worker);
    if (one.generation.load(std::memory_order_acquire) == ref.generation) add(one, &sum);
  }
  return sum;
}

TrafficCount TrafficCounts::total() const {
  TrafficCount sum;
  for (uint32_t row = traffic_row_unanswered; row < traffic_rows_fixed; ++row) {
    for (uint32_t worker = 0; worker < worker_count_; ++worker) add(values(row, worker), &sum);
  }
  return sum;
}

}  // namespace millrace::shm

// The traffic page: what each route and each service has been asked, how it was answered and how
// long that took; and the same by the class of the answer's status. Written by the data plane, read
// by anybody with the descriptor or file, as hostile to its readers as the stats page beside it.
//
// Layout: TrafficHeader | TrafficName[row_count] | TrafficValues[worker_count][row_count]. A name
// is written by housekeeping, values by their worker alone, with stores. A row is given to
// another route when its own is gone: that is a new generation, and a worker that counts for it
// finds its values of an older one and begins them anew. Nobody ever clears what somebody else
// writes.
//
// Pages that nobody has written to take no memory: a row costs its 256 octets when it has a name,
// and its 768 a worker when there is something to count.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace millrace::shm {

constexpr uint64_t traffic_magic = 0x31465254534c4c4dU;  // "MLLSTRF1"
constexpr uint32_t traffic_abi = 2;
constexpr uint32_t traffic_rows_max = 1U << 16;  // of a page
constexpr uint32_t traffic_workers_max = 64;

// Rows that are always there.
constexpr uint32_t traffic_row_no_route = 0;        // what no rule takes, or is no request at all
constexpr uint32_t traffic_row_other_routes = 1;    // routes without a row of their own
constexpr uint32_t traffic_row_other_services = 2;  // services likewise
constexpr uint32_t traffic_row_unanswered = 3;      // whatever ended without a final answer
// Behind it, by the hundreds of the status, all routes together: 1xx (a 101), ... 5xx.
constexpr uint32_t traffic_status_classes = 5;
constexpr uint32_t traffic_rows_fixed = traffic_row_unanswered + 1 + traffic_status_classes;

enum class TrafficKind : uint32_t { unused = 0, route = 1, service = 2, status_class = 3 };

// How long things took, in buckets of a quarter of an octave (25 % at most from end to end): below
// 64 us, 80 buckets up to 2^26 us (67 s), and what took longer.
constexpr uint32_t traffic_bucket_octave_first = 6;
constexpr uint32_t traffic_bucket_octaves = 20;
constexpr uint32_t traffic_bucket_count = 4 * traffic_bucket_octaves + 2;

constexpr uint32_t traffic_bucket(uint64_t time_us) {
  const auto octave = static_cast<uint32_t>(std::bit_width(time_us));  // of 64: 7
  if (octave <= traffic_bucket_octave_first) return 0;
  const uint32_t number = octave - 1 - traffic_bucket_octave_first;
  if (number >= traffic_bucket_octaves) return traffic_bucket_count - 1;
  return 1 + 4 * number + static_cast<uint32_t>((time_us >> (octave - 3)) & 3);
}
// The first us that is no longer in the bucket; UINT64_MAX for the last one.
constexpr uint64_t traffic_bucket_end_us(uint32_t bucket) {
  if (bucket + 1 >= traffic_bucket_count) return UINT64_MAX;
  return uint64_t{4 + bucket % 4} << (bucket / 4 + traffic_bucket_octave_first - 2);
}

// Of one route, service or class of status, by one worker. Everything but `generation` only grows.
struct TrafficValues {
  std::atomic<uint64_t> generation;  // of the name that it counts for
  // Exchanges by the hundreds of their final status; answers[0]: ended without one.
  std::array<std::atomic<uint64_t>, 6> answers;
  std::atomic<uint64_t> ours;        // of the answers: made here, not by an endpoint
  std::atomic<uint64_t> broken_off;  // an answer was begun and did not become whole
  std::atomic<uint64_t> retries;     // attempts beyond the first
  std::atomic<uint64_t> request_octets, response_octets;  // of bodies
  // Of a route or class: whole exchanges, from the head's first octet on. Of a service: from the
  // request's sending to the head of the endpoint's answer, so that times has fewer than answers.
  std::atomic<uint64_t> time_us_sum;
  std::array<std::atomic<uint64_t>, traffic_bucket_count> times;
  uint64_t reserved;
};
static_assert(sizeof(TrafficValues) == 768 && offsetof(TrafficValues, times) == 104);
static_assert(std::atomic<uint64_t>::is_always_lock_free);

struct TrafficName {
  std::atomic<uint32_t> generation;            // odd while the name is being written; 0: never used
  std::atomic<uint32_t> kind;                  // TrafficKind
  std::array<std::atomic<uint64_t>, 31> text;  // zero-padded; at least one zero at the end
};
constexpr uint32_t traffic_name_bytes_max = 31 * 8;
static_assert(sizeof(TrafficName) == 256);

struct TrafficHeader {
  uint64_t magic;
  uint32_t abi;
  uint32_t pid;
  uint32_t worker_count;
  uint32_t row_count;
  uint64_t reserved[29];  // names begin at a multiple of their size
};
static_assert(sizeof(TrafficHeader) == 256);

// Which row a route or service has. A row of an older generation belongs to somebody else by now.
struct TrafficRef {
  uint32_t row = 0;
  uint32_t generation = 0;
};

// The rows of one snapshot's routes and services; a short vector ends where rows did.
struct TrafficMap {
  std::vector<uint32_t> routes_before;  // segment: the number of its first route
  std::vector<TrafficRef> routes;
  std::vector<TrafficRef> services;  // by slot

  TrafficRef route(uint32_t segment, uint32_t index) const {
    const size_t number = size_t{routes_before[segment]} + index;
    return number < routes.size() ? routes[number] : TrafficRef{traffic_row_other_routes, 0};
  }
  TrafficRef service(uint32_t slot) const {
    return slot < services.size() ? services[slot] : TrafficRef{traffic_row_other_services, 0};
  }
};

// What is counted of one exchange.
struct TrafficExchange {
  uint16_t status = 0;  // 0: it ended without a final answer
  bool is_ours = false;
  bool is_broken_off = false;
  uint32_t retries = 0;
  uint64_t request_octets = 0;
  uint64_t response_octets = 0;
  uint64_t time_us = 0;
  bool has_time = true;
};

// A worker's hand on its own values. Wait-free, no locked instruction.
class TrafficWriter {
 public:
  TrafficWriter(const TrafficName* names, TrafficValues* values, uint32_t row_count)
      : names_(names), values_(values), row_count_(row_count) {}

  // `other`: the row that takes it when ref's has gone to somebody else.
  void count(TrafficRef ref, uint32_t other, const TrafficExchange& exchange) {
    if (ref.row < row_count_) add(row_for(ref, other), exchange);
  }
  // In the row of its status.
  void count_class(const TrafficExchange& exchange) {
    add(values_[traffic_row_unanswered + class_of(exchange)], exchange);
  }

 private:
  TrafficValues& row_for(TrafficRef ref, uint32_t other) {
    TrafficValues& values = values_[ref.row];
    if (ref.row < traffic_rows_fixed) return values;
    if (names_[ref.row].generation.load(std::memory_order_relaxed) != ref.generation) [[unlikely]] {
      return values_[other];
    }
    if (values.generation.load(std::memory_order_relaxed) != ref.generation) [[unlikely]] {
      begin_anew(values, ref.generation);
    }
    return values;
  }
  static uint32_t class_of(const TrafficExchange& exchange) {
    return std::min<uint32_t>(exchange.status / 100, traffic_status_classes);
  }
  // One writer each: a load and a store. Who sees a value sees the generation that it was counted
  // in: loads acquire, stores release.
  static void add(std::atomic<uint64_t>& cell, uint64_t amount) {
    cell.store(cell.load(std::memory_order_relaxed) + amount, std::memory_order_release);
  }
  static void add(TrafficValues& values, const TrafficExchange& exchange) {
    add(values.answers[class_of(exchange)], 1);
    if (exchange.response_octets != 0) add(values.response_octets, exchange.response_octets);
    if (exchange.request_octets != 0) add(values.request_octets, exchange.request_octets);
    if (exchange.is_ours) add(values.ours, 1);
    if (exchange.is_broken_off) add(values.broken_off, 1);
    if (exchange.retries != 0) add(values.retries, exchange.retries);
    if (!exchange.has_time) return;
    add(values.time_us_sum, exchange.time_us);
    add(values.times[traffic_bucket(exchange.time_us)], 1);
  }
  static void begin_anew(TrafficValues& values, uint32_t generation);

  const TrafficName* names_;
  TrafficValues* values_;
  uint32_t row_count_;
};

// The data plane's side.
class TrafficPage {
 public:
  // row_count: traffic_rows_fixed to traffic_rows_max; worker_count: 1 to traffic_workers_max.
  static Result<std::unique_ptr<TrafficPage>> create(uint32_t row_count, uint32_t worker_count);
  ~TrafficPage();
  TrafficPage(const TrafficPage&) = delete;
  TrafficPage& operator=(const TrafficPage&) = delete;

  // For handing to readers; sized for good, not write-sealed.
  int fd() const { return fd_.get(); }
  uint32_t row_count() const { return row_count_; }
  TrafficWriter writer(uint32_t worker) const;

  // ---- housekeeping ----
  // Gives the row a new name and with it a new generation, which is returned. Longer names are cut
  // and end in "...".
  uint32_t name_row(uint32_t row, TrafficKind kind, std::string_view name);

 private:
  TrafficPage(UniqueFd fd, void* memory, size_t size, uint32_t row_count, uint32_t worker_count);
  UniqueFd fd_;
  void* memory_;
  size_t size_;
  uint32_t row_count_;
  uint32_t worker_count_;
};

// A reader's copy of one row, all workers together.
struct TrafficReading {
  TrafficKind kind = TrafficKind::unused;
  uint32_t row = 0;
  uint32_t generation = 0;
  std::string name;
  std::array<uint64_t, 6> answers{};
  uint64_t ours = 0;
  uint64_t broken_off = 0;
  uint64_t retries = 0;
  uint64_t request_octets = 0;
  uint64_t response_octets = 0;
  uint64_t time_us_sum = 0;
  std::array<uint64_t, traffic_bucket_count> times{};

  uint64_t requests() const;
  uint64_t times_count() const;
  // The end of the bucket that holds that share (0 to 1) of the times, in us; 0 without any time,
  // UINT64_MAX when it lies in the last bucket.
  uint64_t quantile_us(double share) const;
  // What has been counted since `before`, an earlier reading of the same row and generation.
  void subtract(const TrafficReading& before);
};

class TrafficReader {
 public:
  // Maps read-only. Error: too small, wrong magic or ABI, counts out of bounds.
  static Result<std::unique_ptr<TrafficReader>> map(int fd);
  // Of the page that a file of the data plane leads to. Error: "PATH: what is wrong".
  static Result<std::unique_ptr<TrafficReader>> open(const std::string& path);
  ~TrafficReader();
  TrafficReader(const TrafficReader&) = delete;
  TrafficReader& operator=(const TrafficReader&) = delete;

  // Rows that have a name, in the page's order.
  std::vector<TrafficReading> read() const;

 private:
  TrafficReader(const void* memory, size_t size, uint32_t row_count, uint32_t worker_count);
  const void* memory_;
  size_t size_;
  uint32_t row_count_;  // as checked when mapped; the page's own may change under us
  uint32_t worker_count_;
};

}  // namespace millrace::shm

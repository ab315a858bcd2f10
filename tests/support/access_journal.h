// AccessJournal: the far end of a worker's access log in a test. Takes every record, looks whether
// such an exchange is possible at all, and keeps the last ones.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <string>

#include "dataplane/access_log/access_line.h"
#include "dataplane/access_log/record_ring.h"

namespace millrace::testing {

struct JournalLine {
  access_log::AccessRecord record;
  std::string json;
  std::string target;
  std::string service;
};

class AccessJournal {
 public:
  access_log::RecordRing& ring() { return ring_; }
  // Once a turn of the worker; now: of that turn.
  void take(uint64_t now_ns);

  // The last ones, and how many there were in all.
  const std::deque<JournalLine>& lines() const { return lines_; }
  uint64_t total() const { return total_; }
  uint64_t requests() const { return requests_; }  // with a head that was understood
  uint64_t refused() const { return refused_; }    // with one that breaks a rule
  // Sums over all records.
  struct Sums {
    std::array<uint64_t, 6> answers{};  // by the hundreds of the status; [0]: none
    uint64_t ours = 0;
    uint64_t retries = 0;
    uint64_t request_octets = 0;
    uint64_t response_octets = 0;
  };
  const Sums& sums() const { return sums_; }
  // The first record that cannot be; empty: all can.
  const std::string& impossible() const { return impossible_; }

 private:
  static constexpr uint32_t ring_bytes = 1U << 20;
  static constexpr size_t lines_max = 256;
  void judge(const access_log::AccessEntry& entry, uint64_t now_ns);

  access_log::RecordRing ring_{ring_bytes};
  std::deque<JournalLine> lines_;
  uint64_t total_ = 0;
  uint64_t requests_ = 0;
  uint64_t refused_ = 0;
  Sums sums_;
  std::string impossible_;
};

}  // namespace millrace::testing

// RecordTable: a very large array of connection records of which only what is used costs memory:
// anonymous pages are zero and not there until they are touched. A record of zeros is a closed
// connection.
#pragma once

#include <sys/mman.h>

#include <cstdint>

#include "base/check.h"
#include "perf/load/connection.h"

namespace millrace::load {

class RecordTable {
 public:
  explicit RecordTable(uint64_t count) : bytes_(count * sizeof(Connection)) {
    void* at = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(at != MAP_FAILED);
    records_ = static_cast<Connection*>(at);
    // With a million connections nearly every access would miss the TLB.
    madvise(at, bytes_, MADV_HUGEPAGE);
  }
  RecordTable(const RecordTable&) = delete;
  RecordTable& operator=(const RecordTable&) = delete;
  ~RecordTable() { munmap(records_, bytes_); }

  Connection& operator[](uint64_t index) { return records_[index]; }
  const Connection& operator[](uint64_t index) const { return records_[index]; }

 private:
  uint64_t bytes_;
  Connection* records_ = nullptr;
};

}  // namespace millrace::load

// RecordRing: records of different lengths from one thread to one other, in order, without locks
// and without waiting: a record that finds no room is refused, and its loss is for the caller to
// count. All memory is allocated at the start.
//
//   one thread:   push()
//   the other:    drain()
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>

#include "base/bytes.h"

namespace millrace::access_log {

class RecordRing {
 public:
  static constexpr uint32_t bytes_min = 4096;
  static constexpr uint32_t bytes_max = 1U << 28;

  // bytes: a power of two within the bounds.
  explicit RecordRing(uint32_t bytes);
  RecordRing(const RecordRing&) = delete;
  RecordRing& operator=(const RecordRing&) = delete;

  // False: no room for it now, or ever (record_bytes_max()).
  bool push(ByteView record);
  uint32_t record_bytes_max() const { return capacity_ / 4; }

  // Hands records to take(ByteView), oldest first, until none is left or bytes_most octets were
  // handed over; the view ends with the call. True: more are left.
  template <class Take>
  bool drain(size_t bytes_most, Take&& take) {
    uint64_t at = taken_.load(std::memory_order_relaxed);
    const uint64_t end = pushed_.load(std::memory_order_acquire);
    size_t handed = 0;
    while (at != end && handed < bytes_most) {
      const uint32_t place = static_cast<uint32_t>(at) & (capacity_ - 1);
      uint32_t length = 0;
      std::memcpy(&length, &memory_[place], sizeof length);
      if (length == to_the_start) {
        at += capacity_ - place;
        continue;
      }
      take(ByteView{&memory_[place + header_bytes], length});
      handed += length;
      at += room_for(length);
    }
    taken_.store(at, std::memory_order_release);
    return at != end;
  }

  size_t memory_bytes() const { return capacity_; }

 private:
  static constexpr uint32_t header_bytes =
      8;  // keeps records aligned; the first four say the length
  static constexpr uint32_t to_the_start = UINT32_MAX;  // instead of a length: nothing more up here
  static constexpr uint64_t room_for(uint64_t length) {
    return (header_bytes + length + 7) & ~7ULL;
  }

  uint32_t capacity_;
  std::unique_ptr<uint8_t[]> memory_;

  // Positions only rise; a place is a position modulo the capacity. Each thread's on a line of its
  // own, with what it last saw of the other's.
  alignas(64) std::atomic<uint64_t> pushed_{0};
  uint64_t taken_seen_ = 0;
  alignas(64) std::atomic<uint64_t> taken_{0};
};

}  // namespace millrace::access_log

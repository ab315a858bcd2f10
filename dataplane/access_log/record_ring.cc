#include "dataplane/access_log/record_ring.h"

#include "base/check.h"

namespace millrace::access_log {

RecordRing::RecordRing(uint32_t bytes)
    : capacity_(bytes), memory_(std::make_unique_for_overwrite<uint8_t[]>(bytes)) {
  CHECK(bytes >= bytes_min && bytes <= bytes_max && (bytes & (bytes - 1)) == 0);
}

bool RecordRing::push(ByteView record) {
  if (record.size() > record_bytes_max()) return false;
  const uint64_t room = room_for(record.size());
  uint64_t at = pushed_.load(std::memory_order_relaxed);
  uint32_t place = static_cast<uint32_t>(at) & (capacity_ - 1);
  // A record lies in one piece: what is left up to the end may be too short for it.
  const uint64_t skipped = room > capacity_ - place ? capacity_ - place : 0;
  if (at + skipped + room - taken_seen_ > capacity_) {
    taken_seen_ = taken_.load(std::memory_order_acquire);
    if (at + skipped + room - taken_seen_ > capacity_) return false;
  }
  if (skipped > 0) {
    std::memcpy(&memory_[place], &to_the_start, sizeof to_the_start);
    at += skipped;
    place = 0;
  }
  const auto length = static_cast<uint32_t>(record.size());
  std::memcpy(&memory_[place], &length, sizeof length);
  std::memcpy(&memory_[place + header_bytes], record.data(), record.size());
  pushed_.store(at + room, std::memory_order_release);
  return true;
}

}  // namespace millrace::access_log

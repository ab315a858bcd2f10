// Sealed memfds: how a snapshot's parts cross from one process to the other. A sealed memfd can
// neither change nor shrink any more, so its reader needs neither lock nor SIGBUS handler.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace millrace::shm {

// A new memfd holding `bytes`, sealed against shrinking, growing, writing and further sealing. The
// name appears in /proc/PID/maps, cut at 200 bytes.
Result<UniqueFd> seal_into_memfd(ByteView bytes, const std::string& name);

// Owns one read-only range of memory, page-aligned: a mapped memfd, or a copy of bytes.
class MappedBytes {
 public:
  MappedBytes() = default;
  MappedBytes(MappedBytes&& other) noexcept;
  MappedBytes& operator=(MappedBytes&& other) noexcept;
  ~MappedBytes();

  // Maps a memfd that carries all four seals and holds 1 to bytes_max bytes; anything else is
  // refused with a sentence. The mapping outlives fd. MAP_PRIVATE: kernels before 6.7 refuse
  // MAP_SHARED on a write-sealed memfd, and with the seals both see the same bytes. Large ones are
  // copied into huge pages instead, where there is memory for it.
  static Result<MappedBytes> map_sealed(int fd, uint64_t bytes_max);
  // A private copy, for bytes that somebody could still change (a file); in huge pages where it is
  // large and the system has them.
  static Result<MappedBytes> copy_of(ByteView bytes);

  ByteView view() const { return {static_cast<const uint8_t*>(start_), size_}; }

 private:
  MappedBytes(void* start, size_t size) : start_(start), size_(size) {}
  void* start_ = nullptr;
  size_t size_ = 0;
};

}  // namespace millrace::shm

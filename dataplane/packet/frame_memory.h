// FrameMemory: the one mapping that holds all packet memory of a worker: receive frames of its
// ports first, then the arena's slots. One mapping, because AF_XDP ports of a worker share one
// UMEM.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/result.h"

namespace millrace::packet {

class FrameMemory {
 public:
  // Maps frame_count * slot_bytes bytes, in huge pages where the system has them, and touches every
  // page, so that nothing is faulted in (or missing) later. Error: the kernel's reason.
  static Result<FrameMemory> create(uint32_t frame_count);
  FrameMemory(FrameMemory&& other) noexcept;
  FrameMemory& operator=(FrameMemory&&) = delete;
  FrameMemory(const FrameMemory&) = delete;
  ~FrameMemory();

  uint8_t* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  uint32_t frame_count() const { return frame_count_; }
  bool huge_pages() const { return huge_pages_; }

 private:
  FrameMemory(uint8_t* data, size_t bytes, uint32_t frame_count, bool huge_pages)
      : data_(data), bytes_(bytes), frame_count_(frame_count), huge_pages_(huge_pages) {}
  uint8_t* data_;
  size_t bytes_;
  uint32_t frame_count_;
  bool huge_pages_;
};

}  // namespace millrace::packet

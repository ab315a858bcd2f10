#include "dataplane/packet/frame_memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "dataplane/packet/arena.h"

namespace millrace::packet {
namespace {
constexpr size_t huge_page_bytes = size_t{2} << 20;
}

Result<FrameMemory> FrameMemory::create(uint32_t frame_count) {
  const size_t wanted = size_t{frame_count} * slot_bytes;
  const size_t bytes = (wanted + huge_page_bytes - 1) / huge_page_bytes * huge_page_bytes;
  constexpr int protection = PROT_READ | PROT_WRITE;
  constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
  void* mapped = mmap(nullptr, bytes, protection, flags | MAP_HUGETLB, -1, 0);
  const bool huge = mapped != MAP_FAILED;
  if (!huge) mapped = mmap(nullptr, bytes, protection, flags, -1, 0);
  if (mapped == MAP_FAILED) {
    return Error{"packet memory: cannot map " + std::to_string(bytes >> 20) +
                 " MiB: " + std::strerror(errno)};
  }
  return FrameMemory(static_cast<uint8_t*>(mapped), bytes, frame_count, huge);
}

FrameMemory::FrameMemory(FrameMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      bytes_(other.bytes_),
      frame_count_(other.frame_count_),
      huge_pages_(other.huge_pages_) {}

FrameMemory::~FrameMemory() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

}  // namespace millrace::packet

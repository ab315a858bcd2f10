// Input that ends where memory ends: one octet read too many is a crash in a plain unit test, with
// or without a sanitizer.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string_view>

#include "base/bytes.h"
#include "base/check.h"

namespace millrace::testing {

// A mapping whose last page must not be touched.
//
//   |  unused ........ | placed input |  PROT_NONE  |
class GuardPage {
 public:
  // bytes_max: the largest input that will be placed.
  explicit GuardPage(size_t bytes_max) {
    const auto page_bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    usable_bytes_ = (bytes_max + page_bytes - 1) / page_bytes * page_bytes;
    mapped_bytes_ = usable_bytes_ + page_bytes;
    void* at =
        mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    start_ = static_cast<uint8_t*>(at);
    CHECK(mprotect(start_ + usable_bytes_, page_bytes, PROT_NONE) == 0);
  }
  ~GuardPage() { munmap(start_, mapped_bytes_); }
  GuardPage(const GuardPage&) = delete;
  GuardPage& operator=(const GuardPage&) = delete;

  // Copies the input so that it ends at the guard. Valid until the next placement.
  ByteView place(ByteView input) {
    const ByteSpan room = reserve(input.size());
    if (!input.empty()) std::memcpy(room.data(), input.data(), input.size());
    return room;
  }
  ByteView place(std::string_view input) { return place(as_bytes(input)); }

  // Room for output that ends at the guard.
  ByteSpan reserve(size_t bytes) {
    CHECK(bytes <= usable_bytes_);
    return {start_ + usable_bytes_ - bytes, bytes};
  }

 private:
  uint8_t* start_ = nullptr;
  size_t usable_bytes_ = 0;
  size_t mapped_bytes_ = 0;
};

}  // namespace millrace::testing

// Byte views, big-endian loads and stores, and a reader that cannot over-read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "base/check.h"

namespace millrace {

using ByteView = std::span<const uint8_t>;
using ByteSpan = std::span<uint8_t>;

inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// Network byte order is big-endian (RFC 1700). Unaligned by construction: memcpy compiles to one
// move.
inline uint16_t load_be16(const uint8_t* from) {
  uint16_t value;
  std::memcpy(&value, from, sizeof value);
  return __builtin_bswap16(value);
}
inline uint32_t load_be32(const uint8_t* from) {
  uint32_t value;
  std::memcpy(&value, from, sizeof value);
  return __builtin_bswap32(value);
}
inline void store_be16(uint8_t* to, uint16_t value) {
  value = __builtin_bswap16(value);
  std::memcpy(to, &value, sizeof value);
}
inline void store_be32(uint8_t* to, uint32_t value) {
  value = __builtin_bswap32(value);
  std::memcpy(to, &value, sizeof value);
}

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "snapshots and loads assume little-endian hosts");

// Walks a range from its front. Every read answers whether it was there; nothing is ever read
// beyond the end, and after a failed read the reader stays failed.
class ByteReader {
 public:
  explicit ByteReader(ByteView bytes) : bytes_(bytes) {}

  size_t remaining() const { return bytes_.size() - at_; }
  size_t position() const { return at_; }
  bool ok() const { return ok_; }

  uint8_t read_u8() { return take(1) ? bytes_[at_ - 1] : uint8_t{0}; }
  uint16_t read_be16() { return take(2) ? load_be16(&bytes_[at_ - 2]) : uint16_t{0}; }
  uint32_t read_be32() { return take(4) ? load_be32(&bytes_[at_ - 4]) : 0U; }
  ByteView read_bytes(size_t count) {
    return take(count) ? bytes_.subspan(at_ - count, count) : ByteView{};
  }
  void skip(size_t count) { take(count); }

 private:
  bool take(size_t count) {
    if (!ok_ || count > remaining()) {
      ok_ = false;
      return false;
    }
    at_ += count;
    return true;
  }

  ByteView bytes_;
  size_t at_ = 0;
  bool ok_ = true;
};

}  // namespace millrace

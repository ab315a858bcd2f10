// Appends text to a caller's bytes. Two forms with one shape: HeadOutput asks for room in front of
// each piece and never writes beyond its bytes or what it was told to write; RoomyOutput was given
// room for everything but runs of field lines, asks for those, and may scribble behind what it has
// written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/bytes.h"
#include "base/check.h"
#include "dataplane/http/char_class.h"
#include "dataplane/http/message.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace millrace::http {

// The digits of a number, ending at `end`; answers where they begin.
inline uint8_t* put_decimal_before(uint8_t* end, uint64_t value) {
  do {
    *--end = static_cast<uint8_t>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  return end;
}
inline constexpr size_t decimal_bytes_max = 20;

// H34: what we insert ourselves must not be able to end a line.
inline bool is_visible_ascii(std::string_view text) {
  uint8_t classes = 0;
  for (char c : text) classes |= char_classes[static_cast<uint8_t>(c)];
  return (classes & not_target) == 0;
}

class HeadOutput {
 public:
  explicit HeadOutput(ByteSpan output)
      : start_(output.data()), at_(output.data()), end_(output.data() + output.size()) {}

  // What was written, or 0 if anything did not fit.
  size_t written() const { return has_room_ ? static_cast<size_t>(at_ - start_) : 0; }

  void text(std::string_view piece) {
    if (piece.empty() || !take(piece.size())) return;  // an empty view may point nowhere
    std::memcpy(at_ - piece.size(), piece.data(), piece.size());
  }
  template <size_t size>
  void literal(const char (&piece)[size]) {
    text({piece, size - 1});
  }
  // Text that no parser has seen.
  void inserted_text(std::string_view piece) {
    CHECK(is_visible_ascii(piece));
    text(piece);
  }
  void host(const RequestHead& head) { text(head.host()); }

  // Where the next octet goes, and everything that was written from there to another such place
  // once more.
  size_t position() const { return static_cast<size_t>(at_ - start_); }
  void again(size_t from, size_t to) {
    if (take(to - from)) std::memcpy(at_ - (to - from), start_ + from, to - from);
  }

  void octet(char c) {
    if (take(1)) at_[-1] = static_cast<uint8_t>(c);
  }

  void decimal(uint64_t value) {
    uint8_t digits[decimal_bytes_max];
    uint8_t* const end = digits + sizeof digits;
    const uint8_t* const first = put_decimal_before(end, value);
    text({reinterpret_cast<const char*>(first), static_cast<size_t>(end - first)});
  }

  void three_digits(unsigned value) { decimal(value); }
  // Whole lines as they were received.
  void lines(const char* from, const char* to) { text({from, static_cast<size_t>(to - from)}); }

  // name ":" SP value CRLF, whatever white space the value had around it.
  void field(const Field& field) {
    const size_t name_bytes = field.name_bytes;
    const size_t value_bytes = field.value_bytes;
    if (!take(name_bytes + value_bytes + 4)) return;
    uint8_t* to = at_ - (name_bytes + value_bytes + 4);
    std::memcpy(to, field.line, name_bytes);
    to += name_bytes;
    std::memcpy(to, ": ", 2);
    to += 2;
    std::memcpy(to, field.line + field.value_offset, value_bytes);
    to += value_bytes;
    std::memcpy(to, "\r\n", 2);
  }

 private:
  bool take(size_t count) {
    if (static_cast<size_t>(end_ - at_) < count) {
      has_room_ = false;
      at_ = end_;  // nothing smaller may slip in behind the gap
      return false;
    }
    at_ += count;
    return true;
  }

  uint8_t* const start_;
  uint8_t* at_;
  uint8_t* const end_;
  bool has_room_ = true;
};

class RoomyOutput {
 public:
  // So many octets behind what was written may be overwritten.
  static constexpr size_t scribbled_bytes_max = 16;

  // `reserved_bytes`: for all pieces but fields and runs, scribbling included; at most the output.
  RoomyOutput(ByteSpan output, size_t reserved_bytes)
      : start_(output.data()),
        at_(output.data()),
        fields_end_(output.data() + (output.size() - reserved_bytes)) {}

  // 0: a field or a run had no room.
  size_t written() const {
    CHECK(offences_ == 0);
    return fields_end_ != start_ ? static_cast<size_t>(at_ - start_) : 0;
  }

  void text(std::string_view piece) {
    copy(at_, piece.data(), piece.size());
    at_ += piece.size();
  }
  template <size_t size>
  void literal(const char (&piece)[size]) {
    std::memcpy(at_, piece, size - 1);
    at_ += size - 1;
  }
  void inserted_text(std::string_view piece) {
    text(piece);
    offences_ |= offences_in_last(piece.size());
  }
  void host(const RequestHead& head) {
    scribble(reinterpret_cast<const uint8_t*>(head.host_text.data()), head.host_bytes);
  }
  size_t position() const { return static_cast<size_t>(at_ - start_); }
  void again(size_t from, size_t to) { scribble(start_ + from, to - from); }
  void octet(char c) { *at_++ = static_cast<uint8_t>(c); }

  void decimal(uint64_t value) {
    if (__builtin_expect(value >= 10'000, 0)) {
      long_decimal(value);
      return;
    }
    const auto number = static_cast<uint32_t>(value);
    const unsigned digits = 1U + (number > 9) + (number > 99) + (number > 999);
    const uint32_t all = four_digits(number) >> 8 * (4 - digits);
    std::memcpy(at_, &all, sizeof all);
    at_ += digits;
  }
  // 100 to 999.
  void three_digits(unsigned value) {
    at_[0] = static_cast<uint8_t>('0' + value / 100);
    at_[1] = static_cast<uint8_t>('0' + value / 10 % 10);
    at_[2] = static_cast<uint8_t>('0' + value % 10);
    at_ += 3;
  }

  void lines(const char* from, const char* to) {
    const auto bytes = static_cast<size_t>(to - from);
    if (!has_room_for(bytes)) return;
    copy(at_, from, bytes);
    at_ += bytes;
  }

  void field(const Field& field) {
    if (!has_room_for(size_t{field.name_bytes} + field.value_bytes + 4)) return;
    text(field.name());
    literal(": ");
    text(field.value());
    literal("\r\n");
  }

 private:
  // The digits of a number below 10,000 with its leading zeros, the first in the lowest octet.
  static uint32_t four_digits(uint32_t number) {
    const uint32_t hundreds = number / 100;
    const uint32_t pairs = hundreds | (number - hundreds * 100) << 16;
    const uint32_t tens = (pairs * 103 >> 10) & 0x000f000f;  // a tenth, exact below 100
    return (tens | (pairs - tens * 10) << 8) + 0x30303030;
  }
  void long_decimal(uint64_t value) {
    size_t digits = 1;
    for (uint64_t left = value; left > 9; left /= 10) ++digits;
    at_ += digits;
    put_decimal_before(at_, value);
  }

  bool has_room_for(size_t bytes) {
    // Once there was none, there is none for anything: see written(). Signed: the pieces that have
    // their room reserved may have led beyond the fields' end already.
    if (__builtin_expect(static_cast<ptrdiff_t>(bytes) <= fields_end_ - at_, 1)) return true;
    fields_end_ = start_;
    return false;
  }

  template <size_t bytes>
  static void move(uint8_t* to, const char* from) {
    std::memcpy(to, from, bytes);
  }
  // Exactly these octets, by loads and stores that may overlap.
  static void copy(uint8_t* to, const char* from, size_t bytes) {
    if (bytes >= 16) {
      copy_long(to, from, bytes);
    } else if (bytes >= 8) {
      move<8>(to, from);
      move<8>(to + bytes - 8, from + bytes - 8);
    } else if (bytes >= 4) {
      move<4>(to, from);
      move<4>(to + bytes - 4, from + bytes - 4);
    } else if (bytes >= 2) {
      move<2>(to, from);
      move<2>(to + bytes - 2, from + bytes - 2);
    } else if (bytes == 1) {
      *to = static_cast<uint8_t>(*from);
    }
  }
  static void copy_long(uint8_t* to, const char* from, size_t bytes) {
    if (bytes > 64) {
      copy_longer(to, from, bytes);
    } else if (bytes > 32) {
      move<32>(to, from);
      move<32>(to + bytes - 32, from + bytes - 32);
    } else {
      move<16>(to, from);
      move<16>(to + bytes - 16, from + bytes - 16);
    }
  }
  [[gnu::noinline]] static void copy_longer(uint8_t* to, const char* from, size_t bytes) {
    const char* const last = from + bytes - 64;
    uint8_t* const last_to = to + bytes - 64;
    do {
      move<64>(to, from);
      from += 64;
      to += 64;
    } while (from < last);
    move<64>(last_to, last);
  }
  // Octets behind which there are others that may be read.
  void scribble(const uint8_t* from, size_t bytes) {
    std::memcpy(at_, from, 16);
    for (size_t i = 16; i < bytes; i += 16) std::memcpy(at_ + i, from + i, 16);
    at_ += bytes;
  }

  // Of the last octets written. What lies behind them is readable, and of no account.
  unsigned offences_in_last(size_t bytes) const {
    const uint8_t* const text = at_ - bytes;
#if defined(__SSE2__)
    if (bytes <= 16) {
      const __m128i octets = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text));
      // One more, and 0x7f is negative like everything above it.
      const __m128i one_more = _mm_add_epi8(octets, _mm_set1_epi8(1));
      const __m128i outside = _mm_or_si128(_mm_cmplt_epi8(one_more, _mm_set1_epi8(0x22)),
                                           _mm_cmpeq_epi8(octets, _mm_set1_epi8('#')));
      return static_cast<unsigned>(_mm_movemask_epi8(outside)) & ~(~0U << bytes);
    }
#endif
    return is_visible_ascii({reinterpret_cast<const char*>(text), bytes}) ? 0 : 1;
  }

  uint8_t* const start_;
  uint8_t* at_;
  uint8_t* fields_end_;
  unsigned offences_ = 0;
};

}  // namespace millrace::http

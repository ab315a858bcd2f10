// Appends text to a caller's bytes and never beyond them: one pass, each piece checked, because
// lengths that are summed up first and copied later are where such code overflows.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/bytes.h"
#include "dataplane/http/message.h"

namespace millrace::http {

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

  void octet(char c) {
    if (take(1)) at_[-1] = static_cast<uint8_t>(c);
  }

  void decimal(uint64_t value) {
    char digits[20];
    size_t first = sizeof digits;
    do {
      digits[--first] = static_cast<char>('0' + value % 10);
      value /= 10;
    } while (value != 0);
    text({digits + first, sizeof digits - first});
  }

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

}  // namespace millrace::http

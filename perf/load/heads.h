// Reading heads of HTTP/1.1 messages, as much as the load program must know of them. A head is read
// in full once; the next one with the same octets is recognised by comparing, which also judges
// every octet of it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace millrace::load {

inline constexpr uint32_t head_bytes_max = 8 * 1024;
inline constexpr size_t head_missing = SIZE_MAX;

struct Head {
  bool well_formed = false;
  uint16_t status = 0;           // of a response
  bool has_length = false;       // Content-Length was there
  bool is_chunked = false;       // or any other Transfer-Encoding: nothing we read
  bool close_announced = false;  // Connection: close, or HTTP/1.0 without keep-alive
  uint64_t content_bytes = 0;
  uint32_t head_bytes = 0;  // blank line included
};

// Where the head that begins the text ends, behind its blank line; head_missing if it does not.
size_t find_head_end(std::string_view text);
// head: up to and including its blank line.
Head read_response_head(std::string_view head);
Head read_request_head(std::string_view head);

// The heads of the last responses, read.
class KnownHeads {
 public:
  // The head with which text begins, read or recognised. Null when its end is not there; otherwise
  // it stays valid until the next call.
  const Head* find(ByteView text);

 private:
  static constexpr size_t known_max = 4;
  struct Known {
    Head head;
    std::array<uint8_t, 1024> bytes;
  };
  std::array<Known, known_max> known_{};
  size_t last_ = 0;  // what was found last is looked at first
  size_t next_ = 0;  // is replaced next
  Head unkept_;      // too long to be kept
};

// Buffers for heads that come in pieces: few at a time, so the records need not hold them.
class HeadBuffers {
 public:
  HeadBuffers();
  // Numbers begin with 1; 0: none is free.
  uint16_t acquire();
  void release(uint16_t number);
  // Appends; false when it would be longer than a head may be.
  bool append(uint16_t number, ByteView text);
  std::string_view text(uint16_t number) const;

 private:
  static constexpr uint16_t count = 2048;
  std::vector<uint8_t> bytes_;
  std::vector<uint32_t> sizes_;
  std::vector<uint16_t> free_;
};

}  // namespace millrace::load

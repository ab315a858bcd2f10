// TCP in IPv4 as the tester writes and reads it. Shares no code with the stacks that it compares,
// checksums least of all.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"

namespace millrace::diff {

using Octets = std::vector<uint8_t>;

inline constexpr uint8_t flag_fin = 0x01;
inline constexpr uint8_t flag_syn = 0x02;
inline constexpr uint8_t flag_rst = 0x04;
inline constexpr uint8_t flag_psh = 0x08;
inline constexpr uint8_t flag_ack = 0x10;
inline constexpr uint8_t flag_urg = 0x20;
inline constexpr uint8_t flag_ece = 0x40;
inline constexpr uint8_t flag_cwr = 0x80;

inline constexpr uint8_t shift_max = 14;  // of a window, RFC 7323 section 2.3

// [begin, end) in absolute sequence numbers (RFC 2018 section 3).
struct WireBlock {
  uint32_t begin = 0;
  uint32_t end = 0;
};

// A segment with absolute numbers, as it stands on the wire (RFC 9293 section 3.1).
struct WireSegment {
  SocketAddress from;
  SocketAddress to;
  uint32_t seq = 0;
  uint32_t ack = 0;
  uint8_t flags = 0;
  uint16_t window = 0;  // not scaled
  uint16_t urgent = 0;
  std::optional<uint16_t> mss;
  std::optional<uint8_t> window_scale;
  bool sack_permitted = false;
  std::optional<std::array<uint32_t, 2>> timestamps;  // TSval, TSecr
  std::vector<WireBlock> sack;
  Octets odd_options;  // as they are, behind the others; at most what 40 octets leave
  Octets text;

  bool has(uint8_t flag) const { return (flags & flag) != 0; }
};

// The IPv4 datagram, with right lengths and checksums.
Octets write_datagram(const WireSegment& segment);
// Empty when it is not TCP in IPv4, or not well formed (checksums included).
std::optional<WireSegment> read_datagram(ByteView datagram);

std::string flag_letters(uint8_t flags);

}  // namespace millrace::diff

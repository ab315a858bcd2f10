// A TCP segment: parsed once into a value, written once into a slot (RFC 9293 section 3.1).
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "dataplane/tcp/seq.h"

namespace millrace::tcp {

inline constexpr uint32_t header_bytes_min = 20;
inline constexpr uint32_t header_bytes_max = 60;

inline constexpr uint8_t flag_fin = 0x01;
inline constexpr uint8_t flag_syn = 0x02;
inline constexpr uint8_t flag_rst = 0x04;
inline constexpr uint8_t flag_psh = 0x08;
inline constexpr uint8_t flag_ack = 0x10;
inline constexpr uint8_t flag_urg = 0x20;
inline constexpr uint8_t flag_ece = 0x40;  // RFC 3168 section 6.1
inline constexpr uint8_t flag_cwr = 0x80;

// RFC 7323 section 3.2: the timestamps option, padded to a word boundary as in its appendix A.
inline constexpr uint32_t timestamps_option_bytes = 12;

// One run of octets that have arrived, [begin, end) (RFC 2018 section 3).
struct SackBlock {
  Seq begin;
  Seq end;
  bool operator==(const SackBlock&) const = default;
};
// As many as 40 octets of options hold.
inline constexpr size_t sack_blocks_max = 4;
// With the two octets of padding that put the blocks on a word boundary.
inline constexpr uint32_t sack_option_bytes(uint32_t blocks) {
  return blocks == 0 ? 0 : 4 + 8 * blocks;
}

struct Options {
  bool has_mss = false;
  bool has_window_scale = false;
  bool has_timestamps = false;
  bool sack_permitted = false;
  uint8_t sack_count = 0;    // of sack, in front; blocks as they came, not judged
  uint8_t window_scale = 0;  // 0..14; a larger shift is read as 14 (RFC 7323 section 2.3)
  uint16_t mss = 0;
  uint32_t timestamp_value = 0;  // TSval
  uint32_t timestamp_echo = 0;   // TSecr
  std::array<SackBlock, sack_blocks_max> sack;
};

struct Segment {
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  Seq seq;
  Seq ack;
  uint8_t flags = 0;
  uint16_t window = 0;  // as on the wire, not scaled
  Options options;
  ByteView text;  // RFC 9293's word for the payload

  bool has(uint8_t flag) const { return (flags & flag) != 0; }
  // RFC 3168 section 6.1.1: what a SYN that asks for ECN says, and a SYN-ACK that agrees. One with
  // both bits only mirrors what it got.
  bool asks_for_ecn() const { return (flags & (flag_ece | flag_cwr)) == (flag_ece | flag_cwr); }
  bool agrees_to_ecn() const { return (flags & (flag_ece | flag_cwr)) == flag_ece; }
  // A SYN that may open a connection, and nothing else.
  bool opens() const { return (flags & (flag_syn | flag_ack | flag_rst | flag_fin)) == flag_syn; }
  // What ends a handshake, with text or without.
  bool may_end_handshake() const { return (flags & (flag_syn | flag_ack | flag_rst)) == flag_ack; }
  // SEG.LEN: octets of sequence space, SYN and FIN counted.
  uint32_t sequence_length() const {
    return static_cast<uint32_t>(text.size()) + (has(flag_syn) ? 1U : 0U) +
           (has(flag_fin) ? 1U : 0U);
  }
};

enum class SegmentError : uint8_t { truncated, bad_data_offset, bad_option, bad_port };

// Parses a segment out of an IP payload; the checksum is the caller's business. Unknown options are
// skipped; an option of length 0 or 1 or one that overruns the header makes the segment bad
// (RFC 9293 MUST-7: it must not make the parser loop).
std::optional<Segment> parse_segment(ByteView ip_payload, SegmentError* error);
// The same into a fresh Segment.
bool parse_segment_into(Segment* segment, ByteView ip_payload, SegmentError* error);

// What a header of ours says; fields as in Segment, options only where set.
struct HeaderFields {
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  Seq seq;
  Seq ack;
  uint8_t flags = 0;
  uint16_t window = 0;
  Options options;
};

uint32_t header_bytes(const Options& options);
// Writes header_bytes(fields.options) octets at `at` with a zero checksum.
void write_header(uint8_t* at, const HeaderFields& fields);
inline constexpr uint32_t checksum_offset = 16;
// Sets flags that are not set in a segment that is complete with its checksum.
void add_flags(uint8_t* at, uint8_t flags);

// What nearly every segment says, written without a look at options: timestamps or none.
struct PlainHeader {
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  Seq seq;
  Seq ack;
  uint8_t flags = 0;
  uint16_t window = 0;
  uint32_t timestamp_value = 0;
  uint32_t timestamp_echo = 0;
};
// The layout of RFC 7323 appendix A: NOP NOP timestamps.
inline constexpr uint32_t aligned_timestamps = 0x0101080a;

inline constexpr uint32_t plain_header_bytes(bool timestamps) {
  return header_bytes_min + (timestamps ? timestamps_option_bytes : 0);
}
// Writes plain_header_bytes(timestamps) octets at `at` with a zero checksum, and returns their sum,
// which is that of numbers in registers. It is in the order of the wire's numbers, not of memory
// (net::PartialSum's), so net::from_wire_order() goes over it.
inline uint64_t write_plain_header(uint8_t* at, const PlainHeader& header, bool timestamps) {
  const uint32_t ports = uint32_t{header.source_port} << 16 | header.destination_port;
  const uint32_t words = plain_header_bytes(timestamps) / 4;
  const uint32_t rest = words << 28 | uint32_t{header.flags} << 16 | header.window;
  store_be32(at, ports);
  store_be32(at + 4, header.seq.value());
  store_be32(at + 8, header.ack.value());
  store_be32(at + 12, rest);
  store_be32(at + 16, 0);  // checksum, urgent pointer
  const uint64_t sum = uint64_t{ports} + header.seq.value() + header.ack.value() + rest;
  if (!timestamps) return sum;
  store_be32(at + 20, aligned_timestamps);
  store_be32(at + 24, header.timestamp_value);
  store_be32(at + 28, header.timestamp_echo);
  return sum + aligned_timestamps + header.timestamp_value + header.timestamp_echo;
}

}  // namespace millrace::tcp

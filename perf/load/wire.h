// What the load program puts on the wire and reads from it: Ethernet, IPv4 and TCP headers of fixed
// layouts, written field by field with their checksums computed from the fields, never from the
// bytes. Sums here are kept as numbers (RFC 1071: the ones' complement sum of big-endian words), so
// a 32-bit field is simply added.
//
// Text:  | Ethernet 14 | IPv4 20 | TCP 20 | NOP NOP timestamps 12, if agreed on | text |
// SYN:   | Ethernet 14 | IPv4 20 | TCP 20 | MSS, NOP window scale, NOP NOP timestamps: 20 or 8 |
#pragma once

#include <cstdint>
#include <cstring>

#include "base/address.h"
#include "base/bytes.h"
#include "dataplane/net/checksum.h"
#include "dataplane/packet/checksum_mode.h"

namespace millrace::load {

inline constexpr uint32_t ethernet_bytes = 14;
inline constexpr uint32_t ipv4_bytes = 20;
inline constexpr uint32_t tcp_bytes = 20;
inline constexpr uint32_t timestamps_bytes = 12;
inline constexpr uint32_t arp_frame_bytes = 42;
inline constexpr uint32_t headers_bytes_min = ethernet_bytes + ipv4_bytes + tcp_bytes;
inline constexpr uint16_t ethertype_ipv4 = 0x0800;
inline constexpr uint16_t ethertype_arp = 0x0806;
inline constexpr uint16_t mss_default = 536;  // RFC 9293 section 3.7.1

enum TcpFlag : uint8_t { fin = 1, syn = 2, rst = 4, psh = 8, ack = 16 };

// Both ends of a connection, as the sender sees them.
struct Flow {
  uint32_t local_address = 0;
  uint32_t remote_address = 0;
  uint16_t local_port = 0;
  uint16_t remote_port = 0;
  MacAddress remote_mac;
};

// A sum as a number, below 2^16 when folded.
inline uint16_t as_number(net::PartialSum sum) {
  return __builtin_bswap16(net::fold(sum));
}
inline uint16_t sum_of_text(ByteView text) {
  return as_number(net::sum_of(text));
}

struct HeaderFields {
  uint32_t seq = 0;
  uint32_t ack = 0;
  uint8_t flags = 0;
  uint16_t window = 0;  // as it stands in the header, scaled
  bool timestamps = false;
  uint32_t timestamp_value = 0;
  uint32_t timestamp_echo = 0;
  // Of a SYN only.
  uint16_t mss = 0;
  int8_t window_scale = -1;  // -1: none
};

inline uint32_t header_bytes(const HeaderFields& fields) {
  uint32_t options = fields.timestamps ? timestamps_bytes : 0;
  if ((fields.flags & syn) != 0) options += 4 + (fields.window_scale >= 0 ? 4 : 0);
  return headers_bytes_min + options;
}

// Writes all headers of a segment, header_bytes(fields) octets, in front of text_bytes octets whose
// sum as a number is text_sum.
void write_headers(uint8_t* to, const MacAddress& own_mac, const Flow& flow,
                   const HeaderFields& fields, uint32_t text_bytes, uint16_t text_sum);

// A received segment; the text lies in the frame.
struct Segment {
  uint32_t source_address = 0;
  uint32_t destination_address = 0;
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  uint32_t seq = 0;
  uint32_t ack = 0;
  uint16_t window = 0;
  uint8_t flags = 0;
  bool timestamps = false;
  uint32_t timestamp_value = 0;
  int8_t window_scale = -1;  // of a SYN
  uint16_t mss = 0;          // of a SYN; 0: not said
  uint32_t text_bytes = 0;
  const uint8_t* text = nullptr;

  bool has(uint8_t flag) const { return (flags & flag) != 0; }
};

enum class ParseResult : uint8_t {
  tcp,
  other,  // not a TCP segment in a whole IPv4 packet without options
  malformed,
  bad_checksum,
};

// Reads an IPv4 frame (the ethertype has been looked at). verified: the port vouches for the
// transport checksum.
ParseResult parse_frame(ByteView frame, packet::ChecksumMode mode, bool verified, Segment* segment);

// --- ARP (RFC 826) over Ethernet for IPv4 ---

struct Arp {
  bool is_request = false;
  MacAddress sender_mac;
  Ipv4Address sender;
  Ipv4Address target;
};
// False when it is not a whole ARP packet of this kind.
bool parse_arp(ByteView frame, Arp* arp);
// Writes arp_frame_bytes octets. A request is broadcast.
void write_arp_request(uint8_t* to, const MacAddress& own_mac, Ipv4Address own, Ipv4Address wanted);
void write_arp_reply(uint8_t* to, const MacAddress& own_mac, const Arp& request);

}  // namespace millrace::load

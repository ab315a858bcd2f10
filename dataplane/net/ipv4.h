// IPv4 datagrams (RFC 791, RFC 1122 section 3.2.1): parsed once into a value that cannot hold
// nonsense, written without options and never fragmented.
#pragma once

#include <cstdint>
#include <optional>

#include "base/address.h"
#include "base/bytes.h"
#include "dataplane/counters.h"

namespace millrace::net {

// IP protocol numbers (IANA).
inline constexpr uint8_t protocol_icmp = 1;
inline constexpr uint8_t protocol_tcp = 6;
inline constexpr uint8_t protocol_udp = 17;

inline constexpr uint32_t ipv4_header_bytes = 20;    // we send no IP options and take none
inline constexpr uint8_t time_to_live_default = 64;  // RFC 1122 section 3.2.1.7, IANA

struct Ipv4Packet {
  Ipv4Address source;       // unicast, not loopback
  Ipv4Address destination;  // unicast, not loopback
  uint8_t protocol = 0;
  uint8_t ttl = 0;  // at least 1
  uint8_t tos = 0;
  uint8_t port = 0;            // on which it arrived
  MacAddress source_mac;       // of the frame that brought it
  uint16_t total_length = 0;   // octets, header included
  uint16_t octets_behind = 0;  // readable behind payload, as in packet::Frame
  ByteView header;
  ByteView payload;  // total_length - header octets; Ethernet padding is cut off
};

// bytes: an Ethernet payload. False, with the reason in *drop, for whatever RFC 1122 says to
// discard, and by our own policy for options (T44) and fragments (T43). Leaves port, source_mac and
// octets_behind to the caller; after false nothing in *packet means anything.
bool parse_ipv4_into(Ipv4Packet* packet, ByteView bytes, Counter* drop);
// The two bits of ECN in the type of service (RFC 3168 section 5).
inline constexpr uint8_t ecn_mask = 0x03;
inline constexpr uint8_t ecn_not_capable = 0x00;
inline constexpr uint8_t ecn_capable = 0x02;     // ECT(0)
inline constexpr uint8_t ecn_congestion = 0x03;  // CE

inline std::optional<Ipv4Packet> parse_ipv4(ByteView bytes, Counter* drop) {
  Ipv4Packet packet;
  if (!parse_ipv4_into(&packet, bytes, drop)) return std::nullopt;
  return packet;
}

// Writes ipv4_header_bytes in front of payload_length octets: DF set and identification 0, an
// atomic datagram (RFC 6864 section 4.1), so that the identification tells an observer nothing
// (T45).
void write_ipv4(uint8_t* at, Ipv4Address source, Ipv4Address destination, uint8_t protocol,
                uint16_t payload_length);
// Sets them in a header that is complete.
void set_ecn(uint8_t* at, uint8_t ecn);

}  // namespace millrace::net

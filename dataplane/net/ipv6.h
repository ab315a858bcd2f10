// IPv6 datagrams (RFC 8200): parsed once, with their extension headers, into a value that cannot
// hold nonsense; written without extension headers and never fragmented.
//
//   | IPv6 header, 40 | extension headers, any number | upper layer: TCP, UDP, ICMPv6 ... | padding
//   header            |                               payload                             |
//                     |<------------- payload length of the header -------------->|
//
// What becomes of extension headers, towards a host that serves TCP:
//  - hop-by-hop options (first or not at all) and destination options are walked. Options we do
//    not know are skipped or are the end of the datagram, as their two highest bits say (RFC 8200
//    section 4.2). The error that two of these four ways ask for is withheld: it would answer
//    strangers before anything about them is known, and no TCP needs it.
//  - routing headers: type 0 is dropped wherever it stands (RFC 5095 section 3). Others are skipped
//    when no segments are left, else dropped: we are nobody's waypoint (RFC 8200 section 4.4).
//  - fragments are dropped, as for IPv4 (T43), except an atomic one: offset 0 and nothing to
//    follow is a whole datagram, is to be processed by itself (RFC 6946 section 4) and needs no
//    memory. Translators made them for every small packet (RFC 6145 section 4), so that dropping
//    them would cut off honest clients. Neighbor discovery takes not even these (RFC 6980).
//  - at most extension_headers_max headers and options_max options: the chain is walked for
//    strangers, and it must be whole in the one datagram (RFC 7112 section 5).
#pragma once

#include <cstdint>
#include <optional>

#include "base/address.h"
#include "base/bytes.h"
#include "base/ipv6_address.h"
#include "dataplane/counters.h"

namespace millrace::net {

inline constexpr uint32_t ipv6_header_bytes = 40;
inline constexpr uint16_t ipv6_mtu_min = 1280;    // RFC 8200 section 5: of every link
inline constexpr uint8_t hop_limit_default = 64;  // as time_to_live_default
inline constexpr uint8_t protocol_icmpv6 = 58;    // IANA protocol numbers, as in ipv4.h
inline constexpr int extension_headers_max = 8;   // RFC 8200 section 4.1 knows six kinds
inline constexpr int options_max = 16;            // RFC 8504 section 5.3: a host may limit them

struct Ipv6Packet {
  // One host's; unspecified only under ICMPv6 (duplicate address detection, RFC 4862 section 5.4).
  Ipv6Address source;
  Ipv6Address destination;  // one host's; a group only under ICMPv6
  uint8_t protocol = 0;     // of the upper layer, behind all extension headers
  uint8_t hop_limit = 0;  // 0 is for routers to drop, not for the destination (RFC 8200 section 3)
  uint8_t traffic_class = 0;
  uint8_t port = 0;                  // on which it arrived
  bool has_fragment_header = false;  // an atomic fragment
  MacAddress source_mac;             // of the frame that brought it
  uint16_t octets_behind = 0;        // readable behind payload, as in packet::Frame
  ByteView datagram;                 // everything from the header on, without Ethernet padding
  ByteView payload;                  // the upper layer
};

// bytes: an Ethernet payload. False, with the reason in *drop, for whatever RFC 8200 says to
// discard and by the policy above. Leaves port, source_mac and octets_behind to the caller; after
// false nothing in *packet means anything.
bool parse_ipv6_into(Ipv6Packet* packet, ByteView bytes, Counter* drop);
inline std::optional<Ipv6Packet> parse_ipv6(ByteView bytes, Counter* drop) {
  Ipv6Packet packet;
  if (!parse_ipv6_into(&packet, bytes, drop)) return std::nullopt;
  return packet;
}

// Writes ipv6_header_bytes in front of payload_length octets. Traffic class and flow label are 0:
// a label that is none is legal (RFC 6437 section 3) and tells an observer nothing.
void write_ipv6(uint8_t* at, const Ipv6Address& source, const Ipv6Address& destination,
                uint8_t protocol, uint16_t payload_length, uint8_t hop_limit = hop_limit_default);

// Sets the two bits of ECN in the traffic class (RFC 3168 section 5, RFC 8200 section 7) of a
// header that is complete.
inline void set_ipv6_ecn(uint8_t* at, uint8_t ecn) {
  constexpr uint8_t mask = 0x30;
  at[1] = static_cast<uint8_t>((at[1] & ~mask) | ecn << 4);
}

}  // namespace millrace::net

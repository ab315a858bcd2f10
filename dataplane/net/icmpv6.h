// ICMPv6 (RFC 4443) as far as a host with TCP services needs it: echo replies, port unreachable for
// UDP, and errors about our own TCP segments, validated before TCP sees them. Neighbor discovery's
// messages are in neighbor_discovery.h.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/ipv6_address.h"
#include "dataplane/counters.h"
#include "dataplane/net/ipv4.h"
#include "dataplane/net/ipv6.h"

namespace millrace::net {

inline constexpr uint32_t icmpv6_header_bytes = 8;

inline constexpr uint8_t icmpv6_unreachable = 1;
inline constexpr uint8_t icmpv6_packet_too_big = 2;
inline constexpr uint8_t icmpv6_time_exceeded = 3;
inline constexpr uint8_t icmpv6_parameter_problem = 4;
inline constexpr uint8_t icmpv6_echo_request = 128;
inline constexpr uint8_t icmpv6_echo_reply = 129;
inline constexpr uint8_t icmpv6_redirect = 137;  // RFC 4861 section 4.5

// Codes of icmpv6_unreachable (RFC 4443 section 3.1) and of icmpv6_parameter_problem (3.4).
inline constexpr uint8_t icmpv6_administratively_prohibited = 1;
inline constexpr uint8_t icmpv6_port_unreachable = 4;
inline constexpr uint8_t icmpv6_source_policy_failed = 5;
inline constexpr uint8_t icmpv6_reject_route = 6;
inline constexpr uint8_t icmpv6_unknown_next_header = 1;

// An error about a TCP segment that claims to have left `source`: addresses and ports are as that
// segment carried them, so source is ours and destination the peer. Whether such a segment is in
// flight is for TCP to say (RFC 5927 section 4).
struct Icmpv6Error {
  uint8_t type = 0;
  uint8_t code = 0;
  uint16_t mtu = 0;  // with packet too big, else 0: of the next hop, ipv6_mtu_min to 65,535
  Ipv6Address source;
  Ipv6Address destination;
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  uint32_t tcp_sequence_number = 0;

  bool is_packet_too_big() const { return type == icmpv6_packet_too_big; }
  // Says that trying again is useless, as IcmpError::is_hard() says it of ICMP (RFC 5461
  // section 2.1 names the pairs; codes 5 and 6 came later as refinements of code 1).
  bool is_hard() const {
    if (type == icmpv6_parameter_problem) return code == icmpv6_unknown_next_header;
    return type == icmpv6_unreachable &&
           (code == icmpv6_administratively_prohibited || code == icmpv6_port_unreachable ||
            code == icmpv6_source_policy_failed || code == icmpv6_reject_route);
  }
};

// RFC 4443 section 2.1: errors have the high bit clear. Unknown errors are for the upper layer
// (section 2.4 a); our TCP has no use for them.
constexpr bool is_icmpv6_error(uint8_t type) {
  return type >= icmpv6_unreachable && type <= icmpv6_parameter_problem;
}

// True when the checksum, which covers the pseudo-header (RFC 4443 section 2.3), is right. No NIC
// and no kernel leaves this one to others: it is verified whatever the port's mode.
bool icmpv6_checksum_holds(const Ipv6Packet& packet);

// packet: of protocol ICMPv6, whose checksum holds and whose type is an error. Nothing, with the
// reason in *drop, when what it quotes is not the first 8 octets of a TCP segment from the address
// that the error was sent to, or when it asks for packets shorter than every link takes.
std::optional<Icmpv6Error> parse_icmpv6_error(const Ipv6Packet& packet, Counter* drop);

// Whether RFC 4443 section 2.4 (e) lets us answer the packet with a destination unreachable.
// group_frame: it came in a frame to a broadcast or multicast MAC address.
bool may_answer_with_icmpv6_error(const Ipv6Packet& packet, bool group_frame);

// Writes an echo reply to `request` (an ICMPv6 message) into request.size() octets at `at`, from
// and to these addresses; every octet behind the checksum comes back as it was (RFC 4443
// section 4.2).
void write_icmpv6_echo_reply(uint8_t* at, const Ipv6Address& source, const Ipv6Address& destination,
                             ByteView request);

// Writes an error that quotes as much of the datagram as keeps the whole within ipv6_mtu_min octets
// (RFC 4443 section 2.4 c), to the datagram's source and from its destination, which is one host's.
// Returns the octets written.
inline constexpr uint32_t icmpv6_error_bytes_max = ipv6_mtu_min - ipv6_header_bytes;
uint32_t write_icmpv6_error(uint8_t* at, uint8_t type, uint8_t code, const Ipv6Packet& about);

}  // namespace millrace::net

// Address resolution for IPv4 over Ethernet (RFC 826), as parsed and written packets; what is
// believed is decided in neighbor.h.
#pragma once

#include <cstdint>
#include <optional>

#include "base/address.h"
#include "base/bytes.h"

namespace millrace::net {

inline constexpr uint32_t arp_packet_bytes = 28;

enum class ArpOperation : uint16_t { request = 1, reply = 2 };

// RFC 826's names: hardware is the MAC address, protocol the IPv4 address.
struct ArpPacket {
  ArpOperation operation = ArpOperation::request;
  MacAddress sender_hardware;
  Ipv4Address sender_protocol;  // zero in a probe (RFC 5227 section 1.1)
  MacAddress target_hardware;   // means nothing in a request
  Ipv4Address target_protocol;
};

// Nothing when the packet is short, not Ethernet and IPv4, neither request nor reply, or has a
// sender that no station may have: a group or zero MAC address, a multicast, broadcast or loopback
// IPv4 address.
std::optional<ArpPacket> parse_arp(ByteView bytes);

// Writes arp_packet_bytes at `at`.
void write_arp(uint8_t* at, const ArpPacket& packet);

}  // namespace millrace::net

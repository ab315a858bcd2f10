// Ethernet II frames (IEEE 802.3 clause 3), without the frame check sequence, which NICs keep.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>

#include "base/address.h"
#include "base/bytes.h"

namespace millrace::net {

inline constexpr uint32_t ethernet_header_bytes = 14;

inline constexpr uint16_t ethertype_ipv4 = 0x0800;
inline constexpr uint16_t ethertype_arp = 0x0806;
inline constexpr uint16_t ethertype_ipv6 = 0x86dd;           // RFC 2464 section 3
inline constexpr uint16_t ethertype_vlan = 0x8100;           // IEEE 802.1Q
inline constexpr uint16_t ethertype_provider_vlan = 0x88a8;  // IEEE 802.1ad

struct EthernetFrame {
  MacAddress destination;
  MacAddress source;
  uint16_t type = 0;
  ByteView payload;  // with whatever padding the sender's NIC added
};

inline std::optional<EthernetFrame> parse_ethernet(ByteView bytes) {
  if (bytes.size() < ethernet_header_bytes) return std::nullopt;
  EthernetFrame frame;
  std::memcpy(frame.destination.octets.data(), bytes.data(), 6);
  std::memcpy(frame.source.octets.data(), bytes.data() + 6, 6);
  frame.type = load_be16(bytes.data() + 12);
  frame.payload = bytes.subspan(ethernet_header_bytes);
  return frame;
}

// Writes ethernet_header_bytes at `at`.
inline void write_ethernet(uint8_t* at, const MacAddress& destination, const MacAddress& source,
                           uint16_t type) {
  std::memcpy(at, destination.octets.data(), 6);
  std::memcpy(at + 6, source.octets.data(), 6);
  store_be16(at + 12, type);
}

}  // namespace millrace::net

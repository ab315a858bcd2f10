// Neighbor solicitations and advertisements (RFC 4861 sections 4.3, 4.4) as parsed and written
// messages: what ARP is for IPv4. What is believed of them is not decided here.
#pragma once

#include <cstdint>
#include <optional>

#include "base/address.h"
#include "base/ipv6_address.h"
#include "dataplane/counters.h"
#include "dataplane/net/ipv6.h"

namespace millrace::net {

inline constexpr uint8_t icmpv6_neighbor_solicitation = 135;
inline constexpr uint8_t icmpv6_neighbor_advertisement = 136;
// RFC 4861 section 3.1: routers decrement it, so that 255 proves a sender on this link.
inline constexpr uint8_t neighbor_discovery_hop_limit = 255;
// Header, target and one option with a MAC address. A solicitation for duplicate address detection
// goes without the option and is 8 octets shorter.
inline constexpr uint32_t neighbor_discovery_bytes_max = 32;

struct NeighborSolicitation {
  Ipv6Address target;                       // one host's
  std::optional<MacAddress> source_mac;     // never in duplicate address detection
  bool is_for_duplicate_detection = false;  // from the unspecified address (RFC 4862 section 5.4.3)
};

struct NeighborAdvertisement {
  Ipv6Address target;  // one host's
  std::optional<MacAddress> target_mac;
  bool from_router = false;
  bool solicited = false;
  bool override_cache = false;
};

// packet: of protocol ICMPv6 and the function's type, its checksum holds. Nothing, with the reason
// in *drop, unless it passes the checks of RFC 4861 section 7.1.1 or 7.1.2 and has no fragment
// header (RFC 6980 section 5). Options that we do not know are skipped; a MAC address that no
// station may have (a group, zero) makes the message malformed.
std::optional<NeighborSolicitation> parse_neighbor_solicitation(const Ipv6Packet& packet,
                                                                Counter* drop);
std::optional<NeighborAdvertisement> parse_neighbor_advertisement(const Ipv6Packet& packet,
                                                                  Counter* drop);

// Each writes an ICMPv6 message of at most neighbor_discovery_bytes_max octets at `at`, for an IPv6
// header with these addresses and neighbor_discovery_hop_limit. Returns the octets written.
//
// source: unspecified for duplicate address detection, then mac is left out (RFC 4861
// section 4.3).
uint32_t write_neighbor_solicitation(uint8_t* at, const Ipv6Address& source,
                                     const Ipv6Address& destination, const Ipv6Address& target,
                                     const MacAddress& mac);
// We are no router as far as neighbors are concerned: the R flag is clear.
uint32_t write_neighbor_advertisement(uint8_t* at, const Ipv6Address& source,
                                      const Ipv6Address& destination, const Ipv6Address& target,
                                      const MacAddress& mac, bool solicited);

}  // namespace millrace::net

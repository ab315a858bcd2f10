#include "dataplane/net/neighbor_discovery.h"

#include <cstring>

#include "dataplane/net/checksum.h"

namespace millrace::net {
namespace {

// | type | code | checksum | flags or reserved, 4 | target, 16 | options: type, length / 8, value |
constexpr size_t flags_offset = 4;
constexpr size_t target_offset = 8;
constexpr size_t options_offset = 24;
constexpr size_t mac_option_bytes = 8;

constexpr uint8_t option_source_mac = 1;  // RFC 4861 section 4.6.1
constexpr uint8_t option_target_mac = 2;

constexpr uint8_t flag_router = 0x80;
constexpr uint8_t flag_solicited = 0x40;
constexpr uint8_t flag_override = 0x20;

// Walks the options; *mac is set from the wanted one. False when one does not fit: a length of 0
// would be walked for ever (RFC 4861 section 4.6).
bool read_options(ByteView options, uint8_t wanted, std::optional<MacAddress>* mac) {
  while (!options.empty()) {
    if (options.size() < 2 || options[1] == 0) return false;
    const size_t length = size_t{options[1]} * 8;
    if (length > options.size()) return false;
    if (options[0] == wanted) {
      if (length != mac_option_bytes) return false;
      MacAddress value;
      std::memcpy(value.octets.data(), &options[2], value.octets.size());
      if (value.is_multicast() || value.is_zero()) return false;
      *mac = value;
    }
    options = options.subspan(length);
  }
  return true;
}

// What sections 7.1.1 and 7.1.2 have in common.
bool read_common(const Ipv6Packet& packet, uint8_t wanted_option, Ipv6Address* target,
                 std::optional<MacAddress>* mac, Counter* drop) {
  if (packet.hop_limit != neighbor_discovery_hop_limit) {
    *drop = Counter::net_neighbor_discovery_off_link;
    return false;
  }
  if (packet.has_fragment_header) {
    *drop = Counter::net_neighbor_discovery_fragment;
    return false;
  }
  *drop = Counter::net_neighbor_discovery_malformed;
  const ByteView message = packet.payload;
  if (message.size() < options_offset || message[1] != 0) return false;
  *target = Ipv6Address::load(&message[target_offset]);
  return target->is_unicast() && read_options(message.subspan(options_offset), wanted_option, mac);
}

bool is_solicited_node_group(const Ipv6Address& address) {
  return address == address.solicited_node();
}

uint32_t write(uint8_t* at, uint8_t type, uint8_t flags, const Ipv6Address& target,
               uint8_t option_type, const MacAddress* mac) {
  std::memset(at, 0, options_offset);
  at[0] = type;
  at[flags_offset] = flags;
  target.store(at + target_offset);
  if (mac == nullptr) return options_offset;
  uint8_t* option = at + options_offset;
  option[0] = option_type;
  option[1] = mac_option_bytes / 8;
  std::memcpy(option + 2, mac->octets.data(), mac->octets.size());
  return options_offset + mac_option_bytes;
}

}  // namespace

std::optional<NeighborSolicitation> parse_neighbor_solicitation(const Ipv6Packet& packet,
                                                                Counter* drop) {
  NeighborSolicitation solicitation;
  if (!read_common(packet, option_source_mac, &solicitation.target, &solicitation.source_mac,
                   drop)) {
    return std::nullopt;
  }
  solicitation.is_for_duplicate_detection = packet.source.is_unspecified();
  if (solicitation.is_for_duplicate_detection &&
      (!is_solicited_node_group(packet.destination) || solicitation.source_mac)) {
    return std::nullopt;
  }
  return solicitation;
}

std::optional<NeighborAdvertisement> parse_neighbor_advertisement(const Ipv6Packet& packet,
                                                                  Counter* drop) {
  NeighborAdvertisement advertisement;
  if (!read_common(packet, option_target_mac, &advertisement.target, &advertisement.target_mac,
                   drop)) {
    return std::nullopt;
  }
  const uint8_t flags = packet.payload[flags_offset];
  advertisement.from_router = (flags & flag_router) != 0;
  advertisement.solicited = (flags & flag_solicited) != 0;
  advertisement.override_cache = (flags & flag_override) != 0;
  // RFC 4861 section 4.4: an advertisement comes from an address, and one to a group answers nobody
  // (section 7.1.2).
  if (packet.source.is_unspecified() ||
      (packet.destination.is_multicast() && advertisement.solicited)) {
    return std::nullopt;
  }
  return advertisement;
}

uint32_t write_neighbor_solicitation(uint8_t* at, const Ipv6Address& source,
                                     const Ipv6Address& destination, const Ipv6Address& target,
                                     const MacAddress& mac) {
  const uint32_t length = write(at, icmpv6_neighbor_solicitation, 0, target, option_source_mac,
                                source.is_unspecified() ? nullptr : &mac);
  store_transport_checksum(at + 2, source, destination, protocol_icmpv6, ByteView(at, length));
  return length;
}

uint32_t write_neighbor_advertisement(uint8_t* at, const Ipv6Address& source,
                                      const Ipv6Address& destination, const Ipv6Address& target,
                                      const MacAddress& mac, bool solicited) {
  const auto flags = static_cast<uint8_t>(flag_override | (solicited ? flag_solicited : 0));
  const uint32_t length =
      write(at, icmpv6_neighbor_advertisement, flags, target, option_target_mac, &mac);
  store_transport_checksum(at + 2, source, destination, protocol_icmpv6, ByteView(at, length));
  return length;
}

}  // namespace millrace::net

#include "dataplane/net/ip_output.h"

#include <algorithm>

#include "base/check.h"
#include "dataplane/net/neighbor_discovery.h"
#include "dataplane/net/steering.h"

namespace millrace::net {

IpOutput::IpOutput(packet::Arena& arena, const IpRoutes& routes, NeighborTable& neighbors,
                   Counters& counters, Ipv6Network* ipv6)
    : arena_(arena), routes_(routes), neighbors_(neighbors), counters_(counters), ipv6_(ipv6) {}

void IpOutput::set_port(uint8_t port, const MacAddress& mac, uint16_t mtu) {
  CHECK(port < packet::ports_max);
  // What fits into a slot; the port may know longer frames than we build.
  constexpr uint16_t mtu_max = packet::slot_bytes - ethernet_header_bytes;
  ports_[port] = {mac, std::min(mtu, mtu_max)};
}

void IpOutput::pin_gateways() {
  for (const Route& route : routes_.all()) {
    if (route.on_link()) continue;
    const uint16_t index = neighbors_.find_or_create(route.port, route.gateway);
    if (index != NeighborTable::none) neighbors_.pin(index);
  }
  if (ipv6_ == nullptr) return;
  for (const Ipv6Route& route : ipv6_->routes()) {
    if (route.on_link()) continue;
    const uint16_t index = neighbors_.find_or_create(route.port, route.gateway_alias);
    if (index != NeighborTable::none) neighbors_.pin(index);
  }
}

void IpOutput::set_room(uint8_t port, size_t frames) {
  const size_t queued = queues_[port].count;
  const size_t most = std::min(frames, queue_frames_max);
  room_[port] = most > queued ? most - queued : 0;
}

std::optional<Path> IpOutput::path_to(Ipv4Address destination, Instant now) {
  (void)now;
  if (is_ipv6_alias(destination)) return path_to_ipv6(destination);
  const Route* route = routes_.find(destination);
  const bool is_host = destination.is_unicast() && !destination.is_loopback();
  if (!is_host || route == nullptr ||
      (route->on_link() && is_subnet_broadcast(route->destination, destination))) {
    counters_.add(Counter::net_output_no_route);
    return std::nullopt;
  }
  const Ipv4Address next_hop = route->next_hop(destination);
  const uint16_t neighbor = neighbors_.find_or_create(route->port, next_hop);
  if (neighbor == NeighborTable::none) return std::nullopt;
  return Path::through(route->port, neighbor, next_hop);
}

// A link-local destination is on no link in particular (RFC 4007 section 6): whoever comes from one
// is answered the way it came.
std::optional<Path> IpOutput::path_to_ipv6(Ipv4Address alias) {
  const bool is_host = ipv6_ != nullptr && ipv6_->aliases.is_alias(alias);
  const Ipv6Address* to = is_host ? &ipv6_->aliases.address(alias) : nullptr;
  const Ipv6Route* route = to == nullptr ? nullptr : ipv6_->route_to(*to);
  if (route == nullptr || !to->is_unicast() || to->is_link_local()) {
    counters_.add(Counter::net_output_no_route);
    return std::nullopt;
  }
  const Ipv4Address next_hop = route->on_link() ? alias : route->gateway_alias;
  const uint16_t neighbor = neighbors_.find_or_create(route->port, next_hop);
  if (neighbor == NeighborTable::none) return std::nullopt;
  // The entry's own alias: that of a visitor is another host's with the next packet.
  return Path::through(route->port, neighbor, neighbors_.address_of(neighbor));
}

uint16_t IpOutput::entry_of(const Path& path) const {
  if (neighbors_.is_entry_of(path.neighbor(), path.port(), path.next_hop())) return path.neighbor();
  return neighbors_.find_or_create(path.port(), path.next_hop());
}

void IpOutput::send(const Path& path, Ipv4Address source, Ipv4Address destination, uint8_t protocol,
                    const packet::TransmitFrame& segment, Instant now) {
  const uint32_t ip_header = ip_header_bytes(destination);
  const uint32_t headers = ethernet_header_bytes + ip_header;
  CHECK(segment.offset >= headers);
  const uint8_t port = path.port();
  CHECK(segment.length + ip_header <= ports_[port].mtu);

  MacAddress back;
  const MacAddress* next = &back;
  uint16_t neighbor = path.neighbor();
  if (path.is_reflected()) {
    back = path.mac();
  } else {
    next = neighbors_.known(neighbor, port, path.next_hop(), now);
    if (next == nullptr) {
      neighbor = entry_of(path);
      if (neighbor == NeighborTable::none) return;  // counted there
      next = neighbors_.resolve(neighbor, now, *this);
    }
  }
  if (next != nullptr && room_[port] == 0) {
    counters_.add(Counter::net_output_no_room);
    return;
  }
  const packet::TransmitFrame frame{segment.slot, static_cast<uint16_t>(segment.offset - headers),
                                    static_cast<uint16_t>(segment.length + headers)};
  uint8_t* at = arena_.slot_data(frame.slot) + frame.offset;
  write_ethernet(at, next != nullptr ? *next : MacAddress{}, ports_[port].mac, ethertype_ipv4);
  if (is_ipv6_alias(destination)) [[unlikely]] {
    write_ipv6_headers(at, source, destination, protocol, segment.length);
  } else {
    write_ipv4(at + ethernet_header_bytes, source, destination, protocol, segment.length);
  }
  arena_.mark_in_port(frame.slot);
  if (next != nullptr) {
    enqueue(port, frame);
  } else {
    neighbors_.wait(neighbor, frame);
  }
}

void IpOutput::write_ipv6_headers(uint8_t* at, Ipv4Address source, Ipv4Address destination,
                                  uint8_t protocol, uint16_t length) const {
  store_be16(at + ethernet_header_bytes - 2, ethertype_ipv6);
  write_ipv6(at + ethernet_header_bytes, ipv6_->aliases.address(source),
             ipv6_->aliases.address(destination), protocol, length);
}

void IpOutput::send_ipv6(uint8_t port, const MacAddress& next, const Ipv6Address& source,
                         const Ipv6Address& destination, uint8_t protocol,
                         const packet::TransmitFrame& segment, uint8_t hop_limit) {
  constexpr uint32_t headers = ethernet_header_bytes + ipv6_header_bytes;
  static_assert(headers <= packet::headroom_bytes);
  CHECK(segment.offset >= headers);
  CHECK(segment.length + ipv6_header_bytes <= ports_[port].mtu);
  if (room_[port] == 0) {
    counters_.add(Counter::net_output_no_room);
    return;
  }
  const packet::TransmitFrame frame{segment.slot, static_cast<uint16_t>(segment.offset - headers),
                                    static_cast<uint16_t>(segment.length + headers)};
  uint8_t* at = arena_.slot_data(frame.slot) + frame.offset;
  write_ethernet(at, next, ports_[port].mac, ethertype_ipv6);
  write_ipv6(at + ethernet_header_bytes, source, destination, protocol, segment.length, hop_limit);
  send_raw(port, frame);
}

void IpOutput::send_raw(uint8_t port, const packet::TransmitFrame& frame) {
  arena_.mark_in_port(frame.slot);
  enqueue(port, frame);
}

void IpOutput::send_waited(uint8_t port, const packet::TransmitFrame& frame,
                           const MacAddress& destination) {
  uint8_t* at = arena_.slot_data(frame.slot) + frame.offset;
  std::copy(destination.octets.begin(), destination.octets.end(), at);
  enqueue(port, frame);
}

bool IpOutput::send_arp(uint8_t port, const MacAddress& destination, const ArpPacket& packet) {
  if (room_[port] == 0) {
    counters_.add(Counter::net_output_no_room);
    return false;
  }
  const packet::SlotIndex slot = arena_.acquire();
  if (slot == packet::slot_none) {
    counters_.add(Counter::net_output_no_memory);
    return false;
  }
  uint8_t* at = arena_.slot_data(slot);
  write_ethernet(at, destination, ports_[port].mac, ethertype_arp);
  write_arp(at + ethernet_header_bytes, packet);
  send_raw(port, {slot, 0, ethernet_header_bytes + arp_packet_bytes});
  arena_.drop(slot);
  return true;
}

packet::SlotIndex IpOutput::slot_for_discovery(uint8_t port) {
  if (room_[port] == 0) {
    counters_.add(Counter::net_output_no_room);
    return packet::slot_none;
  }
  const packet::SlotIndex slot = arena_.acquire();
  if (slot == packet::slot_none) counters_.add(Counter::net_output_no_memory);
  return slot;
}

bool IpOutput::send_solicitation(uint8_t port, const Ipv6Address& source, const Ipv6Address& target,
                                 const MacAddress* mac) {
  const packet::SlotIndex slot = slot_for_discovery(port);
  if (slot == packet::slot_none) return false;
  const Ipv6Address group = target.solicited_node();
  const Ipv6Address& to = mac != nullptr ? target : group;
  const uint32_t length = write_neighbor_solicitation(
      arena_.slot_data(slot) + packet::headroom_bytes, source, to, target, ports_[port].mac);
  send_ipv6(port, mac != nullptr ? *mac : group.multicast_mac(), source, to, protocol_icmpv6,
            {slot, packet::headroom_bytes, static_cast<uint16_t>(length)},
            neighbor_discovery_hop_limit);
  arena_.drop(slot);
  counters_.add(Counter::net_neighbor_solicitations_sent);
  return true;
}

bool IpOutput::send_advertisement(uint8_t port, const Ipv6Address& target, const Ipv6Address& to,
                                  const MacAddress& next, bool solicited) {
  const packet::SlotIndex slot = slot_for_discovery(port);
  if (slot == packet::slot_none) return false;
  const uint32_t length =
      write_neighbor_advertisement(arena_.slot_data(slot) + packet::headroom_bytes, target, to,
                                   target, ports_[port].mac, solicited);
  send_ipv6(port, next, target, to, protocol_icmpv6,
            {slot, packet::headroom_bytes, static_cast<uint16_t>(length)},
            neighbor_discovery_hop_limit);
  arena_.drop(slot);
  return true;
}

uint32_t IpOutput::alias_references() const {
  uint32_t count = neighbors_.ipv6_count() + static_cast<uint32_t>(ipv6_->steering.all().size());
  for (const Ipv6Route& route : ipv6_->routes()) count += route.on_link() ? 0 : 1;
  return count;
}

// frame is marked in_port; without room it is done with at once.
bool IpOutput::enqueue(uint8_t port, const packet::TransmitFrame& frame) {
  if (room_[port] == 0) {
    counters_.add(Counter::net_output_no_room);
    arena_.mark_sent(frame.slot);
    return false;
  }
  Queue& queue = queues_[port];
  queue.frames[queue.count++] = frame;
  --room_[port];
  counters_.add(Counter::net_frames_sent);
  return true;
}

}  // namespace millrace::net

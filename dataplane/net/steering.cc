#include "dataplane/net/steering.h"

#include <algorithm>

#include "dataplane/net/ipv4.h"
#include "dataplane/packet/frame.h"

namespace millrace::net {

bool Steering::add(const LocalAddress& address) {
  const Ipv4Address ours = address.prefix.address;
  if (count_ == addresses_max || address.port >= packet::ports_max) return false;
  if (!ours.is_unicast() || ours.is_loopback() || is_subnet_broadcast(address.prefix, ours)) {
    return false;
  }
  for (const LocalAddress& other : all()) {
    if (other.prefix.address != ours) continue;
    // A borrowed address may stand on several ports of a node; an owned one is nobody else's.
    if (other.port == address.port || other.kind == Ownership::owned ||
        address.kind == Ownership::owned) {
      return false;
    }
  }
  addresses_[count_++] = address;
  return true;
}

bool Steering::add_owned(uint8_t port, const Ipv4Prefix& prefix) {
  return add({port, Ownership::owned, prefix, 0, 0});
}

bool Steering::add_borrowed(uint8_t port, const Ipv4Prefix& prefix,
                            std::span<const uint16_t> tcp_ports) {
  if (tcp_ports.size() > borrowed_tcp_ports_max - tcp_port_count_) return false;
  const auto first = static_cast<uint16_t>(tcp_port_count_);
  const auto count = static_cast<uint16_t>(tcp_ports.size());
  if (!add({port, Ownership::borrowed, prefix, first, count})) return false;
  std::copy(tcp_ports.begin(), tcp_ports.end(), tcp_ports_.begin() + first);
  tcp_port_count_ += count;
  return true;
}

Ownership Steering::kind_of(uint8_t port, Ipv4Address address) const {
  for (const LocalAddress& local : all()) {
    if (local.prefix.address == address && local.port == port) return local.kind;
  }
  return Ownership::not_ours;
}

Ownership Steering::classify(uint8_t port, Ipv4Address destination, uint8_t protocol,
                             uint16_t destination_port) const {
  for (const LocalAddress& local : all()) {
    if (local.prefix.address != destination || local.port != port) continue;
    if (local.kind == Ownership::owned) return Ownership::owned;
    if (protocol != protocol_tcp) return Ownership::not_ours;
    return lends(local, destination_port) ? Ownership::borrowed : Ownership::not_ours;
  }
  return Ownership::not_ours;
}

bool Steering::lends(const LocalAddress& local, uint16_t tcp_port) const {
  const auto first = tcp_ports_.begin() + local.tcp_ports_first;
  const auto last = first + local.tcp_ports_count;
  return std::find(first, last, tcp_port) != last;
}

Judgement Steering::judge(uint8_t port, Ipv4Address source, Ipv4Address destination) const {
  Judgement judgement;
  for (const LocalAddress& local : all()) {
    const bool here = local.port == port;
    const Ipv4Address address = local.prefix.address;
    judgement.impossible_source |=
        (address == source && (here || local.kind == Ownership::owned)) ||
        (here && is_subnet_broadcast(local.prefix, source));
    if (here && address == destination && judgement.local == nullptr) {
      judgement.destination = local.kind;
      judgement.local = &local;
    }
  }
  return judgement;
}

bool Steering::is_impossible_source(uint8_t port, Ipv4Address source) const {
  return judge(port, source, Ipv4Address{}).impossible_source;
}

std::optional<Ipv4Address> Steering::source_for(uint8_t port, Ipv4Address target) const {
  std::optional<Ipv4Address> any;
  for (const LocalAddress& local : all()) {
    if (local.port != port || local.kind != Ownership::owned) continue;
    if (local.prefix.contains(target)) return local.prefix.address;
    if (!any) any = local.prefix.address;
  }
  return any;
}

}  // namespace millrace::net

#include "dataplane/net/ipv6_steering.h"

#include <algorithm>

#include "dataplane/packet/frame.h"

namespace millrace::net {

bool Ipv6Steering::add(const LocalIpv6Address& address) {
  const Ipv6Address& ours = address.prefix.address;
  if (count_ == addresses_max || address.port >= packet::ports_max || !ours.is_unicast()) {
    return false;
  }
  for (const LocalIpv6Address& other : all()) {
    if (other.prefix.address != ours) continue;
    if (other.port == address.port) return false;
    const bool exclusive = other.kind == Ownership::owned || address.kind == Ownership::owned;
    if (exclusive && !ours.is_link_local()) return false;
  }
  addresses_[count_++] = address;
  return true;
}

bool Ipv6Steering::add_owned(uint8_t port, const Ipv6Prefix& prefix) {
  return add({port, Ownership::owned, prefix, 0, 0});
}

bool Ipv6Steering::add_borrowed(uint8_t port, const Ipv6Prefix& prefix,
                                std::span<const uint16_t> tcp_ports) {
  if (tcp_ports.size() > borrowed_tcp_ports_max - tcp_port_count_) return false;
  const auto first = static_cast<uint16_t>(tcp_port_count_);
  const auto count = static_cast<uint16_t>(tcp_ports.size());
  if (!add({port, Ownership::borrowed, prefix, first, count})) return false;
  std::copy(tcp_ports.begin(), tcp_ports.end(), tcp_ports_.begin() + first);
  tcp_port_count_ += count;
  return true;
}

const LocalIpv6Address* Ipv6Steering::find(uint8_t port, const Ipv6Address& address) const {
  for (const LocalIpv6Address& local : all()) {
    if (local.port == port && local.prefix.address == address) return &local;
  }
  return nullptr;
}

bool Ipv6Steering::lends(const LocalIpv6Address& local, uint16_t tcp_port) const {
  const auto first = tcp_ports_.begin() + local.tcp_ports_first;
  const auto last = first + local.tcp_ports_count;
  return std::find(first, last, tcp_port) != last;
}

bool Ipv6Steering::is_impossible_source(uint8_t port, const Ipv6Address& source) const {
  for (const LocalIpv6Address& local : all()) {
    if (local.prefix.address != source) continue;
    if (local.port == port) return true;
    if (local.kind == Ownership::owned && !source.is_link_local()) return true;
  }
  return false;
}

}  // namespace millrace::net

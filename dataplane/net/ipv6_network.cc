#include "dataplane/net/ipv6_network.h"

#include <bit>

#include "dataplane/packet/frame.h"

namespace millrace::net {
namespace {

int common_prefix_bits(const Ipv6Address& one, const Ipv6Address& other) {
  int bits = 0;
  for (size_t i = 0; i < Ipv6Address::bytes; ++i) {
    const auto difference = static_cast<uint8_t>(one.octets()[i] ^ other.octets()[i]);
    bits += std::countl_zero(difference);
    if (difference != 0) break;
  }
  return bits;
}

}  // namespace

bool Ipv6Network::add_owned(uint8_t port, const Ipv6Prefix& prefix) {
  return steering.add_owned(port, prefix) && aliases.hold(prefix.address).has_value();
}

bool Ipv6Network::add_borrowed(uint8_t port, const Ipv6Prefix& prefix,
                               std::span<const uint16_t> tcp_ports) {
  return steering.add_borrowed(port, prefix, tcp_ports) && aliases.hold(prefix.address).has_value();
}

bool Ipv6Network::add_route(const Ipv6Prefix& destination, uint8_t port,
                            const Ipv6Address& gateway) {
  if (route_count_ == routes_max || port >= packet::ports_max) return false;
  size_t at = 0;
  while (at < route_count_ && routes_[at].destination.length >= destination.length) {
    const Ipv6Prefix& other = routes_[at].destination;
    if (other.length == destination.length && other.contains(destination.address)) return false;
    ++at;
  }
  Ipv6Route route{destination, port, gateway, {}};
  if (!route.on_link()) {
    const auto alias = aliases.hold(gateway);
    if (!alias) return false;
    route.gateway_alias = *alias;
  }
  for (size_t i = route_count_; i > at; --i) routes_[i] = routes_[i - 1];
  routes_[at] = route;
  ++route_count_;
  return true;
}

const Ipv6Route* Ipv6Network::route_to(const Ipv6Address& destination) const {
  for (const Ipv6Route& route : routes()) {
    if (route.destination.contains(destination)) return &route;
  }
  return nullptr;
}

const LocalIpv6Address* Ipv6Network::source_for(uint8_t port, const Ipv6Address& target) const {
  const LocalIpv6Address* best = nullptr;
  int best_rank = -1;
  for (const LocalIpv6Address& local : steering.all()) {
    if (local.port != port || local.kind != Ownership::owned) continue;
    const Ipv6Address& address = local.prefix.address;
    const bool same_scope = address.is_link_local() == target.is_link_local();
    // All 128 bits in common: the address itself.
    const int rank = common_prefix_bits(address, target) + (same_scope ? 256 : 0);
    if (rank <= best_rank) continue;
    best = &local;
    best_rank = rank;
  }
  return best;
}

}  // namespace millrace::net

// What the configuration says of IPv6, and the names of its hosts. There is none when no IPv6
// address is configured.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/ipv6_address.h"
#include "dataplane/net/ipv6_aliases.h"
#include "dataplane/net/ipv6_steering.h"

namespace millrace::net {

struct Ipv6Route {
  Ipv6Prefix destination;
  uint8_t port = 0;           // index of the port within the worker
  Ipv6Address gateway;        // unspecified: the destination is on the port's own link
  Ipv4Address gateway_alias;  // held for good

  bool on_link() const { return gateway.is_unspecified(); }
};

struct Ipv6Network {
  static constexpr size_t routes_max = 64;
  // What the configuration holds: an alias each of our own addresses and the gateways.
  static constexpr uint32_t configured_hosts_max = Ipv6Steering::addresses_max + routes_max;

  // hosts_held_max: beside the configured ones.
  Ipv6Network(uint32_t hosts_held_max, const HashKey& key)
      : aliases(configured_hosts_max + hosts_held_max, key) {}

  // False as Ipv6Steering says it.
  bool add_owned(uint8_t port, const Ipv6Prefix& prefix);
  bool add_borrowed(uint8_t port, const Ipv6Prefix& prefix, std::span<const uint16_t> tcp_ports);
  // False when the table is full, the port does not exist or the prefix is there already.
  bool add_route(const Ipv6Prefix& destination, uint8_t port, const Ipv6Address& gateway);

  // The longest prefix that contains destination; nullptr when none does.
  const Ipv6Route* route_to(const Ipv6Address& destination) const;
  std::span<const Ipv6Route> routes() const { return {routes_.data(), route_count_}; }

  // The owned address of the port from which to speak to target (RFC 6724 section 5 as far as it
  // can tell our addresses apart): target itself (rule 1), else one of target's scope (rule 2),
  // else any; of several the one with the longest common prefix (rule 8). nullptr when the port
  // has none.
  const LocalIpv6Address* source_for(uint8_t port, const Ipv6Address& target) const;

  Ipv6Aliases aliases;
  Ipv6Steering steering;

 private:
  std::array<Ipv6Route, routes_max> routes_{};  // longest prefix first
  size_t route_count_ = 0;
};

}  // namespace millrace::net

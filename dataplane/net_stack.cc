#include "dataplane/net_stack.h"

#include "base/check.h"
#include "base/hash.h"

namespace millrace {
namespace {

net::Steering steering_of(const NetConfig& config) {
  net::Steering steering;
  for (const NetConfig::Address& address : config.addresses) {
    const bool added =
        address.borrowed_tcp_ports.empty()
            ? steering.add_owned(address.port, address.prefix)
            : steering.add_borrowed(address.port, address.prefix, address.borrowed_tcp_ports);
    CHECK(added);
  }
  return steering;
}

net::IpRoutes routes_of(const NetConfig& config) {
  net::IpRoutes routes;
  for (const net::Route& route : config.routes) CHECK(routes.add(route));
  for (const NetConfig::Address& address : config.addresses) {
    if (!address.borrowed_tcp_ports.empty()) continue;
    const uint32_t network = address.prefix.address.host_order() & address.prefix.mask();
    const Ipv4Prefix on_link{Ipv4Address::from_host_order(network), address.prefix.length};
    // Refused when a configured route, or another address of the subnet, has said it already.
    routes.add({on_link, address.port, Ipv4Address{}});
  }
  return routes;
}

// Whoever can hold an alias besides the configuration: connections, half-open ones among them,
// TIME-WAIT records and neighbors.
uint32_t hosts_held_max(const tcp::Limits& limits) {
  return limits.connections + limits.time_wait + net::NeighborTable::entries_max;
}

std::unique_ptr<net::Ipv6Network> ipv6_network_of(const NetConfig& config,
                                                  const tcp::Limits& limits,
                                                  const tcp::Keys& keys) {
  if (config.ipv6_addresses.empty()) return nullptr;
  auto network = std::make_unique<net::Ipv6Network>(
      hosts_held_max(limits), HashKey{siphash24(keys.isn, 0, 3), siphash24(keys.isn, 0, 4)});
  for (const NetConfig::Ipv6Address& address : config.ipv6_addresses) {
    const bool added =
        address.borrowed_tcp_ports.empty()
            ? network->add_owned(address.port, address.prefix)
            : network->add_borrowed(address.port, address.prefix, address.borrowed_tcp_ports);
    CHECK(added);
  }
  for (const NetConfig::Ipv6Route& route : config.ipv6_routes) {
    CHECK(network->add_route(route.destination, route.port, route.gateway));
  }
  for (const NetConfig::Ipv6Address& address : config.ipv6_addresses) {
    // Link-local destinations have no route: who comes from there is answered the way it came.
    if (!address.borrowed_tcp_ports.empty() || address.prefix.address.is_link_local()) continue;
    // Refused when a configured route, or another address of the subnet, has said it already.
    network->add_route(address.prefix, address.port, {});
  }
  return network;
}

}  // namespace

NetStack::NetStack(const NetConfig& config, const tcp::Limits& limits, const tcp::Keys& keys,
                   packet::Arena& arena, Counters& counters, Instant start)
    : ipv6_(ipv6_network_of(config, limits, keys)),
      steering_(steering_of(config)),
      routes_(routes_of(config)),
      neighbors_(arena, steering_, counters,
                 HashKey{siphash24(keys.flow, 0, 1), siphash24(keys.flow, 0, 2)}, ipv6_.get()),
      output_(arena, routes_, neighbors_, counters, ipv6_.get()),
      ingress_(arena, steering_, neighbors_, output_, counters, keys.random_seed ^ 0x1c3d),
      tcp_(limits, keys, arena, output_, counters, start),
      next_tick_(start) {
  for (const SocketAddress& listener : config.listeners) CHECK(tcp_.listen(listener));
  for (const Ipv6SocketAddress& listener : config.ipv6_listeners) {
    CHECK(ipv6_ != nullptr);
    const auto alias = ipv6_->aliases.find(listener.address);
    CHECK(alias && tcp_.listen({*alias, listener.port}));
  }
  output_.pin_gateways();
}

void NetStack::set_port(uint8_t port, const MacAddress& mac, uint16_t mtu,
                        packet::ChecksumMode mode) {
  output_.set_port(port, mac, mtu);
  ingress_.set_port(port, mode);
}

void NetStack::ingress(const packet::Frame& frame, Instant now) {
  ingress_.receive(frame, now, &delivery_);
  switch (delivery_.verdict) {
    case net::Ingress::Verdict::tcp: tcp_.ingress(delivery_.packet, delivery_.back, now); break;
    case net::Ingress::Verdict::icmp_error: tcp_.icmp_error(delivery_.error, now); break;
    case net::Ingress::Verdict::dropped:
    case net::Ingress::Verdict::handled: break;
  }
}

void NetStack::advance(Instant now) {
  if (now >= next_tick_) {
    next_tick_ = now + tick;
    ingress_.tick(now);
  }
  tcp_.advance(now);
}

Ipv4Address NetStack::source_for(Ipv4Address destination) const {
  if (net::is_ipv6_alias(destination)) {
    if (ipv6_ == nullptr || !ipv6_->aliases.is_alias(destination)) return {};
    const Ipv6Address& to = ipv6_->aliases.address(destination);
    const net::Ipv6Route* route = ipv6_->route_to(to);
    const auto* source = route == nullptr ? nullptr : ipv6_->source_for(route->port, to);
    if (source == nullptr) return {};
    return ipv6_->aliases.find(source->prefix.address).value_or(Ipv4Address{});
  }
  const net::Route* route = routes_.find(destination);
  if (route == nullptr) return {};
  return steering_.source_for(route->port, route->next_hop(destination)).value_or(Ipv4Address{});
}

}  // namespace millrace

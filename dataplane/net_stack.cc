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

}  // namespace

NetStack::NetStack(const NetConfig& config, const tcp::Limits& limits, const tcp::Keys& keys,
                   packet::Arena& arena, Counters& counters, Instant start)
    : steering_(steering_of(config)),
      routes_(routes_of(config)),
      neighbors_(arena, steering_, counters,
                 HashKey{siphash24(keys.flow, 0, 1), siphash24(keys.flow, 0, 2)}),
      output_(arena, routes_, neighbors_, counters),
      ingress_(arena, steering_, neighbors_, output_, counters, keys.random_seed ^ 0x1c3d),
      tcp_(limits, keys, arena, output_, counters, start),
      next_tick_(start) {
  for (const SocketAddress& listener : config.listeners) CHECK(tcp_.listen(listener));
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
  const net::Route* route = routes_.find(destination);
  if (route == nullptr) return {};
  return steering_.source_for(route->port, route->next_hop(destination)).value_or(Ipv4Address{});
}

}  // namespace millrace

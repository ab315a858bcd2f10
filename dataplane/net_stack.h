// NetStack: everything between frames and connections, composed: net below, tcp above. No I/O, no
// clock: frames and `now` come in, frames to send are queued per port.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/time.h"
#include "dataplane/counters.h"
#include "dataplane/net/ingress.h"
#include "dataplane/net/ip_output.h"
#include "dataplane/net/ip_routes.h"
#include "dataplane/net/ipv6_network.h"
#include "dataplane/net/neighbor.h"
#include "dataplane/net/steering.h"
#include "dataplane/packet/arena.h"
#include "dataplane/packet/checksum_mode.h"
#include "dataplane/packet/frame.h"
#include "dataplane/tcp/tcp.h"

namespace millrace {

// Addresses, routes and listeners, as the configuration gives them; ports by index.
struct NetConfig {
  struct Address {
    uint8_t port = 0;
    Ipv4Prefix prefix;
    std::vector<uint16_t> borrowed_tcp_ports;  // empty: owned
  };
  std::vector<Address> addresses;
  std::vector<net::Route> routes;  // on-link prefixes of owned addresses are added by NetStack
  std::vector<SocketAddress> listeners;

  struct Ipv6Address {
    uint8_t port = 0;
    Ipv6Prefix prefix;
    std::vector<uint16_t> borrowed_tcp_ports;  // empty: owned
  };
  struct Ipv6Route {
    Ipv6Prefix destination;
    uint8_t port = 0;
    millrace::Ipv6Address gateway;  // unspecified: the destination is on the port's own link
  };
  std::vector<Ipv6Address> ipv6_addresses;  // none: no IPv6, and no memory for it
  std::vector<Ipv6Route> ipv6_routes;
  std::vector<Ipv6SocketAddress> ipv6_listeners;
};

class NetStack {
 public:
  // arena and counters outlive the stack. config has been checked (config.cc): a table that is too
  // small here is our bug.
  NetStack(const NetConfig& config, const tcp::Limits& limits, const tcp::Keys& keys,
           packet::Arena& arena, Counters& counters, Instant start);

  void set_port(uint8_t port, const MacAddress& mac, uint16_t mtu, packet::ChecksumMode mode);

  // At the start of a turn: how many frames the port will take at its end.
  void set_room(uint8_t port, size_t frames) { output_.set_room(port, frames); }
  void ingress(const packet::Frame& frame, Instant now);
  // Timers of net and tcp. Once a turn: inlined it would take the room of what is called more
  // often.
  [[gnu::noinline]] void advance(Instant now);
  // TCP's share of the room. Afterwards queued() is what the port must take.
  void egress(uint8_t port, Instant now) { tcp_.egress(port, now); }
  std::span<const packet::TransmitFrame> queued(uint8_t port) const { return output_.queued(port); }
  void clear(uint8_t port) { output_.clear(port); }

  bool has_egress() const { return tcp_.has_egress(); }
  Instant next_deadline() const { return std::min(next_tick_, tcp_.next_deadline()); }

  // The owned address that connections to destination leave from: one of the port that the route
  // chooses, in the next hop's subnet if there is one. Zero when nothing leads there.
  Ipv4Address source_for(Ipv4Address destination) const;
  // The name by which TCP knows an IPv6 host, good until the next frame or call; a connection to it
  // holds it. IPv6 is configured.
  Ipv4Address alias_of(const Ipv6Address& host) { return ipv6_->aliases.find_or_visit(host); }

  tcp::Tcp& tcp() { return tcp_; }
  const tcp::Tcp& tcp() const { return tcp_; }
  const net::NeighborTable& neighbors() const { return neighbors_; }
  const net::Ipv6Network* ipv6() const { return ipv6_.get(); }

 private:
  static constexpr Duration tick = Duration::milliseconds(100);

  std::unique_ptr<net::Ipv6Network> ipv6_;
  net::Steering steering_;
  net::IpRoutes routes_;
  net::NeighborTable neighbors_;
  net::IpOutput output_;
  net::Ingress ingress_;
  tcp::Tcp tcp_;
  net::Ingress::Delivery delivery_;
  Instant next_tick_;
};

}  // namespace millrace

// Ipv6Steering: which IPv6 addresses are ours on which port, and how much of them: what
// steering.h is for IPv4.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/ipv6_address.h"
#include "dataplane/net/steering.h"

namespace millrace::net {

struct LocalIpv6Address {
  uint8_t port = 0;
  Ownership kind = Ownership::owned;
  Ipv6Prefix prefix;
  uint16_t tcp_ports_first = 0;  // range in the list of borrowed TCP ports
  uint16_t tcp_ports_count = 0;
};

class Ipv6Steering {
 public:
  static constexpr size_t addresses_max = 64;             // over all ports
  static constexpr size_t borrowed_tcp_ports_max = 1024;  // over all borrowed addresses

  // False when a table is full, the port does not exist, the address is no host's, or it is there
  // already on that port or owned on any. A link-local address means another host on another link
  // (RFC 4007 section 6), so it may stand on several ports.
  bool add_owned(uint8_t port, const Ipv6Prefix& prefix);
  bool add_borrowed(uint8_t port, const Ipv6Prefix& prefix, std::span<const uint16_t> tcp_ports);

  // The address on that port (the strong host model), nullptr when it is not ours there. The
  // subnet-router anycast address (RFC 4291 section 2.6.1) is ours only where it is configured.
  const LocalIpv6Address* find(uint8_t port, const Ipv6Address& address) const;
  // Of a borrowed address: whether that TCP port is ours.
  bool lends(const LocalIpv6Address& local, uint16_t tcp_port) const;

  // True when no honest packet that arrives on `port` has this source: as
  // Steering::is_impossible_source, where a link-local address counts on its own port only.
  bool is_impossible_source(uint8_t port, const Ipv6Address& source) const;

  std::span<const LocalIpv6Address> all() const { return {addresses_.data(), count_}; }

 private:
  bool add(const LocalIpv6Address& address);

  std::array<LocalIpv6Address, addresses_max> addresses_{};
  size_t count_ = 0;
  std::array<uint16_t, borrowed_tcp_ports_max> tcp_ports_{};
  size_t tcp_port_count_ = 0;
};

}  // namespace millrace::net

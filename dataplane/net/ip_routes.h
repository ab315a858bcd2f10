// IpRoutes: where our own packets go, by longest prefix. Filled at start and constant afterwards; a
// connection looks its route up once and keeps the Path, so a short ordered list is enough.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/address.h"

namespace millrace::net {

struct Route {
  Ipv4Prefix destination;
  uint8_t port = 0;     // index of the port within the worker
  Ipv4Address gateway;  // zero: the destination is on the port's own link

  bool on_link() const { return gateway.is_zero(); }
  Ipv4Address next_hop(Ipv4Address to) const { return on_link() ? to : gateway; }
};

class IpRoutes {
 public:
  static constexpr size_t routes_max = 64;

  // False when the table is full, the port does not exist or the prefix is there already.
  bool add(const Route& route);

  // The longest prefix that contains destination; nullptr when none does.
  const Route* find(Ipv4Address destination) const;

  std::span<const Route> all() const { return {routes_.data(), count_}; }

 private:
  std::array<Route, routes_max> routes_{};  // longest prefix first
  size_t count_ = 0;
};

}  // namespace millrace::net

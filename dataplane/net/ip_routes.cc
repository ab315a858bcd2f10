#include "dataplane/net/ip_routes.h"

#include "dataplane/packet/frame.h"

namespace millrace::net {

bool IpRoutes::add(const Route& route) {
  if (count_ == routes_max || route.port >= packet::ports_max) return false;
  size_t at = 0;
  while (at < count_ && routes_[at].destination.length >= route.destination.length) {
    const Ipv4Prefix& other = routes_[at].destination;
    if (other.length == route.destination.length && other.contains(route.destination.address)) {
      return false;
    }
    ++at;
  }
  for (size_t i = count_; i > at; --i) routes_[i] = routes_[i - 1];
  routes_[at] = route;
  ++count_;
  return true;
}

const Route* IpRoutes::find(Ipv4Address destination) const {
  for (size_t i = 0; i < count_; ++i) {
    if (routes_[i].destination.contains(destination)) return &routes_[i];
  }
  return nullptr;
}

}  // namespace millrace::net

// IpOutput: where every frame we originate passes. It chooses the port by route, writes the IP and
// Ethernet headers in front of a transport segment, and queues the frame for its port; a frame
// whose neighbor is not resolved yet waits in that neighbor's bounded queue.
//
// Egress is pulled: the worker says with set_room() how much each port takes this turn, and
// producers ask room() before they build.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "base/address.h"
#include "base/time.h"
#include "dataplane/counters.h"
#include "dataplane/net/arp.h"
#include "dataplane/net/ethernet.h"
#include "dataplane/net/ip_routes.h"
#include "dataplane/net/ipv4.h"
#include "dataplane/net/ipv6.h"
#include "dataplane/net/ipv6_network.h"
#include "dataplane/net/neighbor.h"
#include "dataplane/packet/arena.h"
#include "dataplane/packet/frame.h"

namespace millrace::net {

// How a destination is reached; small enough to be cached in a connection. It holds as long as the
// configuration does (routes change only with a restart). The neighbor index is a hint: an entry
// may have been evicted and its place taken since, so next_hop is compared at every send, and a
// path that is behind costs a look into the table, never a frame to the wrong station.
//
// 10 bytes, because every idle connection has one.
class Path {
 public:
  static constexpr uint16_t reflected = UINT16_MAX;

  Path() = default;
  // By way of a neighbor: the index is where it stood last.
  static Path through(uint8_t port, uint16_t neighbor, Ipv4Address next_hop) {
    Path path;
    path.port_ = port;
    path.neighbor_ = neighbor;
    next_hop.store(path.hop_.data());
    return path;
  }
  // Back to the station that a frame came from.
  static Path back(uint8_t port, const MacAddress& mac) {
    Path path;
    path.port_ = port;
    path.hop_ = mac.octets;
    return path;
  }

  uint8_t port() const { return port_; }
  bool is_reflected() const { return neighbor_ == reflected; }
  uint16_t neighbor() const { return neighbor_; }
  MacAddress mac() const { return MacAddress{hop_}; }                      // of a reflected path
  Ipv4Address next_hop() const { return Ipv4Address::load(hop_.data()); }  // of any other

 private:
  std::array<uint8_t, 6> hop_{};  // a MAC address, or an IPv4 address in wire order
  uint16_t neighbor_ = reflected;
  uint8_t port_ = 0;
};
static_assert(sizeof(Path) == 10);

class IpOutput {
 public:
  static constexpr size_t queue_frames_max =
      512;  // per port and turn: burst in, data and ACK out, twice over

  // ipv6: nullptr without IPv6. Addresses of Ipv4Address are aliases where they are IPv6 hosts'.
  IpOutput(packet::Arena& arena, const IpRoutes& routes, NeighborTable& neighbors,
           Counters& counters, Ipv6Network* ipv6 = nullptr);
  void set_port(uint8_t port, const MacAddress& mac, uint16_t mtu);

  // The path to destination by longest prefix; nullopt, counted, when no route covers it, when it
  // is no single host (T32: nothing is ever sent to a broadcast or multicast address), or when its
  // neighbor entry cannot be made.
  std::optional<Path> path_to(Ipv4Address destination, Instant now);
  // The path back to whoever sent a frame to a borrowed address: same port, same MAC. We do not
  // resolve on behalf of an address that the kernel owns.
  static Path path_back(uint8_t port, const MacAddress& mac) { return Path::back(port, mac); }

  // How many frames the port takes this turn, what is queued already included; at most
  // queue_frames_max count. Without room frames are dropped and counted, so it is set before
  // ingress.
  void set_room(uint8_t port, size_t frames);
  size_t room(uint8_t port) const { return room_[port]; }

  // segment: the transport header and payload inside a slot, with at least 34 bytes of slot in
  // front of it (54 for IPv6), transport checksum complete. Takes the frame: the slot is marked
  // in_port until the port (or the neighbor's queue, by dropping) is done with it; the caller keeps
  // or drops `held` as it likes. DF is set and the identification is 0 (RFC 6864: atomic datagram).
  // A frame that cannot be sent (no room, no neighbor) is dropped and counted, and its slot is not
  // left in_port.
  void send(const Path& path, Ipv4Address source, Ipv4Address destination, uint8_t protocol,
            const packet::TransmitFrame& segment, Instant now);
  // The same for IPv6 (54 bytes of slot in front) where the station is known: next is its MAC
  // address, or the group's.
  void send_ipv6(uint8_t port, const MacAddress& next, const Ipv6Address& source,
                 const Ipv6Address& destination, uint8_t protocol,
                 const packet::TransmitFrame& segment, uint8_t hop_limit = hop_limit_default);
  // A frame complete with its Ethernet header. Takes it as send() does.
  void send_raw(uint8_t port, const packet::TransmitFrame& frame);
  // Builds an ARP packet in a slot of its own. False when there is no room or no memory.
  bool send_arp(uint8_t port, const MacAddress& destination, const ArpPacket& packet);
  // A neighbor solicitation for target (RFC 4861 section 4.3), to its solicited-node group or, with
  // a MAC address, to it alone; from the unspecified address for duplicate address detection.
  bool send_solicitation(uint8_t port, const Ipv6Address& source, const Ipv6Address& target,
                         const MacAddress* mac);
  // A neighbor advertisement for target to `to`, by way of next.
  bool send_advertisement(uint8_t port, const Ipv6Address& target, const Ipv6Address& to,
                          const MacAddress& next, bool solicited);
  // A frame that waited for its neighbor: complete but for the destination, in_port already.
  void send_waited(uint8_t port, const packet::TransmitFrame& frame, const MacAddress& destination);
  // Pins the neighbor entries of all gateways, so that no flood can evict them. Once, after the
  // routes and addresses are set.
  void pin_gateways();

  // What is queued for a port; the worker hands it on and then calls clear().
  std::span<const packet::TransmitFrame> queued(uint8_t port) const {
    return {queues_[port].frames.data(), queues_[port].count};
  }
  void clear(uint8_t port) { queues_[port].count = 0; }

  const MacAddress& mac(uint8_t port) const { return ports_[port].mac; }
  uint16_t mtu(uint8_t port) const { return ports_[port].mtu; }
  Ipv6Network* ipv6() const { return ipv6_; }
  // How many references neighbors, addresses and routes have to aliases.
  uint32_t alias_references() const;

 private:
  struct Queue {
    std::array<packet::TransmitFrame, queue_frames_max> frames;
    size_t count = 0;
  };
  bool enqueue(uint8_t port, const packet::TransmitFrame& frame);
  uint16_t entry_of(const Path& path) const;
  // Behind the MAC addresses: what differs between the families.
  [[gnu::noinline]] void write_ipv6_headers(uint8_t* at, Ipv4Address source,
                                            Ipv4Address destination, uint8_t protocol,
                                            uint16_t length) const;
  [[gnu::noinline]] std::optional<Path> path_to_ipv6(Ipv4Address alias);
  packet::SlotIndex slot_for_discovery(uint8_t port);

  struct PortAddress {
    MacAddress mac;
    uint16_t mtu = 1500;
  };

  packet::Arena& arena_;
  const IpRoutes& routes_;
  NeighborTable& neighbors_;
  Counters& counters_;
  Ipv6Network* ipv6_;
  std::array<PortAddress, packet::ports_max> ports_{};
  std::array<size_t, packet::ports_max> room_{};
  std::array<Queue, packet::ports_max> queues_{};
};

}  // namespace millrace::net

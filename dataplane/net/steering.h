// Steering: which addresses are ours on which port, and how much of them. The XDP program's maps
// are filled from the same configuration; the stack decides again by itself, so that a map that is
// behind (or a port without a program) lets nothing in.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/address.h"

namespace millrace::net {

enum class Ownership : uint8_t {
  not_ours,
  owned,     // nobody else uses it: every protocol to it, and ARP for it, are ours
  borrowed,  // the kernel's own: only listed TCP ports are ours, and ICMP errors about them
};

// One address of one port. The prefix length tells which neighbors stand on the same link.
struct LocalAddress {
  uint8_t port = 0;
  Ownership kind = Ownership::owned;
  Ipv4Prefix prefix;
  uint16_t tcp_ports_first = 0;  // range in the list of borrowed TCP ports
  uint16_t tcp_ports_count = 0;
};

// What both addresses of a packet say about it on the port where it arrived.
struct Judgement {
  Ownership destination = Ownership::not_ours;  // whatever the protocol
  bool impossible_source = false;               // see Steering::is_impossible_source
  const LocalAddress* local = nullptr;          // of the destination, unless it is not ours
};

class Steering {
 public:
  static constexpr size_t addresses_max = 64;             // over all ports
  static constexpr size_t borrowed_tcp_ports_max = 1024;  // over all borrowed addresses

  // False when a table is full, the port does not exist, the address is no host's, or it is there
  // already on that port or owned on any.
  bool add_owned(uint8_t port, const Ipv4Prefix& prefix);
  bool add_borrowed(uint8_t port, const Ipv4Prefix& prefix, std::span<const uint16_t> tcp_ports);

  // Whose a packet is. The strong host model (RFC 1122 section 3.3.4.2): an address counts on its
  // own port only, as in the XDP program. destination_port counts for TCP only.
  Ownership classify(uint8_t port, Ipv4Address destination, uint8_t protocol,
                     uint16_t destination_port) const;
  // Whose an address is on that port, whatever is sent to it.
  Ownership kind_of(uint8_t port, Ipv4Address address) const;
  bool is_owned(uint8_t port, Ipv4Address address) const {
    return kind_of(port, address) == Ownership::owned;
  }

  // True when no honest packet that arrives on `port` has this source: an address we own, on
  // whatever port (land); one borrowed on this port, for the kernel's own packets do not come in
  // from outside, though they may by way of a kernel port; or the broadcast or network address of
  // this link, which is no host (RFC 1122 section 3.2.1.3).
  bool is_impossible_source(uint8_t port, Ipv4Address source) const;

  // kind_of() and is_impossible_source() in one look at the addresses.
  Judgement judge(uint8_t port, Ipv4Address source, Ipv4Address destination) const;
  // Of a borrowed address: whether that TCP port is ours.
  bool lends(const LocalAddress& local, uint16_t tcp_port) const;

  // The owned address from which to ask ARP about target: one on the same subnet, else any on that
  // port; nothing when the port has none.
  std::optional<Ipv4Address> source_for(uint8_t port, Ipv4Address target) const;

  std::span<const LocalAddress> all() const { return {addresses_.data(), count_}; }

 private:
  bool add(const LocalAddress& address);

  std::array<LocalAddress, addresses_max> addresses_{};
  size_t count_ = 0;
  std::array<uint16_t, borrowed_tcp_ports_max> tcp_ports_{};
  size_t tcp_port_count_ = 0;
};

// True when address is all ones or all zeros behind the prefix: no host's (RFC 1122
// section 3.2.1.3). Links of two (RFC 3021) and single addresses have no such thing.
constexpr bool is_subnet_broadcast(const Ipv4Prefix& prefix, Ipv4Address address) {
  if (prefix.length > 30 || !prefix.contains(address)) return false;
  const uint32_t host = address.host_order() & ~prefix.mask();
  return host == 0 || host == ~prefix.mask();
}

}  // namespace millrace::net

// Ipv6Ingress: what becomes of a received IPv6 datagram, as ingress.h says it of the others.
// Neighbor solicitations, echo, port unreachable and drops are settled here; TCP segments and
// ICMPv6 errors about them are handed to the caller, checked.
//
// Router advertisements and redirects are ignored, because our routes are configured. Neighbor
// advertisements that claim an address of ours are counted as a conflict.
//
// After a start each owned address is tentative (RFC 4862 section 5.4): one solicitation asks
// whether another station has it, and for a second nothing that comes to it is taken. Then it is
// announced. A claim is counted and changes nothing else, as with ARP (RFC 5227 section 2.4 b): the
// address is configured, and whoever could take it from us with a message would.
#pragma once

#include <array>
#include <cstdint>

#include "base/time.h"
#include "dataplane/counters.h"
#include "dataplane/net/ethernet.h"
#include "dataplane/net/icmp.h"
#include "dataplane/net/icmpv6.h"
#include "dataplane/net/ip_output.h"
#include "dataplane/net/ipv6.h"
#include "dataplane/net/ipv6_network.h"
#include "dataplane/net/neighbor.h"
#include "dataplane/packet/arena.h"
#include "dataplane/packet/checksum_mode.h"
#include "dataplane/packet/frame.h"

namespace millrace::net {

class Ipv6Ingress {
 public:
  enum class Verdict : uint8_t {
    dropped,     // counted
    handled,     // settled here
    tcp,         // packet is set
    icmp_error,  // error is set
  };

  struct Delivery {
    Verdict verdict = Verdict::dropped;
    const LocalIpv6Address* local = nullptr;  // where a TCP segment went
    Ipv6Packet packet;  // TCP, at least a header long, its checksum believed; views the frame
    Icmpv6Error error;
  };

  // As in Ingress.
  static constexpr uint32_t echo_replies_per_second = 2'000;
  static constexpr uint32_t unreachables_per_second = 8;

  static constexpr int announcement_rounds = 3;
  static constexpr Duration announcement_interval = Duration::seconds(1);
  static constexpr Duration tentative_time = Duration::seconds(1);  // RFC 4861's RetransTimer

  // seed: for the limits of ICMPv6 answers.
  Ipv6Ingress(packet::Arena& arena, const Ipv6Network& network, NeighborTable& neighbors,
              IpOutput& output, Counters& counters, uint64_t seed);

  void set_port(uint8_t port, packet::ChecksumMode mode);

  // Takes one frame of ethertype_ipv6 whose MAC addresses Ingress has checked; output must have
  // been given its room for this turn.
  [[gnu::noinline]] void receive(const packet::Frame& received, const EthernetFrame& frame,
                                 Instant now, Delivery* delivery);

  // Duplicate address detection and announcements after a start; about every 100 ms.
  [[gnu::noinline]] void tick(Instant now);

 private:
  bool say_of(const LocalIpv6Address& local);
  void on_group(const EthernetFrame& frame, Instant now, Delivery* delivery);
  void on_tcp(const packet::Frame& received, const LocalIpv6Address& local, Delivery* delivery);
  void on_icmpv6(const LocalIpv6Address& local, Instant now, Delivery* delivery);
  void on_error(Delivery* delivery);
  void on_solicitation(Instant now, Delivery* delivery);
  void on_advertisement(Instant now, Delivery* delivery);
  void on_echo_request(const Ipv6Packet& packet, Instant now, Delivery* delivery);
  void on_udp(const Ipv6Packet& packet, Instant now, Delivery* delivery);
  bool has_good_checksum(Delivery* delivery);
  packet::SlotIndex slot_for_answer();
  void answer(const Ipv6Packet& to, packet::SlotIndex slot, size_t length);
  void drop(Counter reason, Delivery* delivery) {
    counters_.add(reason);
    delivery->verdict = Verdict::dropped;
  }

  packet::Arena& arena_;
  const Ipv6Network& network_;
  const Ipv6Steering& steering_;
  NeighborTable& neighbors_;
  IpOutput& output_;
  Counters& counters_;
  IcmpLimiter echo_limiter_;
  IcmpLimiter unreachable_limiter_;
  std::array<packet::ChecksumMode, packet::ports_max> modes_{};

  int round_ = 0;        // 0: solicitations; then announcements
  size_t round_at_ = 0;  // of the addresses
  Instant next_round_at_;
  Instant usable_at_ = Instant::never();  // owned addresses
};

}  // namespace millrace::net

// Ingress: what becomes of a received frame. Whatever the link and internet layer can settle alone
// (ARP, echo, port unreachable, drops) is settled here; TCP segments and ICMP errors about them are
// handed to the caller, checked.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/time.h"
#include "dataplane/counters.h"
#include "dataplane/net/arp.h"
#include "dataplane/net/ethernet.h"
#include "dataplane/net/icmp.h"
#include "dataplane/net/ip_output.h"
#include "dataplane/net/ipv4.h"
#include "dataplane/net/ipv6_ingress.h"
#include "dataplane/net/neighbor.h"
#include "dataplane/net/steering.h"
#include "dataplane/packet/arena.h"
#include "dataplane/packet/checksum_mode.h"
#include "dataplane/packet/frame.h"

namespace millrace::net {

class Ingress {
 public:
  enum class Verdict : uint8_t {
    dropped,     // counted
    handled,     // settled here
    tcp,         // packet and back are set
    icmp_error,  // error is set
  };

  struct Delivery {
    Verdict verdict = Verdict::dropped;
    // TCP, at least a header long, its checksum believed; views the frame. Of an IPv6 packet: both
    // addresses as aliases, port, octets_behind and payload.
    Ipv4Packet packet;
    // Set for borrowed destinations and link-local sources: answer the way it came.
    std::optional<Path> back;
    IcmpError error;  // in the words of ICMP, whichever family it is of
  };

  // Echo replies and unreachables to one destination, per second and at least.
  static constexpr uint32_t echo_replies_per_second = 2'000;
  static constexpr uint32_t unreachables_per_second = 8;
  // RFC 5227 section 2.3 asks for two announcements; some switches and hosts believe only requests,
  // others only replies, and any one may be lost while a link comes up.
  static constexpr int announcement_rounds = 3;
  static constexpr Duration announcement_interval = Duration::seconds(1);
  // RFC 5227 section 2.4: defend an address at most once in this time.
  static constexpr Duration defend_interval = Duration::seconds(10);

  // seed: for the limits of ICMP answers.
  Ingress(packet::Arena& arena, const Steering& steering, NeighborTable& neighbors,
          IpOutput& output, Counters& counters, uint64_t seed);

  // The port's MAC address and MTU are IpOutput's.
  void set_port(uint8_t port, packet::ChecksumMode mode);

  // Takes one frame; output must have been given its room for this turn.
  void receive(const packet::Frame& frame, Instant now, Delivery* delivery);

  // Announces owned addresses after a start and drives the neighbors' timers; about every 100 ms.
  void tick(Instant now);

 private:
  void on_arp(uint8_t port, const EthernetFrame& frame, Instant now, Delivery* delivery);
  void on_ipv4(const packet::Frame& received, const EthernetFrame& frame, Instant now,
               Delivery* delivery);
  [[gnu::noinline]] void on_ipv6(const packet::Frame& received, const EthernetFrame& frame,
                                 Instant now, Delivery* delivery);
  void deliver_ipv6_tcp(Delivery* delivery);
  void deliver_icmpv6_error(const Icmpv6Error& error, Delivery* delivery);
  void on_tcp(const packet::Frame& received, const LocalAddress& local, Delivery* delivery);
  void on_icmp(Ownership destination, Instant now, Delivery* delivery);
  void on_echo_request(const Ipv4Packet& packet, Instant now, Delivery* delivery);
  void on_udp(const Ipv4Packet& packet, Instant now, Delivery* delivery);
  void on_address_conflict(uint8_t port, Ipv4Address address, Instant now);
  bool is_about_ours(uint8_t port, const IcmpError& error) const;
  void answer_icmp(const Ipv4Packet& to, packet::SlotIndex slot, uint16_t length, Instant now);
  packet::SlotIndex slot_for_answer();
  bool announce(const LocalAddress& local, ArpOperation form);
  void announce_owned(Instant now);
  void drop(Counter reason, Delivery* delivery) {
    counters_.add(reason);
    delivery->verdict = Verdict::dropped;
  }

  packet::Arena& arena_;
  const Steering& steering_;
  NeighborTable& neighbors_;
  IpOutput& output_;
  Counters& counters_;
  IcmpLimiter echo_limiter_;
  IcmpLimiter unreachable_limiter_;
  std::array<packet::ChecksumMode, packet::ports_max> modes_{};
  std::optional<Ipv6Ingress> ipv6_;  // when IpOutput has an Ipv6Network
  Ipv6Ingress::Delivery ipv6_delivery_;

  int announcement_round_ = 0;
  size_t announcement_at_ = 0;  // 2 * address + form, within the round
  Instant next_announcement_at_;
  Instant defend_allowed_at_;
};

}  // namespace millrace::net

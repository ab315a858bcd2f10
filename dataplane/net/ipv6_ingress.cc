#include "dataplane/net/ipv6_ingress.h"

#include <algorithm>

#include "base/check.h"
#include "dataplane/net/checksum.h"
#include "dataplane/net/neighbor_discovery.h"

namespace millrace::net {
namespace {

constexpr size_t tcp_header_bytes_min = 20;
constexpr size_t tcp_checksum_offset = 16;
constexpr size_t udp_header_bytes = 8;
// Where an answer begins in a slot: headers grow down from here.
constexpr uint16_t answer_offset = packet::headroom_bytes;

}  // namespace

Ipv6Ingress::Ipv6Ingress(packet::Arena& arena, const Ipv6Network& network, NeighborTable& neighbors,
                         IpOutput& output, Counters& counters, uint64_t seed)
    : arena_(arena),
      network_(network),
      steering_(network.steering),
      neighbors_(neighbors),
      output_(output),
      counters_(counters),
      echo_limiter_(echo_replies_per_second, seed),
      unreachable_limiter_(unreachables_per_second, ~seed) {}

void Ipv6Ingress::set_port(uint8_t port, packet::ChecksumMode mode) {
  CHECK(port < packet::ports_max);
  modes_[port] = mode;
}

void Ipv6Ingress::receive(const packet::Frame& received, const EthernetFrame& frame, Instant now,
                          Delivery* delivery) {
  delivery->verdict = Verdict::dropped;
  // RFC 8200 section 5: no IPv6 on a link that cannot carry 1,280 octets. Answers rely on it.
  if (output_.mtu(received.port) < ipv6_mtu_min) return drop(Counter::net_ipv6_not_ours, delivery);
  Counter reason{};
  Ipv6Packet& packet = delivery->packet;
  if (!parse_ipv6_into(&packet, frame.payload, &reason)) return drop(reason, delivery);
  packet.port = received.port;
  packet.octets_behind = received.octets_behind;
  packet.source_mac = frame.source;

  // Land, and whoever else claims to be us (T44).
  if (steering_.is_impossible_source(packet.port, packet.source)) {
    return drop(Counter::net_ipv6_own_source, delivery);
  }
  if (packet.destination.is_multicast()) return on_group(frame, now, delivery);
  const LocalIpv6Address* local = steering_.find(packet.port, packet.destination);
  if (local == nullptr) return drop(Counter::net_ipv6_not_ours, delivery);
  if (frame.destination.is_multicast()) return drop(Counter::net_ipv6_group_frame, delivery);
  if (local->kind == Ownership::owned && now < usable_at_ && packet.protocol != protocol_icmpv6) {
    return drop(Counter::net_neighbor_discovery_tentative, delivery);
  }
  delivery->local = local;
  switch (packet.protocol) {
    case protocol_tcp: return on_tcp(received, *local, delivery);
    case protocol_icmpv6: return on_icmpv6(*local, now, delivery);
    default: break;
  }
  if (local->kind == Ownership::borrowed) return drop(Counter::net_ipv6_not_ours, delivery);
  counters_.add(Counter::net_ipv6_received);
  if (packet.protocol == protocol_udp) return on_udp(packet, now, delivery);
  drop(Counter::net_ipv6_unknown_protocol, delivery);
}

void Ipv6Ingress::on_tcp(const packet::Frame& received, const LocalIpv6Address& local,
                         Delivery* delivery) {
  const Ipv6Packet& packet = delivery->packet;
  if (packet.payload.size() < tcp_header_bytes_min) {
    return drop(Counter::tcp_malformed_segment, delivery);
  }
  if (local.kind == Ownership::borrowed &&
      !steering_.lends(local, load_be16(packet.payload.data() + 2))) {
    return drop(Counter::net_ipv6_not_ours, delivery);
  }
  counters_.add(Counter::net_ipv6_received);
  if (!received.checksum_verified &&
      !transport_checksum_holds(modes_[packet.port], packet.source, packet.destination,
                                protocol_tcp, packet.payload, tcp_checksum_offset)) {
    return drop(Counter::tcp_bad_checksum, delivery);
  }
  delivery->verdict = Verdict::tcp;
}

// --- ICMPv6 (RFC 4443) ---

bool Ipv6Ingress::has_good_checksum(Delivery* delivery) {
  if (delivery->packet.payload.size() < icmpv6_header_bytes) {
    drop(Counter::net_icmpv6_malformed, delivery);
    return false;
  }
  if (!icmpv6_checksum_holds(delivery->packet)) {
    drop(Counter::net_icmpv6_bad_checksum, delivery);
    return false;
  }
  return true;
}

// To a group: nothing but neighbor discovery is for us. Everything else, echo requests included,
// would make us one of many who answer one packet.
void Ipv6Ingress::on_group(const EthernetFrame& frame, Instant now, Delivery* delivery) {
  const Ipv6Packet& packet = delivery->packet;
  // RFC 2464 section 7: the group's own frame, or one to us alone (RFC 6085).
  if (frame.destination.is_multicast() && frame.destination != packet.destination.multicast_mac()) {
    return drop(Counter::net_ipv6_group_frame, delivery);
  }
  if (!has_good_checksum(delivery)) return;
  switch (packet.payload[0]) {
    case icmpv6_neighbor_solicitation: return on_solicitation(now, delivery);
    case icmpv6_neighbor_advertisement: return on_advertisement(now, delivery);
    default: return drop(Counter::net_icmpv6_ignored, delivery);
  }
}

void Ipv6Ingress::on_icmpv6(const LocalIpv6Address& local, Instant now, Delivery* delivery) {
  counters_.add(Counter::net_ipv6_received);
  if (!has_good_checksum(delivery)) return;
  const uint8_t type = delivery->packet.payload[0];
  if (is_icmpv6_error(type)) return on_error(delivery);
  // Where the kernel answers (a borrowed address) two answers would be one too many.
  if (local.kind == Ownership::owned) {
    switch (type) {
      case icmpv6_neighbor_solicitation: return on_solicitation(now, delivery);
      case icmpv6_neighbor_advertisement: return on_advertisement(now, delivery);
      case icmpv6_echo_request:
        if (now < usable_at_) return drop(Counter::net_neighbor_discovery_tentative, delivery);
        return on_echo_request(delivery->packet, now, delivery);
      default: break;
    }
  }
  drop(Counter::net_icmpv6_ignored, delivery);
}

void Ipv6Ingress::on_error(Delivery* delivery) {
  Counter reason{};
  const auto error = parse_icmpv6_error(delivery->packet, &reason);
  if (!error) return drop(reason, delivery);
  // The error came to `source`, which is ours; of a borrowed address only our ports count.
  const LocalIpv6Address* local = steering_.find(delivery->packet.port, error->source);
  if (local == nullptr ||
      (local->kind == Ownership::borrowed && !steering_.lends(*local, error->source_port))) {
    return drop(Counter::net_icmpv6_unrelated, delivery);
  }
  counters_.add(Counter::net_icmpv6_errors_received);
  delivery->error = *error;
  delivery->verdict = Verdict::icmp_error;
}

packet::SlotIndex Ipv6Ingress::slot_for_answer() {
  // A quarter of the memory stays with TCP: answers to strangers may be lost.
  const packet::SlotIndex slot = arena_.acquire(arena_.capacity() / 4);
  if (slot == packet::slot_none) counters_.add(Counter::net_output_no_memory);
  return slot;
}

// Answers go back to the MAC address they came from: nobody's wish for an answer makes us resolve
// an address, let alone remember one.
void Ipv6Ingress::answer(const Ipv6Packet& to, packet::SlotIndex slot, size_t length) {
  output_.send_ipv6(to.port, to.source_mac, to.destination, to.source, protocol_icmpv6,
                    {slot, answer_offset, static_cast<uint16_t>(length)});
  arena_.drop(slot);
}

void Ipv6Ingress::on_echo_request(const Ipv6Packet& packet, Instant now, Delivery* delivery) {
  // RFC 4291 section 2.5.2: nothing may be sent to the unspecified address.
  if (packet.source.is_unspecified()) return drop(Counter::net_ipv6_bad_source, delivery);
  counters_.add(Counter::net_icmpv6_echo_requests);
  const size_t length = packet.payload.size();
  const size_t length_max = std::min<size_t>(packet::slot_bytes - answer_offset,
                                             size_t{output_.mtu(packet.port)} - ipv6_header_bytes);
  if (length > length_max) return drop(Counter::net_icmpv6_ignored, delivery);
  if (!echo_limiter_.allow(packet.source, now)) return drop(Counter::net_icmpv6_limited, delivery);
  const packet::SlotIndex slot = slot_for_answer();
  if (slot == packet::slot_none) return;
  write_icmpv6_echo_reply(arena_.slot_data(slot) + answer_offset, packet.destination, packet.source,
                          packet.payload);
  counters_.add(Counter::net_icmpv6_echo_replies_sent);
  answer(packet, slot, length);
  delivery->verdict = Verdict::handled;
}

// Nothing listens on UDP: say so (RFC 4443 section 3.1, code 4).
void Ipv6Ingress::on_udp(const Ipv6Packet& packet, Instant now, Delivery* delivery) {
  if (packet.payload.size() < udp_header_bytes) return drop(Counter::net_udp_malformed, delivery);
  counters_.add(Counter::net_udp_received);
  if (!may_answer_with_icmpv6_error(packet, false)) {
    return drop(Counter::net_icmpv6_ignored, delivery);
  }
  if (!unreachable_limiter_.allow(packet.source, now)) {
    return drop(Counter::net_icmpv6_limited, delivery);
  }
  const packet::SlotIndex slot = slot_for_answer();
  if (slot == packet::slot_none) return;
  const uint32_t length = write_icmpv6_error(arena_.slot_data(slot) + answer_offset,
                                             icmpv6_unreachable, icmpv6_port_unreachable, packet);
  counters_.add(Counter::net_icmpv6_unreachables_sent);
  answer(packet, slot, length);
  delivery->verdict = Verdict::handled;
}

// --- neighbor discovery (RFC 4861 section 7.2) ---

void Ipv6Ingress::on_solicitation(Instant now, Delivery* delivery) {
  const Ipv6Packet& packet = delivery->packet;
  Counter reason{};
  const auto solicitation = parse_neighbor_solicitation(packet, &reason);
  if (!solicitation) return drop(reason, delivery);
  // Nobody has a reason to speak for another station.
  if (solicitation->source_mac && *solicitation->source_mac != packet.source_mac) {
    return drop(Counter::net_neighbor_discovery_sender_mismatch, delivery);
  }
  const LocalIpv6Address* local = steering_.find(packet.port, solicitation->target);
  if (local == nullptr || local->kind != Ownership::owned) {
    return drop(Counter::net_ipv6_not_ours, delivery);
  }
  // Another station wants to take our address: the answer to all nodes makes it stop (RFC 4862
  // section 5.4.3), and an operator should look.
  const bool probed = solicitation->is_for_duplicate_detection;
  if (probed) counters_.add(Counter::net_neighbor_discovery_conflict);
  // RFC 4862 section 5.4.3: of a tentative address nothing is said.
  if (now < usable_at_) return drop(Counter::net_neighbor_discovery_tentative, delivery);
  if (!probed && solicitation->source_mac) {
    const auto alias = network_.aliases.find(packet.source);
    if (alias) {
      neighbors_.learn_solicitation(packet.port, *alias, packet.source_mac, now, output_);
    }
  }
  const Ipv6Address to = probed ? Ipv6Address::all_nodes() : packet.source;
  const MacAddress next = probed ? to.multicast_mac() : packet.source_mac;
  delivery->verdict = Verdict::handled;
  if (output_.send_advertisement(packet.port, solicitation->target, to, next, !probed)) {
    counters_.add(Counter::net_neighbor_discovery_answered);
  }
}

void Ipv6Ingress::on_advertisement(Instant now, Delivery* delivery) {
  const Ipv6Packet& packet = delivery->packet;
  Counter reason{};
  const auto advertisement = parse_neighbor_advertisement(packet, &reason);
  if (!advertisement) return drop(reason, delivery);
  const LocalIpv6Address* local = steering_.find(packet.port, advertisement->target);
  if (local != nullptr && local->kind == Ownership::owned) {
    return drop(Counter::net_neighbor_discovery_conflict, delivery);
  }
  // RFC 4861 section 4.4: the answer to a solicitation by unicast may go without the option.
  const MacAddress mac = advertisement->target_mac.value_or(packet.source_mac);
  if (mac != packet.source_mac) {
    return drop(Counter::net_neighbor_discovery_sender_mismatch, delivery);
  }
  const auto alias = network_.aliases.find(advertisement->target);
  if (!alias) return drop(Counter::net_neighbor_discovery_unsolicited, delivery);
  const bool for_us = advertisement->solicited && !packet.destination.is_multicast();
  delivery->verdict = Verdict::handled;
  neighbors_.learn_advertisement(packet.port, *alias, mac, for_us, now, output_);
}

// --- after a start ---

bool Ipv6Ingress::say_of(const LocalIpv6Address& local) {
  const Ipv6Address& address = local.prefix.address;
  if (round_ == 0) return output_.send_solicitation(local.port, Ipv6Address{}, address, nullptr);
  const Ipv6Address all = Ipv6Address::all_nodes();
  if (!output_.send_advertisement(local.port, address, all, all.multicast_mac(), false)) {
    return false;
  }
  counters_.add(Counter::net_neighbor_advertisements_sent);
  return true;
}

void Ipv6Ingress::tick(Instant now) {
  if (round_ > announcement_rounds || now < next_round_at_) return;
  const auto addresses = steering_.all();
  for (; round_at_ < addresses.size(); ++round_at_) {
    const LocalIpv6Address& local = addresses[round_at_];
    // RFC 8200 section 5: where the link carries no IPv6 there is nothing to say.
    if (local.kind != Ownership::owned || output_.mtu(local.port) < ipv6_mtu_min) continue;
    if (!say_of(local)) return;  // goes on here at the next tick
  }
  round_at_ = 0;
  if (round_ == 0) usable_at_ = now + tentative_time;
  next_round_at_ = now + (round_ == 0 ? tentative_time : announcement_interval);
  ++round_;
}

}  // namespace millrace::net

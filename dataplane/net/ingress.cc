#include "dataplane/net/ingress.h"

#include <algorithm>

#include "base/check.h"
#include "dataplane/net/checksum.h"

namespace millrace::net {
namespace {

constexpr size_t tcp_header_bytes_min = 20;
constexpr size_t tcp_checksum_offset = 16;
constexpr size_t udp_header_bytes = 8;
// Where an answer begins in a slot: headers grow down from here.
constexpr uint16_t answer_offset = packet::headroom_bytes;

}  // namespace

Ingress::Ingress(packet::Arena& arena, const Steering& steering, NeighborTable& neighbors,
                 IpOutput& output, Counters& counters, uint64_t seed)
    : arena_(arena),
      steering_(steering),
      neighbors_(neighbors),
      output_(output),
      counters_(counters),
      echo_limiter_(echo_replies_per_second, seed),
      unreachable_limiter_(unreachables_per_second, ~seed) {
  if (output.ipv6() != nullptr) {
    ipv6_.emplace(arena, *output.ipv6(), neighbors, output, counters, seed ^ 0x6);
  }
}

void Ingress::set_port(uint8_t port, packet::ChecksumMode mode) {
  CHECK(port < packet::ports_max);
  modes_[port] = mode;
  if (ipv6_) ipv6_->set_port(port, mode);
}

void Ingress::receive(const packet::Frame& frame, Instant now, Delivery* delivery) {
  counters_.add(Counter::net_frames_received);
  // The other fields mean something only with the verdict that goes with them.
  delivery->verdict = Verdict::dropped;
  delivery->back.reset();
  const auto ethernet = parse_ethernet(frame.bytes());
  if (!ethernet) return drop(Counter::net_ethernet_truncated, delivery);
  // From ourselves: a loop in the link has brought back what we sent.
  if (ethernet->source.is_multicast() || ethernet->source.is_zero() ||
      ethernet->source == output_.mac(frame.port)) {
    return drop(Counter::net_ethernet_bad_source, delivery);
  }
  // A NIC in promiscuous mode hands us other stations' frames too.
  if (!ethernet->destination.is_multicast() && ethernet->destination != output_.mac(frame.port)) {
    return drop(Counter::net_ethernet_other_destination, delivery);
  }
  switch (ethernet->type) {
    case ethertype_ipv4: return on_ipv4(frame, *ethernet, now, delivery);
    case ethertype_arp: return on_arp(frame.port, *ethernet, now, delivery);
    case ethertype_ipv6: return on_ipv6(frame, *ethernet, now, delivery);
    case ethertype_vlan:
    case ethertype_provider_vlan: return drop(Counter::net_ethernet_vlan, delivery);
    default: return drop(Counter::net_ethernet_unknown_type, delivery);
  }
}

// --- ARP (RFC 826) ---

void Ingress::on_arp(uint8_t port, const EthernetFrame& frame, Instant now, Delivery* delivery) {
  const auto packet = parse_arp(frame.payload);
  if (!packet) return drop(Counter::net_arp_malformed, delivery);
  // Nobody has a reason to speak for another station.
  if (packet->sender_hardware != frame.source) {
    return drop(Counter::net_arp_sender_mismatch, delivery);
  }
  if (steering_.is_owned(port, packet->sender_protocol)) {
    on_address_conflict(port, packet->sender_protocol, now);
    return drop(Counter::net_arp_address_conflict, delivery);
  }
  // Where the kernel answers ARP (a borrowed address) two answers would be one too many.
  if (!steering_.is_owned(port, packet->target_protocol)) {
    return drop(Counter::net_arp_not_ours, delivery);
  }
  delivery->verdict = Verdict::handled;
  const MacAddress& mac = output_.mac(port);
  const bool for_us = frame.destination == mac && packet->target_hardware == mac;
  neighbors_.learn(port, *packet, for_us, now, output_);
  if (packet->operation != ArpOperation::request) return;

  ArpPacket reply;
  reply.operation = ArpOperation::reply;
  reply.sender_hardware = mac;
  reply.sender_protocol = packet->target_protocol;
  reply.target_hardware = packet->sender_hardware;
  reply.target_protocol = packet->sender_protocol;
  if (output_.send_arp(port, packet->sender_hardware, reply)) {
    counters_.add(Counter::net_arp_requests_answered);
  }
}

// RFC 5227 section 2.4 (b): keep the address, say so once, and stay silent for a while, so that two
// who both defend do not shout at each other. The other station may also be ourselves, heard back.
void Ingress::on_address_conflict(uint8_t port, Ipv4Address address, Instant now) {
  if (now < defend_allowed_at_) return;
  defend_allowed_at_ = now + defend_interval;
  announce({port, Ownership::owned, {address, 32}, 0, 0}, ArpOperation::request);
}

bool Ingress::announce(const LocalAddress& local, ArpOperation form) {
  ArpPacket packet;
  packet.operation = form;
  packet.sender_hardware = output_.mac(local.port);
  packet.sender_protocol = local.prefix.address;
  packet.target_protocol = local.prefix.address;
  if (form == ArpOperation::reply) packet.target_hardware = MacAddress::broadcast();
  if (!output_.send_arp(local.port, MacAddress::broadcast(), packet)) return false;
  counters_.add(Counter::net_arp_announcements_sent);
  return true;
}

void Ingress::announce_owned(Instant now) {
  if (announcement_round_ == announcement_rounds || now < next_announcement_at_) return;
  const auto addresses = steering_.all();
  for (; announcement_at_ < addresses.size() * 2; ++announcement_at_) {
    const LocalAddress& local = addresses[announcement_at_ / 2];
    if (local.kind != Ownership::owned) continue;
    const auto form = announcement_at_ % 2 == 0 ? ArpOperation::request : ArpOperation::reply;
    if (!announce(local, form)) return;  // goes on here at the next tick
  }
  announcement_at_ = 0;
  ++announcement_round_;
  next_announcement_at_ = now + announcement_interval;
}

void Ingress::tick(Instant now) {
  announce_owned(now);
  if (ipv6_) ipv6_->tick(now);
  neighbors_.tick(now, output_);
}

// --- IPv4 ---

void Ingress::on_ipv4(const packet::Frame& received, const EthernetFrame& frame, Instant now,
                      Delivery* delivery) {
  Counter reason{};
  Ipv4Packet& packet = delivery->packet;
  if (!parse_ipv4_into(&packet, frame.payload, &reason)) return drop(reason, delivery);
  packet.port = received.port;
  packet.octets_behind = received.octets_behind;
  packet.source_mac = frame.source;

  const Judgement judgement = steering_.judge(packet.port, packet.source, packet.destination);
  const Ownership destination = judgement.destination;
  if (destination == Ownership::not_ours) return drop(Counter::net_ipv4_not_ours, delivery);
  // RFC 1122 section 3.3.6: a broadcast frame with one host's address in it is a broken sender or
  // somebody who wants many answers.
  if (frame.destination.is_multicast()) return drop(Counter::net_ipv4_group_frame, delivery);
  if (judgement.impossible_source) return drop(Counter::net_ipv4_own_source, delivery);
  switch (packet.protocol) {
    case protocol_tcp: return on_tcp(received, *judgement.local, delivery);
    case protocol_icmp: return on_icmp(destination, now, delivery);
    default: break;
  }
  if (destination == Ownership::borrowed) return drop(Counter::net_ipv4_not_ours, delivery);
  counters_.add(Counter::net_ipv4_received);
  if (packet.protocol == protocol_udp) return on_udp(packet, now, delivery);
  drop(Counter::net_ipv4_unknown_protocol, delivery);
}

void Ingress::on_tcp(const packet::Frame& received, const LocalAddress& local, Delivery* delivery) {
  const Ipv4Packet& packet = delivery->packet;
  if (packet.payload.size() < tcp_header_bytes_min) {
    return drop(Counter::tcp_malformed_segment, delivery);
  }
  const bool borrowed = local.kind == Ownership::borrowed;
  if (borrowed && !steering_.lends(local, load_be16(packet.payload.data() + 2)))
    return drop(Counter::net_ipv4_not_ours, delivery);
  counters_.add(Counter::net_ipv4_received);
  if (!received.checksum_verified &&
      !transport_checksum_holds(modes_[packet.port], packet.source, packet.destination,
                                protocol_tcp, packet.payload, tcp_checksum_offset)) {
    return drop(Counter::tcp_bad_checksum, delivery);
  }
  if (borrowed) {
    delivery->back = IpOutput::path_back(packet.port, packet.source_mac);
  }
  delivery->verdict = Verdict::tcp;
}

// --- IPv6: settled in ipv6_ingress.cc; here its words become those of IPv4 ---

void Ingress::on_ipv6(const packet::Frame& received, const EthernetFrame& frame, Instant now,
                      Delivery* delivery) {
  if (!ipv6_) return drop(Counter::net_ethernet_unknown_type, delivery);
  ipv6_->receive(received, frame, now, &ipv6_delivery_);
  switch (ipv6_delivery_.verdict) {
    case Ipv6Ingress::Verdict::dropped: return;
    case Ipv6Ingress::Verdict::handled: delivery->verdict = Verdict::handled; return;
    case Ipv6Ingress::Verdict::tcp: return deliver_ipv6_tcp(delivery);
    case Ipv6Ingress::Verdict::icmp_error:
      return deliver_icmpv6_error(ipv6_delivery_.error, delivery);
  }
}

void Ingress::deliver_ipv6_tcp(Delivery* delivery) {
  const Ipv6Packet& from = ipv6_delivery_.packet;
  Ipv6Aliases& aliases = output_.ipv6()->aliases;
  Ipv4Packet& packet = delivery->packet;
  packet = Ipv4Packet{};
  // Our own address first: the visitor's alias holds until the next question.
  packet.destination = aliases.find_or_visit(from.destination);
  packet.source = aliases.find_or_visit(from.source);
  packet.protocol = protocol_tcp;
  packet.tos = from.traffic_class;
  packet.port = from.port;
  packet.source_mac = from.source_mac;
  packet.octets_behind = from.octets_behind;
  packet.payload = from.payload;
  if (ipv6_delivery_.local->kind == Ownership::borrowed || from.source.is_link_local()) {
    delivery->back = IpOutput::path_back(from.port, from.source_mac);
  }
  delivery->verdict = Verdict::tcp;
}

void Ingress::deliver_icmpv6_error(const Icmpv6Error& from, Delivery* delivery) {
  Ipv6Aliases& aliases = output_.ipv6()->aliases;
  IcmpError& error = delivery->error;
  error = IcmpError{};
  if (from.is_packet_too_big()) {
    error.type = icmp_unreachable;
    error.code = icmp_fragmentation_needed;
    error.next_hop_mtu = from.mtu;
  } else {
    error.type = from.is_hard() ? icmp_unreachable : icmp_time_exceeded;
    error.code = from.is_hard() ? icmp_port_unreachable : 0;
  }
  error.source = aliases.find_or_visit(from.source);
  // A visitor's has no connection: TCP counts it as one about an unknown flow.
  error.destination = aliases.find_or_visit(from.destination);
  error.source_port = from.source_port;
  error.destination_port = from.destination_port;
  error.tcp_sequence_number = from.tcp_sequence_number;
  delivery->verdict = Verdict::icmp_error;
}

// --- ICMP (RFC 1122 section 3.2.2) ---

void Ingress::on_icmp(Ownership destination, Instant now, Delivery* delivery) {
  const Ipv4Packet& packet = delivery->packet;
  counters_.add(Counter::net_ipv4_received);
  if (packet.payload.size() < icmp_header_bytes) {
    return drop(Counter::net_icmp_malformed, delivery);
  }
  // No NIC and no kernel leaves this one to others: it is verified whatever the port's mode.
  if (!is_intact(sum_of(packet.payload))) return drop(Counter::net_icmp_bad_checksum, delivery);
  const uint8_t type = packet.payload[0];
  if (is_icmp_error(type)) {
    Counter reason{};
    const auto error = parse_icmp_error(packet, &reason);
    if (!error) return drop(reason, delivery);
    if (!is_about_ours(packet.port, *error)) return drop(Counter::net_icmp_unrelated, delivery);
    counters_.add(Counter::net_icmp_errors_received);
    delivery->error = *error;
    delivery->verdict = Verdict::icmp_error;
    return;
  }
  if (type == icmp_echo_request && destination == Ownership::owned) {
    return on_echo_request(packet, now, delivery);
  }
  drop(Counter::net_icmp_ignored, delivery);
}

bool Ingress::is_about_ours(uint8_t port, const IcmpError& error) const {
  return steering_.classify(port, error.source, protocol_tcp, error.source_port) !=
         Ownership::not_ours;
}

packet::SlotIndex Ingress::slot_for_answer() {
  // A quarter of the memory stays with TCP: answers to strangers may be lost.
  const packet::SlotIndex slot = arena_.acquire(arena_.capacity() / 4);
  if (slot == packet::slot_none) counters_.add(Counter::net_output_no_memory);
  return slot;
}

// Answers go back to the MAC address they came from: nobody's wish for an answer makes us resolve
// an address, let alone remember one.
void Ingress::answer_icmp(const Ipv4Packet& to, packet::SlotIndex slot, uint16_t length,
                          Instant now) {
  const Path path = IpOutput::path_back(to.port, to.source_mac);
  output_.send(path, to.destination, to.source, protocol_icmp, {slot, answer_offset, length}, now);
  arena_.drop(slot);
}

void Ingress::on_echo_request(const Ipv4Packet& packet, Instant now, Delivery* delivery) {
  counters_.add(Counter::net_icmp_echo_requests);
  const size_t length = packet.payload.size();
  const size_t length_max = std::min<size_t>(packet::slot_bytes - answer_offset,
                                             size_t{output_.mtu(packet.port)} - ipv4_header_bytes);
  if (length > length_max) return drop(Counter::net_icmp_ignored, delivery);
  if (!echo_limiter_.allow(packet.source, now)) return drop(Counter::net_icmp_limited, delivery);
  const packet::SlotIndex slot = slot_for_answer();
  if (slot == packet::slot_none) return;
  write_echo_reply(arena_.slot_data(slot) + answer_offset, packet.payload);
  counters_.add(Counter::net_icmp_echo_replies_sent);
  answer_icmp(packet, slot, static_cast<uint16_t>(length), now);
  delivery->verdict = Verdict::handled;
}

// Nothing listens on UDP: say so (RFC 1122 section 4.1.3.1). The rules of section 3.2.2 against
// errors that multiply are kept by what was dropped before: group destinations and frames, sources
// that are no single host, fragments; and ICMP itself is never answered with an error.
void Ingress::on_udp(const Ipv4Packet& packet, Instant now, Delivery* delivery) {
  if (packet.payload.size() < udp_header_bytes) return drop(Counter::net_udp_malformed, delivery);
  counters_.add(Counter::net_udp_received);
  if (!unreachable_limiter_.allow(packet.source, now)) {
    return drop(Counter::net_icmp_limited, delivery);
  }
  const packet::SlotIndex slot = slot_for_answer();
  if (slot == packet::slot_none) return;
  const uint32_t length = write_icmp_error(arena_.slot_data(slot) + answer_offset, icmp_unreachable,
                                           icmp_port_unreachable, packet);
  counters_.add(Counter::net_icmp_unreachables_sent);
  answer_icmp(packet, slot, static_cast<uint16_t>(length), now);
  delivery->verdict = Verdict::handled;
}

}  // namespace millrace::net

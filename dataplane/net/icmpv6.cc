#include "dataplane/net/icmpv6.h"

#include <algorithm>
#include <cstring>

#include "dataplane/net/checksum.h"

namespace millrace::net {
namespace {

constexpr size_t checksum_offset = 2;
constexpr size_t tcp_header_bytes_min = 20;

}  // namespace

bool icmpv6_checksum_holds(const Ipv6Packet& packet) {
  return is_intact(
      pseudo_header_sum(packet.source, packet.destination, protocol_icmpv6, packet.payload.size()) +
      sum_of(packet.payload));
}

std::optional<Icmpv6Error> parse_icmpv6_error(const Ipv6Packet& packet, Counter* drop) {
  *drop = Counter::net_icmpv6_malformed;
  const ByteView message = packet.payload;
  if (message.size() < icmpv6_header_bytes + ipv6_header_bytes) return std::nullopt;
  const ByteView quoted = message.subspan(icmpv6_header_bytes);
  if (quoted[0] >> 4 != 6) return std::nullopt;
  // We send no extension headers and no transport but TCP from here, every segment with a whole TCP
  // header; and a router answers to the address it complains about. The quoted hop limit and
  // traffic class are not looked at: routers on the way have changed them.
  *drop = Counter::net_icmpv6_unrelated;
  if (quoted[6] != protocol_tcp || load_be16(&quoted[4]) < tcp_header_bytes_min ||
      Ipv6Address::load(&quoted[8]) != packet.destination) {
    return std::nullopt;
  }
  const ByteView segment = quoted.subspan(ipv6_header_bytes);
  if (segment.size() < 8) {  // ports and sequence number
    *drop = Counter::net_icmpv6_malformed;
    return std::nullopt;
  }
  Icmpv6Error error;
  error.type = message[0];
  error.code = message[1];
  if (error.is_packet_too_big()) {
    const uint32_t mtu = load_be32(&message[4]);
    if (mtu < ipv6_mtu_min) {  // RFC 8201 section 4: must be discarded
      *drop = Counter::net_icmpv6_small_mtu;
      return std::nullopt;
    }
    error.mtu = static_cast<uint16_t>(std::min(mtu, uint32_t{UINT16_MAX}));
  }
  error.source = packet.destination;
  error.destination = Ipv6Address::load(&quoted[24]);
  error.source_port = load_be16(&segment[0]);
  error.destination_port = load_be16(&segment[2]);
  error.tcp_sequence_number = load_be32(&segment[4]);
  return error;
}

bool may_answer_with_icmpv6_error(const Ipv6Packet& packet, bool group_frame) {
  // (e.1), (e.2): no error about an error, known or not, nor about a redirect.
  if (packet.protocol == protocol_icmpv6 &&
      (packet.payload.empty() || packet.payload[0] < 128 || packet.payload[0] == icmpv6_redirect)) {
    return false;
  }
  // (e.3) to (e.5): nothing that went to many; (e.6): no source that is not one node.
  return !group_frame && !packet.destination.is_multicast() && packet.source.is_unicast();
}

void write_icmpv6_echo_reply(uint8_t* at, const Ipv6Address& source, const Ipv6Address& destination,
                             ByteView request) {
  CHECK(request.size() >= icmpv6_header_bytes);
  at[0] = icmpv6_echo_reply;
  at[1] = 0;
  const PartialSum rest = copy_and_sum(at + 4, request.data() + 4, request.size() - 4);
  store_transport_checksum(at + checksum_offset, source, destination, protocol_icmpv6,
                           ByteView(at, 4), rest, request.size() - 4);
}

uint32_t write_icmpv6_error(uint8_t* at, uint8_t type, uint8_t code, const Ipv6Packet& about) {
  const size_t quoted =
      std::min<size_t>(about.datagram.size(), icmpv6_error_bytes_max - icmpv6_header_bytes);
  at[0] = type;
  at[1] = code;
  std::memset(at + 2, 0, 6);
  std::memcpy(at + icmpv6_header_bytes, about.datagram.data(), quoted);
  const auto length = static_cast<uint32_t>(icmpv6_header_bytes + quoted);
  store_transport_checksum(at + checksum_offset, about.destination, about.source, protocol_icmpv6,
                           ByteView(at, length));
  return length;
}

}  // namespace millrace::net

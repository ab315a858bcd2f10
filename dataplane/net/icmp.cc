#include "dataplane/net/icmp.h"

#include <algorithm>
#include <cstring>

#include "dataplane/net/checksum.h"

namespace millrace::net {

std::optional<IcmpError> parse_icmp_error(const Ipv4Packet& packet, Counter* drop) {
  *drop = Counter::net_icmp_malformed;
  const ByteView message = packet.payload;
  if (message.size() < icmp_header_bytes + ipv4_header_bytes) return std::nullopt;
  const ByteView quoted = message.subspan(icmp_header_bytes);
  const uint32_t header_length = (quoted[0] & 0x0fU) * 4;
  // The quoted checksum and TTL are not looked at: routers on the way have changed them. The total
  // length is what we sent, so it covers at least the 8 octets that RFC 792 promises.
  if (quoted[0] >> 4 != 4 || header_length < ipv4_header_bytes ||
      quoted.size() < header_length + 8 || load_be16(&quoted[2]) < header_length + 8) {
    return std::nullopt;
  }
  // We send no options, no fragments and no transport but TCP from here; and a router answers to
  // the address it complains about.
  *drop = Counter::net_icmp_unrelated;
  if (header_length != ipv4_header_bytes || (load_be16(&quoted[6]) & 0x3fff) != 0 ||
      quoted[9] != protocol_tcp || Ipv4Address::load(&quoted[12]) != packet.destination) {
    return std::nullopt;
  }
  IcmpError error;
  error.type = message[0];
  error.code = message[1];
  if (error.is_fragmentation_needed()) error.next_hop_mtu = load_be16(&message[6]);
  error.protocol = quoted[9];
  error.source = Ipv4Address::load(&quoted[12]);
  error.destination = Ipv4Address::load(&quoted[16]);
  const ByteView segment = quoted.subspan(header_length);
  error.source_port = load_be16(&segment[0]);
  error.destination_port = load_be16(&segment[2]);
  error.tcp_sequence_number = load_be32(&segment[4]);
  return error;
}

void write_echo_reply(uint8_t* at, ByteView request) {
  CHECK(request.size() >= icmp_header_bytes);
  at[0] = icmp_echo_reply;
  at[1] = 0;
  store_be16(at + 2, 0);
  const PartialSum rest = copy_and_sum(at + 4, request.data() + 4, request.size() - 4);
  store_checksum(at + 2, rest);  // the first four octets are zero
}

uint32_t write_icmp_error(uint8_t* at, uint8_t type, uint8_t code, const Ipv4Packet& about) {
  const size_t quoted = std::min<size_t>(about.payload.size(), 8);
  at[0] = type;
  at[1] = code;
  std::memset(at + 2, 0, 6);
  std::memcpy(at + icmp_header_bytes, about.header.data(), ipv4_header_bytes);
  std::memcpy(at + icmp_header_bytes + ipv4_header_bytes, about.payload.data(), quoted);
  const auto length = static_cast<uint32_t>(icmp_header_bytes + ipv4_header_bytes + quoted);
  store_checksum(at + 2, sum_of({at, length}));
  return length;
}

bool IcmpLimiter::allow(Ipv4Address destination, Instant now) {
  begin_period(now);
  return take(siphash13(key_, destination.host_order(), 0));
}

bool IcmpLimiter::allow(const Ipv6Address& destination, Instant now) {
  begin_period(now);
  uint64_t words[2];
  static_assert(sizeof words == Ipv6Address::bytes);
  std::memcpy(words, destination.octets().data(), sizeof words);
  return take(siphash13(key_, words[0], words[1]));
}

void IcmpLimiter::begin_period(Instant now) {
  if (now < period_end_) return;
  key_ = {random_.next(), random_.next()};
  period_end_ = now + period;
  for (uint32_t& left : left_) {
    left = static_cast<uint32_t>(random_.between(budget_min_, uint64_t{budget_min_} * 2));
  }
}

bool IcmpLimiter::take(uint64_t hash) {
  uint32_t& left = left_[hash % buckets];
  if (left == 0) return false;
  --left;
  return true;
}

}  // namespace millrace::net

#include "dataplane/net/ipv4.h"

#include "dataplane/net/checksum.h"

namespace millrace::net {
namespace {

constexpr uint32_t dont_fragment = 0x4000;
constexpr uint16_t more_fragments_and_offset = 0x3fff;

// Unicast and not loopback: the first octet is 1 to 223, and not 127.
bool may_be_host(Ipv4Address address) {
  const uint32_t first_octet = address.host_order() >> 24;
  return first_octet - 1 < 223 && first_octet != 127;
}

// What nearly every datagram is: no options, no fragment, a length that fits, an intact header.
bool is_plain(ByteView bytes) {
  if (bytes.size() < ipv4_header_bytes) return false;
  const uint8_t* at = bytes.data();
  const uint32_t total_length = load_be16(at + 2);
  constexpr uint8_t version_4_and_five_words = 0x45;
  return at[0] == version_4_and_five_words && at[8] != 0 && total_length >= ipv4_header_bytes &&
         total_length <= bytes.size() && (load_be16(at + 6) & more_fragments_and_offset) == 0 &&
         is_intact(sum_of_header<ipv4_header_bytes>(at));
}

// Of a datagram that is not plain: why.
Counter reason_to_drop(ByteView bytes) {
  if (bytes.size() < ipv4_header_bytes) return Counter::net_ipv4_malformed;
  const uint8_t* at = bytes.data();
  const uint32_t header_length = (at[0] & 0x0fU) * 4;
  const uint16_t total_length = load_be16(at + 2);
  if (at[0] >> 4 != 4 || header_length < ipv4_header_bytes || total_length < header_length ||
      total_length > bytes.size()) {
    return Counter::net_ipv4_malformed;
  }
  if (!is_intact(sum_of(bytes.first(header_length)))) return Counter::net_ipv4_bad_checksum;
  // Options have no honest use towards a host and steer routing or leak paths (RFC 7126).
  if (header_length != ipv4_header_bytes) return Counter::net_ipv4_options;
  if ((load_be16(at + 6) & more_fragments_and_offset) != 0) return Counter::net_ipv4_fragment;
  // RFC 791 section 3.2: zero must not be on the wire. One is ours to take (RFC 1122 3.2.1.7).
  return Counter::net_ipv4_ttl_zero;
}

}  // namespace

bool parse_ipv4_into(Ipv4Packet* packet, ByteView bytes, Counter* drop) {
  if (!is_plain(bytes)) {
    *drop = reason_to_drop(bytes);
    return false;
  }
  const uint8_t* at = bytes.data();
  packet->tos = at[1];
  packet->total_length = load_be16(at + 2);
  packet->ttl = at[8];
  packet->protocol = at[9];
  packet->source = Ipv4Address::load(at + 12);
  packet->destination = Ipv4Address::load(at + 16);
  packet->header = bytes.first(ipv4_header_bytes);
  packet->payload = bytes.subspan(ipv4_header_bytes, packet->total_length - ipv4_header_bytes);
  if (!may_be_host(packet->source)) {  // RFC 1122 section 3.2.1.3
    *drop = Counter::net_ipv4_bad_source;
    return false;
  }
  if (!may_be_host(packet->destination)) {
    *drop = Counter::net_ipv4_not_ours;
    return false;
  }
  return true;
}

// The header is a few constants and numbers that are in registers already: it is summed from them.
void write_ipv4(uint8_t* at, Ipv4Address source, Ipv4Address destination, uint8_t protocol,
                uint16_t payload_length) {
  constexpr uint32_t version_and_header_length = 0x4500;  // and type of service 0
  const uint32_t total_length = ipv4_header_bytes + payload_length;
  const uint32_t time_to_live_and_protocol = uint32_t{time_to_live_default} << 8 | protocol;
  const uint64_t sum = uint64_t{version_and_header_length} + total_length + dont_fragment +
                       time_to_live_and_protocol + source.host_order() + destination.host_order();
  const auto checksum = static_cast<uint16_t>(~fold({sum}));
  store_be32(at, version_and_header_length << 16 | total_length);
  store_be32(at + 4, dont_fragment);  // identification 0
  store_be32(at + 8, time_to_live_and_protocol << 16 | checksum);
  source.store(at + 12);
  destination.store(at + 16);
}

void set_ecn(uint8_t* at, uint8_t ecn) {
  const uint16_t before = load_be16(at);
  const auto after = static_cast<uint16_t>((before & ~ecn_mask) | ecn);
  store_be16(at, after);
  // RFC 1624 section 3: HC' = ~(~HC + ~m + m').
  uint32_t sum =
      uint32_t{static_cast<uint16_t>(~load_be16(at + 10))} + static_cast<uint16_t>(~before) + after;
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  store_be16(at + 10, static_cast<uint16_t>(~sum));
}

}  // namespace millrace::net

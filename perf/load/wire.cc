#include "perf/load/wire.h"

#include <algorithm>

namespace millrace::load {
namespace {

constexpr uint8_t protocol_tcp = 6;
constexpr uint16_t dont_fragment = 0x4000;
constexpr uint8_t time_to_live = 64;
constexpr uint32_t timestamps_kind = 0x0101080a;  // NOP NOP, kind 8, length 10
constexpr uint32_t mss_kind = 0x02040000;
constexpr uint32_t window_scale_kind = 0x01030300;  // NOP, kind 3, length 3
constexpr uint16_t arp_request = 1;
constexpr uint16_t arp_reply = 2;

uint16_t checksum_of(uint64_t number) {
  return static_cast<uint16_t>(~net::fold({number}));
}

void write_ethernet(uint8_t* to, const MacAddress& destination, const MacAddress& source,
                    uint16_t type) {
  std::memcpy(to, destination.octets.data(), 6);
  std::memcpy(to + 6, source.octets.data(), 6);
  store_be16(to + 12, type);
}

void write_ipv4(uint8_t* to, const Flow& flow, uint32_t total_bytes) {
  // RFC 6864: an atomic packet's identification means nothing.
  const uint64_t sum = uint64_t{0x45000000U | total_bytes} + dont_fragment +
                       (uint32_t{time_to_live} << 8 | protocol_tcp) + flow.local_address +
                       flow.remote_address;
  store_be32(to, 0x45000000U | total_bytes);
  store_be32(to + 4, dont_fragment);
  store_be32(to + 8,
             uint32_t{time_to_live} << 24 | uint32_t{protocol_tcp} << 16 | checksum_of(sum));
  store_be32(to + 12, flow.local_address);
  store_be32(to + 16, flow.remote_address);
}

// Unknown options are skipped, a broken one ends the list (RFC 9293 section 3.1).
void parse_options(const uint8_t* at, size_t bytes, Segment* segment) {
  for (size_t i = 0; i < bytes;) {
    const uint8_t kind = at[i];
    if (kind == 0) return;
    if (kind == 1) {
      ++i;
      continue;
    }
    if (i + 1 >= bytes || at[i + 1] < 2 || i + at[i + 1] > bytes) return;
    const uint8_t length = at[i + 1];
    if (kind == 2 && length == 4) segment->mss = load_be16(at + i + 2);
    if (kind == 3 && length == 3) {
      // RFC 7323 section 2.3: at most 14.
      segment->window_scale = static_cast<int8_t>(std::min<uint8_t>(at[i + 2], 14));
    }
    if (kind == 8 && length == 10) {
      segment->timestamps = true;
      segment->timestamp_value = load_be32(at + i + 2);
    }
    i += length;
  }
}

}  // namespace

void write_headers(uint8_t* to, const MacAddress& own_mac, const Flow& flow,
                   const HeaderFields& fields, uint32_t text_bytes, uint16_t text_sum) {
  const uint32_t all_headers = header_bytes(fields);
  const uint32_t tcp_header = all_headers - ethernet_bytes - ipv4_bytes;
  const uint32_t segment_bytes = tcp_header + text_bytes;
  write_ethernet(to, flow.remote_mac, own_mac, ethertype_ipv4);
  write_ipv4(to + ethernet_bytes, flow, ipv4_bytes + segment_bytes);

  uint8_t* tcp = to + ethernet_bytes + ipv4_bytes;
  const uint32_t ports = uint32_t{flow.local_port} << 16 | flow.remote_port;
  const uint32_t third = tcp_header / 4 << 28 | uint32_t{fields.flags} << 16 | fields.window;
  uint64_t sum = uint64_t{flow.local_address} + flow.remote_address + protocol_tcp + segment_bytes +
                 ports + fields.seq + fields.ack + third + text_sum;
  store_be32(tcp, ports);
  store_be32(tcp + 4, fields.seq);
  store_be32(tcp + 8, fields.ack);
  store_be32(tcp + 12, third);
  uint8_t* option = tcp + tcp_bytes;
  const auto put = [&option, &sum](uint32_t word) {
    store_be32(option, word);
    option += 4;
    sum += word;
  };
  if ((fields.flags & syn) != 0) {
    put(mss_kind | fields.mss);
    if (fields.window_scale >= 0) {
      put(window_scale_kind | static_cast<uint8_t>(fields.window_scale));
    }
  }
  if (fields.timestamps) {
    put(timestamps_kind);
    put(fields.timestamp_value);
    put(fields.timestamp_echo);
  }
  store_be32(tcp + 16, uint32_t{checksum_of(sum)} << 16);
}

ParseResult parse_frame(ByteView frame, packet::ChecksumMode mode, bool verified,
                        Segment* segment) {
  if (frame.size() < headers_bytes_min) return ParseResult::other;
  const uint8_t* ip = frame.data() + ethernet_bytes;
  const uint32_t more_fragments_or_offset = load_be16(ip + 6) & 0x3fff;
  if (ip[0] != 0x45 || ip[9] != protocol_tcp || more_fragments_or_offset != 0) {
    return ParseResult::other;
  }
  const uint32_t total = load_be16(ip + 2);
  if (total < ipv4_bytes + tcp_bytes || ethernet_bytes + total > frame.size()) {
    return ParseResult::malformed;
  }
  if (!net::is_intact(net::sum_of_header<ipv4_bytes>(ip))) return ParseResult::bad_checksum;
  const uint8_t* tcp = ip + ipv4_bytes;
  const uint32_t segment_bytes = total - ipv4_bytes;
  const uint32_t header = static_cast<uint32_t>(tcp[12] >> 4) * 4;
  if (header < tcp_bytes || header > segment_bytes) return ParseResult::malformed;
  segment->source_address = load_be32(ip + 12);
  segment->destination_address = load_be32(ip + 16);
  segment->source_port = load_be16(tcp);
  segment->destination_port = load_be16(tcp + 2);
  segment->seq = load_be32(tcp + 4);
  segment->ack = load_be32(tcp + 8);
  segment->flags = tcp[13];
  segment->window = load_be16(tcp + 14);
  segment->text = tcp + header;
  segment->text_bytes = segment_bytes - header;
  segment->timestamps = false;
  segment->window_scale = -1;
  segment->mss = 0;
  if (header == tcp_bytes + timestamps_bytes && load_be32(tcp + tcp_bytes) == timestamps_kind) {
    segment->timestamps = true;
    segment->timestamp_value = load_be32(tcp + tcp_bytes + 4);
  } else if (header > tcp_bytes) {
    parse_options(tcp + tcp_bytes, header - tcp_bytes, segment);
  }
  if (!verified &&
      !net::transport_checksum_holds(mode, Ipv4Address::from_host_order(segment->source_address),
                                     Ipv4Address::from_host_order(segment->destination_address),
                                     protocol_tcp, {tcp, segment_bytes}, 16)) {
    return ParseResult::bad_checksum;
  }
  return ParseResult::tcp;
}

bool parse_arp(ByteView frame, Arp* arp) {
  if (frame.size() < arp_frame_bytes) return false;
  const uint8_t* at = frame.data() + ethernet_bytes;
  constexpr std::array<uint8_t, 6> ethernet_for_ipv4 = {0, 1, 8, 0, 6, 4};
  if (std::memcmp(at, ethernet_for_ipv4.data(), ethernet_for_ipv4.size()) != 0) return false;
  const uint16_t operation = load_be16(at + 6);
  if (operation != arp_request && operation != arp_reply) return false;
  arp->is_request = operation == arp_request;
  std::memcpy(arp->sender_mac.octets.data(), at + 8, 6);
  arp->sender = Ipv4Address::load(at + 14);
  arp->target = Ipv4Address::load(at + 24);
  return !arp->sender_mac.is_multicast();
}

namespace {
void write_arp(uint8_t* to, const MacAddress& destination, const MacAddress& own_mac,
               uint16_t operation, Ipv4Address own, const MacAddress& target_mac,
               Ipv4Address target) {
  write_ethernet(to, destination, own_mac, ethertype_arp);
  uint8_t* at = to + ethernet_bytes;
  store_be32(at, 0x00010800);
  store_be32(at + 4, 0x06040000U | operation);
  std::memcpy(at + 8, own_mac.octets.data(), 6);
  own.store(at + 14);
  std::memcpy(at + 18, target_mac.octets.data(), 6);
  target.store(at + 24);
}
}  // namespace

void write_arp_request(uint8_t* to, const MacAddress& own_mac, Ipv4Address own,
                       Ipv4Address wanted) {
  write_arp(to, MacAddress::broadcast(), own_mac, arp_request, own, {}, wanted);
}

void write_arp_reply(uint8_t* to, const MacAddress& own_mac, const Arp& request) {
  write_arp(to, request.sender_mac, own_mac, arp_reply, request.target, request.sender_mac,
            request.sender);
}

}  // namespace millrace::load

#include "tests/sim/segment_frame.h"

#include <cstring>

#include "dataplane/net/checksum.h"
#include "dataplane/net/ethernet.h"
#include "dataplane/net/ipv4.h"
#include "dataplane/net/ipv6.h"

namespace millrace::sim {
namespace {

constexpr size_t ethernet_bytes = 14;
constexpr size_t ipv4_bytes = 20;
constexpr size_t ipv6_bytes = 40;

size_t transport_at(const SegmentFrame& frame) {
  return ethernet_bytes + (frame.ipv6 ? ipv6_bytes : ipv4_bytes);
}

uint16_t wire_checksum(net::PartialSum sum) {
  return static_cast<uint16_t>(~net::fold(sum));
}

void write_ipv4(uint8_t* at, const SegmentFrame& frame, size_t segment_bytes) {
  std::memset(at, 0, ipv4_bytes);
  at[0] = 0x45;
  store_be16(at + 2, static_cast<uint16_t>(ipv4_bytes + segment_bytes));
  store_be16(at + 6, 0x4000);  // don't fragment
  at[8] = 64;
  at[9] = net::protocol_tcp;
  frame.source.store(at + 12);
  frame.destination.store(at + 16);
  const uint16_t checksum = wire_checksum(net::sum_of({at, ipv4_bytes}));
  std::memcpy(at + 10, &checksum, sizeof checksum);
}

// Addresses into *frame; the segment, or nothing.
std::optional<ByteView> parse_ipv4(ByteView bytes, SegmentFrame* frame) {
  const ByteView ip = bytes.subspan(ethernet_bytes);
  if (ip.size() < ipv4_bytes || ip[0] != 0x45 || ip[9] != net::protocol_tcp) return {};
  const size_t total = load_be16(&ip[2]);
  if (total < ipv4_bytes || ip.size() < total) return {};
  frame->source = Ipv4Address::load(&ip[12]);
  frame->destination = Ipv4Address::load(&ip[16]);
  return ip.subspan(ipv4_bytes, total - ipv4_bytes);
}

std::optional<ByteView> parse_ipv6(ByteView bytes, SegmentFrame* frame) {
  const ByteView ip = bytes.subspan(ethernet_bytes);
  if (ip.size() < ipv6_bytes || ip[0] >> 4 != 6 || ip[6] != net::protocol_tcp) return {};
  const size_t length = load_be16(&ip[4]);
  if (ip.size() < ipv6_bytes + length) return {};
  frame->ipv6 = {Ipv6Address::load(&ip[8]), Ipv6Address::load(&ip[24])};
  return ip.subspan(ipv6_bytes, length);
}

net::PartialSum pseudo_header_sum(const SegmentFrame& frame, size_t segment_bytes) {
  if (!frame.ipv6)
    return net::pseudo_header_sum(frame.source, frame.destination, net::protocol_tcp,
                                  segment_bytes);
  return net::pseudo_header_sum(frame.ipv6->source, frame.ipv6->destination, net::protocol_tcp,
                                static_cast<uint32_t>(segment_bytes));
}

}  // namespace

std::optional<SegmentFrame> parse_segment_frame(ByteView bytes) {
  if (bytes.size() < ethernet_bytes) return {};
  SegmentFrame frame;
  std::memcpy(frame.destination_mac.octets.data(), &bytes[0], 6);
  std::memcpy(frame.source_mac.octets.data(), &bytes[6], 6);
  std::optional<ByteView> inside;
  const uint16_t ethertype = load_be16(&bytes[12]);
  if (ethertype == net::ethertype_ipv4) inside = parse_ipv4(bytes, &frame);
  if (ethertype == net::ethertype_ipv6) inside = parse_ipv6(bytes, &frame);
  if (!inside || inside->size() < tcp::header_bytes_min) return {};
  tcp::SegmentError error{};
  const auto segment = tcp::parse_segment(*inside, &error);
  if (!segment) return {};
  frame.segment = *segment;
  return frame;
}

void build_segment_frame(const SegmentFrame& frame, std::vector<uint8_t>* out) {
  const tcp::Segment& segment = frame.segment;
  const size_t header = tcp::header_bytes(segment.options);
  const size_t segment_bytes = header + segment.text.size();
  out->resize(transport_at(frame) + segment_bytes);
  uint8_t* const at = out->data();
  std::memcpy(at, frame.destination_mac.octets.data(), 6);
  std::memcpy(at + 6, frame.source_mac.octets.data(), 6);
  store_be16(at + 12, frame.ipv6 ? net::ethertype_ipv6 : net::ethertype_ipv4);
  if (frame.ipv6) {
    net::write_ipv6(at + ethernet_bytes, frame.ipv6->source, frame.ipv6->destination,
                    net::protocol_tcp, static_cast<uint16_t>(segment_bytes));
  } else {
    write_ipv4(at + ethernet_bytes, frame, segment_bytes);
  }
  tcp::HeaderFields fields;
  fields.source_port = segment.source_port;
  fields.destination_port = segment.destination_port;
  fields.seq = segment.seq;
  fields.ack = segment.ack;
  fields.flags = segment.flags;
  fields.window = segment.window;
  fields.options = segment.options;
  uint8_t* const tcp = at + transport_at(frame);
  tcp::write_header(tcp, fields);
  if (!segment.text.empty()) std::memcpy(tcp + header, segment.text.data(), segment.text.size());
  const net::PartialSum sum =
      net::sum_of({tcp, segment_bytes}) + pseudo_header_sum(frame, segment_bytes);
  const uint16_t checksum = wire_checksum(sum);
  std::memcpy(tcp + tcp::checksum_offset, &checksum, sizeof checksum);
}

std::string told_frame(ByteView bytes) {
  const auto frame = parse_segment_frame(bytes);
  if (!frame) {
    const unsigned type = bytes.size() < ethernet_bytes ? 0 : load_be16(&bytes[12]);
    return "ethertype " + std::to_string(type) + ", " + std::to_string(bytes.size()) + " octets";
  }
  const tcp::Segment& segment = frame->segment;
  std::string text = (frame->ipv6 ? "IPv6 " : "") + std::to_string(segment.source_port) + " > " +
                     std::to_string(segment.destination_port) + " ";
  for (size_t i = 0; i < 6; ++i) {
    if ((segment.flags >> i & 1) != 0) text += "FSRPAU"[i];
  }
  const uint32_t seq = segment.seq.value();
  text += " " + std::to_string(seq) + ":" +
          std::to_string(seq + static_cast<uint32_t>(segment.text.size())) + " ack " +
          std::to_string(segment.ack.value()) + " win " + std::to_string(segment.window);
  if (segment.options.has_timestamps)
    text += " ts " + std::to_string(segment.options.timestamp_value) + "/" +
            std::to_string(segment.options.timestamp_echo);
  for (uint8_t i = 0; i < segment.options.sack_count; ++i)
    text += " sack " + std::to_string(segment.options.sack[i].begin.value()) + ":" +
            std::to_string(segment.options.sack[i].end.value());
  return text;
}

}  // namespace millrace::sim

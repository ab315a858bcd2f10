#include "tests/sim/segment_frame.h"

#include <cstring>

#include "dataplane/net/checksum.h"
#include "dataplane/net/ethernet.h"
#include "dataplane/net/ipv4.h"

namespace millrace::sim {
namespace {

constexpr size_t ethernet_bytes = 14;
constexpr size_t ipv4_bytes = 20;
constexpr size_t transport_at = ethernet_bytes + ipv4_bytes;

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

}  // namespace

std::optional<SegmentFrame> parse_segment_frame(ByteView bytes) {
  const bool plain = bytes.size() >= transport_at + tcp::header_bytes_min &&
                     load_be16(&bytes[12]) == 0x0800 && bytes[ethernet_bytes] == 0x45 &&
                     bytes[ethernet_bytes + 9] == net::protocol_tcp;
  if (!plain) return {};
  const size_t total = load_be16(&bytes[ethernet_bytes + 2]);
  if (total < ipv4_bytes + tcp::header_bytes_min || bytes.size() < ethernet_bytes + total)
    return {};
  SegmentFrame frame;
  std::memcpy(frame.destination_mac.octets.data(), &bytes[0], 6);
  std::memcpy(frame.source_mac.octets.data(), &bytes[6], 6);
  frame.source = Ipv4Address::load(&bytes[ethernet_bytes + 12]);
  frame.destination = Ipv4Address::load(&bytes[ethernet_bytes + 16]);
  tcp::SegmentError error{};
  const auto segment = tcp::parse_segment(bytes.subspan(transport_at, total - ipv4_bytes), &error);
  if (!segment) return {};
  frame.segment = *segment;
  return frame;
}

void build_segment_frame(const SegmentFrame& frame, std::vector<uint8_t>* out) {
  const tcp::Segment& segment = frame.segment;
  const size_t header = tcp::header_bytes(segment.options);
  const size_t segment_bytes = header + segment.text.size();
  out->resize(transport_at + segment_bytes);
  uint8_t* const at = out->data();
  std::memcpy(at, frame.destination_mac.octets.data(), 6);
  std::memcpy(at + 6, frame.source_mac.octets.data(), 6);
  store_be16(at + 12, 0x0800);
  write_ipv4(at + ethernet_bytes, frame, segment_bytes);
  tcp::HeaderFields fields;
  fields.source_port = segment.source_port;
  fields.destination_port = segment.destination_port;
  fields.seq = segment.seq;
  fields.ack = segment.ack;
  fields.flags = segment.flags;
  fields.window = segment.window;
  fields.options = segment.options;
  uint8_t* const tcp = at + transport_at;
  tcp::write_header(tcp, fields);
  if (!segment.text.empty()) std::memcpy(tcp + header, segment.text.data(), segment.text.size());
  const net::PartialSum sum =
      net::sum_of({tcp, segment_bytes}) +
      net::pseudo_header_sum(frame.source, frame.destination, net::protocol_tcp, segment_bytes);
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
  std::string text =
      std::to_string(segment.source_port) + " > " + std::to_string(segment.destination_port) + " ";
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

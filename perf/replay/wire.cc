#include "perf/replay/wire.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "dataplane/net/checksum.h"
#include "dataplane/net/ethernet.h"
#include "dataplane/net/ipv4.h"

namespace millrace::perf {
namespace {

constexpr size_t arp_bytes = 28;
constexpr uint16_t arp_request = 1;
constexpr uint16_t arp_reply = 2;
constexpr uint16_t announced_window = 64'000;
constexpr uint8_t announced_window_scale = 7;
constexpr uint16_t announced_mss = 1460;
// Frames that text leaves free in the port, for acknowledgments and handshakes.
constexpr uint32_t port_reserve_frames = 256;

}  // namespace

void Wire::send_outgoing(PeerEnd& end) {
  while (end.outgoing != nullptr) {
    const size_t left = end.outgoing->size() - end.outgoing_at;
    const uint32_t in_flight = end.next - end.unacknowledged;
    const uint32_t room = end.window - std::min(end.window, in_flight);
    const size_t most = size_t{end.mss} - tcp::timestamps_option_bytes;
    const size_t octets = std::min(left, most);
    if (octets > room || port_.deliver_room() <= port_reserve_frames) {
      // What is in flight will be acknowledged, and then this goes on.
      CHECK(in_flight > 0);
      return;
    }
    send_text(end, octets == left ? tcp::flag_ack | tcp::flag_psh : tcp::flag_ack, octets);
    end.outgoing_at += octets;
    if (octets == left) end.outgoing = nullptr;
  }
}

std::optional<Wire::Received> Wire::take(ByteView bytes, Ipv4Address except) {
  const auto frame = net::parse_ethernet(bytes);
  CHECK(frame.has_value());
  if (frame->type == net::ethertype_arp) {
    answer_arp(bytes, except);
    return std::nullopt;
  }
  Counter drop{};
  const auto packet = net::parse_ipv4(frame->payload, &drop);
  CHECK(packet.has_value() && packet->protocol == net::protocol_tcp);
  CHECK(net::transport_checksum_holds(packet::ChecksumMode::verify, packet->source,
                                      packet->destination, net::protocol_tcp, packet->payload,
                                      tcp::checksum_offset));
  tcp::SegmentError error{};
  const auto segment = tcp::parse_segment(packet->payload, &error);
  CHECK(segment.has_value() && !segment->has(tcp::flag_rst));
  return Received{packet->source, packet->destination, *segment};
}

void Wire::note(PeerEnd& end, const tcp::Segment& segment) {
  end.echo = segment.options.timestamp_value;
  if (segment.has(tcp::flag_syn)) {
    end.receive_next = segment.seq.value() + 1;
    end.window_scale = segment.options.window_scale;
    end.mss = segment.options.mss;
    end.window = segment.window;
  } else {
    end.window = uint32_t{segment.window} << end.window_scale;
  }
  if (segment.has(tcp::flag_ack)) {
    CHECK(segment.ack.value() - end.unacknowledged <= end.next - end.unacknowledged);
    end.unacknowledged = segment.ack.value();
  }
  if (!segment.text.empty()) {
    CHECK(segment.seq.value() == end.receive_next);
    end.receive_next += static_cast<uint32_t>(segment.text.size());
    ++end.text_segments;
  }
  if (segment.has(tcp::flag_fin)) ++end.receive_next;
}

void Wire::answer_arp(ByteView frame, Ipv4Address except) {
  const uint8_t* arp = frame.data() + net::ethernet_header_bytes;
  CHECK(frame.size() >= net::ethernet_header_bytes + arp_bytes);
  const Ipv4Address target = Ipv4Address::load(arp + 24);
  if (load_be16(arp + 6) != arp_request || target == except) return;
  uint8_t* out = port_.next_frame();
  net::write_ethernet(out, proxy_, peer_, net::ethertype_arp);
  uint8_t* answer = out + net::ethernet_header_bytes;
  std::memcpy(answer, arp, 6);  // Ethernet and IPv4, with their address lengths
  store_be16(answer + 6, arp_reply);
  std::memcpy(answer + 8, peer_.octets.data(), 6);
  target.store(answer + 14);
  std::memcpy(answer + 18, arp + 8, 10);  // the asker
  port_.deliver(net::ethernet_header_bytes + arp_bytes);
}

// `octets` of end.outgoing, from outgoing_at.
void Wire::send_text(PeerEnd& end, uint8_t flags, size_t octets) {
  tcp::HeaderFields fields;
  fields.source_port = end.local.port;
  fields.destination_port = end.remote.port;
  fields.seq = tcp::Seq{end.next};
  fields.ack = tcp::Seq{end.receive_next};
  fields.flags = flags;
  fields.window = announced_window;
  fields.options.has_timestamps = true;
  fields.options.timestamp_value = static_cast<uint32_t>(now_.since_origin_ns() / 1'000'000);
  fields.options.timestamp_echo = end.echo;
  const bool opens = (flags & tcp::flag_syn) != 0;
  if (opens) {
    fields.options.has_mss = fields.options.has_window_scale = true;
    fields.options.mss = announced_mss;
    fields.options.window_scale = announced_window_scale;
  }
  const uint32_t header = tcp::header_bytes(fields.options);
  const auto segment_bytes = static_cast<uint16_t>(header + octets);
  uint8_t* frame = port_.next_frame();
  net::write_ethernet(frame, proxy_, peer_, net::ethertype_ipv4);
  uint8_t* ip = frame + net::ethernet_header_bytes;
  net::write_ipv4(ip, end.local.address, end.remote.address, net::protocol_tcp, segment_bytes);
  uint8_t* at = ip + net::ipv4_header_bytes;
  tcp::write_header(at, fields);
  if (octets > 0) end.outgoing->copy(end.outgoing_at, {at + header, octets});
  net::store_transport_checksum(at + tcp::checksum_offset, end.local.address, end.remote.address,
                                net::protocol_tcp, {at, segment_bytes});
  port_.deliver(
      static_cast<uint16_t>(net::ethernet_header_bytes + net::ipv4_header_bytes + segment_bytes));
  const bool ends = (flags & tcp::flag_fin) != 0;
  end.next += static_cast<uint32_t>(octets) + (opens ? 1U : 0U) + (ends ? 1U : 0U);
  end.text_segments = 0;
}

}  // namespace millrace::perf

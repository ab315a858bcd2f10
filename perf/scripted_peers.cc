#include "perf/scripted_peers.h"

#include <cstring>

#include "base/check.h"
#include "dataplane/net/checksum.h"
#include "dataplane/net/ethernet.h"
#include "dataplane/net/ipv4.h"

namespace millrace::perf {
namespace {

constexpr uint16_t client_port_first = 20'000;
constexpr size_t request_bytes = 300;
constexpr size_t response_head_bytes = 150;
constexpr size_t body_bytes = 100;
constexpr size_t arp_bytes = 28;
constexpr uint16_t arp_request = 1;
constexpr uint16_t arp_reply = 2;

// The head with its last field filled up to `bytes` octets, blank line included.
std::string padded(std::string head, size_t bytes) {
  CHECK(head.size() + 4 <= bytes);
  head.append(bytes - 4 - head.size(), 'x');
  return head + "\r\n\r\n";
}

bool holds(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

Exchange make_exchange(const std::string& host, const std::string& path) {
  Exchange exchange;
  exchange.request = padded("GET " + path + " HTTP/1.1\r\nHost: " + host +
                                "\r\n"
                                "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0\r\n"
                                "Accept: text/html,*/*;q=0.8\r\n"
                                "Accept-Language: en-US\r\n"
                                "Accept-Encoding: gzip, deflate\r\n"
                                "Connection: keep-alive\r\n"
                                "Cache-Control: max-age=0\r\n"
                                "Cookie: id=",
                            request_bytes);
  exchange.body.assign(body_bytes - 1, 'b');
  exchange.body += '\n';
  exchange.response = padded(
                          "HTTP/1.1 200 OK\r\n"
                          "Server: origin\r\n"
                          "Date: Tue, 15 Nov 1994 08:12:31 GMT\r\n"
                          "Content-Type: text/plain\r\n"
                          "Content-Length: 100\r\n"
                          "ETag: \"",
                          response_head_bytes) +
                      exchange.body;
  return exchange;
}

void ScriptedPeers::open() {
  Side& side = clients_.emplace_back();
  side.local = {addresses_.client, static_cast<uint16_t>(client_port_first + clients_.size() - 1)};
  side.remote = addresses_.listener;
  send(side, tcp::flag_syn, {});
}

void ScriptedPeers::ask(uint32_t connection) {
  Side& side = clients_[connection];
  CHECK(side.idle);
  side.idle = false;
  side.received.clear();
  send(side, tcp::flag_ack | tcp::flag_psh, exchange_.request);
}

void ScriptedPeers::acknowledge() {
  for (Side& side : clients_) send(side, tcp::flag_ack, {});
}

void ScriptedPeers::take(Instant now) {
  now_ = now;
  for (const packet::TransmitFrame& sent : port_.sent()) {
    const ByteView bytes = port_.bytes(sent);
    const auto frame = net::parse_ethernet(bytes);
    CHECK(frame.has_value());
    if (frame->type == net::ethertype_arp) {
      on_arp(bytes);
      continue;
    }
    Counter drop{};
    const auto packet = net::parse_ipv4(frame->payload, &drop);
    CHECK(packet.has_value() && packet->protocol == net::protocol_tcp);
    CHECK(net::transport_checksum_holds(packet::ChecksumMode::verify, packet->source,
                                        packet->destination, net::protocol_tcp, packet->payload,
                                        tcp::checksum_offset));
    tcp::SegmentError error{};
    const auto segment = tcp::parse_segment(packet->payload, &error);
    CHECK(segment.has_value() && !segment->has(tcp::flag_rst) && !segment->has(tcp::flag_fin));
    if (segment->text.empty() && !segment->has(tcp::flag_syn)) ++bare_segments_;
    if (packet->destination == addresses_.client) {
      on_client(*segment);
    } else {
      on_origin({packet->source, segment->source_port}, *segment);
    }
  }
  port_.take_sent();
}

// The peer's link address stands for every address that anybody asks for.
void ScriptedPeers::on_arp(ByteView frame) {
  const uint8_t* arp = frame.data() + net::ethernet_header_bytes;
  CHECK(frame.size() >= net::ethernet_header_bytes + arp_bytes);
  const Ipv4Address target = Ipv4Address::load(arp + 24);
  if (load_be16(arp + 6) != arp_request || target == addresses_.listener.address) return;
  uint8_t* out = port_.next_frame();
  net::write_ethernet(out, addresses_.proxy_mac, addresses_.peer_mac, net::ethertype_arp);
  uint8_t* answer = out + net::ethernet_header_bytes;
  std::memcpy(answer, arp, 6);  // Ethernet and IPv4, with their address lengths
  store_be16(answer + 6, arp_reply);
  std::memcpy(answer + 8, addresses_.peer_mac.octets.data(), 6);
  target.store(answer + 14);
  std::memcpy(answer + 18, arp + 8, 10);  // the asker
  port_.deliver(net::ethernet_header_bytes + arp_bytes);
}

void ScriptedPeers::take_text(Side& side, const tcp::Segment& segment) {
  side.echo = segment.options.timestamp_value;
  if (segment.has(tcp::flag_syn)) side.acked = segment.seq.value() + 1;
  if (segment.text.empty()) return;
  CHECK(segment.seq.value() == side.acked);
  side.acked += static_cast<uint32_t>(segment.text.size());
  side.received.append(as_text(segment.text));
}

void ScriptedPeers::on_client(const tcp::Segment& segment) {
  Side& side = clients_[segment.destination_port - client_port_first];
  take_text(side, segment);
  if (segment.has(tcp::flag_syn)) {
    send(side, tcp::flag_ack, {});
    side.idle = true;
    return;
  }
  const size_t head = side.received.find("\r\n\r\n");
  if (head == std::string::npos || side.received.size() < head + 4 + exchange_.body.size()) return;
  check_answer(side.received);
  side.idle = true;
  ++answers_;
}

void ScriptedPeers::on_origin(SocketAddress from, const tcp::Segment& segment) {
  Side& side = origins_[from.port];
  take_text(side, segment);
  if (segment.has(tcp::flag_syn)) {
    side.local = addresses_.origin;
    side.remote = from;
    send(side, tcp::flag_syn | tcp::flag_ack, {});
    return;
  }
  if (!holds(side.received, "\r\n\r\n")) return;
  check_request(side.received);
  side.received.clear();
  send(side, tcp::flag_ack | tcp::flag_psh, exchange_.response);
}

void ScriptedPeers::check_answer(const std::string& received) const {
  CHECK(received.starts_with("HTTP/1.1 200 "));
  CHECK(received.ends_with("\r\n\r\n" + exchange_.body));
  CHECK(holds(received, "Content-Length: 100\r\n") && holds(received, "ETag: \""));
}

void ScriptedPeers::check_request(const std::string& received) const {
  // The request line and Host as they were, the forwarding fields with the client's address.
  const size_t second_line_end = exchange_.request.find("\r\n", exchange_.request.find("Host:"));
  CHECK(received.starts_with(exchange_.request.substr(0, exchange_.request.find("\r\n"))));
  CHECK(
      holds(received, exchange_.request.substr(exchange_.request.find("Host:"),
                                               second_line_end - exchange_.request.find("Host:"))));
  CHECK(holds(received, "X-Forwarded-For: " + addresses_.client.text() + "\r\n"));
  CHECK(holds(received, "Cookie: id=") && received.ends_with("\r\n\r\n"));
}

void ScriptedPeers::send(Side& side, uint8_t flags, std::string_view text) {
  tcp::HeaderFields fields;
  fields.source_port = side.local.port;
  fields.destination_port = side.remote.port;
  fields.seq = tcp::Seq{side.next};
  fields.ack = tcp::Seq{side.acked};
  fields.flags = flags;
  fields.window = 64'000;
  fields.options.has_timestamps = true;
  fields.options.timestamp_value = static_cast<uint32_t>(now_.since_origin_ns() / 1'000'000);
  fields.options.timestamp_echo = side.echo;
  if ((flags & tcp::flag_syn) != 0) {
    fields.options.has_mss = fields.options.has_window_scale = true;
    fields.options.mss = 1460;
    fields.options.window_scale = 7;
  }
  const uint32_t header = tcp::header_bytes(fields.options);
  const auto segment_bytes = static_cast<uint16_t>(header + text.size());
  uint8_t* frame = port_.next_frame();
  net::write_ethernet(frame, addresses_.proxy_mac, addresses_.peer_mac, net::ethertype_ipv4);
  uint8_t* ip = frame + net::ethernet_header_bytes;
  net::write_ipv4(ip, side.local.address, side.remote.address, net::protocol_tcp, segment_bytes);
  uint8_t* at = ip + net::ipv4_header_bytes;
  tcp::write_header(at, fields);
  std::memcpy(at + header, text.data(), text.size());
  net::store_transport_checksum(at + tcp::checksum_offset, side.local.address, side.remote.address,
                                net::protocol_tcp, {at, segment_bytes});
  port_.deliver(
      static_cast<uint16_t>(net::ethernet_header_bytes + net::ipv4_header_bytes + segment_bytes));
  side.next += static_cast<uint32_t>(text.size()) + ((flags & tcp::flag_syn) != 0 ? 1U : 0U);
}

}  // namespace millrace::perf

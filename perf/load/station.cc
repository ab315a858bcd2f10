#include "perf/load/station.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace millrace::load {
namespace {

constexpr Duration arp_retry = Duration::milliseconds(200);
constexpr Duration arp_refresh = Duration::seconds(10);
// Frames that one received frame may ask for at once: an acknowledgment and a segment, and a
// backend's response goes on by the ready queue.
constexpr uint32_t answers_per_frame = 2;

uint16_t mss_of(const nic::Port& port) {
  const uint32_t by_mtu = port.facts().mtu - ipv4_bytes - tcp_bytes;
  return static_cast<uint16_t>(std::min(by_mtu, 1460U));
}

}  // namespace

Station::Station(StationOptions options, nic::Port& port, packet::Arena& arena, Instant start)
    : options_(std::move(options)), port_(port), output_(port, arena), now_(start) {
  if (options_.client) {
    client_.emplace(*options_.client, std::move(*options_.request), options_.expectation, output_,
                    mss_of(port), figures_, start);
    next_hop_ = options_.gateway.value_or(options_.client->target.address);
    if (options_.gateway_mac) client_->set_next_hop(*options_.gateway_mac);
  }
  if (options_.backend) {
    backend_.emplace(*options_.backend, std::move(*options_.response), output_, mss_of(port),
                     figures_);
  }
  window_begin_.at = start;
}

uint32_t Station::turn(Instant now) {
  now_ = now;
  output_.begin();
  if (client_) client_->begin_turn(now);
  if (backend_) backend_->begin_turn(now);

  const size_t wanted = std::min<size_t>(frames_.size(), output_.room() / answers_per_frame);
  const size_t received = wanted == 0 ? 0 : port_.receive({frames_.data(), wanted}, now);
  for (size_t i = 0; i < received; ++i) {
    __builtin_prefetch(frames_[i].data);
    __builtin_prefetch(frames_[i].data + 64);
  }
  for (size_t i = 0; i < received; ++i) classify(frames_[i], &arrivals_[i]);
  for (size_t i = 0; i < received; ++i) {
    Arrival& arrival = arrivals_[i];
    if (arrival.kind == Kind::client) {
      client_->take(*arrival.connection, arrival.index, arrival.segment);
    } else if (arrival.kind == Kind::backend) {
      MacAddress source;
      std::memcpy(source.octets.data(), frames_[i].data + 6, 6);
      backend_->take(arrival.connection, arrival.index, arrival.segment, source);
    }
  }
  if (received > 0) port_.release({frames_.data(), received});

  if (client_) {
    ask_for_next_hop();
    client_->turn();
  }
  if (backend_) {
    if (stopping_ && (!client_ || client_->is_stopped())) backend_->stop();
    backend_->turn();
  }
  const uint32_t sent = output_.finish(now);
  return static_cast<uint32_t>(received) + sent;
}

void Station::stop() {
  stopping_ = true;
  if (client_) client_->stop();
}

bool Station::is_stopped() const {
  return stopping_ && (!client_ || client_->is_stopped()) && (!backend_ || backend_->is_stopped());
}

void Station::classify(const packet::Frame& frame, Arrival* arrival) {
  arrival->kind = Kind::ignored;
  if (frame.length < ethernet_bytes) {
    ++figures_.bad_frames;
    return;
  }
  const uint16_t type = load_be16(frame.data + 12);
  if (type == ethertype_arp) {
    take_arp(frame);
    return;
  }
  if (options_.reflect) {
    reflect(frame);
    return;
  }
  if (type != ethertype_ipv4) {
    ++figures_.other_frames;
    return;
  }
  const bool trusted = frame.checksum_verified || !options_.verify_checksums;
  switch (parse_frame(frame.bytes(), port_.facts().checksum_mode, trusted, &arrival->segment)) {
    case ParseResult::tcp: break;
    case ParseResult::other: ++figures_.other_frames; return;
    case ParseResult::malformed:
    case ParseResult::bad_checksum: ++figures_.bad_frames; return;
  }
  const Segment& segment = arrival->segment;
  if (backend_ && backend_->owns(segment.destination_address, segment.destination_port)) {
    arrival->kind = Kind::backend;
    arrival->connection = backend_->find(segment, &arrival->index);
  } else if (client_ && segment.source_address == options_.client->target.address.host_order() &&
             segment.source_port == options_.client->target.port) {
    arrival->connection =
        client_->find(segment.destination_address, segment.destination_port, &arrival->index);
    if (arrival->connection != nullptr) arrival->kind = Kind::client;
  }
  if (arrival->kind == Kind::ignored) ++figures_.other_frames;
  if (arrival->connection != nullptr) __builtin_prefetch(arrival->connection, 1);
}

// ---- ARP ---------------------------------------------------------------------------------------

bool Station::owns(Ipv4Address address) const {
  return (client_ && client_->owns(address.host_order())) ||
         (options_.backend && options_.backend->address == address) ||
         (options_.reflect_address && *options_.reflect_address == address);
}

void Station::take_arp(const packet::Frame& frame) {
  Arp arp;
  if (!parse_arp(frame.bytes(), &arp)) {
    ++figures_.bad_frames;
    return;
  }
  // Both what was asked for and what its owner announces.
  if (client_ && arp.sender == next_hop_ && !options_.gateway_mac) {
    client_->set_next_hop(arp.sender_mac);
  }
  if (!arp.is_request || !owns(arp.target) || output_.room() == 0) return;
  write_arp_reply(output_.text(), output_.mac(), arp);
  output_.commit(0, arp_frame_bytes);
}

void Station::ask_for_next_hop() {
  if (options_.gateway_mac || now_ < next_arp_ || output_.room() == 0) return;
  next_arp_ = now_ + (client_->knows_next_hop() ? arp_refresh : arp_retry);
  write_arp_request(output_.text(), output_.mac(), options_.client->first_address, next_hop_);
  output_.commit(0, arp_frame_bytes);
}

// ---- reflecting --------------------------------------------------------------------------------

void Station::reflect(const packet::Frame& frame) {
  const bool is_group = (frame.data[0] & 1) != 0;
  if (is_group || output_.room() == 0 || frame.length > packet::payload_bytes_max) {
    ++figures_.other_frames;
    return;
  }
  uint8_t* to = output_.text();
  std::memcpy(to, frame.data, frame.length);
  std::memcpy(to, frame.data + 6, 6);
  std::memcpy(to + 6, frame.data, 6);
  output_.commit(0, frame.length);
  ++figures_.reflected_frames;
}

// ---- figures -----------------------------------------------------------------------------------

Instant Station::next_deadline() {
  Instant deadline = Instant::never();
  if (client_) {
    deadline = client_->next_deadline();
    if (!options_.gateway_mac) deadline = std::min(deadline, next_arp_);
  }
  if (backend_) deadline = std::min(deadline, backend_->next_deadline(now_));
  return deadline;
}

uint64_t Station::connections_open() const {
  return (client_ ? client_->connections_open() : 0) +
         (client_ || !backend_ ? 0 : backend_->connections_open());
}

void Station::collect_sender_counters() {
  const auto collect = [this](Sender& sender) {
    figures_.retransmits += std::exchange(sender.counters().retransmits, 0);
    figures_.out_of_order += std::exchange(sender.counters().out_of_order, 0);
  };
  if (client_) collect(client_->sender());
  if (backend_) collect(backend_->sender());
}

Gauges Station::gauges(Instant now, const nic::PortCounters& port) {
  collect_sender_counters();
  Gauges gauges;
  gauges.at = now;
  gauges.cpu_ns = process_cpu_ns();
  gauges.port = port;
  gauges.connections_open = connections_open();
  if (client_) {
    gauges.unsent = client_->unsent();
    gauges.offered_per_second = client_->rate_per_second();
  }
  return gauges;
}

void Station::begin_window(Instant now, const nic::PortCounters& port) {
  window_begin_ = gauges(now, port);
  figures_ = Figures();
}

std::string Station::window_json(Instant now, const nic::PortCounters& port) {
  return to_json(figures_, window_begin_, gauges(now, port));
}

}  // namespace millrace::load

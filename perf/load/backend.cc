#include "perf/load/backend.h"

#include <algorithm>

namespace millrace::load {
namespace {

constexpr uint32_t ports_per_peer = 65'536;
// Responses owed to one connection at a time: 2^30 octets, so that sequence numbers stay in order.
constexpr uint32_t owed_bytes_max = message_bytes_max;
constexpr uint32_t closing_ms_max = 3'000;
constexpr uint64_t stop_steps_per_turn_max = 65'536;

// A record that has closed stands in its queues until its turn comes, so there are more entries
// than connections.
uint32_t queue_entries_max(const BackendOptions& options) {
  return std::max(2 * options.connections_max, 262'144U);
}

}  // namespace

Backend::Backend(const BackendOptions& options, ResponseText response, Output& output, uint16_t mss,
                 Figures& figures)
    : options_(options),
      response_(std::move(response)),
      figures_(figures),
      sender_(output, {options.timestamps, mss, queue_entries_max(options)}),
      records_(uint64_t{backend_peers_max} * options.port_count * ports_per_peer) {}

Connection* Backend::find(const Segment& segment, uint32_t* index) {
  uint32_t peer = last_peer_;
  if (peer >= peer_count_ || peers_[peer].address != segment.source_address) {
    for (peer = 0; peer < peer_count_; ++peer) {
      if (peers_[peer].address == segment.source_address) break;
    }
    if (peer == peer_count_) return nullptr;
    last_peer_ = peer;
  }
  const uint32_t port = uint32_t{segment.destination_port} - options_.first_port;
  *index = (peer * options_.port_count + port) * ports_per_peer + segment.source_port;
  return &records_[*index];
}

Connection* Backend::add_peer(const Segment& segment, const MacAddress& source, uint32_t* index) {
  if (peer_count_ == backend_peers_max) return nullptr;
  peers_[peer_count_++] = {segment.source_address, source};
  return find(segment, index);
}

Flow Backend::flow_of(uint32_t index) const {
  const uint32_t pair = index / ports_per_peer;
  const Peer& peer = peers_[pair / options_.port_count];
  Flow flow;
  flow.local_address = options_.address.host_order();
  flow.local_port = static_cast<uint16_t>(options_.first_port + pair % options_.port_count);
  flow.remote_address = peer.address;
  flow.remote_port = static_cast<uint16_t>(index % ports_per_peer);
  flow.remote_mac = peer.mac;
  return flow;
}

// All responses are equally long and the last one ends at send_end, so a sequence number says where
// in its response an octet lies. A segment may hold the end of one and the beginning of the next.
uint16_t Backend::write_text(const Connection& c, uint8_t* to, uint32_t seq, uint32_t bytes) const {
  const uint32_t whole = response_.bytes();
  uint32_t left = c.send_end - seq;
  if (left > whole) left = (left - 1) % whole + 1;
  if (bytes <= left) return response_.write(to, whole - left, bytes);
  response_.write(to, whole - left, left);
  for (uint32_t done = left; done < bytes;) {
    const uint32_t piece = std::min(bytes - done, whole);
    response_.write(to + done, 0, piece);
    done += piece;
  }
  return sum_of_text({to, bytes});
}

void Backend::pump(Connection& c, uint32_t index) {
  sender_.pump(c, index, flow_of(index), [this, &c](uint8_t* to, uint32_t seq, uint32_t bytes) {
    return write_text(c, to, seq, bytes);
  });
}

void Backend::send_again(Connection& c, uint32_t index) {
  sender_.send_again(c, flow_of(index), [this, &c](uint8_t* to, uint32_t seq, uint32_t bytes) {
    return write_text(c, to, seq, bytes);
  });
}

void Backend::begin_turn(Instant now) {
  now_ = now;
  sender_.begin(now);
}

void Backend::turn() {
  run_acks();
  run_watch();
  run_ready();
  if (stopping_) stop_some();
}

uint64_t Backend::places_used() const {
  return uint64_t{peer_count_} * options_.port_count * ports_per_peer;
}

void Backend::stop_some() {
  const uint64_t end = std::min(places_used(), stop_at_ + stop_steps_per_turn_max);
  for (; stop_at_ < end && sender_.output().room() > 0; ++stop_at_) {
    const auto index = static_cast<uint32_t>(stop_at_);
    Connection& c = records_[index];
    if (c.state == State::closed) continue;
    sender_.send_reset(c, flow_of(index));
    closed(c);
  }
}

// ---- receiving ---------------------------------------------------------------------------------

void Backend::take(Connection* c, uint32_t index, Segment& segment, const MacAddress& source) {
  const bool opens = segment.has(syn) && !segment.has(ack | rst) && !stopping_;
  if (c == nullptr) c = find(segment, &index);  // a frame of the same burst may have added it
  if (c == nullptr && opens) c = add_peer(segment, source, &index);
  if (c == nullptr || (c->state == State::closed && !opens)) {
    const Flow flow{segment.destination_address, segment.source_address, segment.destination_port,
                    segment.source_port, source};
    if (c == nullptr && opens) {
      ++figures_.backend_refused;
    } else {
      sender_.answer_stranger(flow, segment);
    }
    return;
  }
  if (!opens) {
    take_standing(*c, index, segment);
    return;
  }
  // A proxy that was started anew may have another link address.
  peers_[index / ports_per_peer / options_.port_count].mac = source;
  if (c->state == State::syn_received && segment.seq + 1 == c->receive_next) {
    sender_.send_syn(*c, flow_of(index), syn | ack);
  } else if (c->state == State::closed || seq_less(c->receive_next, segment.seq)) {
    open(*c, index, segment);
  } else {
    // Old, or a peer that has forgotten: it will reset what it does not know (RFC 9293 3.5.2).
    c->set(flag_ack_now);
    pump(*c, index);
  }
}

void Backend::open(Connection& c, uint32_t index, const Segment& segment) {
  if (c.state != State::closed) closed(c);
  if (open_ >= options_.connections_max ||
      sender_.watch().size() + options_.connections_max / 2 >= queue_entries_max(options_)) {
    ++figures_.backend_refused;
    return;
  }
  ++open_;
  ++figures_.backend_connections;
  const auto initial_seq = static_cast<uint32_t>(now_.since_origin_ns() >> 6) + index * 0x9e3779b9U;
  sender_.begin_connection(c, State::syn_received, initial_seq);
  sender_.take_syn(c, segment);
  sender_.send_syn(c, flow_of(index), syn | ack);
  sender_.look_after(c, index);
}

void Backend::take_standing(Connection& c, uint32_t index, Segment& segment) {
  if (segment.has(rst)) {
    if (segment.seq == c.receive_next) closed(c);
    return;
  }
  if (segment.has(syn)) return;  // a SYN-ACK is nothing that a client sends
  if (c.state == State::syn_received) {
    if (!segment.has(ack) || segment.ack != c.send_next) {
      sender_.answer_stranger(flow_of(index), segment);
      return;
    }
    c.state = State::idle;
  }
  const AckEffect effect = sender_.take_ack(c, segment);
  if (effect == AckEffect::unacceptable) {
    c.set(flag_ack_now);
  } else {
    if (effect == AckEffect::send_again) send_again(c, index);
    if (segment.text_bytes > 0 || segment.has(fin) || segment.seq != c.receive_next) {
      take_text(c, index, segment);
    } else if (segment.timestamps) {
      c.timestamp_echo = segment.timestamp_value;
    }
  }
  if (c.state == State::closed) return;
  pump(c, index);
  settle_closing(c);
}

void Backend::take_text(Connection& c, uint32_t index, Segment& segment) {
  if (!sender_.take_in_order(c, &segment)) return;
  while (segment.text_bytes > 0) {
    const uint32_t taken = c.state == State::closing
                               ? segment.text_bytes  // nobody reads it any more
                               : take_request(c, index, {segment.text, segment.text_bytes});
    if (taken == 0) return;  // reset, or no room: it comes again
    sender_.consumed(c, index, taken);
    segment.text += taken;
    segment.text_bytes -= taken;
  }
  if (!segment.has(fin)) return;
  ++c.receive_next;
  c.set(flag_peer_fin | flag_ack_now | flag_fin_wanted);
  c.state = State::closing;
  c.progress_ms = sender_.now_ms();
  sender_.look_after(c, index);
}

uint32_t Backend::take_request(Connection& c, uint32_t index, ByteView text) {
  if (c.send_end - c.send_unacknowledged > owed_bytes_max - response_.bytes()) return 0;
  uint32_t taken = 0;
  switch (reader_.take(c, text, &taken)) {
    case RequestProgress::more:
    case RequestProgress::no_room: break;
    case RequestProgress::whole: answer(c); break;
    case RequestProgress::broken:
      ++figures_.backend_malformed;
      sender_.send_reset(c, flow_of(index));
      closed(c);
      return 0;
  }
  return taken;
}

void Backend::answer(Connection& c) {
  ++figures_.backend_requests;
  ++figures_.backend_responses;
  c.send_end += response_.bytes();
  if (c.is(flag_close_announced)) {
    c.set(flag_fin_wanted);
    c.state = State::closing;
    c.progress_ms = sender_.now_ms();
  }
}

// ---- ending ------------------------------------------------------------------------------------

void Backend::settle_closing(Connection& c) {
  if (c.state != State::closing) return;
  const bool fin_acknowledged = c.send_unacknowledged == c.send_max && c.send_max == c.send_end + 1;
  if (fin_acknowledged && c.is(flag_peer_fin) && !c.is(flag_ack_now)) closed(c);
}

void Backend::closed(Connection& c) {
  reader_.forget(c);
  c.state = State::closed;
  --open_;
}

// ---- queues ------------------------------------------------------------------------------------

void Backend::run_ready() {
  IndexQueue& queue = sender_.ready();
  for (uint32_t left = queue.size(); left > 0 && sender_.output().room() > 0; --left) {
    const uint32_t index = queue.pop();
    Connection& c = records_[index];
    c.unset(flag_in_ready);
    if (c.state == State::closed || c.state == State::syn_received) continue;
    pump(c, index);
    settle_closing(c);
  }
}

void Backend::run_acks() {
  DelayQueue& queue = sender_.acks();
  for (uint32_t i = 0; i < queue_steps_per_turn_max && queue.is_due(sender_.now_ms()) &&
                       sender_.output().room() > 0;
       ++i) {
    const uint32_t index = queue.pop();
    Connection& c = records_[index];
    c.unset(flag_in_ack_queue);
    if (c.state == State::closed || !c.is(flag_ack_owed)) continue;
    c.set(flag_ack_now);
    pump(c, index);
  }
}

void Backend::run_watch() {
  DelayQueue& queue = sender_.watch();
  constexpr uint32_t ahead = 8;
  for (uint32_t i = 0; i < queue_steps_per_turn_max && queue.is_due(sender_.now_ms()); ++i) {
    if (queue.size() > ahead) __builtin_prefetch(&records_[queue.index_behind(ahead)]);
    const uint32_t index = queue.pop();
    Connection& c = records_[index];
    c.unset(flag_in_watch);
    watch(c, index);
  }
}

void Backend::watch(Connection& c, uint32_t index) {
  if (c.state == State::closed) return;
  const uint32_t silent_ms = sender_.now_ms() - c.progress_ms;
  if (sender_.is_due_again(c)) {
    if (Sender::gave_up(c)) {
      closed(c);
      return;
    }
    if (c.state == State::syn_received) {
      c.send_next = c.send_max;
      ++figures_.retransmits;
      sender_.send_syn(c, flow_of(index), syn | ack);
    } else {
      send_again(c, index);
    }
  }
  if (c.state == State::closing && silent_ms > closing_ms_max && !Sender::has_unacknowledged(c)) {
    sender_.send_reset(c, flow_of(index));
    closed(c);
    return;
  }
  if (Sender::has_unacknowledged(c) || c.state == State::closing) sender_.look_after(c, index);
}

Instant Backend::next_deadline(Instant now) {
  if (!sender_.ready().empty()) return now;
  const auto due = [&](const DelayQueue& queue) {
    if (queue.empty()) return Instant::never();
    const auto wait_ms = static_cast<int32_t>(queue.next_due_ms() - sender_.now_ms());
    return now + Duration::milliseconds(std::max(wait_ms, 0));
  };
  return std::min(due(sender_.acks()), due(sender_.watch()));
}

}  // namespace millrace::load

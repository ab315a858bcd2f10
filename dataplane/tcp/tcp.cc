// Records, lists and the calls of the proxy. Segments in: input.cc; out: output.cc; time:
// timers.cc.
#include "dataplane/tcp/tcp.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "dataplane/tcp/reassembly.h"

namespace millrace::tcp {
namespace {

// Ephemeral ports, the range Linux uses by default (RFC 6056 asks for as wide as possible; the
// lower end stays clear of registered services).
constexpr uint16_t ephemeral_port_min = 32'768;
constexpr uint16_t ephemeral_port_max = 60'999;
constexpr uint32_t ephemeral_tries_max = 64;

}  // namespace

Tcp::Tcp(const Limits& limits, const Keys& keys, packet::Arena& arena, net::IpOutput& output,
         Counters& counters, Instant start)
    : limits_(limits),
      isn_key_(keys.isn),
      random_(keys.random_seed),
      arena_(arena),
      output_(output),
      counters_(counters),
      records_(arena),
      connections_(limits.connections),
      flows_(limits.connections, keys.flow),
      time_wait_(limits.time_wait, keys.flow),
      wheel_(limits.connections, start),
      listeners_(std::make_unique<SocketAddress[]>(limits.listeners)),
      // An eighth of the arena answers peers even when their text fills the rest.
      reserve_control_(std::max(16U, arena.capacity() / 8)),
      ready_links_(limits.connections),
      egress_links_(limits.connections),
      starved_links_(limits.connections),
      turn_pieces_(std::make_unique<TurnPiece[]>(turn_pieces_max)),
      turn_connections_(std::make_unique<uint32_t[]>(turn_pieces_max)) {}

bool Tcp::listen(SocketAddress local) {
  if (listener_count_ == limits_.listeners) return false;
  listeners_[listener_count_++] = local;
  return true;
}

bool Tcp::is_listening(SocketAddress local) const {
  const SocketAddress* const first = listeners_.get();
  return std::find(first, first + listener_count_, local) != first + listener_count_;
}

// RFC 6528: ISN = M + F(localip, localport, remoteip, remoteport, secretkey), M a 4 us clock.
Seq Tcp::initial_sequence_number(const FlowKey& flow, Instant now) const {
  const uint64_t addresses =
      uint64_t{flow.local.address.host_order()} << 32 | flow.remote.address.host_order();
  const uint64_t ports = uint64_t{flow.local.port} << 16 | flow.remote.port;
  const uint64_t clock_4us = now.since_origin_ns() / 4'000;
  return Seq(static_cast<uint32_t>(clock_4us + siphash24(isn_key_, addresses, ports)));
}

uint32_t Tcp::find_flow(const FlowKey& flow, uint64_t hash) const {
  return flows_.find(hash, [&](uint32_t index) { return connections_.at(index).flow == flow; });
}

uint32_t Tcp::open_record(const FlowKey& flow, uint64_t hash, const net::Path& path) {
  const ConnId id = connections_.acquire();
  if (!id) {
    counters_.add(Counter::tcp_connection_table_full);
    return none;
  }
  Connection& c = connections_[id];
  c.flow = flow;
  c.flow_hash = hash;
  c.path = path;
  c.receive_slots_budget = limits_.receive_slots_initial;
  // The offset hides our uptime and differs between connections (RFC 7323 section 5.4, T13).
  c.timestamp_offset = static_cast<uint32_t>(siphash13(
      isn_key_, hash, uint64_t{flow.remote.address.host_order()} << 16 | flow.remote.port));
  flows_.insert(hash, id.index);
  return id.index;
}

void Tcp::release(uint32_t index) {
  Connection& c = at(index);
  c.turn_head = c.turn_tail = none;
  records_.drop_all(c.send_queue);
  records_.drop_all(c.receive_queue);
  records_.drop_all(c.out_of_order);
  if (c.state == State::syn_received) --half_open_;
  flows_.erase(c.flow_hash, index);
  wheel_.cancel(index);
  if (ready_links_.linked(index)) ready_links_.remove(ready_, index);
  if (egress_links_.linked(index)) egress_links_.remove(egress_[c.path.port], index);
  if (starved_links_.linked(index)) starved_links_.remove(starved_, index);
  connections_.release(connections_.id_at(index));
}

// The connection ended without the application's doing: its record stays until the application has
// taken notice and closed.
void Tcp::end_connection(uint32_t index, Connection& c) {
  if (c.detached || (c.state == State::syn_received && c.passive)) {
    release(index);
    return;
  }
  if (c.state == State::syn_received) --half_open_;
  c.state = State::closed;
  c.aborted_by_peer = true;
  c.turn_head = c.turn_tail = none;
  records_.drop_all(c.send_queue);
  records_.drop_all(c.receive_queue);
  records_.drop_all(c.out_of_order);
  c.unsent = slot_none;
  wheel_.cancel(index);
  if (egress_links_.linked(index)) egress_links_.remove(egress_[c.path.port], index);
  if (starved_links_.linked(index)) starved_links_.remove(starved_, index);
  notify(index, c, event_aborted);
}

void Tcp::enter_time_wait(uint32_t index, Connection& c, Instant now) {
  c.state = State::time_wait;
  c.retransmit_deadline = Instant::never();
  c.life_deadline = now + time_wait_duration;
  if (c.detached) {
    retire_to_time_wait(index, c, now);
  } else {
    set_timer(index, c);
  }
}

void Tcp::retire_to_time_wait(uint32_t index, Connection& c, Instant now) {
  // An acknowledgment may still be owed (the peer's FIN): it goes out now, the record is gone
  // after.
  if (c.ack_now) emit_bare(c, acknowledgment_seq(c), flag_ack, now);
  TimeWaitRecord record;
  record.flow = c.flow;
  record.snd_nxt = c.snd_max;
  record.rcv_nxt = c.rcv_nxt;
  record.ts_recent = c.ts_recent;
  record.timestamp_offset = c.timestamp_offset;
  record.timestamps = c.timestamps;
  record.window = window_to_announce(c);
  record.path = c.path;
  record.flow_hash = c.flow_hash;
  release(index);
  if (time_wait_.add(record, now)) counters_.add(Counter::tcp_time_wait_evicted);
}

void Tcp::notify(uint32_t index, Connection& c, uint8_t events) {
  if (c.detached) return;
  c.events |= events;
  if (!ready_links_.linked(index)) ready_links_.push_back(ready_, index);
}

void Tcp::queue_egress(uint32_t index, Connection& c) {
  if (!egress_links_.linked(index)) egress_links_.push_back(egress_[c.path.port], index);
}

bool Tcp::has_egress() const {
  for (const IndexList& list : egress_) {
    if (!list.empty()) return true;
  }
  return false;
}

// --- the proxy's calls ---

ConnId Tcp::connect(Ipv4Address local, SocketAddress remote, uint32_t owner, Instant now) {
  const auto path = output_.path_to(remote.address, now);
  if (!path) {
    counters_.add(Counter::tcp_connect_no_route);
    return {};
  }
  for (uint32_t attempt = 0; attempt < ephemeral_tries_max; ++attempt) {
    const auto port =
        static_cast<uint16_t>(random_.between(ephemeral_port_min, ephemeral_port_max));
    const FlowKey flow{{local, port}, remote};
    const uint64_t hash = flows_.hash(flow);
    if (find_flow(flow, hash) != none) continue;
    if (time_wait_.find(flow, hash) != nullptr) continue;
    const uint32_t index = open_record(flow, hash, *path);
    if (index == none) return {};
    Connection& c = at(index);
    c.owner = owner;
    c.state = State::syn_sent;
    c.iss = initial_sequence_number(flow, now);
    c.snd_una = c.snd_nxt = c.snd_max = c.iss;
    c.send_end = c.iss + 1;
    c.syn_to_send = true;
    c.timestamps = true;
    c.window_scaling = true;
    queue_egress(index, c);
    counters_.add(Counter::tcp_active_opens);
    return connections_.id_at(index);
  }
  counters_.add(Counter::tcp_connect_no_port);
  return {};
}

void Tcp::set_owner(ConnId id, uint32_t owner) {
  connections_[id].owner = owner;
}

std::optional<Ready> Tcp::next_ready() {
  const uint32_t index = ready_links_.pop_front(ready_);
  if (index == none) return std::nullopt;
  Connection& c = at(index);
  const Ready ready{connections_.id_at(index), c.owner, c.events};
  c.events = 0;
  return ready;
}

size_t Tcp::peek_ready(std::span<Ready> out) const {
  size_t count = 0;
  for (uint32_t index = ready_.head; index != none && count < out.size();
       index = ready_links_.next(index)) {
    const Connection& c = connections_.at(index);
    out[count++] = {connections_.id_at(index), c.owner, c.events};
  }
  return count;
}

void Tcp::make_ready(ConnId id, uint8_t events) {
  notify(id.index, connections_[id], events);
}

ByteView Tcp::readable(ConnId id) {
  const Connection& c = connections_[id];
  if (!c.receive_queue.empty()) {
    const SlotIndex slot = c.receive_queue.head;
    return {records_.data(slot), records_[slot].length};
  }
  if (c.turn_head != none)
    return {turn_pieces_[c.turn_head].data, turn_pieces_[c.turn_head].length};
  return {};
}

size_t Tcp::peek(ConnId id, ByteSpan out) {
  const Connection& c = connections_[id];
  size_t filled = 0;
  const auto take = [&](const uint8_t* data, size_t length) {
    const size_t part = std::min(length, out.size() - filled);
    std::memcpy(out.data() + filled, data, part);
    filled += part;
  };
  for (SlotIndex slot = c.receive_queue.head; slot != slot_none && filled < out.size();
       slot = records_[slot].next) {
    take(records_.data(slot), records_[slot].length);
  }
  for (uint32_t piece = c.turn_head; piece != none && filled < out.size();
       piece = turn_pieces_[piece].next) {
    take(turn_pieces_[piece].data, turn_pieces_[piece].length);
  }
  return filled;
}

bool Tcp::has_more_than(ConnId id, size_t octets) const {
  const Connection& c = *connections_.find(id);
  size_t total = 0;
  for (SlotIndex slot = c.receive_queue.head; slot != slot_none; slot = records_[slot].next) {
    total += records_[slot].length;
    if (total > octets) return true;
  }
  for (uint32_t piece = c.turn_head; piece != none; piece = turn_pieces_[piece].next) {
    total += turn_pieces_[piece].length;
    if (total > octets) return true;
  }
  return false;
}

bool Tcp::at_end(ConnId id) const {
  const Connection& c = *connections_.find(id);
  // A reset drops what was not read: what is missing must not look like the end.
  return c.peer_fin_taken && !c.aborted_by_peer && c.receive_queue.empty() && c.turn_head == none;
}

void Tcp::consume(ConnId id, size_t octets, Instant now) {
  Connection& c = connections_[id];
  c.received_since_tuning += static_cast<uint32_t>(octets);
  while (octets > 0) {
    if (!c.receive_queue.empty()) {
      SlotRecord& record = records_[c.receive_queue.head];
      const auto part = static_cast<uint16_t>(std::min<size_t>(octets, record.length));
      record.offset = static_cast<uint16_t>(record.offset + part);
      record.length = static_cast<uint16_t>(record.length - part);
      record.seq += part;
      octets -= part;
      if (record.length == 0) records_.pop_front(c.receive_queue);
      continue;
    }
    // A reset of this turn has dropped the text; the application has not heard of it yet.
    if (c.state == State::closed) return;
    CHECK(c.turn_head != none);
    TurnPiece& piece = turn_pieces_[c.turn_head];
    const auto part = static_cast<uint32_t>(std::min<size_t>(octets, piece.length));
    piece.data += part;
    piece.length -= part;
    octets -= part;
    if (piece.length == 0) {
      c.turn_head = piece.next;
      if (c.turn_head == none) c.turn_tail = none;
    }
  }
  if (!may_receive_data(c.state)) return;
  // Tuning: a reader that empties half its window within two round trips gets twice the window,
  // while memory lasts.
  const Duration round_trip =
      c.round_trip.has_sample() ? c.round_trip.smoothed() : Duration::milliseconds(10);
  const uint32_t budget_octets = c.receive_slots_budget * c.send_mss;
  if (now - c.tuned_at > round_trip * 2) {
    c.tuned_at = now;
    c.received_since_tuning = 0;
  } else if (c.received_since_tuning > budget_octets / 2 &&
             c.receive_slots_budget < limits_.receive_slots_max &&
             arena_.free_count() > arena_.capacity() / 2) {
    c.receive_slots_budget = std::min(c.receive_slots_budget * 2, limits_.receive_slots_max);
    c.received_since_tuning = 0;
  }
  // Receiver-side silly window avoidance (RFC 9293 section 3.8.6.2.2): announce an opening only
  // when it is worth a segment of at least two full ones or half the window.
  const uint32_t promised =
      c.receive_edge > c.rcv_nxt ? octets_between(c.rcv_nxt, c.receive_edge) : 0;
  const uint32_t window = receive_window(c);
  if (window >= promised + std::min(2U * c.send_mss, c.receive_slots_budget * c.send_mss / 2)) {
    // A window that is still wide needs no segment of its own: the next one carries it.
    if (promised < c.receive_slots_budget * c.send_mss / 2) acknowledge_now(id.index, c);
  }
}

uint32_t Tcp::send_slots_allowed(const Connection& c) const {
  // Twice what the network takes at once, so that an acknowledgment always finds text to send.
  const uint32_t wanted = 16 + 2 * (std::min(c.congestion.window(), c.snd_wnd_max) / c.send_mss);
  uint32_t allowed = std::min(wanted, limits_.send_slots_max);
  // Under pressure everybody is cut before anybody is dropped (T50).
  if (arena_.free_count() < arena_.capacity() / 4) allowed = std::min(allowed, 8U);
  return allowed;
}

size_t Tcp::writable(ConnId id) {
  Connection& c = connections_[id];
  if (!may_send_data(c.state) || c.fin_queued) return 0;
  const size_t room = tail_room(c);
  const uint32_t allowed = send_slots_allowed(c);
  const uint32_t memory =
      arena_.free_count() > peers_reserve() ? arena_.free_count() - peers_reserve() : 0;
  const uint32_t slots =
      allowed > c.send_queue.count ? std::min(allowed - c.send_queue.count, memory) : 0;
  const size_t slot_octets = std::min<size_t>(c.send_mss, packet::payload_bytes_max);
  // What was promised holds for the writes of this turn, even when they bring memory under
  // pressure.
  c.send_slots_promised = c.send_queue.count + slots;
  return room + slots * slot_octets;
}

void Tcp::want_writable(ConnId id) {
  Connection& c = connections_[id];
  c.wants_room = true;
  // With nothing queued no acknowledgment will come to wake us: it is memory that is short.
  if (c.send_queue.empty() && !starved_links_.linked(id.index))
    starved_links_.push_back(starved_, id.index);
}

void Tcp::wake_starved() {
  const uint32_t enough = peers_reserve() + arena_.capacity() / 16;
  for (uint32_t left = starved_.count; left > 0 && arena_.free_count() > enough; --left) {
    const uint32_t index = starved_links_.pop_front(starved_);
    at(index).wants_room = false;
    notify(index, at(index), event_writable);
  }
}

// Copies bytes behind the send queue: first into the room of the last slot that has not left yet,
// then into fresh ones while the queue has fewer than slots_allowed.
size_t Tcp::append_text(uint32_t index, Connection& c, ByteView bytes, uint32_t slots_allowed) {
  const size_t slot_octets = std::min<size_t>(c.send_mss, packet::payload_bytes_max);
  size_t written = 0;
  while (written < bytes.size()) {
    SlotIndex tail = c.send_queue.tail;
    size_t room = tail_room(c);
    if (room == 0) {
      if (c.send_queue.count >= slots_allowed) break;
      tail = records_.acquire(c.send_end, peers_reserve());
      if (tail == slot_none) {
        counters_.add(Counter::tcp_write_out_of_memory);
        break;
      }
      records_.push_back(c.send_queue, tail);
      if (c.unsent == slot_none) c.unsent = tail;
      room = slot_octets;
    }
    const size_t part = std::min(room, bytes.size() - written);
    records_.append(tail, bytes.subspan(written, part));
    c.send_end += static_cast<uint32_t>(part);
    written += part;
  }
  if (written > 0) queue_egress(index, c);
  return written;
}

size_t Tcp::write(ConnId id, ByteView bytes) {
  Connection& c = connections_[id];
  if (!may_send_data(c.state) || c.fin_queued) return 0;
  const size_t written =
      append_text(id.index, c, bytes, std::max(send_slots_allowed(c), c.send_slots_promised));
  if (written < bytes.size()) want_writable(id);
  return written;
}

bool Tcp::write_whole(ConnId id, ByteView bytes) {
  Connection& c = connections_[id];
  if (!may_send_data(c.state) || c.fin_queued) return false;
  const size_t slot_octets = std::min<size_t>(c.send_mss, packet::payload_bytes_max);
  const size_t slots = (bytes.size() + slot_octets - 1) / slot_octets;
  if (arena_.free_count() < peers_reserve() + slots) {
    counters_.add(Counter::tcp_write_out_of_memory);
    return false;
  }
  const size_t written = append_text(id.index, c, bytes, UINT32_MAX);
  CHECK(written == bytes.size());
  return true;
}

// Octets that still fit into the last slot of the send queue: only while it was never sent.
size_t Tcp::tail_room(const Connection& c) const {
  const SlotIndex tail = c.send_queue.tail;
  if (tail == slot_none || c.unsent == slot_none || arena_.in_port(tail)) return 0;
  const size_t slot_octets = std::min<size_t>(c.send_mss, packet::payload_bytes_max);
  const SlotRecord& record = records_[tail];
  if (record.seq < c.snd_max || record.length >= slot_octets) return 0;
  return std::min<size_t>(slot_octets - record.length, records_.room_behind(tail));
}

void Tcp::shutdown(ConnId id) {
  Connection& c = connections_[id];
  if (c.fin_queued || !may_send_data(c.state)) return;
  c.fin_queued = true;
  c.fin_seq = c.send_end;
  c.wants_room = false;
  // RFC 9293 section 3.10.4: the state changes when the FIN is queued behind what is to be sent.
  if (c.state == State::established) {
    c.state = State::fin_wait_1;
  } else if (c.state == State::close_wait) {
    c.state = State::last_ack;
  }
  queue_egress(id.index, c);
}

void Tcp::close(ConnId id, Instant now) {
  Connection& c = connections_[id];
  const uint32_t index = id.index;
  if (c.state == State::closed) {
    release(index);
    return;
  }
  if (c.state == State::syn_sent) {
    release(index);
    return;
  }
  // Text the application never read is lost to it: the peer must hear of that (section 3.6.1).
  if (!c.receive_queue.empty() || c.turn_head != none) {
    counters_.add(Counter::tcp_reset_unread_text);
    abort(id, now);
    return;
  }
  if (c.state == State::time_wait) {
    c.detached = true;
    retire_to_time_wait(index, c, now);
    return;
  }
  shutdown(id);
  c.detached = true;
  c.orphaned_at = now;
  c.events = 0;
  if (ready_links_.linked(index)) ready_links_.remove(ready_, index);
  if (starved_links_.linked(index)) starved_links_.remove(starved_, index);
  watch_orphan(c, now);
  set_timer(index, c);
}

void Tcp::abort(ConnId id, Instant now) {
  Connection& c = connections_[id];
  if (is_synchronized(c.state) || c.state == State::syn_received) send_reset(c, now);
  release(id.index);
}

// --- the end of a turn ---

// Copies what still lies in received frames behind the receive queue.
void Tcp::settle(Connection& c) {
  for (uint32_t piece = c.turn_head; piece != none; piece = turn_pieces_[piece].next) {
    ByteView text{turn_pieces_[piece].data, turn_pieces_[piece].length};
    while (!text.empty()) {
      SlotIndex tail = c.receive_queue.tail;
      if (tail == slot_none || records_.room_behind(tail) == 0) {
        // Memory was set aside when the text was taken in (peers_reserve): this cannot fail.
        tail = records_.acquire(Seq(), 0);
        CHECK(tail != slot_none);
        records_.push_back(c.receive_queue, tail);
      }
      const size_t part = std::min<size_t>(text.size(), records_.room_behind(tail));
      records_.append(tail, text.first(part));
      text = text.subspan(part);
    }
  }
  c.turn_head = none;
  c.turn_tail = none;
}

void Tcp::end_reading() {
  for (uint32_t i = 0; i < turn_connection_count_; ++i) {
    const uint32_t index = turn_connections_[i];
    if (connections_.live_at(index)) settle(at(index));
  }
  turn_connection_count_ = 0;
  turn_piece_count_ = 0;
}

// --- invariants ---

uint32_t Tcp::slots_held() const {
  uint32_t held = 0;
  for (uint32_t i = 0; i < connections_.capacity(); ++i) {
    if (!connections_.live_at(i)) continue;
    const Connection& c = connections_.at(i);
    held += c.send_queue.count + c.receive_queue.count + c.out_of_order.count;
  }
  return held;
}

void Tcp::check_invariants() const {
  for (uint32_t i = 0; i < connections_.capacity(); ++i) {
    if (!connections_.live_at(i)) continue;
    const Connection& c = connections_.at(i);
    if (c.state == State::closed) continue;
    CHECK(c.snd_una <= c.snd_nxt && c.snd_nxt <= c.snd_max);
    Seq expected = c.snd_una == c.iss ? c.iss + 1 : c.snd_una;
    for (SlotIndex slot = c.send_queue.head; slot != slot_none; slot = records_[slot].next) {
      CHECK(records_[slot].seq == expected && records_[slot].length > 0);
      expected = records_[slot].end();
    }
    if (!c.send_queue.empty()) CHECK(expected == c.send_end);
    CHECK(c.out_of_order.count <= out_of_order_slots_max);
    Seq behind = c.rcv_nxt;
    for (SlotIndex slot = c.out_of_order.head; slot != slot_none; slot = records_[slot].next) {
      CHECK(records_[slot].seq >= behind && records_[slot].length > 0);
      behind = records_[slot].end();
    }
    // Whoever waits for the peer has a deadline (no connection outlives its timers).
    const bool owes = c.snd_una != c.snd_max || c.syn_to_send;
    if (owes && !egress_links_.linked(i)) CHECK(wheel_.is_armed(i));
  }
}

}  // namespace millrace::tcp

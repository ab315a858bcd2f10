// Records, lists and the calls of the proxy. Segments in: input.cc; out: output.cc; time:
// timers.cc.
#include "dataplane/tcp/tcp.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace millrace::tcp {
namespace {

// Ephemeral ports, the range Linux uses by default (RFC 6056 asks for as wide as possible; the
// lower end stays clear of registered services).
constexpr uint16_t ephemeral_port_min = 32'768;
constexpr uint16_t ephemeral_port_max = 60'999;
constexpr uint32_t ephemeral_tries_max = 64;
// Resets for segments that belong to nothing, for each of the limiter's groups of peers (T10, T40).
constexpr uint32_t resets_per_second_min = 64;

uint32_t transfers_for(const Limits& limits) {
  if (limits.transfers != 0) return limits.transfers;
  return busy_among(limits.connections);
}

uint32_t repairs_for(const Limits& limits) {
  return limits.repairs != 0 ? limits.repairs : std::min(transfers_for(limits), repairs_max);
}

}  // namespace

Tcp::Tcp(const Limits& limits, const Keys& keys, packet::Arena& arena, net::IpOutput& output,
         Counters& counters, Instant start)
    : limits_(limits),
      aliases_(output.ipv6() == nullptr ? nullptr : &output.ipv6()->aliases),
      isn_key_(keys.isn),
      cookies_(HashKey{siphash24(keys.isn, 0, 1), siphash24(keys.isn, 0, 2)}, aliases_),
      random_(keys.random_seed),
      reset_limiter_(resets_per_second_min, random_.next()),
      path_mtus_(HashKey{random_.next(), random_.next()}),
      arena_(arena),
      output_(output),
      counters_(counters),
      records_(arena),
      connections_(limits.connections),
      transfers_(transfers_for(limits)),
      board_pages_(ScoreboardPages::count_for(arena.capacity(), repairs_for(limits))),
      repairs_(repairs_for(limits)),
      reassemblies_(repairs_for(limits)),
      flows_(limits.connections, keys.flow),
      time_wait_(limits.time_wait, keys.flow, aliases_),
      wheel_(limits.connections, start),
      listeners_(std::make_unique<SocketAddress[]>(limits.listeners)),
      // An eighth of the arena answers peers even when their text fills the rest.
      reserve_control_(std::max(16U, arena.capacity() / 8)),
      ready_links_(limits.connections),
      egress_links_(transfers_.capacity()),
      starved_links_(transfers_.capacity()),
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
  const uint64_t addresses = word_of_addresses(flow, aliases_);
  const uint64_t ports = uint64_t{flow.local.port} << 16 | flow.remote.port;
  const uint64_t clock_4us = now.since_origin_ns() / 4'000;
  return Seq(static_cast<uint32_t>(clock_4us + siphash24(isn_key_, addresses, ports)));
}

// It hides our uptime and differs between connections (RFC 7323 section 5.4, T13); the same for the
// same flow, so that it goes on where TIME-WAIT or a SYN cookie has left it.
uint32_t Tcp::timestamp_offset_of(const FlowKey& flow) const {
  const uint64_t addresses = word_of_addresses(flow, aliases_);
  const uint64_t ports = uint64_t{flow.local.port} << 16 | flow.remote.port;
  return static_cast<uint32_t>(siphash13(isn_key_, addresses, ports));
}

uint32_t Tcp::find_flow(const FlowKey& flow, uint32_t hash) const {
  return flows_.find(hash, [&](uint32_t index) { return connections_.at(index).flow == flow; });
}

// A visitor gets an alias of its own, and with it another place in the flow table.
bool Tcp::hold_peer(Connection& c, uint32_t* hash) {
  const auto alias = aliases_->hold(c.flow.remote.address);
  if (!alias) {
    counters_.add(Counter::tcp_connection_table_full);
    return false;
  }
  if (*alias == c.flow.remote.address) return true;
  c.flow.remote.address = *alias;
  *hash = flows_.hash(c.flow);
  return true;
}

size_t Tcp::write_address(Ipv4Address address, char* out) const {
  return is_ipv6(address) ? aliases_->address(address).write_text(out) : address.write_text(out);
}

uint64_t Tcp::path_mtu_key(Ipv4Address peer) const {
  return net::is_ipv6_alias(peer) ? aliases_->hash_of(peer) : peer.host_order();
}

uint32_t Tcp::open_record(const FlowKey& flow, uint32_t hash, const net::Path& path) {
  const ConnId id = connections_.acquire();
  if (!id) {
    counters_.add(Counter::tcp_connection_table_full);
    return none;
  }
  Connection& c = connections_[id];
  if (!engage(id.index, c, 0)) {
    connections_.release(id);
    return none;
  }
  c.flow = flow;
  if (net::is_ipv6_alias(flow.remote.address) && !hold_peer(c, &hash)) {
    drop_transfer(c);
    wheel_.cancel(id.index);
    connections_.release(id);
    return none;
  }
  c.path = path;
  c.receive_slots_budget = static_cast<uint16_t>(limits_.receive_slots_initial);
  c.timestamp_offset = timestamp_offset_of(flow);
  flows_.insert(hash, id.index);
  return id.index;
}

void Tcp::release(uint32_t index) {
  Connection& c = at(index);
  drop_transfer(c);
  if (c.state == State::syn_received) --half_open_;
  flows_.erase(flows_.hash(c.flow), index);
  wheel_.cancel(index);
  if (ready_links_.linked(index)) ready_links_.remove(ready_, index);
  if (net::is_ipv6_alias(c.flow.remote.address)) aliases_->release(c.flow.remote.address);
  connections_.release(connections_.id_at(index));
}

// The connection ended without the application's doing: its record stays until the application has
// taken notice and closed.
void Tcp::end_connection(uint32_t index, Connection& c) {
  const bool detached = c.transfer != Connection::no_transfer && transfer(c).flags.detached;
  if (detached || (c.state == State::syn_received && c.passive)) {
    release(index);
    return;
  }
  if (c.state == State::syn_received) --half_open_;
  c.state = State::closed;
  c.aborted_by_peer = true;
  if (c.transfer != Connection::no_transfer && transfer(c).flags.keep_sent) {
    close_keeping_sent(c);
  } else {
    drop_transfer(c);
  }
  wheel_.cancel(index);
  notify(index, c, event_aborted);
}

// The text that the application may want back outlives the connection until it has closed.
void Tcp::close_keeping_sent(Connection& c) {
  Transfer& t = transfer(c);
  while (!t.send_queue.empty()) {
    if (records_[t.send_queue.head].seq - records_[t.send_queue.head].offset >= t.kept_from) {
      keep_head(t);
    } else {
      records_.pop_front(t.send_queue);
    }
  }
  t.unsent = slot_none;
  records_.drop_all(t.receive_queue);
  return_reassembly(t);
  return_repair(t);
  t.turn_head = t.turn_tail = none;
  if (egress_links_.linked(c.transfer)) egress_links_.remove(egress_[c.path.port()], c.transfer);
  if (starved_links_.linked(c.transfer)) starved_links_.remove(starved_, c.transfer);
}

void Tcp::enter_time_wait(uint32_t index, Connection& c, Instant now) {
  Transfer& t = transfer(c);
  c.state = State::time_wait;
  c.retransmit_deadline = Tick::never();
  c.life_deadline = Tick::at_or_after(now + time_wait_duration);
  if (t.flags.detached) {
    retire_to_time_wait(index, c, now);
  } else {
    set_timer(index, c);
  }
}

void Tcp::retire_to_time_wait(uint32_t index, Connection& c, Instant now) {
  Transfer& t = transfer(c);
  // An acknowledgment may still be owed (the peer's FIN): it goes out now, the record is gone
  // after.
  if (t.flags.ack_now) emit_bare(c, acknowledgment_seq(c), flag_ack, now);
  TimeWaitRecord record;
  record.set_flow(c.flow);
  record.snd_nxt = t.snd_max;
  record.rcv_nxt = c.rcv_nxt;
  record.ts_recent = c.ts_recent;
  record.timestamps = c.timestamps;
  record.window_scaling = c.window_scaling;
  record.window = window_to_announce(c);
  // The peer's alias goes over from one record to the other.
  const bool evicted = time_wait_.add(record, now);
  release(index);
  if (evicted) counters_.add(Counter::tcp_time_wait_evicted);
}

void Tcp::notify(uint32_t index, Connection& c, uint8_t events) {
  if (c.transfer != Connection::no_transfer && transfer(c).flags.detached) return;
  c.events |= events;
  if (!ready_links_.linked(index)) ready_links_.push_back(ready_, index);
}

void Tcp::queue_egress(Connection& c) {
  if (!egress_links_.linked(c.transfer))
    egress_links_.push_back(egress_[c.path.port()], c.transfer);
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
    const uint32_t hash = flows_.hash(flow);
    if (find_flow(flow, hash) != none) continue;
    if (time_wait_.find(flow, hash) != nullptr) continue;
    const uint32_t index = open_record(flow, hash, *path);
    if (index == none) return {};
    Connection& c = at(index);
    Transfer& t = transfer(c);
    c.owner = owner;
    c.state = State::syn_sent;
    t.iss = initial_sequence_number(flow, now);
    c.snd_una = t.snd_nxt = t.snd_max = t.limited_until = t.iss;
    t.send_end = t.iss + 1;
    t.flags.syn_to_send = true;
    c.timestamps = limits_.features.timestamps;
    c.window_scaling = limits_.features.window_scaling;
    c.ecn = limits_.features.ecn_asked_for;
    c.selective_acknowledgments = limits_.features.selective_acknowledgments;
    queue_egress(c);
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

Tcp::Run Tcp::readable_run(ConnId id) const {
  const Connection& c = connections_[id];
  if (c.transfer == Connection::no_transfer) return {};
  const Transfer& t = transfer(c);
  if (!t.receive_queue.empty()) {
    const SlotIndex slot = t.receive_queue.head;
    return {{records_.data(slot), records_[slot].length}, records_.room_behind(slot)};
  }
  if (t.turn_head == none) return {};
  const TurnPiece& piece = turn_pieces_[t.turn_head];
  return {{piece.data, piece.length}, piece.octets_behind};
}

bool Tcp::is_quiet(ConnId id) const {
  const Connection& c = connections_[id];
  if (c.state != State::established) return false;
  if (c.transfer == Connection::no_transfer) return true;
  const Transfer& t = transfer(c);
  return t.receive_queue.empty() && t.turn_head == none && !t.flags.peer_fin_taken;
}

size_t Tcp::peek(ConnId id, ByteSpan out) {
  const Connection& c = connections_[id];
  if (c.transfer == Connection::no_transfer) return 0;
  const Transfer& t = transfer(c);
  size_t filled = 0;
  const auto take = [&](const uint8_t* data, size_t length) {
    const size_t part = std::min(length, out.size() - filled);
    std::memcpy(out.data() + filled, data, part);
    filled += part;
  };
  for (SlotIndex slot = t.receive_queue.head; slot != slot_none && filled < out.size();
       slot = records_[slot].next) {
    take(records_.data(slot), records_[slot].length);
  }
  for (uint32_t piece = t.turn_head; piece != none && filled < out.size();
       piece = turn_pieces_[piece].next) {
    take(turn_pieces_[piece].data, turn_pieces_[piece].length);
  }
  return filled;
}

bool Tcp::has_more_than(ConnId id, size_t octets) const {
  const Connection& c = *connections_.find(id);
  if (c.transfer == Connection::no_transfer) return false;
  const Transfer& t = transfer(c);
  size_t total = 0;
  for (SlotIndex slot = t.receive_queue.head; slot != slot_none; slot = records_[slot].next) {
    total += records_[slot].length;
    if (total > octets) return true;
  }
  for (uint32_t piece = t.turn_head; piece != none; piece = turn_pieces_[piece].next) {
    total += turn_pieces_[piece].length;
    if (total > octets) return true;
  }
  return false;
}

bool Tcp::at_end(ConnId id) const {
  const Connection& c = *connections_.find(id);
  if (c.transfer == Connection::no_transfer) return false;
  const Transfer& t = transfer(c);
  // A reset drops what was not read: what is missing must not look like the end.
  return t.flags.peer_fin_taken && !c.aborted_by_peer && t.receive_queue.empty() &&
         t.turn_head == none;
}

void Tcp::consume(ConnId id, size_t octets, Instant now) {
  Connection& c = connections_[id];
  // A reset of this turn has dropped the text; the application has not heard of it yet.
  if (c.transfer == Connection::no_transfer || c.aborted_by_peer) return;
  Transfer& t = transfer(c);
  t.received_since_tuning += static_cast<uint32_t>(octets);
  while (octets > 0) {
    if (!t.receive_queue.empty()) {
      SlotRecord& record = records_[t.receive_queue.head];
      const auto part = static_cast<uint16_t>(std::min<size_t>(octets, record.length));
      record.trim_front(part);
      octets -= part;
      if (record.length == 0) records_.pop_front(t.receive_queue);
      continue;
    }
    CHECK(t.turn_head != none);
    TurnPiece& piece = turn_pieces_[t.turn_head];
    const auto part = static_cast<uint32_t>(std::min<size_t>(octets, piece.length));
    piece.data += part;
    piece.length -= part;
    octets -= part;
    if (piece.length == 0) {
      t.turn_head = piece.next;
      if (t.turn_head == none) t.turn_tail = none;
    }
  }
  if (!may_receive_data(c.state)) return;
  // Tuning: a reader that empties half its window within two round trips gets twice the window,
  // while memory lasts.
  const Duration round_trip =
      c.round_trip.has_sample() ? c.round_trip.smoothed() : Duration::milliseconds(10);
  const uint32_t budget_octets = uint32_t{c.receive_slots_budget} * c.send_mss;
  if (now - t.tuned_at > round_trip * 2) {
    t.tuned_at = now;
    t.received_since_tuning = 0;
  } else if (t.received_since_tuning > budget_octets / 2 &&
             c.receive_slots_budget < limits_.receive_slots_max &&
             arena_.free_count() > arena_.capacity() / 2) {
    c.receive_slots_budget =
        static_cast<uint16_t>(std::min(c.receive_slots_budget * 2U, limits_.receive_slots_max));
    t.received_since_tuning = 0;
  }
  t.flags.wants_text = false;
  tell_if_window_opened(c);
}

void Tcp::want_text(ConnId id) {
  Connection& c = connections_[id];
  if (c.transfer == Connection::no_transfer || !may_receive_data(c.state)) return;
  transfer(c).flags.wants_text = true;
  tell_if_window_opened(c);
}

// Receiver-side silly window avoidance (RFC 9293 section 3.8.6.2.2): an opening is announced only
// when it is worth two full segments or half of the window that there may be, which is less where
// memory is short; and a window that is still wide needs no segment of its own: the next one
// carries it.
void Tcp::tell_if_window_opened(Connection& c) {
  const uint32_t promised =
      c.receive_edge > c.rcv_nxt ? octets_between(c.rcv_nxt, c.receive_edge) : 0;
  if (promised >= uint32_t{c.receive_slots_budget} * c.send_mss / 2) return;
  const uint32_t worth_telling =
      std::min(2U * c.send_mss, receive_slots_allowed(c) * c.send_mss / 2);
  // What the scale rounded up once (window_to_announce) is nothing that was promised.
  const uint32_t rounded_up_max = 1U << c.receive_shift;
  if (receive_window(c) + rounded_up_max >= promised + worth_telling) acknowledge_now(c);
}

uint32_t Tcp::send_slots_allowed(const Connection& c) const {
  // Twice what the network takes at once, so that an acknowledgment always finds text to send.
  const uint32_t wanted = 16 + 2 * (std::min(c.congestion.window(), c.snd_wnd_max) / c.send_mss);
  // And no more than a share of what is free (dynamic thresholds: Choudhury and Hahne, 1998): one
  // sender on a long path may have much, many get equal parts, and all are cut before anybody is
  // dropped (T50). What is kept for receiving is not shared out: peers that do not read would have
  // all of it in the end, and then nobody could be heard.
  const uint32_t free = arena_.free_count();
  const uint32_t reserve = receive_reserve();
  const uint32_t share =
      free > reserve ? std::max((free - reserve) / 4, send_slots_min) : send_slots_min_scarce;
  return std::min({wanted, limits_.send_slots_max, share});
}

// Half of a small queue must have come free. A large one may all be in flight, and must not run dry
// while it is filled again.
void Tcp::tell_if_there_is_room(uint32_t index, Connection& c, Transfer& t) {
  constexpr uint32_t slots_worth_telling = 64;
  const uint32_t allowed = send_slots_allowed(c);
  if (t.send_queue.count + std::min(allowed - allowed / 2, slots_worth_telling) > allowed) return;
  t.flags.wants_room = false;
  notify(index, c, event_writable);
}

size_t Tcp::writable(ConnId id) {
  Connection& c = connections_[id];
  if (!may_send_data(c.state) || !engage(id.index, c, 0)) return 0;
  Transfer& t = transfer(c);
  if (t.flags.fin_queued) return 0;
  const size_t room = tail_room(c);
  const uint32_t allowed = send_slots_allowed(c);
  const uint32_t memory =
      arena_.free_count() > peers_reserve() ? arena_.free_count() - peers_reserve() : 0;
  const uint32_t slots =
      allowed > t.send_queue.count ? std::min(allowed - t.send_queue.count, memory) : 0;
  const size_t slot_octets = std::min<size_t>(c.send_mss, packet::payload_bytes_max);
  // What was promised holds for the writes of this turn, even when they bring memory under
  // pressure.
  t.send_slots_promised = t.send_queue.count + slots;
  return room + slots * slot_octets;
}

void Tcp::want_writable(ConnId id) {
  Connection& c = connections_[id];
  if (!engage(id.index, c, 0)) {
    notify(id.index, c, event_writable);  // nothing to remember the wish in: ask again next turn
    return;
  }
  Transfer& t = transfer(c);
  t.flags.wants_room = true;
  // With nothing queued no acknowledgment will come to wake us: it is memory that is short.
  if (t.send_queue.empty() && !starved_links_.linked(c.transfer))
    starved_links_.push_back(starved_, c.transfer);
}

void Tcp::wake_starved() {
  // Less than what text of peers leaves (first_text_reserve), or they could keep writers asleep.
  const uint32_t enough = peers_reserve() + arena_.capacity() / 32;
  for (uint32_t left = starved_.count; left > 0 && arena_.free_count() > enough; --left) {
    Transfer& t = transfers_.at(starved_links_.pop_front(starved_));
    t.flags.wants_room = false;
    notify(t.connection, at(t.connection), event_writable);
  }
}

// Copies bytes behind the send queue: first into the room of the last slot that has not left yet,
// then into fresh ones while the queue has fewer than slots_allowed.
size_t Tcp::append_text(Connection& c, ByteView bytes, uint32_t slots_allowed) {
  Transfer& t = transfer(c);
  const size_t slot_octets = std::min<size_t>(c.send_mss, packet::payload_bytes_max);
  size_t written = 0;
  while (written < bytes.size()) {
    SlotIndex tail = t.send_queue.tail;
    size_t room = tail_room(c);
    if (room == 0) {
      if (t.send_queue.count >= slots_allowed) break;
      tail = records_.acquire(t.send_end, peers_reserve());
      if (tail == slot_none) {
        counters_.add(Counter::tcp_write_out_of_memory);
        break;
      }
      records_.push_back(t.send_queue, tail);
      if (t.unsent == slot_none) t.unsent = tail;
      room = slot_octets;
    }
    const size_t part = std::min(room, bytes.size() - written);
    records_.append_summed(tail, bytes.subspan(written, part));
    t.send_end += static_cast<uint32_t>(part);
    written += part;
  }
  if (written > 0) queue_egress(c);
  return written;
}

size_t Tcp::write(ConnId id, ByteView bytes) {
  Connection& c = connections_[id];
  if (!may_send_data(c.state) || !engage(id.index, c, 0)) return 0;
  Transfer& t = transfer(c);
  if (t.flags.fin_queued) return 0;
  const size_t written =
      append_text(c, bytes, std::max(send_slots_allowed(c), t.send_slots_promised));
  if (written < bytes.size()) want_writable(id);
  return written;
}

bool Tcp::write_whole(ConnId id, ByteView bytes) {
  Connection& c = connections_[id];
  if (!may_send_data(c.state) || !engage(id.index, c, 0)) return false;
  Transfer& t = transfer(c);
  if (t.flags.fin_queued) return false;
  const size_t slot_octets = std::min<size_t>(c.send_mss, packet::payload_bytes_max);
  const size_t slots = (bytes.size() + slot_octets - 1) / slot_octets;
  if (arena_.free_count() < peers_reserve() + slots) {
    counters_.add(Counter::tcp_write_out_of_memory);
    return false;
  }
  const size_t written = append_text(c, bytes, UINT32_MAX);
  CHECK(written == bytes.size());
  return true;
}

Tcp::OpenSlot Tcp::open_slot(ConnId id) {
  Connection& c = connections_[id];
  if (!may_send_data(c.state) || !engage(id.index, c, 0)) return {};
  if (transfer(c).flags.fin_queued || tail_room(c) > 0) return {};
  const SlotIndex slot = arena_.acquire(peers_reserve());
  if (slot == slot_none) return {};
  return {slot, {arena_.payload(slot), packet::payload_bytes_max}};
}

void Tcp::commit_slot(ConnId id, const OpenSlot& open, size_t octets) {
  CHECK(octets > 0 && octets <= open.room.size());
  Connection& c = connections_[id];
  Transfer& t = transfer(c);
  records_.adopt(open.slot, t.send_end, static_cast<uint16_t>(octets));
  records_.push_back(t.send_queue, open.slot);
  if (t.unsent == slot_none) t.unsent = open.slot;
  t.send_end += static_cast<uint32_t>(octets);
  queue_egress(c);
}

// Octets that still fit into the last slot of the send queue: only while it was never sent.
size_t Tcp::tail_room(const Connection& c) const {
  const Transfer& t = transfer(c);
  const SlotIndex tail = t.send_queue.tail;
  if (tail == slot_none || t.unsent == slot_none || arena_.in_port(tail)) return 0;
  const size_t slot_octets = std::min<size_t>(c.send_mss, packet::payload_bytes_max);
  const SlotRecord& record = records_[tail];
  if (record.seq < t.snd_max || record.length >= slot_octets) return 0;
  return std::min<size_t>(slot_octets - record.length, records_.room_behind(tail));
}

ConnId Tcp::standing_at(uint32_t index, uint32_t owner) const {
  if (index >= connections_.capacity() || !connections_.live_at(index)) return {};
  const Connection& c = connections_.at(index);
  if (c.state != State::established || c.owner != owner) return {};
  return connections_.id_at(index);
}

void Tcp::shutdown(ConnId id, Instant now) {
  Connection& c = connections_[id];
  if (!may_send_data(c.state)) return;
  if (!engage(id.index, c, 0)) {
    // Without a record no FIN can be watched over: the end is a reset.
    send_reset(c, now);
    end_connection(id.index, c);
    return;
  }
  Transfer& t = transfer(c);
  if (t.flags.fin_queued) return;
  t.flags.fin_queued = true;
  t.fin_seq = t.send_end;
  t.flags.wants_room = false;
  // RFC 9293 section 3.10.4: the state changes when the FIN is queued behind what is to be sent.
  if (c.state == State::established) {
    c.state = State::fin_wait_1;
  } else if (c.state == State::close_wait) {
    c.state = State::last_ack;
  }
  queue_egress(c);
}

void Tcp::close(ConnId id, Instant now) {
  Connection& c = connections_[id];
  const uint32_t index = id.index;
  if (c.state == State::closed || c.state == State::syn_sent) {
    release(index);
    return;
  }
  if (!engage(index, c, 0)) {
    abort(id, now);
    return;
  }
  Transfer& t = transfer(c);
  if (c.state == State::time_wait) {
    t.flags.detached = true;
    retire_to_time_wait(index, c, now);
    return;
  }
  // Text the application never read is lost to it: the peer must hear of that (section 3.6.1).
  if (!t.receive_queue.empty() || t.turn_head != none) {
    counters_.add(Counter::tcp_reset_unread_text);
    abort(id, now);
    return;
  }
  shutdown(id, now);
  t.flags.detached = true;
  t.orphaned_at = Tick::at_or_after(now);
  c.events = 0;
  if (ready_links_.linked(index)) ready_links_.remove(ready_, index);
  if (starved_links_.linked(c.transfer)) starved_links_.remove(starved_, c.transfer);
  watch_orphan(c, now);
  set_timer(index, c);
}

void Tcp::abort(ConnId id, Instant now) {
  Connection& c = connections_[id];
  if (c.state == State::time_wait) {  // the wait goes on: it protects the next connection
    transfer(c).flags.detached = true;
    retire_to_time_wait(id.index, c, now);
    return;
  }
  // Section 3.10.5: where both sides have said their FIN there is nothing to break off, unless text
  // was not read (section 3.6.1).
  const bool both_ended = (c.state == State::closing || c.state == State::last_ack) &&
                          transfer(c).flags.fin_sent && transfer(c).receive_queue.empty() &&
                          transfer(c).turn_head == none;
  const bool stands = is_synchronized(c.state) || c.state == State::syn_received;
  if (stands && !both_ended) send_reset(c, now);
  release(id.index);
}

// --- the end of a turn ---

// Copies what still lies in received frames behind the receive queue.
void Tcp::settle(Connection& c) {
  Transfer& t = transfer(c);
  for (uint32_t piece = t.turn_head; piece != none; piece = turn_pieces_[piece].next) {
    ByteView text{turn_pieces_[piece].data, turn_pieces_[piece].length};
    while (!text.empty()) {
      SlotIndex tail = t.receive_queue.tail;
      if (tail == slot_none || records_.room_behind(tail) == 0) {
        // Memory was set aside when the text was taken in (peers_reserve): this cannot fail.
        tail = records_.acquire(Seq(), 0);
        CHECK(tail != slot_none);
        records_.push_back(t.receive_queue, tail);
      }
      const size_t part = std::min<size_t>(text.size(), records_.room_behind(tail));
      records_.append(tail, text.first(part));
      text = text.subspan(part);
    }
  }
  t.turn_head = none;
  t.turn_tail = none;
}

void Tcp::end_reading() {
  for (uint32_t i = 0; i < turn_connection_count_; ++i) {
    const uint32_t index = turn_connections_[i];
    if (connections_.live_at(index) && at(index).transfer != Connection::no_transfer)
      settle(at(index));
  }
  turn_connection_count_ = 0;
  turn_piece_count_ = 0;
}

// --- invariants ---

uint32_t Tcp::slots_held() const {
  uint32_t held = 0;
  for (uint32_t i = 0; i < transfers_.capacity(); ++i) {
    if (!transfers_.live_at(i)) continue;
    const Transfer& t = transfers_.at(i);
    held += t.send_queue.count + t.receive_queue.count + t.kept.count;
    if (t.reassembly != none) held += reassemblies_.at(t.reassembly).slot_count();
  }
  return held;
}

void Tcp::check_invariants() const {
  uint32_t board_pages = 0;
  for (uint32_t i = 0; i < connections_.capacity(); ++i) {
    if (!connections_.live_at(i)) continue;
    const Connection& c = connections_.at(i);
    if (c.transfer == Connection::no_transfer) {
      CHECK(c.state == State::established || c.state == State::closed);
      continue;
    }
    const Transfer& t = transfer(c);
    CHECK(transfers_.live_at(c.transfer) && t.connection == i);
    if (c.state == State::closed) continue;
    CHECK(c.snd_una <= t.snd_nxt && t.snd_nxt <= t.snd_max);
    Seq expected = c.snd_una == t.iss ? t.iss + 1 : c.snd_una;
    for (SlotIndex slot = t.send_queue.head; slot != slot_none; slot = records_[slot].next) {
      CHECK(records_[slot].seq == expected && records_[slot].length > 0);
      expected = records_[slot].end();
    }
    if (!t.send_queue.empty()) CHECK(expected == t.send_end);
    if (t.repair != none) {
      const Repair& r = repairs_.at(t.repair);
      CHECK(repairs_.live_at(t.repair) && r.connection == c.transfer);
      CHECK(r.board.count() == 0 || r.board.slot(r.board.front()) == t.send_queue.head);
      CHECK(t.unsent == slot_none || records_[t.unsent].seq >= t.snd_max);
      r.board.check(records_);
      board_pages += r.board.page_count();
    }
    if (t.reassembly != none) {
      const Reassembly& reassembly = reassemblies_.at(t.reassembly);
      CHECK(reassemblies_.live_at(t.reassembly) && reassembly.connection == c.transfer);
      CHECK(!reassembly.empty() && reassembly.range(0).begin > c.rcv_nxt);
      reassembly.check(records_);
    }
    // Whoever waits for the peer has a deadline (no connection outlives its timers).
    const bool owes = c.snd_una != t.snd_max || t.flags.syn_to_send;
    if (owes && !egress_links_.linked(c.transfer)) CHECK(wheel_.is_armed(i));
  }
  CHECK(board_pages == board_pages_.in_use());
  if (aliases_ == nullptr) return;
  uint32_t ipv6_peers = time_wait_.ipv6_count();
  for (uint32_t i = 0; i < connections_.capacity(); ++i) {
    if (!connections_.live_at(i)) continue;
    ipv6_peers += net::is_ipv6_alias(connections_.at(i).flow.remote.address) ? 1 : 0;
  }
  // Neighbors and the configuration hold the others.
  CHECK(aliases_->reference_count() == ipv6_peers + output_.alias_references());
}

}  // namespace millrace::tcp

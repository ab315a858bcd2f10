// Segments out. Egress is pulled: a port with room asks, connections answer in turn, a few segments
// each, so that one bulk transfer does not stand before a thousand small answers.
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "dataplane/net/checksum.h"
#include "dataplane/tcp/tcp.h"

namespace millrace::tcp {
namespace {

constexpr uint32_t segments_per_turn = 8;

// A connection at rest for so long that the circle of ticks has come half round reads as one that
// sends in the future: that is longer than any timeout.
bool idle_longer_than(Tick last_sent, Duration span, Instant now) {
  if (last_sent.is_never()) return false;
  const Duration idle = last_sent.until(Tick::at_or_before(now));
  return idle > span || idle < Duration();
}

}  // namespace

void Tcp::egress(uint8_t port, Instant now) {
  IndexList& list = egress_[port];
  // Whoever is put back during this call waits for the next round: every connection gets its turn.
  while (!list.empty() && output_.room(port) > 0) {
    const uint32_t transfer_index = egress_links_.pop_front(list);
    Transfer& t = transfers_.at(transfer_index);
    const uint32_t index = t.connection;
    Connection& c = at(index);
    t.send_slots_promised = 0;
    Sent last = Sent::segment;
    for (uint32_t sent = 0;
         last == Sent::segment && sent < segments_per_turn && output_.room(port) > 0; ++sent) {
      last = emit_next(c, now);
    }
    if (last != Sent::nothing) queue_egress(c);
    start_retransmit_timer(c, t, now);
    set_timer(index, c);
    if (last == Sent::out_of_memory) {
      // Slots come back with the port's completions: try again next turn.
      counters_.add(Counter::tcp_egress_out_of_memory);
      return;
    }
  }
}

// What goes before text in order: handshakes, reports of gaps, repairs. Sets *is_last when nothing
// else may follow in this turn.
Tcp::Sent Tcp::emit_urgent(Connection& c, Instant now, bool* is_last) {
  Transfer& t = transfer(c);
  if (t.flags.syn_to_send) return emit_syn(c, now);
  if (!is_synchronized(c.state)) {
    const bool challenge = c.state == State::syn_received && t.flags.ack_now;
    return challenge ? emit_bare(c, t.snd_nxt, flag_ack, now) : Sent::nothing;
  }
  if (t.flags.ack_now && has_blocks_to_report(t)) return emit_ack(c, now);
  if (t.flags.retransmit_head) {
    const Sent sent = resend_head(c, now);
    if (sent != Sent::out_of_memory) t.flags.retransmit_head = false;
    if (sent != Sent::nothing) return sent;
  }
  if (t.flags.probe_loss) {
    const Sent sent = emit_probe(c, now);
    if (sent != Sent::out_of_memory) t.flags.probe_loss = false;
    if (sent != Sent::nothing) return sent;
  }
  // What is lost goes before what is new.
  if (has_losses(t)) {
    const Sent sent = resend_lost(c, now);
    if (sent != Sent::nothing) return sent;
    return t.flags.ack_now ? emit_ack(c, now) : Sent::nothing;
  }
  *is_last = false;
  return Sent::nothing;
}

// One segment: what is most urgent.
Tcp::Sent Tcp::emit_next(Connection& c, Instant now) {
  Transfer& t = transfer(c);
  Transfer::Flags urgent;
  urgent.syn_to_send = urgent.retransmit_head = urgent.probe_loss = true;
  urgent.duplicate_to_report = true;
  if (t.flags.has_any_of(urgent) || (t.repair & t.reassembly) != none ||
      !is_synchronized(c.state)) {
    bool is_last = true;
    const Sent sent = emit_urgent(c, now, &is_last);
    if (sent != Sent::nothing || is_last) return sent;
  }
  // RFC 5681 section 4.1: a window that was not used for a timeout is no longer known to be right.
  if (t.unsent != slot_none && c.snd_una == t.snd_max &&
      idle_longer_than(c.last_sent, c.round_trip.timeout(0), now)) {
    c.congestion.restart_after_idle(c.send_mss);
  }
  const SlotIndex slot = next_text(c);
  if (slot != slot_none) return emit_text(c, slot, now);
  if (t.fin_is_due() && fin_fits(c, t)) {
    t.flags.probe_window = false;
    return emit_bare(c, t.fin_seq, flag_fin | flag_ack, now);
  }
  return t.flags.ack_now ? emit_ack(c, now) : Sent::nothing;
}

// The FIN takes a place in the peer's window as an octet of text does; what was said once may be
// said again, and the persist timer's word goes anyway.
bool Tcp::fin_fits(const Connection& c, const Transfer& t) {
  return octets_between(c.snd_una, t.fin_seq) < c.snd_wnd || t.fin_seq < t.snd_max ||
         t.flags.probe_window;
}

bool Tcp::has_losses(const Transfer& t) const {
  return t.repair != none && repairs_.at(t.repair).board.lost_octets() > 0;
}

// The lost segment with the lowest sequence number, if the window lets it go.
Tcp::Sent Tcp::resend_lost(Connection& c, Instant now) {
  Transfer& t = transfer(c);
  Repair& r = repairs_.at(t.repair);
  const SlotIndex slot = r.board.slot(r.board.first_lost());
  if (!cut_to_mss(c, slot)) {
    if (t.repair != none) return Sent::out_of_memory;
    // The board is given up; in order it goes on at once, and nobody else waits for it.
    queue_egress(c);
    return Sent::nothing;
  }
  const uint32_t in_flight = pipe(c, t);
  if (in_flight > 0 && in_flight + records_[slot].length > c.congestion.window())
    return Sent::nothing;
  return emit_text(c, slot, now);
}

// False when memory is short.
bool Tcp::cut_to_mss(Connection& c, SlotIndex slot) {
  return records_[slot].length <= c.send_mss || split(c, slot, c.send_mss);
}

// The first unacknowledged segment once more (fast retransmission).
Tcp::Sent Tcp::resend_head(Connection& c, Instant now) {
  Transfer& t = transfer(c);
  if (c.snd_una >= t.snd_nxt) return Sent::nothing;
  if (!t.send_queue.empty() && t.send_queue.head != t.unsent) {
    if (!cut_to_mss(c, t.send_queue.head)) return Sent::out_of_memory;
    return emit_text(c, t.send_queue.head, now);
  }
  return t.flags.fin_sent ? emit_bare(c, t.fin_seq, flag_fin | flag_ack, now) : Sent::nothing;
}

// The next unsent slot if the windows let it go, cut to what they let go; slot_none otherwise.
SlotIndex Tcp::next_text(Connection& c) {
  Transfer& t = transfer(c);
  const SlotIndex slot = t.unsent;
  if (slot == slot_none) return slot_none;
  if (t.repair != none && repairs_.at(t.repair).board.full()) return slot_none;
  // Text written before the handshake was cut for a larger MSS than was agreed on.
  if (!cut_to_mss(c, slot)) return slot_none;
  const uint32_t length = records_[slot].length;
  uint32_t congestion_window = c.congestion.window();
  // RFC 3042: the first two duplicate ACKs each let one new segment go.
  if (!t.flags.in_recovery && t.duplicate_acks > 0 && t.duplicate_acks < 3)
    congestion_window += t.duplicate_acks * c.send_mss;
  const uint32_t flight = octets_between(c.snd_una, t.snd_nxt);
  if (flight > 0 && pipe(c, t) + length > congestion_window) {
    t.limited_until = t.snd_nxt;
    return slot_none;
  }
  // Nagle's algorithm (RFC 9293 section 3.7.4).
  if (c.nagle && length < c.send_mss && c.snd_una != t.snd_max && !t.flags.fin_queued &&
      records_[slot].next == slot_none)
    return slot_none;
  const uint32_t usable = c.snd_wnd > flight ? c.snd_wnd - flight : 0;
  if (usable < c.send_mss) return next_of_small_window(c, slot, usable);
  t.flags.probe_window = false;
  return slot;
}

// Sender-side silly window avoidance (RFC 9293 section 3.8.6.2.1): the window is too small for a
// full segment. All that waits may leave if it fits (case 2), and as much as fits if that is half
// of the largest window seen (case 3), or when the persist timer says so (case 4).
SlotIndex Tcp::next_of_small_window(Connection& c, SlotIndex slot, uint32_t usable) {
  Transfer& t = transfer(c);
  const bool idle = c.snd_una == t.snd_nxt;
  const bool again = records_[slot].seq < t.snd_max;
  const uint32_t waiting =
      again ? records_[slot].length : octets_between(records_[slot].seq, t.send_end);
  if (waiting > usable) {
    // With something in flight an acknowledgment will come and say more.
    const bool worth_it = usable > 0 && usable >= c.snd_wnd_max / 2 && (idle || !c.nagle);
    if (!worth_it && !(idle && t.flags.probe_window)) return slot_none;
    // Section 3.8.6.1: at least one octet probes a zero window.
    const uint32_t octets = std::max(usable, 1U);
    fill_up(c, slot, octets);
    if (octets < records_[slot].length && !split(c, slot, octets)) return slot_none;
  }
  t.flags.probe_window = false;
  return slot;
}

// Moves text of the slots behind into the room of slot, up to `octets` in all, while none of it was
// sent: what a window has cut in two leaves in one segment when the window has become larger.
void Tcp::fill_up(Connection& c, SlotIndex slot, uint32_t octets) {
  Transfer& t = transfer(c);
  SlotRecord& record = records_[slot];
  // What may be wanted back stays where it was written.
  if (t.flags.keep_sent) return;
  if (record.seq < t.snd_max || t.repair != none || arena_.in_port(slot)) return;
  const uint32_t most = std::min({octets, uint32_t{c.send_mss}, packet::payload_bytes_max});
  while (record.length < most && record.next != slot_none) {
    const SlotIndex behind = record.next;
    if (arena_.in_port(behind)) return;
    const uint32_t part = std::min(
        {most - record.length, uint32_t{records_[behind].length}, records_.room_behind(slot)});
    if (part == 0) return;
    records_.append_summed(slot, ByteView{records_.data(behind), part});
    records_[behind].trim_front(static_cast<uint16_t>(part));
    if (records_[behind].length == 0) records_.drop_after(t.send_queue, slot);
  }
}

// Leaves the first `octets` in slot and puts the rest into a slot behind it. False when memory is
// short, or when it stands on a board without a place for one more: then the board is given up, and
// what is in flight goes again in order.
bool Tcp::split(Connection& c, SlotIndex slot, uint32_t octets) {
  Transfer& t = transfer(c);
  const bool on_board = t.repair != none && records_[slot].seq < t.snd_max;
  if (on_board && repairs_.at(t.repair).board.full()) {
    give_up_repair(c, t);
    return false;
  }
  const SlotIndex rest = records_.acquire(records_[slot].seq + octets, turn_piece_count_);
  if (rest == slot_none) return false;
  SlotRecord& record = records_[slot];
  records_.append_summed(rest, ByteView{records_.data(slot) + octets, record.length - octets});
  record.cut_to(static_cast<uint16_t>(octets));
  records_[rest].sent_at = record.sent_at;
  records_[rest].retransmitted = record.retransmitted;
  records_.insert_after(t.send_queue, slot, rest);
  if (on_board) {
    Scoreboard& board = repairs_.at(t.repair).board;
    board.split(board.find(records_, record.seq), rest);
  }
  return true;
}

// Of the send queue, of which slot is not the head. A board knows; without one a walk does, and
// then little is sent again that is not at the head.
SlotIndex Tcp::slot_before(const Transfer& t, SlotIndex slot) const {
  if (t.repair != none && records_[slot].seq < t.snd_max) {
    const Scoreboard& board = repairs_.at(t.repair).board;
    return board.slot(board.previous(board.find(records_, records_[slot].seq)));
  }
  SlotIndex previous = t.send_queue.head;
  while (records_[previous].next != slot) previous = records_[previous].next;
  return previous;
}

// A slot whose bytes a port is still reading must not be written to, and sending again writes a
// header: then the text moves to a fresh slot in the same place of the queue.
SlotIndex Tcp::resendable(Connection& c, SlotIndex slot) {
  Transfer& t = transfer(c);
  // What was acknowledged of it is lost for peek_sent(): the header is written over it, or the copy
  // begins behind it.
  if (records_[slot].offset > 0) t.kept_is_whole = false;
  if (!arena_.in_port(slot)) return slot;
  const SlotIndex copy = records_.acquire(records_[slot].seq, turn_piece_count_);
  if (copy == slot_none) return slot_none;
  const SlotRecord old = records_[slot];
  records_.append_summed(copy, ByteView{records_.data(slot), old.length});
  SlotRecord& record = records_[copy];
  record.next = old.next;
  record.retransmitted = old.retransmitted;
  record.sent_at = old.sent_at;
  if (t.send_queue.head == slot) {
    t.send_queue.head = copy;
  } else {
    records_[slot_before(t, slot)].next = copy;
  }
  if (t.send_queue.tail == slot) t.send_queue.tail = copy;
  if (t.unsent == slot) t.unsent = copy;
  if (t.repair != none && record.seq < t.snd_max) {
    Scoreboard& board = repairs_.at(t.repair).board;
    board.replace(board.find(records_, record.seq), copy);
  }
  arena_.drop(slot);
  return copy;
}

Tcp::Sent Tcp::emit_text(Connection& c, SlotIndex wanted, Instant now) {
  Transfer& t = transfer(c);
  const SlotIndex slot = resendable(c, wanted);
  if (slot == slot_none) return Sent::out_of_memory;
  SlotRecord& record = records_[slot];
  const Seq end = record.end();
  uint8_t flags = flag_ack;
  if (record.next == slot_none) flags |= flag_psh;
  const bool carries_fin = t.flags.fin_queued && end == t.fin_seq && fin_fits(c, t);
  if (carries_fin) flags |= flag_fin;
  const uint32_t header = plain_header_bytes(c.timestamps);
  const packet::TransmitFrame frame{
      slot, static_cast<uint16_t>(packet::headroom_bytes + record.offset - header),
      static_cast<uint16_t>(header + record.length)};
  const uint64_t header_sum =
      write_header_for(c, arena_.slot_data(slot) + frame.offset, record.seq, flags, now);

  const bool again = record.seq < t.snd_max;
  if (again) {
    record.retransmitted = true;
    ++t.retransmits;
    counters_.add(Counter::tcp_segments_retransmitted);
  }
  record.sent_at = now;
  if (t.repair != none) note_sent_in_repair(c, t, slot, again);
  if (slot == t.unsent) {
    t.unsent = record.next;
    t.snd_nxt = end;
  }
  if (carries_fin) {
    t.flags.fin_sent = true;
    if (t.snd_nxt == t.fin_seq) t.snd_nxt += 1;
  }
  t.snd_max = seq_max(t.snd_max, t.snd_nxt);
  note_ack_sent(c);
  finish_segment(c, frame, records_.text_sum(slot), header_sum, now);
  if (c.ecn) mark_text(c, t, slot, frame);
  return Sent::segment;
}

// A segment without text: an acknowledgment, or a FIN.
Tcp::Sent Tcp::emit_bare(Connection& c, Seq seq, uint8_t flags, Instant now) {
  Transfer& t = transfer(c);
  const SlotIndex slot = arena_.acquire(turn_piece_count_);
  if (slot == slot_none) return Sent::out_of_memory;
  if (c.echo_congestion != 0) flags |= flag_ece;
  const uint32_t header = plain_header_bytes(c.timestamps);
  const packet::TransmitFrame frame{slot, static_cast<uint16_t>(packet::headroom_bytes - header),
                                    static_cast<uint16_t>(header)};
  const uint64_t header_sum =
      write_header_for(c, arena_.slot_data(slot) + frame.offset, seq, flags, now);
  if ((flags & flag_fin) != 0) {
    if (seq < t.snd_max) ++t.retransmits;
    t.flags.fin_sent = true;
    if (t.snd_nxt == seq) t.snd_nxt += 1;
    t.snd_max = seq_max(t.snd_max, t.snd_nxt);
  }
  note_ack_sent(c);
  finish_segment(c, frame, {}, header_sum, now);
  arena_.drop(slot);
  return Sent::segment;
}

Tcp::Sent Tcp::emit_syn(Connection& c, Instant now) {
  Transfer& t = transfer(c);
  const SlotIndex slot = arena_.acquire(turn_piece_count_);
  if (slot == slot_none) return Sent::out_of_memory;
  const bool answer = c.state == State::syn_received;
  HeaderFields fields;
  fields.source_port = c.flow.local.port;
  fields.destination_port = c.flow.remote.port;
  fields.seq = t.iss;
  fields.flags = answer ? (flag_syn | flag_ack) : flag_syn;
  const bool repeated = t.snd_max != t.iss;
  // RFC 3168 section 6.1.1.1: a SYN that got no answer may have been lost because it asked.
  if (repeated && !answer) c.ecn = false;
  if (c.ecn) fields.flags |= answer ? flag_ece : flag_ece | flag_cwr;
  if (answer) fields.ack = c.rcv_nxt;
  uint32_t window = std::min(receive_window(c), 65'535U);
  if (answer) {
    // What a challenge ACK has promised before it stays promised (section 3.8.6).
    c.receive_edge = seq_max(c.receive_edge, c.rcv_nxt + window);
    window = std::min(octets_between(c.rcv_nxt, c.receive_edge), 65'535U);
  }
  fields.window = static_cast<uint16_t>(window);
  fields.options.has_mss = true;
  fields.options.mss = static_cast<uint16_t>(
      output_.mtu(c.path.port()) - net::ip_header_bytes(c.flow.remote.address) - header_bytes_min);
  fields.options.has_window_scale = c.window_scaling;
  if (!answer) {
    c.send_mss =
        static_cast<uint16_t>(fields.options.mss - (c.timestamps ? timestamps_option_bytes : 0));
    c.receive_shift = receive_shift_for(c.window_scaling) & 0xf;
  }
  fields.options.window_scale = c.receive_shift;
  fields.options.sack_permitted = c.selective_acknowledgments;
  fields.options.has_timestamps = c.timestamps;
  fields.options.timestamp_value = timestamp(c, now);
  fields.options.timestamp_echo = answer ? c.ts_recent : 0;
  const uint32_t header = header_bytes(fields.options);
  const packet::TransmitFrame frame{slot, static_cast<uint16_t>(packet::headroom_bytes - header),
                                    static_cast<uint16_t>(header)};
  write_header(arena_.slot_data(slot) + frame.offset, fields);
  t.flags.syn_to_send = false;
  t.syn_repeated = repeated;
  t.syn_sent_at = now;
  t.flags.ack_now = false;
  t.snd_nxt = t.iss + 1;
  t.snd_max = seq_max(t.snd_max, t.snd_nxt);
  finish_segment(c, frame, net::sum_of({arena_.slot_data(slot) + frame.offset, header}), 0, now);
  arena_.drop(slot);
  return Sent::segment;
}

bool Tcp::has_blocks_to_report(const Transfer& t) const {
  return t.reassembly != none || t.flags.duplicate_to_report;
}

Tcp::Sent Tcp::emit_ack(Connection& c, Instant now) {
  const bool blocks = c.selective_acknowledgments && has_blocks_to_report(transfer(c));
  return blocks ? emit_selective_ack(c, now) : emit_bare(c, acknowledgment_seq(c), flag_ack, now);
}

// An acknowledgment that says what has arrived behind a gap (RFC 2018 section 4), and first what
// has arrived twice (RFC 2883 section 4). Segments with text carry no blocks, so that they need not
// be smaller; this one goes before them.
Tcp::Sent Tcp::emit_selective_ack(Connection& c, Instant now) {
  Transfer& t = transfer(c);
  const SlotIndex slot = arena_.acquire(turn_piece_count_);
  if (slot == slot_none) return Sent::out_of_memory;
  HeaderFields fields;
  fields.source_port = c.flow.local.port;
  fields.destination_port = c.flow.remote.port;
  fields.seq = acknowledgment_seq(c);
  fields.ack = c.rcv_nxt;
  fields.flags = flag_ack;
  if (c.echo_congestion != 0) fields.flags |= flag_ece;
  fields.window = window_to_announce(c);
  Options& options = fields.options;
  options.has_timestamps = c.timestamps;
  options.timestamp_value = timestamp(c, now);
  options.timestamp_echo = c.ts_recent;
  const size_t room = c.timestamps ? sack_blocks_max - 1 : sack_blocks_max;
  size_t count = 0;
  if (t.flags.duplicate_to_report) options.sack[count++] = t.duplicate;
  if (t.reassembly != none) {
    std::array<SackBlock, sack_blocks_max> blocks;
    const size_t found = reassemblies_.at(t.reassembly).write_sack(blocks, room - count);
    std::copy(blocks.begin(), blocks.begin() + found, options.sack.begin() + count);
    count += found;
  }
  options.sack_count = static_cast<uint8_t>(count);
  const uint32_t header = header_bytes(options);
  const packet::TransmitFrame frame{slot, static_cast<uint16_t>(packet::headroom_bytes - header),
                                    static_cast<uint16_t>(header)};
  write_header(arena_.slot_data(slot) + frame.offset, fields);
  note_ack_sent(c);
  finish_segment(c, frame, net::sum_of({arena_.slot_data(slot) + frame.offset, header}), 0, now);
  arena_.drop(slot);
  return Sent::segment;
}

// Returns the header's sum as write_plain_header() does.
uint64_t Tcp::write_header_for(Connection& c, uint8_t* at, Seq seq, uint8_t flags, Instant now) {
  const PlainHeader header{c.flow.local.port,     c.flow.remote.port, seq,        c.rcv_nxt, flags,
                           window_to_announce(c), timestamp(c, now),  c.ts_recent};
  return write_plain_header(at, header, c.timestamps);
}

void Tcp::note_ack_sent(Connection& c) {
  Transfer& t = transfer(c);
  t.flags.ack_now = false;
  t.flags.duplicate_to_report = false;
  t.unacknowledged_segments = 0;
  c.ack_deadline = Tick::never();
  c.last_ack_sent = c.rcv_nxt;
}

// The sum of the addresses in a pseudo-header (RFC 9293 section 3.1, RFC 8200 section 8.1), in the
// order of the wire's numbers.
uint64_t Tcp::pseudo_header_addresses(const FlowKey& flow) const {
  if (net::is_ipv6_alias(flow.remote.address)) [[unlikely]] {
    return ipv6_pseudo_header_addresses(flow);
  }
  return uint64_t{flow.local.address.host_order()} + flow.remote.address.host_order();
}

uint64_t Tcp::ipv6_pseudo_header_addresses(const FlowKey& flow) const {
  uint64_t sum = 0;
  for (const Ipv4Address alias : {flow.local.address, flow.remote.address}) {
    const Ipv6Address& address = aliases_->address(alias);
    for (size_t at = 0; at < Ipv6Address::bytes; at += 4) {
      sum += load_be32(address.octets().data() + at);
    }
  }
  return sum;
}

// The header in front of frame is complete but for its checksum. sum: of the text, and of the
// header where header_sum (in the order of the wire's numbers) is 0.
void Tcp::finish_segment(Connection& c, const packet::TransmitFrame& frame, net::PartialSum sum,
                         uint64_t header_sum, Instant now) {
  uint8_t* header = arena_.slot_data(frame.slot) + frame.offset;
  // The pseudo-header (RFC 9293 section 3.1).
  const uint64_t numbers =
      header_sum + pseudo_header_addresses(c.flow) + net::protocol_tcp + frame.length;
  net::store_checksum(header + checksum_offset, net::from_wire_order(numbers) + sum);
  c.last_sent = Tick::at_or_before(now);
  counters_.add(Counter::tcp_segments_sent);
  output_.send(c.path, c.flow.local.address, c.flow.remote.address, net::protocol_tcp, frame, now);
}

// Where a segment without text stands: behind all that was sent, because that is most likely the
// peer's RCV.NXT, but never beyond the window it offers, where it would not be acceptable.
Seq Tcp::acknowledgment_seq(const Connection& c) const {
  return seq_min(sent_up_to(c), c.snd_una + c.snd_wnd);
}

// Windows are charged by slots held, not octets: a peer that sends tiny segments pays for the slots
// they occupy.
uint32_t Tcp::receive_window(const Connection& c) const {
  const Transfer& t = transfer(c);
  const uint32_t allowed = receive_slots_allowed(c);
  const uint32_t held = t.receive_queue.count +
                        (t.reassembly == none ? 0 : reassemblies_.at(t.reassembly).slot_count());
  const uint32_t octets = allowed > held ? (allowed - held) * c.send_mss : 0;
  return std::min(octets, 65'535U << c.receive_shift);
}

uint16_t Tcp::window_to_announce(Connection& c) {
  const Seq edge = seq_max(c.receive_edge, c.rcv_nxt + receive_window(c));
  const uint32_t octets = octets_between(c.rcv_nxt, edge);
  // Rounded up, so that an edge once promised is never taken back by the shift (RFC 7323
  // section 2.4).
  const uint32_t unit = 1U << c.receive_shift;
  const uint32_t announced = std::min((octets + unit - 1) >> c.receive_shift, 65'535U);
  c.receive_edge = seq_max(c.receive_edge, c.rcv_nxt + (announced << c.receive_shift));
  return static_cast<uint16_t>(announced);
}

// A millisecond clock (RFC 7323 section 5.4: between 1 ms and 1 s a tick).
uint32_t Tcp::timestamp(const Connection& c, Instant now) const {
  return static_cast<uint32_t>(now.since_origin_ns() / 1'000'000) + c.timestamp_offset;
}

bool Tcp::allow_reset(Ipv4Address peer, Instant now) {
  return net::is_ipv6_alias(peer) ? reset_limiter_.allow(aliases_->address(peer), now)
                                  : reset_limiter_.allow(peer, now);
}

// RFC 9293 section 3.10.7.1: the answer to a segment that belongs to nothing.
void Tcp::answer_reset(const FlowKey& flow, const Segment& segment,
                       const std::optional<net::Path>& back, Instant now) {
  if (segment.has(flag_rst)) return;  // never a reset for a reset
  const auto path = back ? back : output_.path_to(flow.remote.address, now);
  if (!path) return;
  if (!allow_reset(flow.remote.address, now)) {
    counters_.add(Counter::tcp_resets_withheld);
    return;
  }
  HeaderFields fields;
  fields.source_port = flow.local.port;
  fields.destination_port = flow.remote.port;
  if (segment.has(flag_ack)) {
    fields.seq = segment.ack;
    fields.flags = flag_rst;
  } else {
    fields.ack = segment.seq + segment.sequence_length();
    fields.flags = flag_rst | flag_ack;
  }
  counters_.add(Counter::tcp_resets_sent);
  send_stateless(flow, *path, fields, now);
}

void Tcp::send_reset(Connection& c, Instant now) {
  HeaderFields fields;
  fields.source_port = c.flow.local.port;
  fields.destination_port = c.flow.remote.port;
  // The peer takes a reset only at exactly its RCV.NXT (RFC 5961 section 3.2). Where an
  // acknowledgment is acceptable the reset is either right, or it lies in the window and draws a
  // challenge ACK, whose answer is a reset at exactly the right place.
  fields.seq = acknowledgment_seq(c);
  fields.ack = c.rcv_nxt;
  fields.flags = flag_rst | flag_ack;
  counters_.add(Counter::tcp_resets_sent);
  send_stateless(c.flow, c.path, fields, now);
}

void Tcp::send_stateless(const FlowKey& flow, const net::Path& path, const HeaderFields& fields,
                         Instant now) {
  const SlotIndex slot = arena_.acquire(turn_piece_count_);
  if (slot == slot_none) {
    counters_.add(Counter::tcp_egress_out_of_memory);
    return;
  }
  const uint32_t header = header_bytes(fields.options);
  const packet::TransmitFrame frame{slot, static_cast<uint16_t>(packet::headroom_bytes - header),
                                    static_cast<uint16_t>(header)};
  uint8_t* at = arena_.slot_data(slot) + frame.offset;
  write_header(at, fields);
  const uint64_t pseudo_header = pseudo_header_addresses(flow) + net::protocol_tcp + frame.length;
  net::store_checksum(at + checksum_offset,
                      net::from_wire_order(pseudo_header) + net::sum_of({at, frame.length}));
  counters_.add(Counter::tcp_segments_sent);
  output_.send(path, flow.local.address, flow.remote.address, net::protocol_tcp, frame, now);
  arena_.drop(slot);
}

}  // namespace millrace::tcp

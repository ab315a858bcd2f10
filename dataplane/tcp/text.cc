// The last checks of "segment arrives" (RFC 9293 section 3.10.7.4): text and FIN, and when they are
// acknowledged.
#include <algorithm>

#include "dataplane/tcp/tcp.h"

namespace millrace::tcp {
namespace {

constexpr Duration delayed_ack =
    Duration::milliseconds(40);  // RFC 9293 section 3.8.6.3: below 500 ms
constexpr uint8_t segments_per_ack = 2;

}  // namespace

void Tcp::process_text(uint32_t index, const Segment& segment, Instant now) {
  Connection& c = at(index);
  Transfer& t = transfer(c);
  ByteView text = segment.text;
  Seq seq = segment.seq;
  const Seq fin_at = seq + static_cast<uint32_t>(text.size());
  if (!may_receive_data(c.state)) {
    // The peer has ended its side (or a FIN of it is all that can come): nothing new is text.
    if (segment.has(flag_fin)) acknowledge_now(c);
    return;
  }
  if (segment.has(flag_fin) && !t.flags.peer_fin_known && fin_at < c.receive_edge + 1) {
    t.flags.peer_fin_known = true;
    t.peer_fin_seq = fin_at;
    // A peer that ends before what it has said already contradicts itself: what waits goes.
    if (t.reassembly != none && reassemblies_.at(t.reassembly).end() > fin_at) return_reassembly(t);
  }
  if (!text.empty()) {
    // Trim to the window: what lies before it was taken already, what lies beyond was not offered.
    if (seq < c.rcv_nxt) {
      const uint32_t taken =
          std::min<uint32_t>(octets_between(seq, c.rcv_nxt), static_cast<uint32_t>(text.size()));
      report_duplicate(c, seq, seq + taken);
      text = text.subspan(taken);
      seq += taken;
    }
    if (!text.empty() && t.flags.detached) {
      // RFC 9293 section 3.6.1: nobody will read it, and the peer must learn that.
      counters_.add(Counter::tcp_reset_text_after_close);
      send_reset(c, now);
      release(index);
      return;
    }
    const Seq edge =
        t.flags.peer_fin_known ? seq_min(c.receive_edge, t.peer_fin_seq) : c.receive_edge;
    const int32_t room = edge - seq;
    if (room <= 0) {
      // Behind the end that the peer has said already, or repeated: it hears where we are.
      if (!text.empty()) acknowledge_now(c);
      text = {};
    } else if (static_cast<uint32_t>(room) < text.size()) {
      text = text.first(static_cast<uint32_t>(room));
    }
  }
  if (!text.empty()) {
    if (!has_room_for_text(c, t) || turn_piece_count_ == turn_pieces_max) {
      counters_.add(Counter::tcp_text_dropped_no_memory);
      acknowledge_now(c);
      return;
    }
    if (seq == c.rcv_nxt) {
      const bool hole = t.reassembly != none;
      take_in_order(index, c, text);
      if (hole) {
        acknowledge_now(c);  // RFC 5681 section 4.2: at once when a hole is filled
      } else {
        acknowledge_later(index, c, now);
      }
      notify(index, c, event_readable);
    } else {
      keep_out_of_order(c, t, seq, text);
      acknowledge_now(c);  // a duplicate ACK tells the sender of the hole
    }
  }
  if (t.flags.peer_fin_known && !t.flags.peer_fin_taken && c.rcv_nxt == t.peer_fin_seq) {
    process_fin(index, c, now);
  } else if (segment.has(flag_fin)) {
    acknowledge_now(c);  // behind a gap (RFC 5681 section 4.2)
  }
}

// Text at RCV.NXT. Octets that already wait out of order came first and win, so the text may be
// taken in several runs with theirs in between.
void Tcp::take_in_order(uint32_t index, Connection& c, ByteView text) {
  Transfer& t = transfer(c);
  while (!text.empty() && turn_piece_count_ < turn_pieces_max) {
    ByteView run = text;
    if (t.reassembly != none) {
      const Reassembly::Range& waiting = reassemblies_.at(t.reassembly).range(0);
      const uint32_t gap = octets_between(c.rcv_nxt, waiting.begin);
      if (gap < text.size()) {
        run = text.first(gap);
        report_duplicate(c, waiting.begin,
                         seq_min(waiting.end, c.rcv_nxt + static_cast<uint32_t>(text.size())));
      }
    }
    const Seq text_begin = c.rcv_nxt;
    add_turn_piece(index, c, run);
    c.rcv_nxt += static_cast<uint32_t>(run.size());
    drain_out_of_order(c);
    text = text.subspan(std::min<size_t>(text.size(), octets_between(text_begin, c.rcv_nxt)));
  }
}

// Where many do not read what they were sent, who holds little is still heard, and in the end only
// who holds nothing. Half a head is no reading that could go on: it may grow, by a few slots at a
// time so that little is promised when it is whole, to what everybody may hold at first.
uint32_t Tcp::receive_slots_allowed(const Connection& c) const {
  const uint32_t free = arena_.free_count();
  if (free > receive_reserve()) [[likely]]
    return c.receive_slots_budget;
  if (free <= scarce_reserve()) return 1;
  const uint32_t few = std::min<uint32_t>(
      c.receive_slots_budget, c.passive ? receive_slots_min_passive : receive_slots_min_active);
  if (c.transfer == Connection::no_transfer || !transfer(c).flags.wants_text) return few;
  return std::min(transfer(c).receive_queue.count + few, limits_.receive_slots_initial);
}

// For text at RCV.NXT. While memory lasts what was promised is taken, whatever is promised now.
bool Tcp::has_room_for_text(const Connection& c, const Transfer& t) const {
  const uint32_t free = arena_.free_count();
  if (free > receive_reserve()) [[likely]]
    return true;
  uint32_t left = receive_slots_allowed(c);
  left -= std::min(left, t.receive_queue.count);
  for (uint32_t piece = t.turn_head; piece != none && left > 0; --left) {
    piece = turn_pieces_[piece].next;
  }
  return left > 0 && free > first_text_reserve();
}

void Tcp::add_turn_piece(uint32_t index, Connection& c, ByteView text) {
  Transfer& t = transfer(c);
  const uint32_t piece = turn_piece_count_++;
  turn_pieces_[piece] = {text.data(), static_cast<uint32_t>(text.size()), none, octets_behind_};
  if (t.turn_tail == none) {
    t.turn_head = piece;
    turn_connections_[turn_connection_count_++] = index;
  } else {
    turn_pieces_[t.turn_tail].next = piece;
  }
  t.turn_tail = piece;
}

void Tcp::drain_out_of_order(Connection& c) {
  Transfer& t = transfer(c);
  if (t.reassembly == none) return;
  Reassembly& reassembly = reassemblies_.at(t.reassembly);
  if (reassembly.range(0).begin != c.rcv_nxt) return;
  settle(c);  // the queue is read in order: what still lies in frames goes in front
  c.rcv_nxt += reassembly.take_front(records_, c.rcv_nxt, t.receive_queue);
  if (reassembly.empty()) return_reassembly(t);
}

// Text behind a gap.
void Tcp::keep_out_of_order(Connection& c, Transfer& t, Seq seq, ByteView text) {
  if (t.reassembly == none) {
    const auto id = reassemblies_.acquire();
    if (!id) {
      counters_.add(Counter::tcp_reassembly_table_full);
      return;
    }
    t.reassembly = id.index;
    reassemblies_.at(id.index).connection = c.transfer;
  }
  Reassembly& reassembly = reassemblies_.at(t.reassembly);
  std::optional<SackBlock> duplicate;
  const auto outcome = reassembly.insert(records_, seq, text, limits_.receive_slots_max,
                                         out_of_order_reserve(), &duplicate);
  if (reassembly.empty()) return_reassembly(t);
  if (duplicate) report_duplicate(c, duplicate->begin, duplicate->end);
  switch (outcome) {
    case ReassemblyOutcome::stored: counters_.add(Counter::tcp_out_of_order_stored); return;
    case ReassemblyOutcome::full: counters_.add(Counter::tcp_out_of_order_dropped); return;
    case ReassemblyOutcome::duplicate: counters_.add(Counter::tcp_out_of_order_repeated); return;
  }
}

void Tcp::return_reassembly(Transfer& t) {
  if (t.reassembly == none) return;
  reassemblies_.at(t.reassembly).drop_all(records_);
  reassemblies_.release(reassemblies_.id_at(t.reassembly));
  t.reassembly = none;
}

// RFC 2883: the next acknowledgment says first what has arrived twice.
void Tcp::report_duplicate(Connection& c, Seq begin, Seq end) {
  if (!c.selective_acknowledgments || begin == end) return;
  Transfer& t = transfer(c);
  if (t.flags.duplicate_to_report) return;  // of one segment the first
  t.duplicate = {begin, end};
  t.flags.duplicate_to_report = true;
}

void Tcp::process_fin(uint32_t index, Connection& c, Instant now) {
  Transfer& t = transfer(c);
  t.flags.peer_fin_taken = true;
  return_reassembly(t);  // there is nothing behind an end
  c.rcv_nxt += 1;
  c.receive_edge = seq_max(c.receive_edge, c.rcv_nxt);
  acknowledge_now(c);
  notify(index, c, event_peer_ended);
  switch (c.state) {
    case State::established: c.state = State::close_wait; return;
    case State::fin_wait_1: c.state = State::closing; return;  // our FIN is not acknowledged yet
    case State::fin_wait_2: enter_time_wait(index, c, now); return;
    default: return;
  }
}

void Tcp::acknowledge_now(Connection& c) {
  Transfer& t = transfer(c);
  t.flags.ack_now = true;
  queue_egress(c);
}

void Tcp::acknowledge_later(uint32_t index, Connection& c, Instant now) {
  Transfer& t = transfer(c);
  // Every second segment with text at the latest (RFC 9293 section 3.8.6.3).
  if (++t.unacknowledged_segments >= segments_per_ack) {
    acknowledge_now(c);
    return;
  }
  if (c.ack_deadline.is_never()) {
    c.ack_deadline = Tick::at_or_after(now + delayed_ack);
    set_timer(index, c);
  }
}

}  // namespace millrace::tcp

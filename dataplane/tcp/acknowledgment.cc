// The fifth check of "segment arrives" (RFC 9293 section 3.10.7.4): the acknowledgment. What it
// takes out of the send queue, what it says of the round trip and of losses, and the peer's window.
// What selective acknowledgments add is in repair.cc.
#include <algorithm>

#include "dataplane/tcp/tcp.h"

namespace millrace::tcp {
namespace {

constexpr uint8_t duplicate_acks_for_loss = 3;  // RFC 5681 section 3.2

}  // namespace

// False when the segment is to be dropped, or when it ended the connection.
bool Tcp::process_ack(uint32_t index, const Segment& segment, Instant now) {
  Connection& c = at(index);
  Transfer& t = transfer(c);
  if (c.state == State::syn_received) {
    if (segment.ack <= c.snd_una || segment.ack > t.snd_max) {
      answer_reset(c.flow, segment, c.path, now);
      return false;
    }
    become_established(index, c, segment, now);
  }
  // RFC 5961 section 5.2.
  if (segment.ack > t.snd_max || segment.ack < c.snd_una - c.snd_wnd_max) {
    counters_.add(Counter::tcp_unacceptable_ack);
    challenge_ack(c, now);
    return false;
  }
  const uint32_t window = announced_window(c, segment);
  if (segment.ack > c.snd_una) {
    on_new_ack(index, c, segment, now);
  } else if (segment.ack == c.snd_una && (c.snd_una != t.snd_max || t.probe_in_flight)) {
    on_repeated_ack(index, c, segment, window == c.snd_wnd, now);
  }
  update_send_window(c, segment);
  // The FIN of ours is acknowledged.
  if (t.flags.fin_sent && c.snd_una == t.fin_seq + 1) {
    if (c.state == State::fin_wait_1) {
      c.state = State::fin_wait_2;
      if (t.flags.detached) {
        watch_orphan(c, now);
        set_timer(index, c);
      }
    } else if (c.state == State::closing) {
      enter_time_wait(index, c, now);
      return false;
    } else if (c.state == State::last_ack) {
      if (t.flags.detached) {
        release(index);
      } else {
        c.state = State::closed;
        wheel_.cancel(index);
      }
      return false;
    }
  }
  return true;
}

// The records that segment.ack covers leave the send queue.
void Tcp::take_acknowledged(Connection& c, Transfer& t, Seq ack, AckNews& news) {
  Scoreboard* const board = t.repair == none ? nullptr : &repairs_.at(t.repair).board;
  while (!t.send_queue.empty()) {
    const SlotIndex slot = t.send_queue.head;
    SlotRecord& record = records_[slot];
    if (record.end() > ack) {
      if (record.seq >= ack) break;
      const uint32_t part = octets_between(record.seq, ack);
      news.any_repeated |= record.retransmitted;
      if (board == nullptr || !board->is_sacked(board->front())) news.delivered_octets += part;
      if (board != nullptr) board->trim_front(part);
      record.trim_front(static_cast<uint16_t>(part));
      break;
    }
    if (board == nullptr || !board->is_sacked(board->front())) note_delivered(news, record);
    if (board != nullptr) board->pop_front(records_);
    if (slot == t.unsent) t.unsent = record.next;
    if (t.flags.keep_sent && record.seq - record.offset >= t.kept_from) {
      keep_head(t);
    } else {
      records_.pop_front(t.send_queue);
    }
  }
  c.snd_una = ack;
  // After a pull-back the peer may acknowledge more than we have sent again.
  t.snd_nxt = seq_max(t.snd_nxt, ack);
  if (t.flags.fin_queued && ack > t.fin_seq) t.flags.fin_sent = true;
}

void Tcp::on_new_ack(uint32_t index, Connection& c, const Segment& segment, Instant now) {
  Transfer& t = transfer(c);
  AckNews news;
  news.flight_octets_before = octets_between(c.snd_una, t.snd_nxt);
  news.acknowledged_octets = octets_between(c.snd_una, segment.ack);
  if (t.repair != none) news.sacked_octets_before = repairs_.at(t.repair).board.sacked_octets();
  take_acknowledged(c, t, segment.ack, news);
  t.duplicate_acks = 0;
  t.backoff = 0;
  t.stalled_since = Tick::never();

  if (is_repairing(c, t, segment)) {
    on_ack_while_repairing(c, segment, news, now);
  } else {
    // Karn's rule (RFC 6298 section 3): what a repetition may have brought about measures nothing.
    if (news.once.any && !news.any_repeated) take_round_trip(c, t, now - news.once.sent_at, now);
    if (t.flags.in_recovery) {
      on_ack_in_recovery(c, segment, news);
    } else {
      grow_window(c, t, news, now);
    }
  }
  if (segment.ack >= t.recover) t.flags.recover_pending = false;
  if (t.repair != none) return_repair_if_done(t);
  if (t.flags.detached) watch_orphan(c, now);
  restart_retransmit_timer(index, c, now);
  if (t.flags.wants_room && t.send_queue.count <= send_slots_allowed(c) / 2) {
    t.flags.wants_room = false;
    notify(index, c, event_writable);
  }
  if (t.unsent != slot_none || t.flags.retransmit_head || t.repair != none ||
      (t.flags.fin_queued && t.snd_nxt == t.fin_seq))
    queue_egress(c);
}

void Tcp::grow_window(Connection& c, Transfer& t, const AckNews& news, Instant now) {
  const uint32_t flight = news.flight_octets_before;
  Congestion::Acknowledgment ack;
  ack.octets = news.acknowledged_octets;
  ack.limited = flight + 2U * c.send_mss >= c.congestion.window() ||
                (c.congestion.in_slow_start() && flight * 2 >= c.congestion.window());
  ack.mss = c.send_mss;
  ack.now = now;
  ack.round_trip = c.round_trip.smoothed();
  if (news.once.any && !news.any_repeated) ack.sample = now - news.once.sent_at;
  ack.snd_una = c.snd_una;
  ack.snd_nxt = t.snd_nxt;
  c.congestion.acknowledged(limits_.features.congestion_control, t.congestion_memory, ack);
}

// Without selective acknowledgments (RFC 6582 section 3.2 step 3).
void Tcp::on_ack_in_recovery(Connection& c, const Segment& segment, const AckNews& news) {
  Transfer& t = transfer(c);
  if (segment.ack >= t.recover) {
    t.flags.in_recovery = false;
    c.congestion.leave_recovery(octets_between(c.snd_una, t.snd_nxt), c.send_mss);
    return;
  }
  // A partial acknowledgment: the next hole is lost as well.
  c.congestion.partial(news.acknowledged_octets, c.send_mss);
  t.flags.retransmit_head = true;
}

// An acknowledgment of what was acknowledged before, with something in flight.
void Tcp::on_repeated_ack(uint32_t index, Connection& c, const Segment& segment, bool same_window,
                          Instant now) {
  Transfer& t = transfer(c);
  const bool bare = segment.sequence_length() == 0 && same_window;
  if (bare && c.snd_wnd == 0) {
    // The answer to a probe: the peer is alive and says "not yet" (section 3.8.6.1). That is no
    // sign of loss, and no reason to give up.
    t.stalled_since = Tick::never();
    return;
  }
  if (!c.selective_acknowledgments) {
    if (bare) on_duplicate_ack(c, t);  // RFC 5681 section 2: all five conditions
    return;
  }
  if (!is_repairing(c, t, segment)) return;
  AckNews news;
  news.flight_octets_before = octets_between(c.snd_una, t.snd_nxt);
  if (t.repair != none) news.sacked_octets_before = repairs_.at(t.repair).board.sacked_octets();
  on_ack_while_repairing(c, segment, news, now);
  if (t.repair == none) {
    if (bare && news.no_room) on_duplicate_ack(c, t);
    return;
  }
  // What tells nothing new puts no deadline off.
  const bool waits = repairs_.at(t.repair).reordering_left > Duration();
  return_repair_if_done(t);
  if (news.delivered_octets > 0 || waits) restart_retransmit_timer(index, c, now);
  queue_egress(c);
}

// Without selective acknowledgments, or without a record to keep them in.
void Tcp::on_duplicate_ack(Connection& c, Transfer& t) {
  if (t.flags.in_recovery) {
    // By no more than what was in flight: a peer that repeats itself for ever opens no window
    // (T21).
    if (c.congestion.window() < c.congestion.threshold() + octets_between(c.snd_una, t.recover)) {
      c.congestion.inflate(c.send_mss);
      queue_egress(c);
    }
    return;
  }
  if (t.duplicate_acks < UINT8_MAX) ++t.duplicate_acks;
  if (t.duplicate_acks < duplicate_acks_for_loss) {
    queue_egress(c);  // limited transmit (RFC 3042): one new segment each
    return;
  }
  if (t.duplicate_acks != duplicate_acks_for_loss) return;
  // RFC 6582 section 3.2 step 2: not again for a window that was already repaired.
  if (t.flags.recover_pending) return;
  counters_.add(Counter::tcp_fast_retransmits);
  t.flags.in_recovery = true;
  t.flags.recover_pending = true;
  t.recover = t.snd_max;
  c.congestion.reduce(limits_.features.congestion_control, t.congestion_memory,
                      octets_between(c.snd_una, t.snd_nxt), c.send_mss);
  c.congestion.enter_recovery(c.send_mss);
  t.flags.retransmit_head = true;
  queue_egress(c);
}

void Tcp::update_send_window(Connection& c, const Segment& segment) {
  Transfer& t = transfer(c);
  // Section 3.10.7.4: only a newer segment may change the window.
  if (!(c.snd_wl1 < segment.seq || (c.snd_wl1 == segment.seq && c.snd_wl2 <= segment.ack))) return;
  const uint32_t window = announced_window(c, segment);
  const bool was_shut = c.snd_wnd == 0;
  const bool opened = window > c.snd_wnd;
  c.snd_wnd = window;
  c.snd_wnd_max = std::max(c.snd_wnd_max, window);
  c.snd_wl1 = segment.seq;
  c.snd_wl2 = segment.ack;
  if (!opened) return;
  if (was_shut && c.snd_una != t.snd_max && is_synchronized(c.state)) {
    // What met the closed window was thrown away: it goes again now, and under an ordinary timer,
    // not the one that was backed off between probes.
    send_all_again(c, t);
  }
  if (was_shut) {
    t.backoff = 0;
    c.retransmit_deadline = Tick::never();
  }
  queue_egress(c);
}

}  // namespace millrace::tcp

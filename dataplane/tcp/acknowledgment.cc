// The fifth check of "segment arrives" (RFC 9293 section 3.10.7.4): the acknowledgment. What it
// takes out of the send queue, what it says of the round trip and of losses, and the peer's window.
// What selective acknowledgments add is in repair.cc.
#include <algorithm>

#include "dataplane/tcp/tcp.h"

namespace millrace::tcp {
namespace {

constexpr uint8_t duplicate_acks_for_loss = 3;  // RFC 5681 section 3.2

}  // namespace

// Counts what the peer has acknowledged since this was done last: at every look of the timer and
// before the Transfer goes, so that nothing on a segment's way has to.
void Tcp::count_acknowledged(Connection& c) {
  Transfer& t = transfer(c);
  if (!is_synchronized(c.state)) return;
  const uint32_t fresh = octets_between(t.iss + 1, c.snd_una);
  constexpr uint32_t most = Connection::acknowledged_octets_max;
  c.acknowledged_octets = std::min(c.acknowledged_octets + fresh, most) & most;
  t.iss = c.snd_una - 1;
  if (t.window_reduced && c.snd_una >= t.echoes_ignored_until) t.window_reduced = false;
}

// How far behind SND.UNA an acknowledgment may be (RFC 5961 section 5.2): what the largest window
// can have delayed, and nothing from before our first octet, which only a guesser acknowledges.
uint32_t Tcp::acknowledgment_age_octets_max(Connection& c) {
  count_acknowledged(c);
  if (c.acknowledged_octets == Connection::acknowledged_octets_max) return c.snd_wnd_max;
  return std::min(c.snd_wnd_max, uint32_t{c.acknowledged_octets});
}

// False when the segment is to be dropped, or when it ended the connection.
bool Tcp::process_ack(uint32_t index, const Segment& segment, Instant now) {
  Connection& c = at(index);
  Transfer& t = transfer(c);
  if (c.state == State::syn_received) {
    if (segment.ack <= c.snd_una || segment.ack > t.snd_max) {
      answer_reset(c.flow, segment, c.path, now);
      return false;
    }
    take_handshake_round_trip(c, t, now);
    become_established(index, c, segment, now);
  }
  // RFC 5961 section 5.2.
  if (segment.ack > t.snd_max ||
      (segment.ack < c.snd_una && segment.ack < c.snd_una - acknowledgment_age_octets_max(c))) {
    counters_.add(Counter::tcp_unacceptable_ack);
    challenge_ack(c, now);
    return false;
  }
  const uint32_t window = announced_window(c, segment);
  const uint32_t congestion_window_before = c.congestion.window();
  const bool acknowledges_more = segment.ack > c.snd_una;
  if (acknowledges_more) {
    on_new_ack(index, c, segment, now);
  } else if (segment.ack == c.snd_una && (c.snd_una != t.snd_max || t.probe_in_flight)) {
    on_repeated_ack(index, c, segment, window == c.snd_wnd, now);
  }
  if (c.ecn && segment.has(flag_ece)) on_congestion_echo(c, t, congestion_window_before);
  update_send_window(c, segment, acknowledges_more);
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

// What ack covers leaves the send queue; delivered(record, octets) is called before for each
// record, of which the first octets are acknowledged.
template <class Delivered>
void Tcp::take_acknowledged(Connection& c, Transfer& t, Seq ack, Delivered&& delivered) {
  while (!t.send_queue.empty()) {
    const SlotIndex slot = t.send_queue.head;
    SlotRecord& record = records_[slot];
    if (record.end() > ack) {
      if (record.seq >= ack) break;
      const auto part = static_cast<uint16_t>(octets_between(record.seq, ack));
      delivered(record, part);
      record.trim_front(part);
      break;
    }
    delivered(record, record.length);
    // What a black hole would have swallowed.
    if (c.black_hole_tested != 0 && record.length + header_bytes_of(c) > black_hole_first_mtu_bytes)
      c.black_hole_tested = 0;
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
  t.duplicate_acks = 0;
  t.backoff = 0;
  t.stalled_since = Tick::never();
  if (is_repairing(c, t, segment)) {
    on_new_ack_while_repairing(c, t, segment, now);
  } else {
    on_plain_new_ack(c, t, segment, now);
  }
  if (t.flags.recover_pending && segment.ack >= t.recover) {
    t.flags.recover_pending = false;
    try_large_segments_again(c, t);
  }
  if (t.repair != none) return_repair_if_done(c, t);
  if (t.flags.detached) watch_orphan(c, now);
  restart_retransmit_timer(index, c, now);
  if (t.flags.wants_room) tell_if_there_is_room(index, c, t);
  if (t.unsent != slot_none || t.flags.retransmit_head || t.repair != none || t.fin_is_due())
    queue_egress(c);
}

// Nothing is known to be missing, or it is repaired without selective acknowledgments.
void Tcp::on_plain_new_ack(Connection& c, Transfer& t, const Segment& segment, Instant now) {
  const uint32_t flight_before = octets_between(c.snd_una, t.snd_nxt);
  const uint32_t octets = octets_between(c.snd_una, segment.ack);
  Instant sent_at = Instant::never();
  bool repeated = false;
  take_acknowledged(c, t, segment.ack, [&](const SlotRecord& record, uint16_t) {
    sent_at = record.sent_at;
    repeated |= record.retransmitted;
  });
  const Duration sample = round_trip_of(
      c, segment, sent_at == Instant::never() ? Duration() : now - sent_at, repeated, now);
  if (sample > Duration()) take_round_trip(c, t, sample, now);
  if (t.flags.in_recovery) {
    on_ack_in_recovery(c, t, octets);
  } else if (is_limited_by_window(c, t, flight_before, octets)) {
    grow_window(c, t, octets, sample, now);
  } else {
    t.congestion_memory.cubic.note_unused(now);
  }
}

// The round trip that an acknowledgment measures; zero when it measures none. since_sent: of the
// last segment that it covers; repeated: one of them was sent more than once.
Duration Tcp::round_trip_of(const Connection& c, const Segment& segment, Duration since_sent,
                            bool repeated, Instant now) const {
  // A sample far beyond the others may be of a segment that arrived in time, and whose
  // acknowledgment was lost.
  const bool doubtful = repeated || since_sent > c.round_trip.smoothed() * 4;
  if (!doubtful) return since_sent;
  // What the peer echoes was sent with the segment that it acknowledges, the last time (RFC 7323
  // section 4). Without timestamps: Karn's rule (RFC 6298 section 3), what a repetition may have
  // brought about measures nothing.
  if (!c.timestamps || !c.round_trip.has_sample()) return repeated ? Duration() : since_sent;
  const auto echoed_ms = static_cast<int32_t>(timestamp(c, now) - segment.options.timestamp_echo);
  const Duration echoed = Duration::milliseconds(int64_t{echoed_ms} + 1);
  if (echoed_ms < 0) return repeated ? Duration() : since_sent;
  // A peer that had everything already echoes what it took last, however long ago.
  if (repeated && echoed > c.round_trip.smoothed() * 4) return {};
  return repeated || since_sent == Duration() ? echoed : std::min(since_sent, echoed);
}

void Tcp::on_new_ack_while_repairing(Connection& c, Transfer& t, const Segment& segment,
                                     Instant now) {
  AckNews news;
  news.flight_octets_before = octets_between(c.snd_una, t.snd_nxt);
  news.acknowledged_octets = octets_between(c.snd_una, segment.ack);
  if (t.repair == none) {
    take_acknowledged(c, t, segment.ack, [&](const SlotRecord& record, uint16_t octets) {
      note_delivered(news, record, octets);
    });
  } else {
    Scoreboard& board = repairs_.at(t.repair).board;
    news.sacked_octets_before = board.sacked_octets();
    take_acknowledged(c, t, segment.ack, [&](const SlotRecord& record, uint16_t octets) {
      if (!board.is_sacked(board.front())) note_delivered(news, record, octets);
      if (octets == record.length) {
        board.pop_front(records_);
      } else {
        board.trim_front(octets);
      }
    });
  }
  on_ack_while_repairing(c, segment, news, now);
}

// A window that is not used proves nothing (RFC 7661's lesson): whether the window, not the
// application, held us back when what is acknowledged now (octets, which leave flight_before) was
// in flight. Acknowledgments come several a turn, before anything is sent for the first of them: so
// what counts is also what had been sent when text was held back last.
bool Tcp::is_limited_by_window(const Connection& c, const Transfer& t, uint32_t flight_before,
                               uint32_t octets) {
  const uint32_t window = c.congestion.window();
  return c.snd_una - octets < t.limited_until || flight_before + 2U * c.send_mss >= window ||
         (c.congestion.in_slow_start() && flight_before * 2 >= window);
}

// octets are newly acknowledged. sample: a round trip just measured, or zero.
void Tcp::grow_window(Connection& c, Transfer& t, uint32_t octets, Duration sample, Instant now) {
  Congestion::Acknowledgment ack;
  ack.octets = octets;
  ack.mss = c.send_mss;
  ack.now = now;
  ack.round_trip = c.round_trip.smoothed();
  ack.sample = sample;
  ack.snd_una = c.snd_una;
  ack.snd_nxt = t.snd_nxt;
  c.congestion.acknowledged(limits_.features.congestion_control, t.congestion_memory, ack);
}

// Without selective acknowledgments (RFC 6582 section 3.2 step 3).
void Tcp::on_ack_in_recovery(Connection& c, Transfer& t, uint32_t acknowledged_octets) {
  if (c.snd_una >= t.recover) {
    t.flags.in_recovery = false;
    c.congestion.leave_recovery(octets_between(c.snd_una, t.snd_nxt), c.send_mss);
    return;
  }
  // A partial acknowledgment: the next hole is lost as well.
  c.congestion.partial(acknowledged_octets, c.send_mss);
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
  return_repair_if_done(c, t);
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
  reduce_threshold(c, t, octets_between(c.snd_una, t.snd_nxt));
  c.congestion.enter_recovery(c.send_mss);
  t.flags.retransmit_head = true;
  queue_egress(c);
}

void Tcp::update_send_window(Connection& c, const Segment& segment, bool acknowledges_more) {
  Transfer& t = transfer(c);
  // Section 3.10.7.4: only a newer segment may change the window. One that acknowledges more than
  // any before is newer, whatever the others have said of their sequence numbers.
  if (!acknowledges_more &&
      !(c.snd_wl1 < segment.seq || (c.snd_wl1 == segment.seq && c.snd_wl2 <= segment.ack)))
    return;
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
    if (!waits_for_keepalive(c)) c.retransmit_deadline = Tick::never();
  }
  queue_egress(c);
}

}  // namespace millrace::tcp

// Selective acknowledgments as the sender hears them (RFC 2018, RFC 2883), the search for losses by
// time (RACK-TLP, RFC 8985), how much may be sent while they are repaired (PRR, RFC 9937), and
// taking it back when nothing was lost (RFC 3522, RFC 3708).
#include "dataplane/tcp/repair.h"

#include <algorithm>

#include "dataplane/tcp/tcp.h"

namespace millrace::tcp {
namespace {

constexpr uint32_t sacked_records_for_loss = 3;  // DupThresh
// A board of more is not given back with its last gap, but when what it was built from is
// acknowledged: else a peer that opens and closes a gap with two acknowledgments would have
// thousands of records gone through for each of them (T16).
constexpr uint32_t kept_records_min = 64;
constexpr uint8_t reordering_recoveries_max = 16;  // RFC 8985 section 6.2 step 4
constexpr Duration round_trip_min_life = Duration::seconds(30);
constexpr uint8_t reordering_steps_max = UINT8_MAX;

}  // namespace

void Tcp::take_round_trip(Connection& c, Transfer& t, Duration measured, Instant now) {
  const uint32_t us = c.round_trip.sample(measured);
  const Tick tick = Tick::at_or_before(now);
  const bool less = us <= t.round_trip_us_min || t.round_trip_us_min == 0;
  if (!less && t.round_trip_min_at.until(tick) <= round_trip_min_life) return;
  t.round_trip_us_min = us;
  t.round_trip_min_at = tick;
}

// The first octets of record have arrived.
void Tcp::note_delivered(AckNews& news, const SlotRecord& record, uint16_t octets) {
  const bool first = !news.once.any && !news.repeated.any;
  news.delivered_octets += octets;
  const Seq end = record.seq + octets;
  if (first || end > news.highest_end) news.highest_end = end;
  if (record.retransmitted) {
    news.any_repeated = true;
    news.repeated.add(record.sent_at, end);
    return;
  }
  if (!news.once.any || end < news.lowest_once_end) news.lowest_once_end = end;
  news.once.add(record.sent_at, end);
}

// Octets in flight as the network sees them (RFC 6675's pipe): sent, and neither arrived nor lost.
uint32_t Tcp::pipe(const Connection& c, const Transfer& t) const {
  const uint32_t flight = octets_between(c.snd_una, t.snd_nxt);
  if (t.repair == none) return flight;
  const Scoreboard& board = repairs_.at(t.repair).board;
  return flight - board.sacked_octets() - board.lost_octets();
}

bool Tcp::is_repairing(const Connection& c, const Transfer& t, const Segment& segment) {
  if (!c.selective_acknowledgments) return false;
  return t.repair != none || t.probe_in_flight || segment.options.sack_count > 0;
}

// nullptr when there is none left, or when recovery without it is under way.
Repair* Tcp::lend_repair(Connection& c, Transfer& t) {
  if (t.repair != none) return &repairs_.at(t.repair);
  const bool going_back = t.unsent != slot_none && records_[t.unsent].seq < t.snd_max;
  if (t.flags.in_recovery || going_back || t.send_queue.empty()) return nullptr;
  const auto id = repairs_.acquire();
  if (!id) {
    counters_.add(Counter::tcp_repair_table_full);
    return nullptr;
  }
  Repair& r = repairs_.at(id.index);
  if (!r.board.build(board_pages_, records_, t.send_queue, t.snd_max)) {
    repairs_.release(id);
    return nullptr;
  }
  r.connection = c.transfer;
  r.keep_until = r.board.count() > kept_records_min ? t.snd_max : c.snd_una;
  r.rack_highest = c.snd_una;
  r.rack_end = c.snd_una;
  t.repair = id.index;
  return &r;
}

void Tcp::return_repair(Transfer& t) {
  if (t.repair == none) return;
  repairs_.at(t.repair).board.clear();
  repairs_.release(repairs_.id_at(t.repair));
  t.repair = none;
}

// Without a board everything from SND.UNA on goes again in order, as without selective
// acknowledgments after a timeout.
void Tcp::give_up_repair(const Connection& c, Transfer& t) {
  counters_.add(Counter::tcp_repair_given_up);
  return_repair(t);
  t.flags.in_recovery = false;
  t.flags.retransmit_head = false;
  t.flags.probe_loss = false;
  t.probe_in_flight = false;
  t.snd_nxt = c.snd_una;
  t.unsent = t.send_queue.head;
}

void Tcp::return_repair_if_done(const Connection& c, Transfer& t) {
  if (t.flags.in_recovery || t.flags.recover_pending) return;
  const Repair& r = repairs_.at(t.repair);
  if (c.snd_una >= r.keep_until && r.board.has_nothing_to_tell()) return_repair(t);
}

// An acknowledgment, old or new, on a connection that repairs, probes, or hears of a gap.
void Tcp::on_ack_while_repairing(Connection& c, const Segment& segment, AckNews& news,
                                 Instant now) {
  Transfer& t = transfer(c);
  take_sack(c, t, segment, news);
  if (news.once.any || news.any_repeated) {
    const Duration since_sent = news.once.any ? now - news.once.sent_at : Duration();
    // An echo belongs to an acknowledgment that moves on, not to one that only tells of a gap.
    const bool by_echo = news.any_repeated && news.acknowledged_octets > 0;
    const Duration sample = news.any_repeated && !by_echo
                                ? Duration()
                                : round_trip_of(c, segment, since_sent, news.any_repeated, now);
    if (sample > Duration()) take_round_trip(c, t, sample, now);
  }
  if (t.probe_in_flight) judge_probe(c, t, segment, news);
  if (t.repair == none) {
    if (news.acknowledged_octets == 0) return;
    if (t.flags.in_recovery) {
      on_ack_in_recovery(c, t, news.acknowledged_octets);
    } else {
      grow_window_after_news(c, t, news, now);
    }
    return;
  }
  Repair& r = repairs_.at(t.repair);
  update_rack(c, t, r, segment, news, now);
  update_reordering(c, t, news);
  const bool lost_more = detect_losses(c, t, r, now);
  if (try_undo(c, t, r, segment, news)) return;
  if (t.flags.in_recovery && c.snd_una >= t.recover) {
    end_recovery(c, t);
    if (r.next_window_has_losses) {
      begin_recovery(c, t, r, news);
      pace_recovery(c, t, r, news, true);
    }
  } else if (t.flags.in_recovery) {
    pace_recovery(c, t, r, news, lost_more);
  } else if (t.flags.recover_pending ? c.snd_una >= t.recover && r.next_window_has_losses
                                     : lost_more) {
    begin_recovery(c, t, r, news);
    pace_recovery(c, t, r, news, true);
  } else {
    grow_window_after_news(c, t, news, now);
  }
}

// Outside recovery. On a path that is known to reorder a gap is open nearly always, and SND.UNA
// moves in leaps: what the window grows by there is what each acknowledgment says to have arrived,
// within a gap or not (as RFC 6675 clocks what is sent). Elsewhere a gap is most likely a loss, and
// what arrives behind it opens nothing.
void Tcp::grow_window_after_news(Connection& c, Transfer& t, const AckNews& news, Instant now) {
  const uint32_t octets =
      t.reordering_seen && t.repair != none ? news.delivered_octets : news.acknowledged_octets;
  if (octets == 0) return;
  if (!is_limited_by_window(c, t, news.flight_octets_before, news.acknowledged_octets)) {
    t.congestion_memory.cubic.note_unused(now);
    return;
  }
  const bool measures = news.once.any && !news.any_repeated;
  grow_window(c, t, octets, measures ? now - news.once.sent_at : Duration(), now);
}

// The blocks of one acknowledgment. Each is checked against what is in flight: nothing is believed
// of what was never sent (T16).
void Tcp::take_sack(Connection& c, Transfer& t, const Segment& segment, AckNews& news) {
  const Options& options = segment.options;
  const auto& blocks = options.sack;
  for (size_t i = 0; i < options.sack_count; ++i) {
    const SackBlock& block = blocks[i];
    if (!(block.begin < block.end) || block.end > t.snd_max ||
        block.begin < c.snd_una - c.snd_wnd_max) {
      counters_.add(Counter::tcp_sack_invalid);
      continue;
    }
    // RFC 2883 section 4: the first block tells of a duplicate when it lies before the
    // acknowledgment, or within the second block.
    const bool within_second =
        options.sack_count > 1 && block.begin >= blocks[1].begin && block.end <= blocks[1].end;
    if (i == 0 && (block.end <= segment.ack || within_second)) {
      news.duplicate_reported = true;
      note_duplicate_reported(t, block);
      continue;
    }
    // A block at the acknowledgment itself contradicts it.
    if (block.begin <= c.snd_una) {
      if (block.end > c.snd_una) counters_.add(Counter::tcp_sack_invalid);
      continue;
    }
    const bool is_first = t.repair == none;
    Repair* const r = lend_repair(c, t);
    if (r == nullptr) {
      news.no_room = true;
      return;
    }
    // What this very acknowledgment has moved SND.UNA over was no straggler.
    if (is_first) r->rack_highest = c.snd_una - news.acknowledged_octets;
    r->board.mark_sacked(records_, block.begin, block.end, [&](Scoreboard::Place place) {
      const SlotRecord& record = records_[r->board.slot(place)];
      note_delivered(news, record, record.length);
    });
  }
}

void Tcp::note_duplicate_reported(Transfer& t, const SackBlock& block) {
  counters_.add(Counter::tcp_duplicates_reported);
  if (t.repair == none) return;
  Repair& r = repairs_.at(t.repair);
  if (block.begin >= r.undo_from && r.repeats_unreported > 0) --r.repeats_unreported;
}

// RFC 8985 section 6.2 steps 2 and 3.
void Tcp::update_rack(Connection& c, Transfer& t, Repair& r, const Segment& segment,
                      const AckNews& news, Instant now) {
  const auto learn = [&](const AckNews::Delivered& delivered) {
    r.rack_round_trip = now - delivered.sent_at;
    if (delivered.sent_at < r.rack_sent_at ||
        (delivered.sent_at == r.rack_sent_at && delivered.end < r.rack_end))
      return;
    r.rack_sent_at = delivered.sent_at;
    r.rack_end = delivered.end;
  };
  if (news.once.any) learn(news.once);
  if (news.repeated.any) {
    // Which of its transmissions has arrived? Not the last one, if the echoed timestamp is older,
    // or if it would have been faster than any.
    const bool older =
        c.timestamps && static_cast<int32_t>(segment.options.timestamp_echo -
                                             timestamp(c, news.repeated.sent_at)) < 0;
    const bool too_fast = now - news.repeated.sent_at < Duration::microseconds(t.round_trip_us_min);
    if (!older && !too_fast) learn(news.repeated);
  }
  if (news.once.any && news.lowest_once_end < r.rack_highest) t.reordering_seen = true;
  if ((news.once.any || news.repeated.any) && news.highest_end > r.rack_highest)
    r.rack_highest = news.highest_end;
}

// RFC 8985 section 6.2 step 4: a duplicate that is reported says that a loss was none, so the next
// one is waited for longer.
void Tcp::update_reordering(const Connection& c, Transfer& t, const AckNews& news) {
  if (t.duplicate_round_open && c.snd_una >= t.duplicate_round) t.duplicate_round_open = false;
  if (!news.duplicate_reported || t.duplicate_round_open) return;
  t.duplicate_round_open = true;
  t.duplicate_round = t.snd_nxt;
  if (t.reordering_steps < reordering_steps_max) ++t.reordering_steps;
  t.reordering_recoveries_left = reordering_recoveries_max;
}

// How much later than one that was sent after it a segment may arrive.
Duration Tcp::reordering_window(const Connection& c, const Transfer& t, const Repair& r) const {
  if (!t.reordering_seen && (t.flags.in_recovery || t.flags.recover_pending ||
                             r.board.sacked_records() >= sacked_records_for_loss))
    return {};
  const Duration window =
      Duration::microseconds(int64_t{t.round_trip_us_min} * t.reordering_steps / 4);
  return std::min(window, c.round_trip.smoothed());
}

// RFC 8985 section 6.2 step 5: what was sent before the last segment that has arrived, and is
// overdue by the reordering window, is lost. True when that was so.
bool Tcp::detect_losses(const Connection& c, const Transfer& t, Repair& r, Instant now) {
  const Duration patience = r.rack_round_trip + reordering_window(c, t, r);
  r.reordering_left = {};
  bool any = false;
  for (;;) {
    const Scoreboard::Place place = r.board.oldest();
    if (place == Scoreboard::no_place) return any;
    const SlotRecord& record = records_[r.board.slot(place)];
    const bool overtaken = record.sent_at < r.rack_sent_at ||
                           (record.sent_at == r.rack_sent_at && record.end() < r.rack_end);
    if (!overtaken) return any;
    const Duration left = record.sent_at + patience - now;
    if (left > Duration()) {
      r.reordering_left = left;
      return any;
    }
    if (record.seq >= t.recover) r.next_window_has_losses = true;
    r.board.mark_lost(records_, place);
    any = true;
  }
}

void Tcp::remember_belief(const Connection& c, const Transfer& t, Repair& r) {
  r.before = {c.congestion.window(), c.congestion.threshold(), t.congestion_memory};
  r.undo_possible = true;
  r.timeout_in_doubt = false;
  r.undo_by_timestamp_possible = true;
  r.repeated_since_begin = false;
  r.repeats_unreported = 0;
  r.undo_from = c.snd_una;
}

void Tcp::begin_recovery(Connection& c, Transfer& t, Repair& r, const AckNews& news) {
  counters_.add(Counter::tcp_fast_retransmits);
  remember_belief(c, t, r);
  r.next_window_has_losses = false;
  t.flags.in_recovery = true;
  t.flags.recover_pending = true;
  t.recover = t.snd_max;
  reduce_threshold(c, t, news.flight_octets_before);
  r.prr_delivered = 0;
  r.prr_sent = 0;
  r.prr_flight_begin = std::max(
      news.flight_octets_before - std::min(news.sacked_octets_before, news.flight_octets_before),
      uint32_t{c.send_mss});
}

// RFC 9937 section 6.2: the window follows what the network delivers, so that it has come down to
// the threshold when recovery ends, without a pause and without a burst.
void Tcp::pace_recovery(Connection& c, const Transfer& t, Repair& r, const AckNews& news,
                        bool lost_more) {
  const int64_t mss = c.send_mss;
  const int64_t in_flight = pipe(c, t);
  const int64_t threshold = c.congestion.threshold();
  r.prr_delivered += news.delivered_octets;
  int64_t may_send = 0;
  if (in_flight > threshold) {
    may_send =
        (int64_t{r.prr_delivered} * threshold + r.prr_flight_begin - 1) / r.prr_flight_begin -
        r.prr_sent;
  } else {
    may_send = std::max<int64_t>(int64_t{r.prr_delivered} - r.prr_sent, news.delivered_octets);
    const bool safe = news.acknowledged_octets > 0 && !lost_more;
    if (safe) may_send += mss;
    may_send = std::min(threshold - in_flight, may_send);
  }
  if (r.prr_sent == 0) may_send = std::max(may_send, mss);  // the first repair goes at once
  c.congestion.set_window(static_cast<uint32_t>(in_flight + std::max<int64_t>(may_send, 0)));
}

void Tcp::end_recovery(Connection& c, Transfer& t) {
  t.flags.in_recovery = false;
  t.flags.recover_pending = false;
  try_large_segments_again(c, t);
  c.congestion.set_window(c.congestion.threshold());
  note_recovery_ended(t);
}

// RFC 8985 section 6.2 step 4: without a reported duplicate for many recoveries the reordering is
// over.
void Tcp::note_recovery_ended(Transfer& t) {
  if (t.reordering_recoveries_left == 0) return;
  if (--t.reordering_recoveries_left == 0) t.reordering_steps = 1;
}

// True when what was held for a loss turns out to be none: the original has arrived. The peer says
// so by the timestamp it echoes with the first new acknowledgment (RFC 3522 section 3.2), or by
// reporting every repetition as a duplicate (RFC 3708), or, after a timeout, by acknowledging what
// was sent before it and not again (RFC 5682 section 3.1 step 3b, of the variant with SACK).
bool Tcp::try_undo(Connection& c, Transfer& t, Repair& r, const Segment& segment,
                   const AckNews& news) {
  if (!r.undo_possible) return false;
  if (!r.repeated_since_begin) {
    // The gap has closed before anything was sent again: several acknowledgments of one turn.
    const bool closed =
        t.flags.in_recovery && news.acknowledged_octets > 0 && r.board.lost_octets() == 0;
    if (closed) take_back(c, t, r);
    return closed;
  }
  const bool by_originals =
      r.timeout_in_doubt && t.flags.recover_pending && news.once.any && news.once.end <= t.recover;
  // What was sent again and moves nothing else: the timeout was right.
  if (news.acknowledged_octets > 0 && !by_originals && c.snd_una >= t.recover)
    r.timeout_in_doubt = false;
  const bool first = r.undo_by_timestamp_possible && news.acknowledged_octets > 0;
  if (first) r.undo_by_timestamp_possible = false;
  const bool by_timestamp =
      first && c.timestamps &&
      static_cast<int32_t>(segment.options.timestamp_echo - r.first_repeat_timestamp) < 0;
  const bool by_duplicates = news.duplicate_reported && r.repeats_unreported == 0;
  if (!by_timestamp && !by_duplicates && !by_originals) return false;
  take_back(c, t, r);
  return true;
}

// Nothing was lost: the window is what it was before.
void Tcp::take_back(Connection& c, Transfer& t, Repair& r) {
  counters_.add(Counter::tcp_recoveries_undone);
  c.congestion.set_window(std::max(c.congestion.window(), r.before.window));
  c.congestion.set_threshold(std::max(c.congestion.threshold(), r.before.threshold));
  t.congestion_memory = r.before.memory;
  t.flags.in_recovery = false;
  t.flags.recover_pending = false;
  t.reordering_seen = true;
  try_large_segments_again(c, t);
  r.undo_possible = false;
  r.next_window_has_losses = false;
  r.board.forget_lost(records_);
  note_recovery_ended(t);
}

// The reordering timer (RFC 8985 section 6.3).
void Tcp::on_reordering_timeout(Connection& c, Transfer& t, Instant now) {
  if (t.repair == none) return;
  Repair& r = repairs_.at(t.repair);
  if (!detect_losses(c, t, r, now)) return;
  AckNews news;
  news.flight_octets_before = octets_between(c.snd_una, t.snd_nxt);
  news.sacked_octets_before = r.board.sacked_octets();
  if (!t.flags.in_recovery && !t.flags.recover_pending) begin_recovery(c, t, r, news);
  if (t.flags.in_recovery) pace_recovery(c, t, r, news, true);
  queue_egress(c);
}

// What was in flight is held for lost, all of it: after a retransmission timeout, or when it met a
// window that had closed.
void Tcp::send_all_again(Connection& c, Transfer& t) {
  Repair* const r = c.selective_acknowledgments ? lend_repair(c, t) : nullptr;
  if (r == nullptr) {
    t.snd_nxt = c.snd_una;
    t.unsent = t.send_queue.head;
    return;
  }
  r->board.mark_all_lost(records_);
  r->next_window_has_losses = false;
  r->reordering_left = {};
  // The FIN has no record: it goes again when all text has.
  if (t.flags.fin_sent && t.snd_nxt == t.fin_seq + 1) t.snd_nxt = t.fin_seq;
}

// A segment has left while losses are being repaired.
void Tcp::note_sent_in_repair(const Connection& c, const Transfer& t, SlotIndex slot, bool again) {
  Repair& r = repairs_.at(t.repair);
  r.prr_sent += records_[slot].length;
  if (!again) {
    r.board.append(records_, slot);
    return;
  }
  r.board.sent_again(records_, r.board.find(records_, records_[slot].seq));
  if (!r.repeated_since_begin) {
    r.repeated_since_begin = true;
    r.first_repeat_timestamp = timestamp(c, records_[slot].sent_at);
  }
  ++r.repeats_unreported;
}

// --- tail loss probes (RFC 8985 section 7) ---

bool Tcp::may_probe(const Connection& c, const Transfer& t) const {
  const bool repairs = t.flags.in_recovery || t.flags.recover_pending ||
                       (t.repair != none && !repairs_.at(t.repair).board.has_nothing_to_tell());
  return c.selective_acknowledgments && is_synchronized(c.state) && !repairs &&
         !t.probe_in_flight && t.backoff == 0 && c.snd_wnd > 0 && c.round_trip.has_sample();
}

// A new segment if there is one and the peer's window takes it; else the last one again. So the
// acknowledgment will tell of every loss before it.
Tcp::Sent Tcp::emit_probe(Connection& c, Instant now) {
  Transfer& t = transfer(c);
  if (c.snd_una == t.snd_max) return Sent::nothing;
  const SlotIndex fresh = t.unsent;
  const uint32_t flight = octets_between(c.snd_una, t.snd_nxt);
  Sent sent = Sent::nothing;
  bool repeats = true;
  const bool board_is_full = t.repair != none && repairs_.at(t.repair).board.full();
  if (fresh != slot_none && !board_is_full && flight + c.send_mss <= c.snd_wnd &&
      cut_to_mss(c, fresh)) {
    sent = emit_text(c, fresh, now);
    repeats = false;
  } else if (t.flags.fin_sent && t.snd_nxt == t.fin_seq + 1) {
    sent = emit_bare(c, t.fin_seq, flag_fin | flag_ack, now);
  } else if (const SlotIndex last = last_sent(t); last != slot_none) {
    if (!cut_to_mss(c, last)) return Sent::out_of_memory;
    sent = emit_text(c, last, now);
  }
  if (sent != Sent::segment) return sent;
  counters_.add(Counter::tcp_loss_probes);
  t.probe_in_flight = true;
  t.probe_repeated_text = repeats;
  t.probe_end = t.snd_nxt;
  return sent;
}

// The last record that was sent.
SlotIndex Tcp::last_sent(const Transfer& t) const {
  if (t.unsent == slot_none) return t.send_queue.tail;
  SlotIndex last = slot_none;
  for (SlotIndex slot = t.send_queue.head; slot != t.unsent; slot = records_[slot].next)
    last = slot;
  return last;
}

// RFC 8985 section 7.4.2: whether the probe has repaired a loss that nobody would have noticed.
void Tcp::judge_probe(Connection& c, Transfer& t, const Segment& segment, const AckNews& news) {
  if (segment.ack < t.probe_end) return;
  const bool repeated_ack = news.acknowledged_octets == 0 && segment.options.sack_count == 0;
  if (!t.probe_repeated_text || news.duplicate_reported || repeated_ack) {
    t.probe_in_flight = false;
    return;
  }
  if (segment.ack == t.probe_end) return;  // the original, or the probe: the next one will tell
  t.probe_in_flight = false;
  counters_.add(Counter::tcp_loss_probe_repairs);
  reduce_threshold(c, t, news.flight_octets_before);
  c.congestion.set_window(c.congestion.threshold());
}

}  // namespace millrace::tcp

// Time: retransmission and persist (RFC 6298, RFC 9293 section 3.8), delayed acknowledgments, and
// the ends of connections that nobody finishes. One timer a connection, at the least of its
// deadlines.
#include <algorithm>

#include "base/check.h"
#include "dataplane/tcp/tcp.h"

namespace millrace::tcp {
namespace {

constexpr uint32_t timers_per_turn_max = 256;
// R2 (RFC 9293 section 3.8.3, T23): at least 100 s for text, at least 3 minutes for a SYN.
constexpr Duration give_up_after = Duration::seconds(180);
// T50: where memory is short, who has taken nothing through so many expiries in a row goes at the
// next one, 1.4 s after the first octet that was not taken and later, and what waits for it comes
// free.
constexpr uint8_t expiries_in_shortage_max = 2;
constexpr Duration orphan_stall_max = give_up_after;
constexpr Duration orphan_fin_wait_2_life = Duration::seconds(60);
// However much progress it makes: what is queued at a close is less than a megabyte.
constexpr Duration orphan_life_max = Duration::seconds(600);

}  // namespace

void Tcp::advance(Instant now) {
  wheel_.advance(now, timers_per_turn_max, [this, now](uint32_t index) { on_timer(index, now); });
  time_wait_.expire(now);
  if (!starved_.empty()) wake_starved();
}

Instant Tcp::next_deadline() const {
  return wheel_.next_deadline();
}

// The wheel fires at the least deadline or before: what is due is looked up then, and whatever puts
// a deadline off (nearly every segment does) leaves the wheel alone.
void Tcp::set_timer(uint32_t index, const Connection& c) {
  const Tick least = tick_min(tick_min(c.retransmit_deadline, c.ack_deadline), c.life_deadline);
  if (!least.is_never()) wheel_.arm_no_later_than(index, least);
}

// When it has fired: the next time to look.
void Tcp::set_next_timer(uint32_t index, Connection& c, Instant now) {
  Tick least = tick_min(tick_min(c.retransmit_deadline, c.ack_deadline), c.life_deadline);
  // Something is remembered although nothing is waited for: whether that can go.
  if (c.transfer != Connection::no_transfer && c.state == State::established)
    least = tick_min(least, Tick::at_or_after(now + rest_before_release));
  if (!least.is_never()) wheel_.arm(index, least);
}

// T29: a connection whose application has gone ends when its peer stands still: while text is being
// delivered, after longer than the largest retransmission timeout; in FIN-WAIT-2, after a minute.
void Tcp::watch_orphan(Connection& c, Instant now) {
  Transfer& t = transfer(c);
  const Duration stall = c.state == State::fin_wait_2 ? orphan_fin_wait_2_life : orphan_stall_max;
  c.life_deadline = tick_min(Tick::at_or_after(now + stall), t.orphaned_at + orphan_life_max);
}

// What the timer waits for next, and for how long (RFC 8985 section 8).
Duration Tcp::retransmit_wait(const Connection& c, Transfer& t) const {
  t.timer_purpose = Transfer::TimerPurpose::timeout;
  const Duration timeout = c.round_trip.timeout(t.backoff);
  if (t.repair != none && repairs_.at(t.repair).reordering_left > Duration()) {
    t.timer_purpose = Transfer::TimerPurpose::reordering;
    return std::min(repairs_.at(t.repair).reordering_left, timeout);
  }
  if (c.snd_una == t.snd_max || !may_probe(c, t)) return timeout;
  const bool single_segment = octets_between(c.snd_una, t.snd_max) <= c.send_mss;
  t.timer_purpose = Transfer::TimerPurpose::loss_probe;
  return std::min(c.round_trip.probe_timeout(single_segment), timeout);
}

// RFC 6298 (5.2) and (5.3): something new was acknowledged.
void Tcp::restart_retransmit_timer(uint32_t index, Connection& c, Instant now) {
  Transfer& t = transfer(c);
  // With text that the window holds back, the same timer persists.
  const bool outstanding = c.snd_una != t.snd_max;
  if (!outstanding && !t.holds_back()) {
    start_keepalive(index, c, now);
    return;
  }
  c.retransmit_deadline = Tick::at_or_after(now + retransmit_wait(c, t));
  wheel_.arm_no_later_than(index, c.retransmit_deadline);
}

// RFC 6298 (5.1), after something was sent: the timer runs. A loss probe may come earlier than it
// was thought when less was in flight (RFC 8985 section 7.2); nothing that is sent puts it off.
// Text that a closed window holds back, with nothing in flight whose acknowledgment would open it,
// starts the persist timer (RFC 9293 section 3.8.6.1), which shares the place.
void Tcp::start_retransmit_timer(Connection& c, Transfer& t, Instant now) {
  const bool running =
      !c.retransmit_deadline.is_never() && t.timer_purpose != Transfer::TimerPurpose::keepalive;
  if (running && t.timer_purpose != Transfer::TimerPurpose::loss_probe) return;
  if (c.snd_una == t.snd_max && !t.holds_back()) return;
  const Tick deadline = Tick::at_or_after(now + retransmit_wait(c, t));
  if (running && tick_min(deadline, c.retransmit_deadline) == c.retransmit_deadline) {
    t.timer_purpose = Transfer::TimerPurpose::loss_probe;
    return;
  }
  c.retransmit_deadline = deadline;
}

void Tcp::on_timer(uint32_t index, Instant now) {
  Connection& c = at(index);
  const Tick tick = Tick::at_or_before(now);
  if (c.life_deadline.reached_by(tick) && on_life_deadline(index, c, now)) return;
  if (c.ack_deadline.reached_by(tick)) {
    c.ack_deadline = Tick::never();
    counters_.add(Counter::tcp_delayed_acks);
    acknowledge_now(c);
  }
  if (c.retransmit_deadline.reached_by(tick)) {
    if (waits_for_keepalive(c)) {
      on_keepalive(index, c, now);
    } else {
      on_retransmit_timeout(index, c, now);
    }
    return;
  }
  if (c.transfer != Connection::no_transfer) count_acknowledged(c);
  disengage_if_at_rest(c, now);
  set_next_timer(index, c, now);
}

// True when the connection's other deadlines count no more.
bool Tcp::on_life_deadline(uint32_t index, Connection& c, Instant now) {
  c.life_deadline = Tick::never();
  const bool detached = c.transfer != Connection::no_transfer && transfer(c).flags.detached;
  if (c.state == State::time_wait) {
    if (detached) {
      release(index);
    } else {
      c.state = State::closed;
    }
    return true;
  }
  if (!detached && c.state != State::syn_received) {
    notify(index, c, event_deadline);
    return false;
  }
  counters_.add(c.state == State::syn_received ? Counter::tcp_handshake_timed_out
                                               : Counter::tcp_orphan_timed_out);
  if (detached && is_synchronized(c.state)) send_reset(c, now);
  end_connection(index, c);
  return true;
}

void Tcp::set_deadline(ConnId id, Instant deadline) {
  Connection& c = connections_[id];
  if (!is_synchronized(c.state) || c.state == State::time_wait) return;
  c.life_deadline = deadline == Instant::never() ? Tick::never() : Tick::at_or_after(deadline);
  set_timer(id.index, c);
}

// Peers that read nothing are many when half of what lies between the reserves of text that we send
// and text that we receive is gone. When all of it is, new peers are the next that nobody hears:
// then endpoints go too, which have many clients' requests, and a client that says itself that it
// reads nothing (its window is closed) goes at the first expiry.
bool Tcp::must_make_room(const Connection& c) const {
  const uint32_t free = arena_.free_count();
  if (free >= peers_reserve() + arena_.capacity() / 16 * 3) [[likely]]
    return false;
  const bool scarce = free <= scarce_reserve();
  if (c.passive && c.snd_wnd == 0 && scarce) return true;
  return transfer(c).backoff >= expiries_in_shortage_max && (c.passive || scarce);
}

void Tcp::on_retransmit_timeout(uint32_t index, Connection& c, Instant now) {
  Transfer& t = transfer(c);
  c.retransmit_deadline = Tick::never();
  const Transfer::TimerPurpose purpose = t.timer_purpose;
  t.timer_purpose = Transfer::TimerPurpose::timeout;
  if (purpose == Transfer::TimerPurpose::reordering) {
    on_reordering_timeout(c, t, now);
    restart_retransmit_timer(index, c, now);
    set_next_timer(index, c, now);
    return;
  }
  if (purpose == Transfer::TimerPurpose::loss_probe && c.snd_una != t.snd_max) {
    t.flags.probe_loss = true;
    c.retransmit_deadline = Tick::at_or_after(now + c.round_trip.timeout(t.backoff));
    queue_egress(c);
    set_next_timer(index, c, now);
    return;
  }
  const uint32_t flight = octets_between(c.snd_una, t.snd_max);
  const bool persisting = flight == 0 && t.holds_back();
  if (flight == 0 && !persisting) {
    set_next_timer(index, c, now);
    return;
  }
  if (t.stalled_since.is_never()) t.stalled_since = Tick::at_or_after(now);
  // A peer that acknowledges probes of a closed window is alive, however long (section 3.8.6.1):
  // its acknowledgments reset stalled_since.
  const bool syn_ack_spent = c.state == State::syn_received && t.backoff >= syn_ack_retransmits_max;
  if (t.stalled_since.until(Tick::at_or_before(now)) > give_up_after || syn_ack_spent) {
    counters_.add(Counter::tcp_gave_up);
    if (is_synchronized(c.state)) send_reset(c, now);
    end_connection(index, c);
    return;
  }
  if (is_synchronized(c.state) && !t.send_queue.empty() && must_make_room(c)) {
    counters_.add(Counter::tcp_stalled_shed);
    send_reset(c, now);
    end_connection(index, c);
    return;
  }
  if (t.backoff < UINT8_MAX) ++t.backoff;  // (5.5)
  if (persisting) {
    t.flags.probe_window = true;
    counters_.add(Counter::tcp_window_probes);
  } else if (c.state == State::syn_sent || c.state == State::syn_received) {
    t.flags.syn_to_send = true;
    counters_.add(Counter::tcp_syn_retransmits);
  } else {
    on_loss_of_all(c, t, flight);
  }
  c.retransmit_deadline = Tick::at_or_after(now + c.round_trip.timeout(t.backoff));  // (5.6)
  queue_egress(c);
  set_next_timer(index, c, now);
}

// Whether the retransmission deadline, which is set, is that of the next keep-alive probe.
bool Tcp::waits_for_keepalive(const Connection& c) const {
  return c.transfer == Connection::no_transfer ||
         transfer(c).timer_purpose == Transfer::TimerPurpose::keepalive;
}

// A half-closed connection may wait for its peer as long as an open one.
bool Tcp::may_keep_alive(const Connection& c) {
  return c.keepalive && is_synchronized(c.state) && c.state != State::time_wait;
}

// Nothing is in flight any more.
void Tcp::start_keepalive(uint32_t index, Connection& c, Instant now) {
  c.retransmit_deadline = Tick::never();
  if (!may_keep_alive(c)) return;
  c.retransmit_deadline = Tick::at_or_after(now + limits_.keepalive.idle);
  if (c.transfer != Connection::no_transfer)
    transfer(c).timer_purpose = Transfer::TimerPurpose::keepalive;
  wheel_.arm_no_later_than(index, c.retransmit_deadline);
}

void Tcp::set_keepalive(ConnId id, bool on, Instant now) {
  Connection& c = connections_[id];
  c.keepalive = on;
  if (c.retransmit_deadline.is_never() || waits_for_keepalive(c)) start_keepalive(id.index, c, now);
}

// RFC 9293 section 3.8.4: an acknowledgment one octet before what the peer expects, which it must
// answer. One that is lost proves nothing; so many in a row do.
void Tcp::on_keepalive(uint32_t index, Connection& c, Instant now) {
  c.retransmit_deadline = Tick::never();
  if (!may_keep_alive(c)) {
    set_next_timer(index, c, now);
    return;
  }
  c.retransmit_deadline = Tick::at_or_after(now + limits_.keepalive.interval);
  if (!engage(index, c, transfers_reserve())) {
    set_next_timer(index, c, now);
    return;
  }
  Transfer& t = transfer(c);
  if (t.keepalive_probes >= limits_.keepalive.probes_max) {
    counters_.add(Counter::tcp_keepalive_gave_up);
    send_reset(c, now);
    end_connection(index, c);
    return;
  }
  ++t.keepalive_probes;
  counters_.add(Counter::tcp_keepalive_probes);
  emit_bare(c, c.snd_una - 1, flag_ack, now);
  set_next_timer(index, c, now);
}

// The retransmission timer expired with text or a FIN in flight (RFC 6298 (5.4), RFC 5681 section
// 3.1): all of it is sent again in order as the window reopens; what the peer has already is
// skipped by its acknowledgments.
void Tcp::on_loss_of_all(Connection& c, Transfer& t, uint32_t flight_octets) {
  counters_.add(Counter::tcp_retransmit_timeouts);
  const bool first = t.backoff == 1;
  const bool believed = !t.flags.in_recovery && !t.flags.recover_pending;
  suspect_black_hole(c, t, t.backoff);
  t.flags.in_recovery = false;
  t.flags.retransmit_head = false;
  t.flags.probe_loss = false;
  t.probe_in_flight = false;
  t.duplicate_acks = 0;
  send_all_again(c, t);
  if (t.repair != none) {
    Repair& r = repairs_.at(t.repair);
    // A peer whose first gap lies in what it has acknowledged selectively, or that does not move
    // for two timeouts, may have thrown it away (RFC 2018 section 8).
    // With only a FIN in flight the board is empty.
    const bool has_front = r.board.count() > 0;
    if (!first || (has_front && r.board.is_sacked(r.board.front()))) {
      r.board.forget_sacked_and_lose_all(records_);
      r.rack_highest = c.snd_una;  // what is acknowledged anew is no straggler
    }
    if (first && believed) {
      remember_belief(c, t, r);
      r.timeout_in_doubt = true;
    }
    if (!first) r.timeout_in_doubt = false;
  }
  c.tell_window_reduced = c.ecn;
  c.congestion.timed_out(limits_.features.congestion_control, t.congestion_memory, flight_octets,
                         first, c.send_mss);
  t.recover = t.snd_max;
  t.flags.recover_pending = true;
  // Whatever the window has become meanwhile, something of what is lost goes out: as much as fits,
  // one octet at least.
  t.flags.probe_window = t.repair == none;
}

}  // namespace millrace::tcp

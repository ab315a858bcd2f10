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
constexpr Duration orphan_stall_max = Duration::seconds(120);
constexpr Duration orphan_fin_wait_2_life = Duration::seconds(60);
// However much progress it makes: what is queued at a close is less than a megabyte.
constexpr Duration orphan_life_max = Duration::seconds(600);
// T10: a SYN-ACK is said six times at most, or we would amplify for spoofed sources.
constexpr uint8_t syn_ack_retransmits_max = 5;

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

void Tcp::restart_retransmit_timer(uint32_t index, Connection& c, Instant now) {
  const Transfer& t = transfer(c);
  // RFC 6298 (5.2) and (5.3); with text that the window holds back, the same timer persists.
  const bool outstanding = c.snd_una != t.snd_max;
  const bool held_back = t.unsent != slot_none;
  if (!outstanding && !held_back) {
    c.retransmit_deadline = Tick::never();
    return;
  }
  c.retransmit_deadline = Tick::at_or_after(now + c.round_trip.timeout(t.backoff));
  wheel_.arm_no_later_than(index, c.retransmit_deadline);
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
    on_retransmit_timeout(index, c, now);
    return;
  }
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

void Tcp::on_retransmit_timeout(uint32_t index, Connection& c, Instant now) {
  Transfer& t = transfer(c);
  c.retransmit_deadline = Tick::never();
  const uint32_t flight = octets_between(c.snd_una, t.snd_max);
  const bool persisting = flight == 0 && t.unsent != slot_none;
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
  if (t.backoff < UINT8_MAX) ++t.backoff;  // (5.5)
  if (persisting) {
    t.flags.probe_window = true;
    counters_.add(Counter::tcp_window_probes);
  } else if (c.state == State::syn_sent || c.state == State::syn_received) {
    t.flags.syn_to_send = true;
    counters_.add(Counter::tcp_syn_retransmits);
  } else {
    counters_.add(Counter::tcp_retransmit_timeouts);
    // Everything unacknowledged is sent again in order as the window reopens (5.4); what the peer
    // has already is skipped by its acknowledgments.
    c.congestion.timed_out(flight, t.backoff == 1, c.send_mss);
    t.flags.in_recovery = false;
    t.duplicate_acks = 0;
    t.recover = t.snd_max;
    t.flags.recover_pending = true;
    t.snd_nxt = c.snd_una;
    t.unsent = t.send_queue.head;
    t.flags.retransmit_head = false;
    // Whatever the window has become meanwhile, something of what is lost goes out: as much as
    // fits, one octet at least.
    t.flags.probe_window = true;
  }
  c.retransmit_deadline = Tick::at_or_after(now + c.round_trip.timeout(t.backoff));  // (5.6)
  queue_egress(c);
  set_next_timer(index, c, now);
}

}  // namespace millrace::tcp

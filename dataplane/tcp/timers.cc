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

void Tcp::set_timer(uint32_t index, Connection& c) {
  const Instant least = std::min({c.retransmit_deadline, c.ack_deadline, c.life_deadline});
  if (least == Instant::never()) {
    wheel_.cancel(index);
  } else {
    wheel_.arm(index, least);
  }
}

// T29: a connection whose application has gone ends when its peer stands still: while text is being
// delivered, after longer than the largest retransmission timeout; in FIN-WAIT-2, after a minute.
void Tcp::watch_orphan(Connection& c, Instant now) {
  const Duration stall = c.state == State::fin_wait_2 ? orphan_fin_wait_2_life : orphan_stall_max;
  c.life_deadline = std::min(now + stall, c.orphaned_at + orphan_life_max);
}

void Tcp::restart_retransmit_timer(uint32_t index, Connection& c, Instant now) {
  // RFC 6298 (5.2) and (5.3); with text that the window holds back, the same timer persists.
  const bool outstanding = c.snd_una != c.snd_max;
  const bool held_back = c.unsent != slot_none;
  c.retransmit_deadline =
      outstanding || held_back ? now + c.round_trip.timeout(c.backoff) : Instant::never();
  set_timer(index, c);
}

void Tcp::on_timer(uint32_t index, Instant now) {
  Connection& c = at(index);
  if (c.life_deadline <= now) {
    if (c.state == State::time_wait) {
      if (c.detached) {
        release(index);
        return;
      }
      c.life_deadline = Instant::never();
      c.state = State::closed;
      return;
    }
    counters_.add(c.state == State::syn_received ? Counter::tcp_handshake_timed_out
                                                 : Counter::tcp_orphan_timed_out);
    if (c.detached && is_synchronized(c.state)) send_reset(c, now);
    end_connection(index, c);
    return;
  }
  if (c.ack_deadline <= now) {
    c.ack_deadline = Instant::never();
    counters_.add(Counter::tcp_delayed_acks);
    acknowledge_now(index, c);
  }
  if (c.retransmit_deadline <= now) {
    on_retransmit_timeout(index, c, now);
    return;
  }
  set_timer(index, c);
}

void Tcp::on_retransmit_timeout(uint32_t index, Connection& c, Instant now) {
  c.retransmit_deadline = Instant::never();
  const uint32_t flight = octets_between(c.snd_una, c.snd_max);
  const bool persisting = flight == 0 && c.unsent != slot_none;
  if (flight == 0 && !persisting) {
    set_timer(index, c);
    return;
  }
  if (c.stalled_since == Instant::never()) c.stalled_since = now;
  // A peer that acknowledges probes of a closed window is alive, however long (section 3.8.6.1):
  // its acknowledgments reset stalled_since.
  const bool syn_ack_spent = c.state == State::syn_received && c.backoff >= syn_ack_retransmits_max;
  if (now - c.stalled_since > give_up_after || syn_ack_spent) {
    counters_.add(Counter::tcp_gave_up);
    if (is_synchronized(c.state)) send_reset(c, now);
    end_connection(index, c);
    return;
  }
  if (c.backoff < UINT8_MAX) ++c.backoff;  // (5.5)
  if (persisting) {
    c.probe_window = true;
    counters_.add(Counter::tcp_window_probes);
  } else if (c.state == State::syn_sent || c.state == State::syn_received) {
    c.syn_to_send = true;
    counters_.add(Counter::tcp_syn_retransmits);
  } else {
    counters_.add(Counter::tcp_retransmit_timeouts);
    // Everything unacknowledged is sent again in order as the window reopens (5.4); what the peer
    // has already is skipped by its acknowledgments.
    c.congestion.timed_out(flight, c.backoff == 1);
    c.in_recovery = false;
    c.duplicate_acks = 0;
    c.recover = c.snd_max;
    c.recover_pending = true;
    c.snd_nxt = c.snd_una;
    c.unsent = c.send_queue.head;
    c.retransmit_head = false;
    // Whatever the window has become meanwhile, something of what is lost goes out: as much as
    // fits, one octet at least.
    c.probe_window = true;
  }
  c.retransmit_deadline = now + c.round_trip.timeout(c.backoff);  // (5.6)
  queue_egress(index, c);
  set_timer(index, c);
}

}  // namespace millrace::tcp

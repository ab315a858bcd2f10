#include "tests/sim/timer_watch.h"

#include <algorithm>

#include "dataplane/tcp/round_trip.h"
#include "dataplane/tcp/state.h"

namespace millrace::sim {
namespace {

using tcp::Connection;
using tcp::Transfer;

// Deadlines are rounded up to a tick.
constexpr Duration tick = Duration::milliseconds(2);
constexpr Duration ack_delay_max = Duration::milliseconds(500);  // RFC 9293 section 3.8.6.3
// An orphan's longest life (T29).
constexpr Duration life_max = Duration::seconds(600);

std::string told(const char* what, Tick deadline, Instant now) {
  if (deadline.is_never()) return std::string(what) + " has no deadline";
  return std::string(what) + " has a deadline in " +
         std::to_string(Tick::at_or_before(now).until(deadline).count_ms()) + " ms";
}

bool is_beyond(Tick deadline, Duration most, Instant now) {
  return Tick::at_or_before(now).until(deadline) > most + tick;
}

bool waits_for_peer(const Connection& c, const Transfer* t) {
  if (c.state == tcp::State::syn_sent || c.state == tcp::State::syn_received) return true;
  if (t == nullptr || c.state == tcp::State::closed || c.state == tcp::State::time_wait)
    return false;
  // In flight, or held back by the peer's window.
  return c.snd_una != t->snd_max || t->unsent != tcp::slot_none;
}

}  // namespace

std::string judge_deadlines(const Connection& c, const Transfer* t, const tcp::KeepAlive& keepalive,
                            Instant now) {
  const bool waits = waits_for_peer(c, t);
  if (waits && c.retransmit_deadline.is_never())
    return told("a connection that waits for its peer", c.retransmit_deadline, now);
  const Duration retransmit_max =
      waits ? tcp::rto_max : std::max({tcp::rto_max, keepalive.idle, keepalive.interval});
  if (!c.retransmit_deadline.is_never() && is_beyond(c.retransmit_deadline, retransmit_max, now))
    return told("a retransmission", c.retransmit_deadline, now);
  if (!c.ack_deadline.is_never() && is_beyond(c.ack_deadline, ack_delay_max, now))
    return told("a delayed acknowledgment", c.ack_deadline, now);
  if (!c.life_deadline.is_never() && is_beyond(c.life_deadline, life_max, now))
    return told("a connection's life", c.life_deadline, now);
  const bool must_end = c.state == tcp::State::syn_received || c.state == tcp::State::time_wait;
  if (must_end && c.life_deadline.is_never())
    return told(tcp::state_name(c.state), c.life_deadline, now);
  return "";
}

}  // namespace millrace::sim

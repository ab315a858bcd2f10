// Going away in order: nobody new is let in, what is under way comes to its end, and then those go
// who wait for nothing.
#include "dataplane/proxy/proxy.h"

namespace millrace::proxy {
namespace {
constexpr uint32_t idle_closed_per_turn_max = 64;
constexpr uint32_t looks_per_turn_max = 1'024;
}  // namespace

// From here on every answer says "Connection: close" (RFC 9112 section 9.6). A client at rest may
// be asking at this moment: until idle_until it is left alone, and its next request is its last.
void Proxy::begin_drain(Instant idle_until, Instant now) {
  draining_ = true;
  idle_until_ = idle_until;
  drain_next_ = now;
}

void Proxy::drain_some(const Turn& turn) {
  bool more = false;
  for (uint32_t i = 0; i < idle_closed_per_turn_max; ++i) {
    const uint32_t index = pool_.longest_idle();
    if (index == upstream::Pool::none) break;
    pool_.remove_idle(index);
    close_pooled(index, turn);
    more = true;
  }
  if (turn.now < idle_until_) {
    drain_next_ = more ? turn.now : idle_until_;
    return;
  }
  for (uint32_t look = 0; look < looks_per_turn_max; ++look) {
    if (drain_hand_ < sessions_.capacity()) end_if_idle(drain_hand_, turn);
    const tcp::ConnId resting = tcp_.standing_at(drain_hand_, owner_none);
    if (resting) close_client(resting, turn);
    if (++drain_hand_ < tcp_.connection_capacity()) continue;
    // Round again: some were busy when they were looked at.
    drain_hand_ = 0;
    drain_next_ = turn.now + drain_round_pause;
    return;
  }
  drain_next_ = turn.now;
}

// A tunnel has no end of its own that could be waited for.
void Proxy::end_if_idle(uint32_t index, const Turn& turn) {
  if (!sessions_.live_at(index)) return;
  const Session& session = at(index);
  if (session.phase == Phase::tunnel) {
    end_tunnel(index, turn);
  } else if (session.phase == Phase::proxy_header) {
    abort_session(index, turn);
  } else if (session.phase == Phase::request_head && !session.head_partial &&
             tcp_.is_quiet(session.client)) {
    end_session(index, turn);
  }
}

}  // namespace millrace::proxy

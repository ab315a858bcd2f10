// After an endpoint's 101 the two connections are one: octets go through as they are, each
// direction until its own end (H21, H29; RFC 9110 section 7.8).
#include <algorithm>

#include "base/check.h"
#include "dataplane/http/char_class.h"
#include "dataplane/proxy/proxy.h"

namespace millrace::proxy {

bool Proxy::may_upgrade(std::string_view protocol) const {
  for (const std::string& allowed : upgrades_) {
    if (http::equals_ignoring_case(protocol, allowed)) return true;
  }
  return false;
}

// A tunnel holds a session and an endpoint connection for as long as its users like: never all of
// them.
bool Proxy::has_room_for_tunnel() const {
  const uint32_t least = std::min(sessions_.capacity(), pool_.capacity());
  return upgrade_count_ < uint64_t{least} * tunnel_quarters_max / 4;
}

// The endpoint agreed to what the client asked for, and the client has been told. What either of
// them has said behind its head already belongs to the new protocol and was never looked at.
void Proxy::begin_tunnel(uint32_t index, const Turn& turn) {
  Session& session = at(index);
  counters_.add(Counter::proxy_tunnels);
  session.phase = Phase::tunnel;
  endpoint_states_.succeeded(session.endpoint);
  leave_endpoint(session);  // tunnels have a bound of their own
  session.request_done = false;
  session.response_done = false;
  // Neither direction has a framing: both bodies go on until their connection ends.
  session.request_decoder.start(http::BodyFraming::until_close());
  session.request_encoder.start(http::BodyFraming::until_close());
  session.response_decoder.start(http::BodyFraming::until_close());
  session.response_encoder.start(http::BodyFraming::until_close());
  session.tunnel_moved = turn.now;
  session.request_waits_since = Instant::never();
  session.response_waits_since = Instant::never();
  set_deadline(index, session, tunnel_deadline(session));
}

Proxy::Progress Proxy::forward_tunnel(uint32_t index, const Turn& turn) {
  Session& session = at(index);
  const tcp::ConnId upstream = pool_[session.upstream].connection;
  const bool up = pass_through({session.client, upstream, session.request_decoder,
                                session.request_encoder, session.request_octets},
                               session.request_done, session.request_waits_since, turn);
  const bool down = pass_through({upstream, session.client, session.response_decoder,
                                  session.response_encoder, session.response_octets},
                                 session.response_done, session.response_waits_since, turn);
  if (session.request_done && session.response_done) {
    end_tunnel(index, turn);
    return Progress::session_gone;
  }
  if (up || down) session.tunnel_moved = turn.now;
  set_deadline(index, session, tunnel_deadline(session));
  return up || down ? Progress::moved : Progress::blocked;
}

// One direction as far as it goes; true if anything moved. Its end is told to the other side as the
// same half-close.
bool Proxy::pass_through(const Flow& flow, bool& done, Instant& waits_since, const Turn& turn) {
  if (done) return false;
  const FlowResult result = forward_body(flow, turn);
  const bool waits = result != FlowResult::finished && !tcp_.readable(flow.source).empty();
  if (!waits) {
    waits_since = Instant::never();
  } else if (result == FlowResult::moved || waits_since == Instant::never()) {
    waits_since = turn.now;
  }
  switch (result) {
    case FlowResult::blocked: return false;
    case FlowResult::moved: return true;
    case FlowResult::finished: break;
    // A body without a framing is whole wherever it ends, and every octet is well formed.
    case FlowResult::source_ended:
    case FlowResult::malformed: CHECK(result == FlowResult::finished); break;
  }
  tcp_.shutdown(flow.sink, turn.now);
  done = true;
  return true;
}

// H31: the earliest of what ends it: nothing goes through, or one side does not read, which is its
// end however busy the other direction is.
Instant Proxy::tunnel_deadline(const Session& session) const {
  const tcp::ConnId upstream = pool_[session.upstream].connection;
  const bool half_closed = tcp_.peer_has_ended(session.client) || tcp_.peer_has_ended(upstream);
  const Duration idle = half_closed ? timeouts_.tunnel_half_closed : timeouts_.tunnel_idle;
  Instant deadline = session.tunnel_moved + idle;
  for (const Instant since : {session.request_waits_since, session.response_waits_since}) {
    if (since != Instant::never()) deadline = std::min(deadline, since + timeouts_.body_stall);
  }
  return deadline;
}

void Proxy::on_tunnel_deadline(uint32_t index, const Turn& turn) {
  const Session& session = at(index);
  const Instant waiting = std::min(session.request_waits_since, session.response_waits_since);
  if (waiting != Instant::never() && waiting + timeouts_.body_stall <= turn.now) {
    counters_.add(Counter::proxy_tunnels_stalled);
    notes_.blame(index, ExchangeEnd::timed_out);
    abort_session(index, turn);
    return;
  }
  counters_.add(Counter::proxy_tunnels_idle);
  end_tunnel(index, turn);
}

// The endpoint has reset its connection. What it had said before its own end is whole all the same.
void Proxy::on_tunnel_reset(uint32_t index, const Turn& turn) {
  counters_.add(Counter::proxy_tunnels_reset);
  notes_.blame(index, ExchangeEnd::tunnel_reset);
  Session& session = at(index);
  if (!session.response_done) {
    abort_session(index, turn);
    return;
  }
  note_end(index, ExchangeEnd::tunnel_reset, false, turn);
  drop_upstream(session, turn);
  begin_linger(index, turn);
}

// Both sides are done, or nothing has moved for too long. What is queued for the client still
// arrives: it may be reading slowly, and say something meanwhile.
void Proxy::end_tunnel(uint32_t index, const Turn& turn) {
  Session& session = at(index);
  const uint32_t pool_index = session.upstream;
  session.upstream = upstream::Pool::none;
  note_end(index, ExchangeEnd::tunnel_ended, false, turn);
  close_pooled(pool_index, turn);
  begin_linger(index, turn);
}

}  // namespace millrace::proxy

// After an endpoint's 101 the two connections are one: octets go through as they are, each
// direction until its own end (H21, H29; RFC 9110 section 7.8).
#include "base/check.h"
#include "dataplane/proxy/proxy.h"

namespace millrace::proxy {

// The endpoint agreed to what the client asked for, and the client has been told. What either of
// them has said behind its head already belongs to the new protocol and was never looked at.
void Proxy::begin_tunnel(uint32_t index, const Turn& turn) {
  Session& session = at(index);
  counters_.add(Counter::proxy_tunnels);
  session.phase = Phase::tunnel;
  session.request_done = false;
  session.response_done = false;
  // Neither direction has a framing: both bodies go on until their connection ends.
  session.request_decoder.start(http::BodyFraming::until_close());
  session.request_encoder.start(http::BodyFraming::until_close());
  session.response_decoder.start(http::BodyFraming::until_close());
  session.response_encoder.start(http::BodyFraming::until_close());
  set_deadline(index, session, turn.now + timeouts_.tunnel_idle);
}

Proxy::Progress Proxy::forward_tunnel(uint32_t index, const Turn& turn) {
  Session& session = at(index);
  const tcp::ConnId upstream = pool_[session.upstream].connection;
  const bool up = pass_through({session.client, upstream, session.request_decoder,
                                session.request_encoder, session.request_octets},
                               session.request_done, turn);
  const bool down = pass_through({upstream, session.client, session.response_decoder,
                                  session.response_encoder, session.response_octets},
                                 session.response_done, turn);
  if (session.request_done && session.response_done) {
    end_tunnel(index, turn);
    return Progress::session_gone;
  }
  if (!up && !down) return Progress::blocked;
  const bool half_closed = session.request_done || session.response_done;
  set_deadline(index, session,
               turn.now + (half_closed ? timeouts_.tunnel_half_closed : timeouts_.tunnel_idle));
  return Progress::moved;
}

// One direction as far as it goes; true if anything moved. Its end is told to the other side as the
// same half-close.
bool Proxy::pass_through(const Flow& flow, bool& done, const Turn& turn) {
  if (done) return false;
  switch (forward_body(flow, turn)) {
    case FlowResult::blocked: return false;
    case FlowResult::moved: return true;
    case FlowResult::finished: break;
    // A body without a framing is whole wherever it ends, and every octet is well formed.
    case FlowResult::source_ended:
    case FlowResult::malformed: CHECK(!"a tunnel has no framing"); break;
  }
  tcp_.shutdown(flow.sink, turn.now);
  done = true;
  return true;
}

// Both sides are done, or nothing has moved for too long. What is queued still arrives.
void Proxy::end_tunnel(uint32_t index, const Turn& turn) {
  Session& session = at(index);
  const uint32_t pool_index = session.upstream;
  session.upstream = upstream::Pool::none;
  close_pooled(pool_index, turn);
  end_session(index, turn);
}

}  // namespace millrace::proxy

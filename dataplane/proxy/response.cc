// The way down: a response's head and body, and the end of the exchange.
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "dataplane/http/char_class.h"
#include "dataplane/proxy/proxy.h"

namespace millrace::proxy {
namespace {

constexpr uint8_t interim_responses_max = 16;  // H23
constexpr uint8_t attempts_max = 3;            // connections tried for one request

Counter counter_of(uint16_t status) {
  switch (status / 100) {
    case 1: return Counter::proxy_responses_1xx;
    case 2: return Counter::proxy_responses_2xx;
    case 3: return Counter::proxy_responses_3xx;
    case 4: return Counter::proxy_responses_4xx;
    default: return Counter::proxy_responses_5xx;
  }
}

}  // namespace

Proxy::Progress Proxy::take_response_head(uint32_t index, const Turn& turn) {
  Session& session = at(index);
  const tcp::ConnId upstream = pool_[session.upstream].connection;
  if (!pool_[session.upstream].established) return Progress::blocked;
  const tcp::Tcp::Run run = tcp_.readable_run(upstream);
  ByteView input = run.text;
  if (input.empty()) {
    if (!tcp_.at_end(upstream)) return Progress::blocked;
    return upstream_failed(index, 502, turn);  // it closed instead of answering
  }
  settle_request(session);
  size_t consumed = 0;
  auto status = http::parse_response_head(input, session.method, response_head_, consumed,
                                          &session.response_scan, {run.octets_behind});
  if (status == http::ParseStatus::partial && tcp_.has_more_than(upstream, input.size())) {
    input = gather(upstream);
    status = http::parse_response_head(input, session.method, response_head_, consumed,
                                       &session.response_scan, {gathered_bytes_behind});
  }
  if (status == http::ParseStatus::partial && !tcp_.peer_has_ended(upstream)) {
    tcp_.want_text(upstream);
    return Progress::blocked;
  }
  if (status != http::ParseStatus::complete ||
      (response_head_.status == 101 && !may_switch(session, response_head_))) {
    return upstream_failed(index, 502, turn);
  }
  // What was gathered was copied: what stands behind its head is not where consume() counts.
  const bool in_place = input.data() != gathered_.get();
  const ByteView behind = in_place ? input.subspan(consumed) : ByteView{};
  return forward_response_head(index, response_head_, consumed, behind, turn);
}

// H21: 101 ends HTTP on the connection. Only to the protocol that the client asked for.
bool Proxy::may_switch(const Session& session, const http::ResponseHead& head) const {
  return session.upgrade_bytes > 0 &&
         http::equals_ignoring_case(head.upgrade, {session.upgrade, session.upgrade_bytes});
}

Proxy::Progress Proxy::forward_response_head(uint32_t index, const http::ResponseHead& head,
                                             size_t head_bytes, ByteView behind, const Turn& turn) {
  Session& session = at(index);
  const tcp::ConnId upstream = pool_[session.upstream].connection;
  if (head.is_informational() && ++session.interim_responses > interim_responses_max) {
    return upstream_failed(index, 502, turn);
  }
  // 100 was ours to send, and HTTP/1.0 knows no interim responses (RFC 9110 section 15.2).
  const bool swallow =
      head.is_informational() && (head.status == 100 || session.version == http::Version::http_1_0);
  http::ResponseOptions options;
  options.client_version = session.version;
  options.framing = http::client_framing(head, session.version);
  options.date = {date_.data(), date_.size()};
  if (!head.is_informational()) {
    endpoint_states_.succeeded(session.endpoint);
    // H20: an answer that comes before the request's body is whole ends the client's connection.
    session.keep_alive = session.keep_alive && session.request_done && !draining_ &&
                         options.framing.kind != http::BodyFraming::Kind::until_close;
  }
  options.keep_alive = session.keep_alive;
  if (session.wishes.sets_cookie && !head.is_informational()) {
    options.cookie_name = {session.wishes.cookie_name.data(), session.wishes.cookie_name_bytes};
    options.cookie_value = write_cookie_value(pool_[session.upstream].endpoint_id);
  }
  if (fast_paths_ && write_whole_response(session, head, options, behind)) {
    counters_.add(counter_of(head.status));
    note_answer(index, head.status, false, turn);
    tcp_.consume(upstream, head_bytes + head.framing.length, turn.now);
    session.response_scan = {};
    session.response_begun = true;
    session.response_done = true;
    session.response_octets = head.framing.length;
    session.upstream_keep_alive = head.keep_alive && !session.wishes.is_alone();
    return finish_exchange(index, turn);
  }
  if (!swallow) {
    const Put put = put_message(session.client, [&](ByteSpan room) {
      return http::write_response_head(head, options, room);
    });
    if (put == Put::too_large) return upstream_failed(index, 502, turn);
    if (put == Put::no_memory) {
      // The head stays where it is and is parsed again when there is memory.
      if (head.is_informational()) --session.interim_responses;
      session.response_scan = {};
      tcp_.want_writable(session.client);
      return Progress::blocked;
    }
    counters_.add(counter_of(head.status));
  }
  tcp_.consume(upstream, head_bytes, turn.now);
  session.response_scan = {};
  if (!head.is_informational() || head.status == 101) {
    note_answer(index, head.status, false, turn);
  }
  if (head.status == 101) begin_tunnel(index, turn);
  if (head.is_informational()) return Progress::moved;

  session.response_begun = true;
  session.upstream_keep_alive = head.keep_alive && !session.wishes.is_alone() &&
                                head.framing.kind != http::BodyFraming::Kind::until_close;
  session.response_decoder.start(head.framing);
  session.response_encoder.start(options.framing);
  set_deadline(index, session, turn.now + timeouts_.body_stall);
  return Progress::moved;
}

// The fast door: a final response with a length, whole in what has arrived, that leaves in one
// segment. True when it was written, body and all.
bool Proxy::write_whole_response(Session& session, const http::ResponseHead& head,
                                 const http::ResponseOptions& options, ByteView behind) {
  const bool has_length = head.framing.kind == http::BodyFraming::Kind::content_length;
  if (!has_length || head.is_informational() || !session.request_done) return false;
  const size_t body = head.framing.length;
  if (body > behind.size()) return false;
  const size_t segment = tcp_.segment_octets(session.client);
  if (body >= segment) return false;
  const tcp::Tcp::OpenSlot open = tcp_.open_slot(session.client);
  if (open.slot == packet::slot_none) return false;
  const size_t octets = http::write_response_head(head, options, open.room);
  if (octets == 0 || octets + body > segment) {
    tcp_.cancel_slot(open);
    return false;
  }
  std::memcpy(open.room.data() + octets, behind.data(), body);
  tcp_.commit_slot(session.client, open, octets + body);
  return true;
}

Proxy::Progress Proxy::forward_response_body(uint32_t index, const Turn& turn) {
  Session& session = at(index);
  if (session.response_done) return finish_exchange(index, turn);
  const tcp::ConnId upstream = pool_[session.upstream].connection;
  const Flow flow{upstream, session.client, session.response_decoder, session.response_encoder,
                  session.response_octets};
  switch (forward_body(flow, turn)) {
    case FlowResult::blocked: return Progress::blocked;
    case FlowResult::moved:
      set_deadline(index, session, turn.now + timeouts_.body_stall);
      return Progress::moved;
    case FlowResult::finished: session.response_done = true; return finish_exchange(index, turn);
    case FlowResult::source_ended:
    case FlowResult::malformed: break;
  }
  // H24: a response that is not whole must not look whole: the client gets a reset, never an end.
  counters_.add(Counter::proxy_responses_truncated);
  notes_.blame(index, ExchangeEnd::response_truncated);
  abort_session(index, turn);
  return Progress::session_gone;
}

Proxy::Progress Proxy::finish_exchange(uint32_t index, const Turn& turn) {
  Session& session = at(index);
  const tcp::ConnId upstream = pool_[session.upstream].connection;
  // Octets behind the response belong to nobody (H22, H25): such a connection is not used again.
  const bool reusable =
      session.upstream_keep_alive && session.request_done && tcp_.is_quiet(upstream);
  if (reusable) {
    return_upstream(session, turn);
  } else if (session.request_done) {
    leave_endpoint(session);
    const uint32_t pool_index = session.upstream;
    session.upstream = upstream::Pool::none;
    close_pooled(pool_index, turn);
  } else {
    drop_upstream(session, turn);
  }
  note_end(index, ExchangeEnd::complete, session.keep_alive, turn);
  if (!session.keep_alive) {
    begin_linger(index, turn);
    return Progress::moved;
  }
  next_exchange(index, turn);
  return Progress::moved;
}

void Proxy::next_exchange(uint32_t index, const Turn& turn) {
  Session& session = at(index);
  session.phase = Phase::request_head;
  session.attempts = 0;
  session.avoid_endpoint = 0;
  session.head_partial = false;
  session.request_scan = {};
  session.request_octets = 0;
  session.response_octets = 0;
  set_deadline(index, session, turn.now + std::min(timeouts_.client_idle, rest_after));
}

Proxy::Progress Proxy::upstream_failed(uint32_t index, uint16_t status, const Turn& turn) {
  Session& session = at(index);
  counters_.add(Counter::proxy_upstream_failures);
  // An endpoint that closes a connection at rest while it is used again has not failed.
  const bool lost_race = status == 502 && pool_[session.upstream].requests > 1;
  if (!lost_race && !session.response_begun &&
      endpoint_states_.failed(session.endpoint, turn.now)) {
    counters_.add(Counter::proxy_endpoints_ejected);
  }
  const upstream::UpstreamConnection& upstream = pool_[session.upstream];
  // Nothing of a response has come, and the request is kept: it was taken by nobody, or may be
  // repeated (H27). Another endpoint if this one did not even connect.
  if (session.repeatable && session.attempts + 1 < attempts_max && status != 504) {
    ++session.attempts;
    if (!upstream.established) session.avoid_endpoint = upstream.endpoint_id;
    Progress progress{};
    if (repeat_request(index, turn, &progress)) {
      counters_.add(Counter::proxy_upstream_retries);
      return progress;
    }
  }
  drop_upstream(session, turn);
  if (session.response_begun) {
    notes_.blame(index, ExchangeEnd::response_truncated);
    abort_session(index, turn);
    return Progress::session_gone;
  }
  const LocalReason reason =
      status == 504 ? LocalReason::endpoint_timeout : LocalReason::endpoint_failed;
  return reply_locally(index, {status, session.request_done, reason}, turn);
}

}  // namespace millrace::proxy

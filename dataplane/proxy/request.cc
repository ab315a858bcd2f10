// The way up: a request's head, its route and endpoint, its body.
#include <algorithm>
#include <array>

#include "base/check.h"
#include "dataplane/proxy/proxy.h"
#include "dataplane/route/router.h"

namespace millrace::proxy {
namespace {
// So that what they are due at fits: a hundred days at a gigabyte a second.
constexpr uint64_t body_octets_counted_max = uint64_t{1} << 53;
}  // namespace

Proxy::Progress Proxy::take_request_head(uint32_t index, const Turn& turn) {
  Session& session = at(index);
  const tcp::Tcp::Run run = tcp_.readable_run(session.client);
  ByteView input = run.text;
  if (input.empty()) {
    if (!tcp_.at_end(session.client)) return Progress::blocked;
    end_session(index, turn);  // the client is done, between two exchanges
    return Progress::session_gone;
  }
  // A client that asks and never reads is held up by its own window: answers of ours that wait for
  // it are bounded like everything else.
  if (tcp_.writable(session.client) < http::local_reply_bytes_max) {
    tcp_.want_writable(session.client);
    return Progress::blocked;
  }
  size_t consumed = 0;
  auto status = http::parse_request_head(input, request_head_, consumed, &session.request_scan,
                                         {run.octets_behind});
  if (status == http::ParseStatus::partial && tcp_.has_more_than(session.client, input.size())) {
    input = gather(session.client);
    status = http::parse_request_head(input, request_head_, consumed, &session.request_scan,
                                      {gathered_bytes_behind});
  }
  switch (status) {
    case http::ParseStatus::complete: return begin_exchange(index, request_head_, consumed, turn);
    case http::ParseStatus::error:
      counters_.add(Counter::proxy_requests_refused);
      session.keep_alive = false;
      note_begin(index, &request_head_, head_began(session, turn), turn);
      return reply_locally(
          index, {http::reply_status(request_head_.error), false, LocalReason::head_invalid}, turn);
    case http::ParseStatus::partial: break;
  }
  if (tcp_.peer_has_ended(session.client)) {
    counters_.add(Counter::proxy_client_aborts);
    session.keep_alive = false;
    note_begin(index, nullptr, head_began(session, turn), turn);
    // A head that can never become whole.
    return reply_locally(index, {400, false, LocalReason::head_cut}, turn);
  }
  if (!session.head_partial) {
    session.head_partial = true;
    // H31: the whole head has this long, however its octets trickle in.
    set_deadline(index, session, turn.now + timeouts_.request_head);
  }
  tcp_.want_text(session.client);
  return Progress::blocked;
}

// When its first octet was seen: the head's deadline has run since.
Instant Proxy::head_began(const Session& session, const Turn& turn) const {
  return session.head_partial ? session.deadline - timeouts_.request_head : turn.now;
}

// H18: the path that is matched and sent on, the same octets for both. False: it is refused. A
// slash that is encoded stays as it is: whether it may is for its route to say, which is found by
// it.
bool Proxy::settle_path(http::RequestHead& head) {
  encoded_slash_ = false;
  if (!http::may_need_normalising(head.path)) return true;
  const auto [verdict, bytes, has_encoded_slash] =
      http::normalise_path(head.path, {.passes_encoded_slash = true}, path_);
  encoded_slash_ = has_encoded_slash;
  switch (verdict) {
    case http::PathVerdict::as_it_is: return true;
    case http::PathVerdict::refused: counters_.add(Counter::proxy_paths_refused); return false;
    case http::PathVerdict::rewritten: break;
  }
  counters_.add(Counter::proxy_paths_rewritten);
  head.path = {path_.data(), bytes};
  head.canonical_line = {};  // which has the other one
  return true;
}

Proxy::Progress Proxy::begin_exchange(uint32_t index, http::RequestHead& head, size_t head_bytes,
                                      const Turn& turn) {
  Session& session = at(index);
  counters_.add(Counter::proxy_requests);
  settle_provenance(session, head);
  note_begin(index, &head, head_began(session, turn), turn);
  session.phase = Phase::exchange;
  session.body_began = turn.now;
  session.body_moved = turn.now;
  session.body_octets_before = 0;
  session.head_partial = false;
  session.held_up = false;
  session.request_scan = {};
  session.response_scan = {};
  session.method = head.method;
  session.version = head.version;
  if (!head.upgrade.empty() && !may_upgrade(head.upgrade)) head.upgrade = {};
  // H21: with anything but a 101 the connection ends. What the client has sent behind such a
  // request may be of the other protocol, and must never be taken for a request. (Whoever asks for
  // what is not passed on must wait for the answer as well, and has asked for nothing, RFC 9110
  // section 7.8.)
  session.keep_alive = head.keep_alive && head.upgrade.empty() && !draining_;
  session.idempotent = http::is_idempotent(head.method);
  session.request_done = head.framing.is_empty();
  session.response_begun = false;
  session.response_done = false;
  session.interim_responses = 0;
  session.upgrade_bytes = 0;
  session.request_decoder.start(head.framing);
  session.request_encoder.start(head.framing);

  // The head's octets are where the fields point to: they go when nobody looks at them any more.
  const auto refuse = [&](const Refusal& refusal) {
    tcp_.consume(session.client, head_bytes, turn.now);
    return reply_locally(index, refusal, turn);
  };
  if (client_limits_.limits_requests() && is_too_fast(session, turn)) {
    counters_.add(Counter::proxy_client_requests_limited);
    return refuse({429, true, LocalReason::client_too_fast});
  }
  if (request_body_bytes_max_ > 0 && head.framing.length > request_body_bytes_max_) {
    return refuse({413, false, LocalReason::body_too_large});
  }
  if (ends_here(head)) return refuse({200, true, LocalReason::last_recipient});
  if (head.form == http::TargetForm::asterisk) return refuse({404, true, LocalReason::no_path});
  if (is_loop(head)) {
    counters_.add(Counter::proxy_loops);
    return refuse({508, true, LocalReason::loop});
  }
  if (!settle_path(head)) return refuse({400, true, LocalReason::path_refused});
  if (!head.upgrade.empty()) {
    if (!has_room_for_tunnel()) {
      counters_.add(Counter::proxy_tunnels_full);
      return refuse({503, false, LocalReason::tunnels_full});
    }
    ++upgrade_count_;
    for (const char c : head.upgrade) {
      session.upgrade[session.upgrade_bytes++] =
          c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    }
  }
  const Refusal refused = send_request(index, head, {}, turn);
  if (refused.status != 0) return refuse(refused);
  tcp_.consume(session.client, head_bytes, turn.now);
  // RFC 9110 section 10.1.1: the origin will take the body, so the client may send it.
  if (head.expects_continue && !session.request_done) {
    tcp_.write_whole(session.client, as_bytes(http::continue_bytes));
  }
  // Without a body there is nothing more to do before the endpoint speaks.
  return session.request_done ? Progress::blocked : Progress::moved;
}

// Chooses an endpoint by head and queues the request for it: written from head, or `text`, what an
// earlier attempt has written already.
Proxy::Refusal Proxy::send_request(uint32_t index, const http::RequestHead& head, ByteView text,
                                   const Turn& turn) {
  Session& session = at(index);
  const route::RouteMatch match = route::match(turn.snapshot, head.host(), head.path);
  note_route(index, match, turn);
  if (encoded_slash_ && !passes_encoded_slash(match, turn)) {
    counters_.add(Counter::proxy_paths_refused);
    return {400, true, LocalReason::path_refused};
  }
  if (match.found == route::RouteFound::none) return {404, true, LocalReason::no_route};
  if (text.empty()) {
    settle_wishes(session, head, match.service_slot, turn);
  } else if (!keep_wishes(session, match.service_slot, turn)) {
    return {502, true, LocalReason::endpoint_failed};
  }
  Wishes& wishes = session.wishes;
  const auto [endpoint, known, all_busy] =
      balancer_.choose(match.service_slot, turn.snapshot.endpoints(match.service_slot),
                       session.avoid_endpoint, wishes.endpoint, endpoint_states_, turn.now);
  if (all_busy) {
    counters_.add(Counter::proxy_endpoints_busy);
    return {503, true, LocalReason::endpoints_busy};
  }
  if (endpoint == nullptr) return {503, true, LocalReason::no_endpoint};
  if (!acquire_upstream(index, *endpoint, turn)) return {503, true, LocalReason::no_connection};
  // TCP keeps what is sent as long as another attempt may need it: until a fresh connection stands;
  // or, on a reused one, which the endpoint may be closing at this moment, until it answers (H27:
  // only what is safe to send twice, and only before the first octet).
  session.endpoint = endpoint_states_.enter(endpoint->id, known);
  wishes.sets_cookie = wishes.cookie_name_bytes > 0 && endpoint->id != wishes.endpoint.stick_to;
  const upstream::UpstreamConnection& upstream = pool_[session.upstream];
  const bool reused = upstream.established;
  note_attempt(index, *endpoint, reused, turn);
  session.repeatable_until_response = reused && session.idempotent && session.request_done;
  session.repeatable = !reused || session.repeatable_until_response;
  if (session.repeatable) tcp_.keep_sent(upstream.connection);
  if (text.empty() ? !write_request(session, head) : !tcp_.write_whole(upstream.connection, text)) {
    drop_upstream(session, turn);
    return {503, false, LocalReason::no_memory};
  }
  set_deadline(index, session,
               turn.now + (!reused                ? timeouts_.connect
                           : session.request_done ? timeouts_.first_octet
                                                  : timeouts_.body_stall));
  return {};
}

// The request once more, to another connection: by the table of this turn, in the words of the
// attempt that failed, which TCP has kept. The failed connection goes. False when they are gone;
// the caller then answers.
bool Proxy::repeat_request(uint32_t index, const Turn& turn, Progress* progress) {
  Session& session = at(index);
  const ByteSpan place{gathered_.get(), http::head_bytes_max + http::head_growth_bytes_max};
  const size_t octets = tcp_.peek_sent(pool_[session.upstream].connection, place);
  if (octets == 0) return false;
  const ByteView text = place.first(octets);
  const ByteView head = text.subspan(std::min<size_t>(octets, session.wishes.proxy_header_bytes));
  size_t consumed = 0;
  // Our own words, but with the forwarding fields they may have grown beyond what a head may be.
  if (http::parse_request_head(head, request_head_, consumed) != http::ParseStatus::complete)
    return false;
  encoded_slash_ = http::has_encoded_slash(request_head_.path);
  drop_upstream(session, turn);
  const Refusal refused = send_request(index, request_head_, text, turn);
  *progress = refused.status == 0 ? Progress::moved : reply_locally(index, refused, turn);
  return true;
}

// An idle connection whose endpoint has neither spoken nor ended it. What arrived before the
// request is sent cannot be its answer (H25), also when the event for it has not had its turn yet.
uint32_t Proxy::take_silent_idle(uint64_t endpoint_id, const Turn& turn) {
  for (;;) {
    const uint32_t taken = pool_.take_idle(endpoint_id);
    if (taken == upstream::Pool::none || tcp_.is_quiet(pool_[taken].connection)) return taken;
    counters_.add(Counter::proxy_upstream_unsolicited);
    close_pooled(taken, turn);
  }
}

bool Proxy::acquire_upstream(uint32_t index, const shm::EndpointRecord& endpoint,
                             const Turn& turn) {
  Session& session = at(index);
  uint32_t taken = session.attempts == 0 && !session.wishes.is_alone()
                       ? take_silent_idle(endpoint.id, turn)
                       : upstream::Pool::none;
  if (taken != upstream::Pool::none) {
    counters_.add(Counter::proxy_upstream_reuses);
  } else {
    const SocketAddress remote{Ipv4Address::from_host_order(endpoint.address), endpoint.port};
    const Ipv4Address source = source_of_(source_context_, remote.address);
    const tcp::ConnId connection = tcp_.connect(source, remote, owner_none, turn.now);
    if (!connection) return false;
    taken = pool_.add(connection, endpoint.id);
    if (taken == upstream::Pool::none) {
      counters_.add(Counter::proxy_upstream_records_full);
      tcp_.abort(connection, turn.now);
      return false;
    }
    tcp_.set_owner(connection, taken | owner_upstream);
    counters_.add(Counter::proxy_upstream_connects);
  }
  upstream::UpstreamConnection& upstream = pool_[taken];
  upstream.session = index;
  ++upstream.requests;
  session.upstream = taken;
  return true;
}

// The request has been taken: it will not be said to anybody else.
void Proxy::settle_request(Session& session) {
  if (!session.repeatable) return;
  tcp_.forget_sent(pool_[session.upstream].connection);
  session.repeatable = false;
  session.attempts = 0;
  session.avoid_endpoint = 0;
}

// H31: when the next octet has to have come; and earlier, if they come so slowly that the body
// would hold a session for as long as its sender likes.
Instant Proxy::request_body_deadline(const Session& session) const {
  const Instant stalled = session.body_moved + timeouts_.body_stall;
  if (request_body_rate_min_ == 0 || session.response_begun) return stalled;
  const auto due_ms = static_cast<int64_t>(
      std::min(session.request_octets - session.body_octets_before, body_octets_counted_max) *
      1'000 / request_body_rate_min_);
  return std::min(stalled,
                  session.body_began + timeouts_.body_rate_grace + Duration::milliseconds(due_ms));
}

Proxy::Progress Proxy::forward_request_body(uint32_t index, const Turn& turn) {
  Session& session = at(index);
  if (session.request_done || !pool_[session.upstream].established) return Progress::blocked;
  const tcp::ConnId upstream = pool_[session.upstream].connection;
  const Flow flow{session.client, upstream, session.request_decoder, session.request_encoder,
                  session.request_octets};
  const FlowResult result = forward_body(flow, turn);
  if (request_body_bytes_max_ > 0 && session.request_octets > request_body_bytes_max_) {
    // A chunked body says its length only as it comes.
    drop_upstream(session, turn);
    if (!session.response_begun) {
      return reply_locally(index, {413, false, LocalReason::body_too_large}, turn);
    }
    notes_.blame(index, ExchangeEnd::body_too_large);
    abort_session(index, turn);
    return Progress::session_gone;
  }
  switch (result) {
    case FlowResult::blocked: return Progress::blocked;
    case FlowResult::moved:
      session.body_moved = turn.now;
      // Past due and still here: its endpoint did not read. The count begins anew.
      if (request_body_deadline(session) <= turn.now) {
        session.body_began = turn.now;
        session.body_octets_before = session.request_octets;
      }
      set_deadline(index, session, request_body_deadline(session));
      return Progress::moved;
    case FlowResult::finished:
      session.request_done = true;
      set_deadline(index, session, turn.now + timeouts_.first_octet);
      return Progress::moved;
    case FlowResult::source_ended:
    case FlowResult::malformed: break;
  }
  // The client broke its own framing: the endpoint must never see a whole request of it.
  counters_.add(Counter::proxy_client_aborts);
  drop_upstream(session, turn);
  if (session.response_begun) {
    notes_.blame(index, ExchangeEnd::client_aborted);
    abort_session(index, turn);
    return Progress::session_gone;
  }
  return reply_locally(index, {400, false, LocalReason::body_invalid}, turn);
}

}  // namespace millrace::proxy

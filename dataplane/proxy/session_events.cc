// What TCP says about either side, and what the clock says; then the session is driven on.
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "dataplane/proxy/proxy.h"

namespace millrace::proxy {
namespace {

// One session's share of a turn: parse, forward and finish a few pipelined exchanges, then the
// others.
constexpr uint32_t steps_per_turn_max = 32;
constexpr uint32_t deadlines_per_turn_max = 256;
constexpr uint32_t idle_closed_per_turn_max = 16;
constexpr uint32_t rest_looks_max = 64;  // a request
// A client that reads slowly may take this long to fetch what was queued when we stopped.
constexpr Duration linger_total_max = Duration::seconds(60);

}  // namespace

Proxy::Proxy(const Options& options, tcp::Tcp& tcp, Counters& counters, Instant start)
    : timeouts_(options.timeouts),
      request_body_bytes_max_(options.request_body_bytes_max),
      request_body_rate_min_(options.request_body_rate_min),
      paths_(options.paths),
      upgrades_(options.upgrades),
      forwarding_(options.forwarding),
      proxy_header_listeners_(options.proxy_header_listeners),
      told_clients_(options.proxy_header_listeners.empty() ? 0 : tcp.connection_capacity()),
      fast_paths_(options.fast_paths),
      tcp_(tcp),
      counters_(counters),
      sessions_(options.sessions),
      wheel_(options.sessions, start),
      notes_(options.access_log, options.sessions),
      traffic_(options.traffic),
      balancer_(options.policy, options.seed),
      endpoint_states_(options.endpoints, options.seed),
      client_limits_(options.clients, tcp.connection_capacity(), options.seed),
      pool_(options.pool, options.seed),
      gathered_(std::make_unique<uint8_t[]>(scratch_bytes)),
      written_(std::make_unique<uint8_t[]>(scratch_bytes)) {
  http::format_http_date(0, date_);
}

void Proxy::set_date(std::string_view date) {
  CHECK(date.size() == date_.size());
  std::memcpy(date_.data(), date.data(), date_.size());
}

void Proxy::turn(const shm::SnapshotView& snapshot, const shm::TrafficMap* traffic, Instant now) {
  const Turn turn{snapshot, traffic, now};
  look_ahead(turn);
  // Only what is ready now: whoever becomes ready meanwhile has its turn in the next one.
  for (uint32_t left = tcp_.ready_count(); left > 0; --left) {
    const auto ready = tcp_.next_ready();
    if (!ready) break;
    if ((ready->events & tcp::event_accepted) != 0) {
      if ((ready->events & tcp::event_aborted) != 0) {
        tcp_.close(ready->id, now);  // gone before we looked
        continue;
      }
      accept(*ready, turn);
    } else if ((ready->owner & owner_upstream) != 0) {
      on_upstream(*ready, ready->owner & ~owner_upstream, turn);
    } else if (ready->owner == owner_none) {
      on_resting(*ready, turn);
    } else {
      on_client(*ready, ready->owner, turn);
    }
  }
  wheel_.advance(now, deadlines_per_turn_max, [&](uint32_t index) { on_deadline(index, turn); });
  expire_idle(turn);
  if (draining_ && now >= drain_next_) drain_some(turn);
}

void Proxy::accept(const tcp::Ready& ready, const Turn& turn) {
  counters_.add(Counter::proxy_sessions_accepted);
  tcp_.set_owner(ready.id, owner_none);
  if (!told_clients_.is_empty()) {
    if (awaits_proxy_header(ready.id) && !is_trusted_peer(ready.id)) {
      counters_.add(Counter::proxy_headers_untrusted);
      tcp_.abort(ready.id, turn.now);
      return;
    }
    told_clients_.forget(ready.id.index);
  }
  if (client_limits_.limits_connections() && !admit_client(ready.id)) {
    counters_.add(Counter::proxy_client_connections_full);
    tcp_.abort(ready.id, turn.now);
    return;
  }
  if (!tcp_.readable(ready.id).empty() || tcp_.at_end(ready.id)) {
    on_resting(ready, turn);
  } else {
    tcp_.set_deadline(ready.id, turn.now + timeouts_.client_idle);
  }
}

// A client's connection without a session: its first text, the first after a rest, or its end.
void Proxy::on_resting(const tcp::Ready& ready, const Turn& turn) {
  const bool aborted = (ready.events & tcp::event_aborted) != 0;
  if (!aborted && !tcp_.readable(ready.id).empty()) {
    begin_session(ready.id, turn);
    return;
  }
  // Whatever else TCP tells of a connection that is left alone changes nothing.
  constexpr uint8_t last = tcp::event_aborted | tcp::event_deadline;
  if ((ready.events & last) != 0 || tcp_.at_end(ready.id)) close_client(ready.id, turn);
}

void Proxy::begin_session(tcp::ConnId client, const Turn& turn) {
  if (sessions_.full()) rest_somebody();
  const auto id = sessions_.acquire();
  if (!id) {
    counters_.add(Counter::proxy_sessions_full);
    abort_client(client, turn);
    return;
  }
  Session& session = sessions_[id];
  session.client = client;
  if (told_clients_.is_empty() || told_clients_.is_told(client.index) ||
      !awaits_proxy_header(client)) {
    name_client(session);
  } else {
    session.phase = Phase::proxy_header;
  }
  tcp_.set_owner(client, id.index);
  tcp_.set_deadline(client, Instant::never());
  set_deadline(id.index, session, turn.now + std::min(timeouts_.client_idle, rest_after));
  drive(id.index, turn);
}

// Some time after an exchange, with nothing of the next one; idle_end: when the client has had its
// time between two exchanges.
void Proxy::on_pause(uint32_t index, Instant idle_end, const Turn& turn) {
  Session& session = at(index);
  if (session.held_up || idle_end <= turn.now) {
    end_session(index, turn);
    return;
  }
  if (!tcp_.readable(session.client).empty() || tcp_.peer_has_ended(session.client)) {
    session.held_up = true;  // by answers of ours that the client does not read
    set_deadline(index, session, idle_end);
    return;
  }
  put_to_rest(index, idle_end);
}

void Proxy::put_to_rest(uint32_t index, Instant idle_end) {
  const tcp::ConnId client = at(index).client;
  tcp_.set_owner(client, owner_none);
  tcp_.set_deadline(client, idle_end);
  release_session(index);
}

// When sessions are short: the next one round the table that is between two exchanges goes early.
void Proxy::rest_somebody() {
  for (uint32_t look = 0; look < rest_looks_max; ++look) {
    rest_hand_ = rest_hand_ + 1 < sessions_.capacity() ? rest_hand_ + 1 : 0;
    if (!sessions_.live_at(rest_hand_)) continue;
    const Session& session = at(rest_hand_);
    if (session.phase != Phase::request_head || session.head_partial || session.held_up) continue;
    if (!tcp_.is_quiet(session.client)) continue;
    put_to_rest(rest_hand_, session.deadline + (timeouts_.client_idle - rest_after));
    return;
  }
}

void Proxy::on_client(const tcp::Ready& ready, uint32_t index, const Turn& turn) {
  if ((ready.events & tcp::event_aborted) != 0) {
    if (at(index).phase == Phase::exchange) {
      counters_.add(Counter::proxy_client_aborts);
      notes_.blame(index, ExchangeEnd::client_aborted);
    }
    if (at(index).phase == Phase::tunnel) {
      counters_.add(Counter::proxy_tunnels_reset);
      notes_.blame(index, ExchangeEnd::tunnel_reset);
    }
    end_session(index, turn);
    return;
  }
  drive(index, turn);
}

void Proxy::on_upstream(const tcp::Ready& ready, uint32_t index, const Turn& turn) {
  if (pool_.is_idle(index)) {
    // The event may be about a response that was read on the client's event of the same turn.
    if (tcp_.is_quiet(pool_[index].connection)) return;
    // H25: whatever an idle connection has to say, nobody asked for it.
    counters_.add(Counter::proxy_upstream_unsolicited);
    pool_.remove_idle(index);
    close_pooled(index, turn);
    return;
  }
  const uint32_t session_index = pool_[index].session;
  Session& session = at(session_index);
  if ((ready.events & tcp::event_aborted) != 0 && session.phase == Phase::tunnel) {
    on_tunnel_reset(session_index, turn);
    return;
  }
  if ((ready.events & tcp::event_aborted) != 0) {
    if (upstream_failed(session_index, 502, turn) != Progress::session_gone)
      drive(session_index, turn);
    return;
  }
  if ((ready.events & tcp::event_connected) != 0) {
    pool_[index].established = true;
    notes_.connected(session_index, turn.now);
    if (!session.repeatable_until_response) settle_request(session);
    set_deadline(session_index, session,
                 turn.now + (session.request_done ? timeouts_.first_octet : timeouts_.body_stall));
  }
  drive(session_index, turn);
}

void Proxy::drive(uint32_t index, const Turn& turn) {
  for (uint32_t step = 0; step < steps_per_turn_max; ++step) {
    Progress progress = Progress::blocked;
    switch (at(index).phase) {
      case Phase::proxy_header: progress = take_proxy_header(index, turn); break;
      case Phase::request_head: progress = take_request_head(index, turn); break;
      case Phase::linger: progress = linger(index, turn); break;
      case Phase::tunnel: progress = forward_tunnel(index, turn); break;
      case Phase::exchange: {
        const Progress request = forward_request_body(index, turn);
        if (request == Progress::session_gone) return;
        if (at(index).phase != Phase::exchange) {
          progress = Progress::moved;
          break;
        }
        progress = at(index).response_begun ? forward_response_body(index, turn)
                                            : take_response_head(index, turn);
        if (progress == Progress::blocked) progress = request;
        break;
      }
    }
    if (progress != Progress::moved) return;
  }
  tcp_.make_ready(at(index).client, tcp::event_readable);
}

void Proxy::on_deadline(uint32_t index, const Turn& turn) {
  Session& session = at(index);
  if (turn.now < session.deadline) {  // it was put off meanwhile
    if (session.deadline != Instant::never()) wheel_.arm(index, session.deadline);
    return;
  }
  const Instant due = session.deadline;
  session.deadline = Instant::never();
  Progress progress = Progress::blocked;
  switch (session.phase) {
    case Phase::proxy_header:
      counters_.add(Counter::proxy_client_timeouts);
      abort_session(index, turn);
      return;
    case Phase::request_head:
      if (!session.head_partial) {
        on_pause(index, due + (timeouts_.client_idle - rest_after), turn);
        return;
      }
      counters_.add(Counter::proxy_client_timeouts);
      note_begin(index, nullptr, due - timeouts_.request_head, turn);
      progress = reply_locally(index, {408, false, LocalReason::head_timeout}, turn);
      break;
    case Phase::exchange:
      if (session.response_begun) {
        // One of the two stands still, and the response can no longer be made whole.
        counters_.add(Counter::proxy_upstream_timeouts);
        notes_.blame(index, ExchangeEnd::timed_out);
        abort_session(index, turn);
        return;
      }
      // A client whose text waits is not too slow: its endpoint has as long as it may stand still.
      if (!session.request_done && turn.now < session.body_moved + timeouts_.body_stall &&
          session.upstream != upstream::Pool::none && pool_[session.upstream].established &&
          !tcp_.readable(session.client).empty()) {
        set_deadline(index, session, session.body_moved + timeouts_.body_stall);
        return;
      }
      // The client is to blame only if nothing of its body waits: else the endpoint does not read.
      if (session.upstream != upstream::Pool::none && pool_[session.upstream].established &&
          !session.request_done && tcp_.readable(session.client).empty()) {
        counters_.add(Counter::proxy_client_timeouts);
        drop_upstream(session, turn);
        progress = reply_locally(index, {408, false, LocalReason::body_timeout}, turn);
      } else {
        counters_.add(Counter::proxy_upstream_timeouts);
        progress = upstream_failed(index, 504, turn);
      }
      break;
    case Phase::tunnel: on_tunnel_deadline(index, turn); return;
    case Phase::linger: {
      if (tcp_.has_unacknowledged_text(session.client) && turn.now < session.linger_end) {
        set_deadline(index, session, turn.now + timeouts_.linger);
        return;
      }
      end_session(index, turn);
      return;
    }
  }
  if (progress != Progress::session_gone) drive(index, turn);
}

void Proxy::expire_idle(const Turn& turn) {
  for (uint32_t i = 0; i < idle_closed_per_turn_max; ++i) {
    const uint32_t index = pool_.expired(turn.now);
    if (index == upstream::Pool::none) return;
    pool_.remove_idle(index);
    close_pooled(index, turn);
  }
}

void Proxy::begin_linger(uint32_t index, const Turn& turn) {
  Session& session = at(index);
  // T30, RFC 9112 section 9.6: a close with text unread would be a reset that overtakes our answer.
  tcp_.shutdown(session.client, turn.now);
  session.phase = Phase::linger;
  session.linger_end = turn.now + linger_total_max;
  set_deadline(index, session, turn.now + timeouts_.linger);
}

Proxy::Progress Proxy::linger(uint32_t index, const Turn& turn) {
  Session& session = at(index);
  for (ByteView run = tcp_.readable(session.client); !run.empty();
       run = tcp_.readable(session.client)) {
    tcp_.consume(session.client, run.size(), turn.now);
  }
  if (!tcp_.at_end(session.client)) return Progress::blocked;
  end_session(index, turn);
  return Progress::session_gone;
}

void Proxy::end_session(uint32_t index, const Turn& turn) {
  Session& session = at(index);
  note_end(index, ExchangeEnd::aborted, false, turn);
  drop_upstream(session, turn);
  close_client(session.client, turn);
  release_session(index);
}

void Proxy::abort_session(uint32_t index, const Turn& turn) {
  Session& session = at(index);
  note_end(index, ExchangeEnd::aborted, false, turn);
  drop_upstream(session, turn);
  abort_client(session.client, turn);
  release_session(index);
}

void Proxy::release_session(uint32_t index) {
  CHECK(!notes_.is_open(index) && !(traffic_ && at(index).account.is_open));
  CHECK(at(index).endpoint == upstream::EndpointStates::none);
  if (at(index).upgrade_bytes > 0) --upgrade_count_;
  wheel_.cancel(index);
  sessions_.release(sessions_.id_at(index));
}

ByteView Proxy::gather(tcp::ConnId id) {
  return {gathered_.get(), tcp_.peek(id, {gathered_.get(), http::head_bytes_max})};
}

// The exchange is none of its endpoint's requests any more.
void Proxy::leave_endpoint(Session& session) {
  endpoint_states_.leave(session.endpoint);
  session.endpoint = upstream::EndpointStates::none;
}

// The exchange no longer needs its connection, and nobody else can use it.
void Proxy::drop_upstream(Session& session, const Turn& turn) {
  leave_endpoint(session);
  if (session.upstream == upstream::Pool::none) return;
  const uint32_t index = session.upstream;
  session.upstream = upstream::Pool::none;
  session.repeatable = false;
  tcp_.abort(pool_[index].connection, turn.now);
  pool_.release(index);
}

void Proxy::return_upstream(Session& session, const Turn& turn) {
  leave_endpoint(session);
  const uint32_t index = session.upstream;
  session.upstream = upstream::Pool::none;
  if (draining_) {
    close_pooled(index, turn);
    return;
  }
  const uint32_t displaced = pool_.put_idle(index, turn.now);
  if (displaced != upstream::Pool::none) close_pooled(displaced, turn);
}

void Proxy::close_pooled(uint32_t pool_index, const Turn& turn) {
  tcp_.close(pool_[pool_index].connection, turn.now);
  pool_.release(pool_index);
}

void Proxy::set_deadline(uint32_t index, Session& session, Instant deadline) {
  session.deadline = deadline;
  // Nearly every deadline is put off before it comes: that leaves the wheel alone.
  wheel_.arm_no_later_than(index, Tick::at_or_after(deadline));
}

}  // namespace millrace::proxy

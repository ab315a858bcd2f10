// Proxy: clients on one side, endpoints on the other, one exchange at a time on each client
// connection. It knows TCP's calls, HTTP's structures and the router; it knows no packets and no
// clock.
//
//   client --text--> head parser -> route -> balancer -> pool or connect -> head writer --text-->
//   endpoint client <-text--  head writer <- response head parser <-------------------------------
//   endpoint
//
// Bodies stream in both directions: a run of text is taken off one connection only when the other
// one has room for it, so a slow reader closes the window of the writer (byte credit, no buffers of
// ours).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/slab.h"
#include "base/timer_wheel.h"
#include "dataplane/access_log/exchange_notes.h"
#include "dataplane/counters.h"
#include "dataplane/http/forwarding.h"
#include "dataplane/http/head_parser.h"
#include "dataplane/http/head_writer.h"
#include "dataplane/http/path.h"
#include "dataplane/proxy/client_limits.h"
#include "dataplane/proxy/session.h"
#include "dataplane/proxy/told_clients.h"
#include "dataplane/route/router.h"
#include "dataplane/tcp/tcp.h"
#include "dataplane/upstream/balancer.h"
#include "dataplane/upstream/endpoint_states.h"
#include "dataplane/upstream/pool.h"
#include "shm/snapshot.h"
#include "shm/traffic_page.h"

namespace millrace::proxy {

using access_log::ExchangeEnd;
using access_log::LocalReason;

struct Timeouts {
  Duration request_head = Duration::seconds(10);  // from the first octet to the whole head: 408
  Duration client_idle = Duration::seconds(60);   // before and between exchanges: closed silently
  Duration body_stall = Duration::seconds(60);    // no octet of a body moved, either way
  Duration body_rate_grace = Duration::seconds(20);  // before request_body_rate_min counts
  Duration connect = Duration::seconds(5);           // to an endpoint: 504
  Duration first_octet = Duration::seconds(60);      // of a response, after the request: 504
  Duration linger = Duration::seconds(2);            // after our last octet, for the client's FIN
  // A tunnel in which something waits for a reader has body_stall, whatever goes the other way.
  Duration tunnel_idle = Duration::seconds(3600);       // no octet through a tunnel: closed
  Duration tunnel_half_closed = Duration::seconds(60);  // the same once one side has ended
};

// What endpoints are told about the way that a request has come (H33, H36).
struct Forwarding {
  http::TrustedProxies trusted;    // whose word counts; of everybody else's nothing is passed on
  bool writes_request_id = false;  // X-Request-ID: one of ours, or a trusted proxy's
  HashKey request_id_key;          // so that nobody can tell the next one from the last
  bool writes_forwarded = false;   // Forwarded (RFC 7239) beside X-Forwarded-For and its kin
  std::string loop_id;             // our name in CDN-Loop; empty: loops are not looked for
};

// A listener whose connections begin with a PROXY header, from trusted peers alone.
struct ProxyHeaderListener {
  std::string address;  // as text, of either family
  uint16_t port = 0;
};

struct Options {
  Timeouts timeouts;
  uint32_t sessions = 16'384;  // clients with something under way; idle ones need none
  upstream::PoolLimits pool;
  upstream::Policy policy = upstream::Policy::round_robin;
  upstream::EndpointLimits endpoints;
  ClientLimitOptions clients;
  uint64_t request_body_bytes_max = 0;  // a larger body is answered 413; 0: no limit
  // Octets a second that a client sends of a body on average, after body_rate_grace: 408; 0: no
  // such limit. What waits because the endpoint does not read is not the client's fault.
  uint64_t request_body_rate_min = 500;
  http::PathOptions paths;
  Forwarding forwarding;
  std::vector<ProxyHeaderListener> proxy_header_listeners;
  // Protocols that a client may ask an endpoint for, in lower case; what is not here is not passed
  // on.
  std::vector<std::string> upgrades = {"websocket"};
  // Where the access log's records go; outlives the proxy. None: no log is wanted.
  access_log::RecordRing* access_log = nullptr;
  // Where exchanges are counted by route and by service. None: they are not.
  std::optional<shm::TrafficWriter> traffic;
  uint64_t seed = 0;
  bool fast_paths = true;  // off: every message goes the long way, with the same result
};

class Proxy {
 public:
  Proxy(const Options& options, tcp::Tcp& tcp, Counters& counters, Instant start);

  // Where upstream connections leave from: the owned address of the port that a route chooses.
  using SourceOf = Ipv4Address (*)(void* context, Ipv4Address destination);
  void set_source(SourceOf source, void* context) {
    source_of_ = source;
    source_context_ = context;
  }
  // IMF-fixdate for responses that carry no Date; set once a second.
  void set_date(std::string_view date);

  // One turn: everything on TCP's ready list, then what is due. traffic: where the routes of this
  // snapshot are counted; nullptr: all together.
  void turn(const shm::SnapshotView& snapshot, const shm::TrafficMap* traffic, Instant now);
  Instant next_deadline() const { return std::min(wheel_.next_deadline(), drain_next_); }
  // Clients at rest, and tunnels, are closed from idle_until on. For good.
  void begin_drain(Instant idle_until, Instant now);

  // The last thing that is asked: what is still under way is noted as broken off.
  void note_open_exchanges(Instant now);

  uint32_t session_count() const { return sessions_.in_use(); }
  size_t memory_bytes() const {
    return size_t{sessions_.capacity()} *
               (Slab<Session>::bytes_per_record() + TimerWheel::bytes_per_timer()) +
           pool_.memory_bytes() + notes_.memory_bytes() + told_clients_.memory_bytes() +
           endpoint_states_.memory_bytes() + client_limits_.memory_bytes();
  }
  const upstream::Pool& pool() const { return pool_; }

 private:
  // Everything a step needs besides the session; lives for one turn.
  struct Turn {
    const shm::SnapshotView& snapshot;
    const shm::TrafficMap* traffic;
    Instant now;
  };
  enum class Progress : uint8_t { blocked, moved, session_gone };

  // look_ahead.cc: asks for memory before it is needed
  void look_ahead(const Turn& turn);

  // session_events.cc: what TCP says
  void on_client(const tcp::Ready& ready, uint32_t index, const Turn& turn);
  void on_upstream(const tcp::Ready& ready, uint32_t index, const Turn& turn);
  void on_resting(const tcp::Ready& ready, const Turn& turn);
  void accept(const tcp::Ready& ready, const Turn& turn);
  void begin_session(tcp::ConnId client, const Turn& turn);
  void on_pause(uint32_t index, Instant idle_end, const Turn& turn);
  void put_to_rest(uint32_t index, Instant idle_end);
  void rest_somebody();
  void on_deadline(uint32_t index, const Turn& turn);
  void expire_idle(const Turn& turn);
  void drive(uint32_t index, const Turn& turn);
  void end_session(uint32_t index, const Turn& turn);
  void abort_session(uint32_t index, const Turn& turn);
  void begin_linger(uint32_t index, const Turn& turn);
  Progress linger(uint32_t index, const Turn& turn);

  // request.cc: a request head, its route, its endpoint, its body
  Progress take_request_head(uint32_t index, const Turn& turn);
  Instant head_began(const Session& session, const Turn& turn) const;
  Progress begin_exchange(uint32_t index, http::RequestHead& head, size_t head_bytes,
                          const Turn& turn);
  bool settle_path(http::RequestHead& head);
  uint32_t take_silent_idle(uint64_t endpoint_id, const Turn& turn);
  bool acquire_upstream(uint32_t index, const shm::EndpointRecord& endpoint, const Turn& turn);
  Progress forward_request_body(uint32_t index, const Turn& turn);
  Instant request_body_deadline(const Session& session) const;
  // What the client is answered by us (status 0: it is not), whether its connection may live on,
  // and why, for the access log.
  struct Refusal {
    uint16_t status = 0;
    bool keep_alive = true;
    LocalReason reason = LocalReason::none;
  };
  Refusal send_request(uint32_t index, const http::RequestHead& head, ByteView text,
                       const Turn& turn);
  bool repeat_request(uint32_t index, const Turn& turn, Progress* progress);
  void settle_request(Session& session);

  // policy.cc: what the Ingress of a route asks for beside its backend
  bool passes_encoded_slash(const route::RouteMatch& match, const Turn& turn) const;
  void settle_wishes(Session& session, const http::RequestHead& head, uint32_t service_slot,
                     const Turn& turn) const;
  bool keep_wishes(Session& session, uint32_t service_slot, const Turn& turn) const;
  size_t put_proxy_header(Session& session, ByteSpan room) const;
  std::string_view write_cookie_value(uint64_t endpoint_id);

  // provenance.cc: who a request comes from, and what the endpoint is told about it
  struct Provenance {
    http::ForwardedChain chain;  // as a trusted proxy has said; views of the head
    std::string_view client;     // the address that the request began at, as far as is known
    std::array<char, http::request_id_bytes_max> request_id_text;
    size_t request_id_bytes = 0;
    std::optional<uint32_t> max_forwards;  // what the next hop is told
    std::string_view request_id() const { return {request_id_text.data(), request_id_bytes}; }
  };
  void settle_provenance(const Session& session, const http::RequestHead& head);
  void make_request_id();
  bool is_loop(const http::RequestHead& head) const;
  bool ends_here(http::RequestHead& head);
  bool write_request(Session& session, const http::RequestHead& head);

  // proxy_header.cc is the format; told_client.cc: the connections that begin with one
  bool awaits_proxy_header(tcp::ConnId client) const;
  bool is_trusted_peer(tcp::ConnId client) const;
  void name_client(Session& session) const;
  // Of a client's connection: counted among its others, and given up.
  bool admit_client(tcp::ConnId client);
  void close_client(tcp::ConnId client, const Turn& turn);
  void abort_client(tcp::ConnId client, const Turn& turn);
  void dismiss_client(tcp::ConnId client);
  uint64_t peer_key(tcp::ConnId client) const;
  bool is_too_fast(const Session& session, const Turn& turn);
  Progress take_proxy_header(uint32_t index, const Turn& turn);

  // response.cc
  Progress take_response_head(uint32_t index, const Turn& turn);
  bool may_switch(const Session& session, const http::ResponseHead& head) const;
  Progress forward_response_head(uint32_t index, const http::ResponseHead& head, size_t head_bytes,
                                 ByteView behind, const Turn& turn);
  bool write_whole_response(Session& session, const http::ResponseHead& head,
                            const http::ResponseOptions& options, ByteView behind);
  Progress forward_response_body(uint32_t index, const Turn& turn);
  Progress finish_exchange(uint32_t index, const Turn& turn);
  void next_exchange(uint32_t index, const Turn& turn);
  Progress upstream_failed(uint32_t index, uint16_t status, const Turn& turn);

  // drain.cc
  void drain_some(const Turn& turn);
  void end_if_idle(uint32_t index, const Turn& turn);

  // tunnel.cc: what an Upgrade makes of the two connections
  bool may_upgrade(std::string_view protocol) const;
  bool has_room_for_tunnel() const;
  void begin_tunnel(uint32_t index, const Turn& turn);
  Progress forward_tunnel(uint32_t index, const Turn& turn);
  Instant tunnel_deadline(const Session& session) const;
  void on_tunnel_deadline(uint32_t index, const Turn& turn);
  void on_tunnel_reset(uint32_t index, const Turn& turn);
  void end_tunnel(uint32_t index, const Turn& turn);

  // forward_body.cc: one direction of a body
  struct Flow {
    tcp::ConnId source;
    tcp::ConnId sink;
    http::BodyDecoder& decoder;
    http::BodyEncoder& encoder;
    uint64_t& octets;  // of payload that went through
  };
  enum class FlowResult : uint8_t {
    blocked,       // nothing to read, or no room to write
    moved,         // some octets went through
    finished,      // the body is whole on the sink's side
    source_ended,  // before the body was whole
    malformed,
  };
  FlowResult forward_body(const Flow& flow, const Turn& turn);
  bool pass_through(const Flow& flow, bool& done, Instant& waits_since,
                    const Turn& turn);  // tunnel.cc
  bool put_payload(const Flow& flow, ByteView payload);
  bool finish_body(const Flow& flow);

  // A message, or its head, made by write(ByteSpan) -> octets written, 0 when it does not fit: in
  // the sending connection's own memory where that is possible, else by way of the scratch.
  enum class Put : uint8_t { done, no_memory, too_large };
  template <class Write>
  Put put_message(tcp::ConnId to, Write&& write) {
    if (fast_paths_) {
      const tcp::Tcp::OpenSlot open = tcp_.open_slot(to);
      if (open.slot != packet::slot_none) {
        const size_t octets = write(open.room);
        if (octets > 0) {
          tcp_.commit_slot(to, open, octets);
          return Put::done;
        }
        tcp_.cancel_slot(open);
      }
    }
    const size_t octets = write(ByteSpan{written_.get(), scratch_bytes});
    if (octets == 0) return Put::too_large;
    return tcp_.write_whole(to, {written_.get(), octets}) ? Put::done : Put::no_memory;
  }

  // local_reply.cc
  Progress reply_locally(uint32_t index, const Refusal& refusal, const Turn& turn);

  // exchange_log.cc: what becomes a line of the access log
  void begin_note(uint32_t index, const http::RequestHead* head, Instant began, const Turn& turn);
  void put_route_in_note(uint32_t index, const route::RouteMatch& match, const Turn& turn);
  void end_note(uint32_t index, ExchangeEnd end, bool keep_alive, Instant now);
  // traffic.cc: what is counted of it
  void choose_rows(Account& account, const route::RouteMatch& match, const Turn& turn) const;
  void count_exchange(Session& session, ExchangeEnd end, Instant now);

  // Both. Without a log, or a page to count on, little is done.
  void note_begin(uint32_t index, const http::RequestHead* head, Instant began, const Turn& turn) {
    Account& account = at(index).account;
    account = {};
    account.is_open = true;
    account.began = began;
    if (notes_.wanted()) begin_note(index, head, began, turn);
  }
  void note_route(uint32_t index, const route::RouteMatch& match, const Turn& turn) {
    if (traffic_) choose_rows(at(index).account, match, turn);
    if (notes_.wanted()) put_route_in_note(index, match, turn);
  }
  void note_attempt(uint32_t index, const shm::EndpointRecord& endpoint, bool reused,
                    const Turn& turn) {
    Account& account = at(index).account;
    ++account.attempts;
    account.asked = turn.now;
    notes_.attempted(index, endpoint.address, endpoint.port, reused, turn.now);
  }
  // The head of a final answer, or a 101, was sent to the client.
  void note_answer(uint32_t index, uint16_t status, bool is_ours, const Turn& turn) {
    Account& account = at(index).account;
    account.status = status;
    account.answer_is_ours = is_ours;
    account.answered = turn.now;
    notes_.responded(index, status, turn.now);
  }
  // end: unless somebody has said before what ended it.
  void note_end(uint32_t index, ExchangeEnd end, bool keep_alive, const Turn& turn) {
    if (traffic_) count_exchange(at(index), end, turn.now);
    if (notes_.wanted()) end_note(index, end, keep_alive, turn.now);
  }

  // All that waits on a connection, copied together: for a head that its first run does not hold.
  ByteView gather(tcp::ConnId id);
  void leave_endpoint(Session& session);
  void drop_upstream(Session& session, const Turn& turn);
  void return_upstream(Session& session, const Turn& turn);
  void close_pooled(uint32_t pool_index, const Turn& turn);
  void set_deadline(uint32_t index, Session& session, Instant deadline);
  void release_session(uint32_t index);
  Session& at(uint32_t index) { return sessions_.at(index); }

  // How long after its last exchange a client's session is given back, like TCP's Transfer.
  static constexpr Duration rest_after = Duration::milliseconds(200);
  static constexpr Duration drain_round_pause = Duration::milliseconds(50);
  // Of the sessions and of the records for endpoint connections, in quarters: what tunnels may
  // hold.
  static constexpr uint32_t tunnel_quarters_max = 3;
  // What gather() copies is at most head_bytes_max; the scratch behind it may be read.
  static constexpr size_t gathered_bytes_behind = 1024;
  // Beside what a head may grow by: the texts of forwarding fields, those of earlier hops twice.
  static constexpr size_t forwarding_bytes_max = 4096;
  static constexpr size_t scratch_bytes =
      http::head_bytes_max + http::head_growth_bytes_max + forwarding_bytes_max;

  Timeouts timeouts_;
  uint64_t request_body_bytes_max_;
  uint64_t request_body_rate_min_;
  http::PathOptions paths_;
  std::vector<std::string> upgrades_;
  Forwarding forwarding_;
  std::vector<ProxyHeaderListener> proxy_header_listeners_;
  ToldClients told_clients_;
  uint64_t request_ids_made_ = 0;
  Provenance provenance_;
  bool fast_paths_;
  tcp::Tcp& tcp_;
  Counters& counters_;
  Slab<Session> sessions_;
  uint32_t upgrade_count_ = 0;  // sessions that are tunnels, or asked for one
  TimerWheel wheel_;
  bool draining_ = false;
  Instant idle_until_;
  Instant drain_next_ = Instant::never();
  uint32_t drain_hand_ = 0;  // of TCP's records and the sessions
  uint32_t rest_hand_ = 0;   // the last session that rest_somebody() has looked at
  access_log::ExchangeNotes notes_;
  std::optional<shm::TrafficWriter> traffic_;
  upstream::Balancer balancer_;
  upstream::EndpointStates endpoint_states_;
  ClientLimits client_limits_;
  upstream::Pool pool_;
  SourceOf source_of_ = nullptr;
  void* source_context_ = nullptr;
  std::array<char, http::http_date_bytes> date_{};

  // Scratch for the step under way: heads are parsed and written within one call.
  http::RequestHead request_head_;
  std::array<char, http::target_bytes_max> path_;  // of the head, if it is not as it was received
  bool encoded_slash_ = false;  // stands in it, and its route has yet to say whether it may
  std::array<char, 16> cookie_value_;
  http::ResponseHead response_head_;
  std::unique_ptr<uint8_t[]> gathered_;
  std::unique_ptr<uint8_t[]> written_;
};

}  // namespace millrace::proxy

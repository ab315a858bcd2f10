// Session: a client connection on which something is under way, and the exchange. A record of the
// slab, lent with the first text and given back a while after the last exchange: a connection at
// rest costs what TCP must remember and nothing here. No octet of a message lives here, only where
// the two codecs stand.
#pragma once

#include <array>
#include <cstdint>

#include "base/address.h"
#include "base/ipv6_address.h"
#include "base/time.h"
#include "dataplane/http/body_framing.h"
#include "dataplane/http/head_parser.h"
#include "dataplane/tcp/connection.h"
#include "dataplane/upstream/balancer.h"
#include "shm/snapshot_format.h"
#include "shm/traffic_page.h"

namespace millrace::proxy {

// Owners of TCP connections, so that an event finds its record: the top bit tells the kind. A
// client's connection without a session has no owner.
inline constexpr uint32_t owner_upstream = 0x8000'0000U;
inline constexpr uint32_t owner_none = 0x7fff'ffffU;

enum class Phase : uint8_t {
  proxy_header,  // a balancer in front of us has yet to say who the client is
  request_head,  // between exchanges, or a head is arriving
  exchange,      // a request is on its way; see the flags
  tunnel,        // the endpoint has switched protocols: octets go through, unread
  linger,        // our last octet is queued; what the client still sends is thrown away
};

// What will be counted of an exchange when it is over.
struct Account {
  bool is_open = false;
  bool has_service = false;
  bool answer_is_ours = false;
  uint16_t status = 0;  // of the final answer, or 101
  uint32_t attempts = 0;
  shm::TrafficRef route;
  shm::TrafficRef service;
  Instant began;     // the head's first octet
  Instant asked;     // it was sent to an endpoint for the last time
  Instant answered;  // the head of the final answer went to the client
};

// What the policy of an exchange's route asks for (policy.cc): settled with the first attempt, and
// the same for the others.
struct Wishes {
  upstream::Balancer::Wish endpoint;
  uint8_t proxy_header = 0;         // its version; 0: none is sent
  uint16_t proxy_header_bytes = 0;  // of the one in front of what was sent
  bool sets_cookie = false;         // the client has none that leads to its endpoint
  uint8_t cookie_name_bytes = 0;
  std::array<char, shm::policy_name_bytes_max> cookie_name;

  // Nobody else's request may follow on the endpoint's connection.
  bool is_alone() const { return proxy_header != 0; }
};

struct Session {
  tcp::ConnId client;
  uint32_t upstream = UINT32_MAX;  // index in the pool while an exchange holds a connection
  uint32_t endpoint = UINT32_MAX;  // record of the endpoint among whose requests this is one
  Phase phase = Phase::request_head;

  // Of the exchange.
  http::Method method = http::Method::other;
  http::Version version = http::Version::http_1_1;
  bool keep_alive = true;  // the client's connection outlives the exchange
  bool upstream_keep_alive = true;
  bool idempotent = false;
  bool request_done = true;
  bool response_begun = false;  // a final head was written to the client
  bool response_done = false;
  bool repeatable = false;  // the request may still be said to another connection: TCP keeps it
  bool repeatable_until_response = false;  // else until a fresh connection stands
  bool head_partial = false;  // some octets of a head are there: the head's deadline runs
  bool held_up = false;       // a request waits until the client reads: the idle deadline runs
  uint8_t attempts = 0;       // connections tried for this request
  uint8_t interim_responses = 0;
  uint64_t avoid_endpoint = 0;
  Account account;
  Wishes wishes;
  uint64_t request_octets = 0;  // of the body, passed on so far; 0 between exchanges
  uint64_t response_octets = 0;
  http::HeadScan request_scan;
  http::HeadScan response_scan;
  http::BodyDecoder request_decoder;
  http::BodyEncoder request_encoder;
  http::BodyDecoder response_decoder;
  http::BodyEncoder response_encoder;
  Instant body_began;  // the request's: since when, and from which octet on, its rate is looked at
  uint64_t body_octets_before = 0;
  Instant body_moved;                   // an octet of it went on for the last time
  Instant deadline = Instant::never();  // the wheel fires then or before
  Instant linger_end;

  // Of a tunnel: when an octet went through for the last time, and since when text that one side
  // sent waits for the other to read (never: none does).
  Instant tunnel_moved;
  Instant request_waits_since = Instant::never();
  Instant response_waits_since = Instant::never();
  uint8_t upgrade_bytes = 0;  // the protocol that the request asks for, in lower case; 0: none
  char upgrade[http::upgrade_bytes_max] = {};
  // The client's address as text, and its port: of the connection, or what a balancer has said.
  uint8_t client_text_bytes = 0;
  bool is_trusted = false;  // what it says of earlier hops is believed
  uint16_t client_port = 0;
  char client_text[Ipv6Address::text_bytes_max] = {};
};

}  // namespace millrace::proxy

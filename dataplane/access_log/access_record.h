// AccessRecord: what the access log says about one exchange, as the worker hands it to the
// log thread: this record, then its texts one behind the other with nothing between them. Made of
// plain octets, so that it may be copied through the ring.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "dataplane/http/message.h"

namespace millrace::access_log {

// Texts of a record, in this order, each cut at its limit. Those from `route` on are said anew with
// every attempt.
enum class Text : uint8_t {
  client,  // that the request began at, as far as is known
  peer,    // that has connected, if it is another one
  method,
  host,
  target,
  user_agent,
  referer,
  upgrade,
  request_id,
  route,
  service
};
inline constexpr size_t text_count = static_cast<size_t>(Text::service) + 1;
inline constexpr std::array<uint16_t, text_count> text_bytes_max = {
    45,                      // an IPv6 address
    45,                      //
    http::method_bytes_max,  //
    http::host_bytes_max,    //
    1024,                    // path and query
    256,                     //
    256,                     //
    http::upgrade_bytes_max,
    64,   //
    320,  // namespace/name of the Ingress: 63 and 253 characters at most
    160,  // namespace/name:port of the Service: 63, 63 and 15
};
constexpr size_t all_text_bytes_max() {
  size_t sum = 0;
  for (const uint16_t bytes : text_bytes_max) sum += bytes;
  return sum;
}

// How an exchange ended for the client. X(name, sentence)
#define MILLRACE_EXCHANGE_ENDS(X)                                                               \
  X(complete, "The client was sent a whole answer.")                                            \
  X(client_aborted, "The client's connection was reset, or timed out.")                         \
  X(response_truncated, "The endpoint's answer ended before its length, or could not be read.") \
  X(body_too_large, "The request's body grew beyond its limit in the middle of an answer.")     \
  X(timed_out, "Nothing moved for too long in the middle of an answer, or in a tunnel.")        \
  X(tunnel_ended, "Both sides of a tunnel, or its idle limit, ended it.")                       \
  X(tunnel_reset, "The connection of one side of a tunnel was reset, or timed out.")            \
  X(aborted, "The data plane gave it up: no memory for an answer, or its own end.")

// Why an answer was ours and not an endpoint's. X(name, sentence)
#define MILLRACE_LOCAL_REASONS(X)                                                             \
  X(none, "There is no answer of ours.")                                                      \
  X(head_invalid, "The request's head breaks a rule; head_error says which.")                 \
  X(head_cut, "The client ended before its request's head was whole.")                        \
  X(head_timeout, "The request's head was not whole in time.")                                \
  X(client_too_fast, "Its client asks faster than limits.requests_per_client.")               \
  X(body_too_large, "The request's body is larger than limits.request_body_bytes.")           \
  X(body_invalid, "The request's body breaks its framing, or ended too early.")               \
  X(body_timeout, "The client sent nothing more of its request's body for too long.")         \
  X(last_recipient, "The request may not be sent on: Max-Forwards is 0.")                     \
  X(loop, "The request has passed here before: its way leads in a circle.")                   \
  X(no_path, "The request is about the server itself (OPTIONS *).")                           \
  X(path_refused, "The path could be read in two ways.")                                      \
  X(tunnels_full, "Too many connections are tunnels already.")                                \
  X(no_route, "No rule matches the host and the path.")                                       \
  X(endpoints_busy, "Each endpoint of the service has as many requests as it may.")           \
  X(no_endpoint, "The service has no endpoint.")                                              \
  X(no_connection,                                                                            \
    "No connection to an endpoint could be begun: a table or the ports are used up.")         \
  X(no_memory, "There was no packet memory for the request.")                                 \
  X(endpoint_failed, "The endpoint refused, reset, vanished, or answered what is no answer.") \
  X(endpoint_timeout, "The endpoint did not accept the connection, or did not answer, in time.")

enum class ExchangeEnd : uint8_t {
#define MILLRACE_NAME(name, sentence) name,
  MILLRACE_EXCHANGE_ENDS(MILLRACE_NAME)
};
enum class LocalReason : uint8_t {
  MILLRACE_LOCAL_REASONS(MILLRACE_NAME)
#undef MILLRACE_NAME
};
inline constexpr std::string_view exchange_end_names[] = {
#define MILLRACE_NAME(name, sentence) #name,
    MILLRACE_EXCHANGE_ENDS(MILLRACE_NAME)};
inline constexpr std::string_view local_reason_names[] = {MILLRACE_LOCAL_REASONS(MILLRACE_NAME)
#undef MILLRACE_NAME
};

// Instants are on the worker's clock, as of the turn in which something was seen; 0: it was not.
struct AccessRecord {
  uint64_t began_ns;      // the worker came to the head's first octet
  uint64_t routed_ns;     // the head was whole
  uint64_t connected_ns;  // the endpoint's connection stood; of one that stood already: routed_ns
  uint64_t responded_ns;  // the answer's final head was sent on
  uint64_t ended_ns;
  uint64_t request_body_octets;   // passed on, without framing
  uint64_t response_body_octets;  // likewise; of a tunnel: all that went down
  uint32_t endpoint_address;      // host order; port 0: none was chosen
  uint16_t endpoint_port;
  uint16_t client_port;
  uint16_t status;   // of the final answer; 101 of a tunnel; 0: the client was sent none
  uint8_t attempts;  // connections tried; 0: none
  http::Version version;
  http::HeadError head_error;
  ExchangeEnd end;
  LocalReason reason;
  bool reused;      // the connection to the endpoint had been used before
  bool keep_alive;  // the client's connection outlived the exchange
  std::array<uint16_t, text_count> text_bytes;
};
static_assert(std::is_trivially_copyable_v<AccessRecord>);

}  // namespace millrace::access_log

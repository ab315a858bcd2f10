#include "perf/replay/scenario.h"

#include <algorithm>
#include <array>

namespace millrace::perf {
namespace {

// Longer than any delayed acknowledgment.
constexpr Duration think_time = Duration::milliseconds(60);

constexpr PeerHabits habits(bool client_acknowledges, bool origin_acknowledges,
                            bool origin_thinks = false, bool client_thinks = false) {
  PeerHabits made;
  made.client_acknowledges_at_once = client_acknowledges;
  made.origin_acknowledges_at_once = origin_acknowledges;
  if (origin_thinks) made.origin_thinks = think_time;
  if (client_thinks) made.client_thinks = think_time;
  return made;
}

constexpr PeerHabits one_request(Lifetime lifetime) {
  PeerHabits made;
  made.lifetime = lifetime;
  return made;
}

constexpr Scenario named(std::string_view name, std::string_view note, std::string_view exchange,
                         Unit unit = Unit::request) {
  Scenario row;
  row.name = name;
  row.note = note;
  row.exchange = exchange;
  row.unit = unit;
  return row;
}

constexpr Scenario keepalive(std::string_view name, std::string_view note, uint32_t connections,
                             uint32_t routes, uint32_t gate_requests) {
  Scenario row = named(name, note, "get");
  row.connections = connections;
  row.routes = routes;
  row.gate_requests = gate_requests;
  return row;
}

constexpr Scenario with_acknowledgments(std::string_view name, std::string_view note,
                                        const PeerHabits& peers) {
  Scenario row = named(name, note, "get");
  row.requests = 2'000;
  row.tenants_asked_max = 1;  // one origin, so that its acknowledgments are those of every request
  row.habits = peers;
  return row;
}

constexpr Scenario per_connection(std::string_view name, std::string_view note,
                                  std::string_view exchange, uint32_t connections,
                                  Lifetime lifetime, uint32_t gate_requests) {
  Scenario row = named(name, note, exchange, Unit::connection);
  row.connections = connections;
  row.requests = 4'000;
  row.warm_up_requests = 8;
  row.habits = one_request(lifetime);
  row.gate_requests = gate_requests;
  return row;
}

constexpr Scenario bulk(std::string_view name, std::string_view note, std::string_view exchange) {
  Scenario row = named(name, note, exchange, Unit::segment);
  row.requests = 16;
  row.warm_up_requests = 2;
  row.gate_requests = 4;
  return row;
}

constexpr Scenario with_idle(std::string_view name, std::string_view note, uint32_t idle) {
  Scenario row = keepalive(name, note, 64, 10, 0);
  row.idle_connections = idle;
  return row;
}

constexpr Scenario logged(Scenario row, std::string_view name, std::string_view note) {
  row.name = name;
  row.note = note;
  row.access_log = true;
  return row;
}

constexpr Scenario eight_a_turn() {
  Scenario row =
      keepalive("keepalive_64_by_8", "64 connections, of which at most 8 frames arrive in a turn",
                64, 10, 1'024);
  row.frames_per_turn = 8;
  return row;
}

constexpr Scenario post_small() {
  Scenario row = named("post_small_64",
                       "64 connections, POST with 200 octets in the head's segment", "post_small");
  row.connections = 64;
  row.gate_requests = 1'024;
  return row;
}

constexpr Scenario idle_turn() {
  Scenario row =
      named("idle_turn", "a turn with nothing to do, one connection open", "get", Unit::turn);
  row.gate_requests = 1'000;
  return row;
}

constexpr std::array rows = {
    keepalive("keepalive_1", "1 connection, GET, 10 routes", 1, 10, 500),
    keepalive("keepalive_64", "64 connections, all ask in the same turn, 10 routes", 64, 10, 1'024),
    logged(keepalive("", "", 1, 10, 500), "keepalive_1_logged",
           "as keepalive_1, with a record for the access log"),
    logged(keepalive("", "", 64, 10, 1'024), "keepalive_64_logged",
           "as keepalive_64, with a record for the access log"),
    eight_a_turn(),
    keepalive("routes_10000", "as keepalive_64, hosts at random among 10,000 routes", 64, 10'000,
              1'024),
    keepalive("routes_1000000", "as keepalive_64, hosts at random among 1,000,000 routes", 64,
              1'000'000, 0),
    post_small(),
    per_connection("connection_1", "SYN, GET, the client's FIN; pooled backend; one after another",
                   "get", 1, Lifetime::closed_by_client, 0),
    per_connection("connection_64", "the same, 64 at a time", "get", 64, Lifetime::closed_by_client,
                   512),
    per_connection("connection_close_64", "64 at a time, GET with Connection: close, our FIN first",
                   "get_close", 64, Lifetime::closed_by_proxy, 0),
    bulk("bulk_response", "a response of 1 MiB, a segment is 1,460 octets", "get_bulk"),
    bulk("bulk_request", "a request body of 1 MiB, a segment is 1,460 octets", "put_bulk"),
    with_acknowledgments("acknowledgments_1", "1 bare ACK: the client's, of the answer",
                         habits(true, false)),
    with_acknowledgments("acknowledgments_2", "2: the origin's too, of the request",
                         habits(true, true)),
    with_acknowledgments("acknowledgments_3",
                         "3: ours to the client too, the origin is slow (60 ms, with their timers)",
                         habits(true, true, true)),
    with_acknowledgments("acknowledgments_4",
                         "4: ours to the origin too, the client pauses (120 ms, with their timers)",
                         habits(true, true, true, true)),
    idle_turn(),
    with_idle("idle_1000", "as keepalive_64, beside 1,000 idle connections", 1'000),
    with_idle("idle_100000", "as keepalive_64, beside 100,000 idle connections", 100'000),
};

}  // namespace

std::string_view unit_name(Unit unit) {
  switch (unit) {
    case Unit::request: return "request";
    case Unit::connection: return "connection";
    case Unit::segment: return "1460_octets";
    case Unit::turn: return "turn";
  }
  return "request";
}

std::span<const Scenario> scenarios() {
  return rows;
}

const Scenario* find_scenario(std::string_view name) {
  const auto* found =
      std::find_if(rows.begin(), rows.end(), [&](const Scenario& row) { return row.name == name; });
  return found == rows.end() ? nullptr : found;
}

}  // namespace millrace::perf

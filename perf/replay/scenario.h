// The rows of the replay: what is exchanged, over how many connections, in which table, with which
// habits of the peers. One table of them, so that the program, the lane and the gate name the same.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/time.h"
#include "dataplane/nic/port.h"
#include "perf/replay/scripted_peers.h"

namespace millrace::perf {

// What the instructions of a row are divided by.
enum class Unit : uint8_t {
  request,
  connection,  // opened, asked once, closed
  segment,     // 1,460 octets of a message that went through
  turn,
};
std::string_view unit_name(Unit unit);

struct Scenario {
  std::string_view name;
  std::string_view note;      // what the row is, in one line
  std::string_view exchange;  // exchanges/NAME.http
  Unit unit = Unit::request;
  uint32_t connections = 1;
  uint32_t idle_connections = 0;  // opened before, silent for the whole run
  uint32_t routes = 10;
  uint32_t tenants_asked_max = UINT32_MAX;  // of the table's; which one is drawn for each request
  uint32_t requests = 10'000;               // counted ones; turns for Unit::turn
  uint32_t warm_up_requests = 32;           // a connection
  uint32_t frames_per_turn = nic::burst_frames_max;
  PeerHabits habits;
  bool access_log = false;  // a record of each request goes into the ring; lines are not counted
  // perf/gate compares it, with so many requests; 0: not gated.
  uint32_t gate_requests = 0;
};

std::span<const Scenario> scenarios();
// nullptr when no row is called that.
const Scenario* find_scenario(std::string_view name);

}  // namespace millrace::perf

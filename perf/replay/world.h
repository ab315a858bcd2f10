// A real worker over a port in memory, with its peers and the time that passes between turns. What
// is counted is measured_turn(): callgrind is told that name.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/random.h"
#include "base/time.h"
#include "dataplane/packet/frame_memory.h"
#include "dataplane/traffic_rows.h"
#include "dataplane/worker.h"
#include "perf/replay/memory_port.h"
#include "perf/replay/scenario.h"
#include "perf/replay/scripted_peers.h"
#include "perf/table/tenant_table.h"
#include "shm/traffic_page.h"

namespace millrace::perf {

enum class FastPaths : uint8_t { as_built, on, off };

// What the worker takes from the process; octets.
struct MemoryUse {
  uint64_t resident_before = 0;  // before the worker was made
  uint64_t resident_made = 0;    // after
  uint64_t resident_open = 0;    // with all connections open
  uint64_t tables = 0;           // the worker's own sum; 0 when it keeps none
};

// The table's backends, as every replay's table must have them.
TenantTable replay_table(uint32_t routes);

class World {
 public:
  World(const Scenario& scenario, const Recording& recording,
        std::shared_ptr<const shm::Snapshot> snapshot, FastPaths fast_paths);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // Whether this build's worker can be told to do without its fast paths.
  static bool has_fast_paths_switch();

  // Opens the idle connections and those that ask, and asks for the warm-up. The requests of the
  // scenario will be asked for `repeats` times.
  void prepare(uint32_t repeats);
  // Connections ask whenever their last answer has come, until `requests` were asked.
  void ask(uint32_t requests);
  // That many turns, whatever happens.
  void turns(uint32_t count);
  // Nothing is under way any more, on either side.
  void settle();

  uint64_t turn_count() const { return turn_count_; }
  // Time-stamp counter ticks inside measured_turn().
  uint64_t ticks() const { return ticks_; }
  const ScriptedPeers& peers() const { return peers_; }
  const nic::PortCounters& frames() const { return port_.counters(); }
  const Worker& worker() const { return worker_; }
  MemoryUse memory() const;

 private:
  uint32_t open_one();
  void turn();
  void pass_time();

  Scenario scenario_;
  Instant now_;
  Result<packet::FrameMemory> frames_;
  packet::Arena arena_;
  Addresses addresses_;
  MemoryPort port_;
  ScriptedPeers peers_;
  std::unique_ptr<shm::TrafficPage> traffic_page_;
  TrafficRows traffic_rows_;
  shm::SnapshotCell cell_;
  access_log::RecordRing access_ring_;
  MemoryUse memory_;  // its first figure is taken here, before the worker is made
  Worker worker_;
  Random random_;  // which tenant is asked
  TenantTable table_;
  uint32_t first_asking_ = 0;  // connections before it are idle
  uint32_t connection_count_ = 0;
  uint64_t turn_count_ = 0;
  uint64_t ticks_ = 0;
};

}  // namespace millrace::perf

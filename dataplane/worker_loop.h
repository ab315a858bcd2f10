// The loop around Worker::turn on a real clock: turns while there is work, sleeps on the ports
// otherwise, and says "alive" to the XDP programs every turn. The only place where a worker reads
// the clock or enters the kernel by its own will.
//
// A port that cannot wake the worker (DPDK) is looked at again and again instead: at once while
// frames moved a moment ago, later after short naps, or without ever sleeping, as configured.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "base/time.h"
#include "base/unique_fd.h"
#include "bpf/redirect_loader.h"
#include "dataplane/config.h"
#include "dataplane/gauges.h"
#include "dataplane/worker.h"
#include "shm/stats_page.h"

namespace millrace {

// What housekeeping tells a worker, without locks: plain words that the worker looks at.
struct WorkerMailbox {
  std::atomic<bool> stop{false};
  // Milliseconds from now until clients at rest are closed; -1: no drain is wanted.
  std::atomic<int64_t> drain_idle_ms{-1};
  std::atomic<bool> drained{false};  // the worker's answer: no connection is left
  // Readable when the worker should wake up and look: a new snapshot, or stop.
  UniqueFd wake;
  // Unix time in seconds, for the Date field; written once a second.
  std::atomic<int64_t> unix_seconds{0};
};

class WorkerLoop {
 public:
  WorkerLoop(Worker& worker, std::vector<bpf::Redirect*> programs, Idle idle,
             WorkerMailbox& mailbox, shm::StatsPage& stats, uint32_t worker_number);
  // Until mailbox.stop. Called on the worker's own thread.
  void run();

 private:
  void idle(Instant now);
  bool sleep_if_nothing_waits(Instant now, Duration most);
  void sleep(Duration span);
  void once_a_tick(Instant now);
  void account(Instant now);
  void look_for_drain(Instant now);

  Worker& worker_;
  std::vector<bpf::Redirect*> programs_;
  Idle idle_;
  bool all_ports_wake_;  // none needs to be looked at
  WorkerMailbox& mailbox_;
  shm::StatsPage& stats_;
  uint32_t number_;
  MonotonicClock clock_;
  Instant next_tick_;
  Instant last_movement_;
  WorkerBusy busy_;
  Instant turn_began_;
  bool turn_moved_ = false;
  bool turn_slept_ = false;
  bool draining_ = false;
  int64_t date_seconds_ = -1;
};

}  // namespace millrace

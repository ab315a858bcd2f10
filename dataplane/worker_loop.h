// The loop around Worker::turn on a real clock: turns while there is work, sleeps on the ports
// otherwise, and says "alive" to the XDP programs every turn. The only place where a worker reads
// the clock or enters the kernel by its own will.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "base/time.h"
#include "base/unique_fd.h"
#include "bpf/redirect_loader.h"
#include "dataplane/nic/xdp_port.h"
#include "dataplane/worker.h"
#include "shm/stats_page.h"

namespace millrace {

// What housekeeping tells a worker, without locks: plain words that the worker looks at.
struct WorkerMailbox {
  std::atomic<bool> stop{false};
  // Readable when the worker should wake up and look: a new snapshot, or stop.
  UniqueFd wake;
  // Unix time in seconds, for the Date field; written once a second.
  std::atomic<int64_t> unix_seconds{0};
};

class WorkerLoop {
 public:
  WorkerLoop(Worker& worker, std::vector<bpf::Redirect*> programs, std::vector<nic::XdpPort*> ports,
             WorkerMailbox& mailbox, shm::StatsPage& stats, uint32_t worker_number);
  // Until mailbox.stop. Called on the worker's own thread.
  void run();

 private:
  void sleep(Instant now);
  void once_a_tick(Instant now);

  Worker& worker_;
  std::vector<bpf::Redirect*> programs_;
  std::vector<nic::XdpPort*> ports_;  // the worker's own, under their decorators
  WorkerMailbox& mailbox_;
  shm::StatsPage& stats_;
  uint32_t number_;
  MonotonicClock clock_;
  Instant next_tick_;
  int64_t date_seconds_ = -1;
};

}  // namespace millrace

// Housekeeping: the thread beside the workers. It takes snapshots from the control plane, installs
// and has them saved, goes back from one that does harm, tells the workers the time of day,
// publishes what was applied, serves operators' listings, and waits for the signal to stop.
// Everything slow or talkative of the data plane happens here.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/paced_line.h"
#include "bpf/redirect_loader.h"
#include "dataplane/guard/publish_guard.h"
#include "dataplane/housekeeping_listing.h"
#include "dataplane/housekeeping_saving.h"
#include "dataplane/log_thread.h"
#include "dataplane/nic/dpdk_port.h"
#include "dataplane/worker_loop.h"
#include "shm/channel.h"
#include "shm/snapshot_store.h"
#include "shm/stats_page.h"

namespace millrace {

class Housekeeping {
 public:
  struct Parts {
    shm::ChannelServer& server;
    ListingServer& listings;
    shm::SnapshotCell& cell;
    shm::StatsPage& stats;
    WorkerMailbox& mailbox;
    std::vector<bpf::Redirect*> programs;
    const LogThread* access_log;     // nullptr: none is wanted
    uint32_t first_access_log_cell;  // in the stats page: lines written, lines lost
    uint32_t first_program_cell;     // one cell an outcome, program after program
    LastGoodSaver& saver;
    std::vector<nic::DpdkPort*> links;  // whose far ends come and go
    Duration drain_max;                 // zero: a stop waits for nobody
    const shm::TrafficCounts* counts;
    guard::Limits guard;
    uint32_t first_guard_cell;  // in the stats page: guard_names
  };
  // The guard's cells of the stats page, in this order. The control plane reads them: `acts` is set
  // behind the two versions that it is about.
  static constexpr std::array<std::string_view, 6> guard_names = {
      "guard_bad_version", "guard_back_to_version", "guard_acts",
      "guard_warnings",    "guard_acquittals",      "gauge_guard_watched"};

  explicit Housekeeping(const Parts& parts);

  // Until SIGTERM or SIGINT arrives on signal_fd and what was open is gone, or drain_max has passed
  // since, or another signal has come. What was in force is saved then.
  void run(int signal_fd);

 private:
  void on_channel();
  void after_install(const shm::PublishOutcome& outcome);
  void save_current();
  void look_at_saving();
  void watch_tables();
  bool on_listings();
  bool on_signal(int signal_fd);
  bool is_over() const;
  void on_tick();
  void once_a_second();
  void wake_worker();
  void watch_links();

  Parts parts_;
  MonotonicClock clock_;
  PacedLine in_force_line_;
  std::optional<Instant> drain_end_;
  uint64_t stalled_readers_ = 0;  // as said in the log
  uint64_t reported_epoch_ = 0;
  int64_t last_second_ = 0;
  std::vector<bool> links_up_;  // as said in the log
  guard::PublishGuard guard_;
  guard::Installed installed_;             // what is in force, with its rows
  std::optional<guard::Verdict> verdict_;  // that could not be carried out yet
  bool said_verdict_ = false;
  uint64_t guard_acts_ = 0;
  uint64_t guard_warnings_ = 0;
};

}  // namespace millrace

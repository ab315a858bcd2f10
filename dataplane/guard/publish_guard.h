// The guard of publishing: watches how the requests of changed routes fare after a new table has
// come into force, and says when the table before was better. It says so from counts alone; whoever
// asks it acts.
//
// Each changed route is judged once, on its first requests_min or more requests: their share of
// failures against the share that the same requests had in the minute before (under whatever route
// took them then), and against everything else in the same time. What a new version breaks, it
// breaks at once; what goes wrong later is not the version's doing. Routes that are asked too
// little to be judged alone are judged together.
//
// A backend's own outage is told apart by three signs, each of which acquits: the service's
// endpoints changed since (the cluster knows), other routes to the same service fail as well, or
// everything fails.
//
// Not judged: routes without a past (nobody took their requests before, or nobody asked), and
// what came with the very first table.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "dataplane/guard/route_changes.h"
#include "shm/snapshot.h"
#include "shm/traffic_counts.h"

namespace millrace::guard {

enum class Mode : uint8_t { off, warn, act };

struct Limits {
  Mode mode = Mode::warn;
  uint32_t requests_min = 50;
  // How much larger the share of failures must be than both others.
  double jump_min = 0.25;
  // A version that has not been asked enough by then is no longer watched.
  Duration watch_max = Duration::seconds(600);
};

// Tables that are watched at a time; the oldest is given up for a new one.
constexpr size_t trials_max = 8;
// The past of a route is what was counted since the older of two marks, which are set this far
// apart.
constexpr Duration mark_interval = Duration::seconds(30);
// A past of fewer requests says nothing.
constexpr uint64_t past_requests_min = 10;

// A table that is or was in force, with its rows of the traffic page.
struct Installed {
  std::shared_ptr<const shm::Snapshot> snapshot;
  std::shared_ptr<const shm::TrafficMap> rows;
  // An operator chose it. What comes of it is said and never acted on: whoever goes back to a
  // version knows what it was like, and a table that comes and goes by itself is worse than either.
  bool is_deliberate = false;
};

struct Verdict {
  uint64_t bad_version = 0;
  std::shared_ptr<const shm::Snapshot> before;  // the content to go back to
  std::string sentence;    // what fails, how often, and how often it did before
  bool is_to_act = false;  // false: to be said only
};

class PublishGuard {
 public:
  // `counts` must outlive it.
  PublishGuard(const Limits& limits, const shm::TrafficCounts& counts);

  // `after` has taken the place of `before`. The same snapshot again is no other table, but may be
  // an operator's choice now.
  void installed(const Installed& before, const Installed& after, Instant now);
  // To be asked often. At most one verdict a version; with one to act on, all others that are newer
  // than the content to go back to are given up.
  std::optional<Verdict> turn(const Installed& current, Instant now);
  // Somebody went back: nothing that is watched is in force any more.
  void forget() { trials_.clear(); }

  size_t watched() const;  // routes
  // Tables whose changed routes were all found to do well, or not to be to blame.
  uint64_t acquitted() const { return acquitted_; }

 private:
  struct Suspect {
    std::string text;
    shm::TrafficRef row;
    shm::TrafficRef service_row;
    uint32_t slot = 0;
    shm::TrafficCount at_install;
    shm::TrafficCount past;
  };
  struct Trial {
    Installed before;
    Installed after;
    Instant at;
    shm::TrafficCount total_at_install;
    std::vector<Suspect> suspects;
    std::vector<std::pair<shm::TrafficRef, shm::TrafficCount>> services_at_install;
    bool is_to_act = false;
  };
  // What each row had counted at a moment.
  struct Mark {
    Instant at;
    std::vector<std::pair<uint32_t, shm::TrafficCount>> rows;  // generation and count
  };

  void acquit_mended(const std::vector<RouteChange>& changes, const Installed& before,
                     const Installed& after);
  void set_mark(Instant now);
  shm::TrafficCount past_of(shm::TrafficRef row) const;
  std::optional<std::string> judge(Trial& trial, const Installed& current);
  bool is_acquitted(const Trial& trial, const Suspect& suspect, const shm::TrafficCount& since,
                    const Installed& current) const;
  bool is_jump(const shm::TrafficCount& since, const shm::TrafficCount& past,
               const shm::TrafficCount& others) const;

  const Limits limits_;
  const shm::TrafficCounts& counts_;
  std::deque<Trial> trials_;  // oldest first
  uint64_t acquitted_ = 0;
  Mark older_, newer_;
};

}  // namespace millrace::guard

// Tells a live cluster what became of its objects: status of Ingresses and Events, both written by
// the one control plane that holds the Lease.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "controlplane/cluster/event_writer.h"
#include "controlplane/cluster/leader_election.h"
#include "controlplane/cluster/status_writer.h"
#include "controlplane/store/reporter.h"

namespace millrace::cluster {

// All problems are told again when so long has passed since they were, if a report has come in that
// time or some found no room as Events; it may be a renewal of the Lease later. So what lasts is
// said again when its Event has expired, or when there is room. In between: those that are new, and
// those of Ingresses that changed, which may be others by the same name.
constexpr Duration events_told_interval = Duration::seconds(60);

struct ReporterOptions {
  LeaderOptions leader;
  StatusOptions status;
  bool writes_events = true;
  EventScope event_scope = EventScope::all_objects;
};

class ClusterReporter : public store::Reporter {
 public:
  // `api` must outlive it, and is turned by its source.
  ClusterReporter(ApiCaller* api, const ReporterOptions& options, WallClock wall_clock,
                  uint64_t seed);

  void tell(store::Report report, const store::Store& store) override;
  Instant due(Instant now) const override;
  void turn(Instant now, const store::Store& store) override;
  void stop(Instant now) override { leader_.release(now); }
  bool done() const override { return leader_.released(); }
  std::vector<k8s::Problem> problems() const override;

  const LeaderElection& leader() const { return leader_; }
  const StatusWriter& status() const { return status_; }
  const EventWriter& events() const { return events_; }

 private:
  void tell_events(const store::Store& store, Instant now);
  std::vector<k8s::Problem> news() const;

  const ReporterOptions options_;
  LeaderElection leader_;
  StatusWriter status_;
  EventWriter events_;
  k8s::SharedProblems problems_;
  k8s::SharedProblems told_;              // as Events; null while another one leads
  std::set<store::IngressName> changed_;  // since they were told
  Instant told_all_at_;
  bool has_news_ = false;        // a report that was not looked at
  bool tells_all_soon_ = false;  // since all were told a report has come, or some had no room
};

}  // namespace millrace::cluster

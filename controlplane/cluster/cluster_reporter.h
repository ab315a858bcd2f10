// Tells a live cluster what became of its objects: status of Ingresses and Events, both written by
// the one control plane that holds the Lease.
#pragma once

#include <string>
#include <vector>

#include "controlplane/cluster/event_writer.h"
#include "controlplane/cluster/leader_election.h"
#include "controlplane/cluster/status_writer.h"
#include "controlplane/store/reporter.h"

namespace millrace::cluster {

// While reports come, all problems are told so often at least, and between that only new ones: so
// what lasts is said again when its Event has expired, or when its object is another one.
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

  const ReporterOptions options_;
  LeaderElection leader_;
  StatusWriter status_;
  EventWriter events_;
  k8s::SharedProblems problems_;
  k8s::SharedProblems told_;  // as Events; null while another one leads
  Instant told_all_at_;
  bool has_news_ = false;        // a report that was not looked at
  bool tells_all_soon_ = false;  // a report has come since all were told
};

}  // namespace millrace::cluster

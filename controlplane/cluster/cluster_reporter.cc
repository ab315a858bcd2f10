#include "controlplane/cluster/cluster_reporter.h"

#include <algorithm>
#include <utility>

namespace millrace::cluster {

ClusterReporter::ClusterReporter(ApiCaller* api, const ReporterOptions& options,
                                 WallClock wall_clock, uint64_t seed)
    : options_(options),
      leader_(api, options.leader, wall_clock, seed),
      status_(api, options.status),
      events_(api, options.leader.identity, wall_clock, options.event_scope) {}

void ClusterReporter::tell(store::Report report) {
  report_ = std::move(report);
  has_news_ = true;
}

Instant ClusterReporter::due(Instant now) const {
  Instant due = leader_.due();
  if (has_news_) return now;
  if (!leader_.is_leader(now)) return due;
  return std::min({due, status_.due(), events_.due()});
}

void ClusterReporter::turn(Instant now, const store::Store& store) {
  leader_.turn(now);
  const bool leads = leader_.is_leader(now);
  const bool became_leader = leads && !was_leader_;
  was_leader_ = leads;
  if (has_news_ || became_leader) {
    // What the leader before us has not come to say is said by us. While another one leads, nothing
    // is said, and so none of it is made.
    if (options_.writes_events && leads) events_.tell(report_.problems, store, now);
    status_.serve(report_.served, now);
    has_news_ = false;
  }
  status_.turn(now, store, leads);
  events_.turn(now, leads);
}

std::vector<k8s::Problem> ClusterReporter::problems() const {
  std::vector<k8s::Problem> problems;
  for (const std::string& failure : {leader_.failure(), status_.failure(), events_.failure()}) {
    if (!failure.empty()) {
      problems.push_back(
          {k8s::Severity::warning, {}, "", "cannot write to the cluster: " + failure});
    }
  }
  return problems;
}

}  // namespace millrace::cluster

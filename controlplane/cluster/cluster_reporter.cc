#include "controlplane/cluster/cluster_reporter.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "controlplane/k8s/problem_difference.h"

namespace millrace::cluster {

ClusterReporter::ClusterReporter(ApiCaller* api, const ReporterOptions& options,
                                 WallClock wall_clock, uint64_t seed)
    : options_(options),
      leader_(api, options.leader, wall_clock, seed),
      status_(api, options.status),
      events_(api, options.leader.identity, wall_clock, options.event_scope) {}

void ClusterReporter::tell(store::Report report, const store::Store& store) {
  status_.tell(report, store);
  problems_ = std::move(report.problems);
  if (told_ != nullptr) changed_.merge(report.changed);  // else all are told anyway
  has_news_ = true;
}

Instant ClusterReporter::due(Instant now) const {
  if (has_news_) return now;
  if (!leader_.is_leader(now)) return leader_.due();
  // To tell all problems again waits for the Lease, which is renewed every few seconds.
  return std::min({leader_.due(), status_.due(), events_.due()});
}

void ClusterReporter::turn(Instant now, const store::Store& store) {
  leader_.turn(now);
  const bool leads = leader_.is_leader(now);
  const bool has_news = std::exchange(has_news_, false);
  if (options_.writes_events && problems_ != nullptr) {
    tells_all_soon_ = leads && (tells_all_soon_ || has_news);
    if (leads) tell_events(store, now);
  }
  // What the leader before us has not come to say is said by us. While another one leads, nothing
  // is said, and so none of it is made.
  if (!leads) told_ = nullptr;
  status_.turn(now, store, leads);
  events_.turn(now, leads);
}

void ClusterReporter::tell_events(const store::Store& store, Instant now) {
  const uint64_t left_out = events_.left_out();
  const bool is_time = tells_all_soon_ && now >= told_all_at_ + events_told_interval;
  if (told_ == nullptr || is_time) {
    events_.tell(*problems_, store, now);
    told_all_at_ = now;
    tells_all_soon_ = false;
  } else if (told_ != problems_ || !changed_.empty()) {
    events_.tell(news(), store, now);
  }
  tells_all_soon_ |= events_.left_out() != left_out;
  told_ = problems_;
  changed_.clear();
}

// One may be in it twice; it is said once.
std::vector<k8s::Problem> ClusterReporter::news() const {
  std::vector<k8s::Problem> news;
  for (const k8s::Problem* one : k8s::difference(*told_, *problems_).after) news.push_back(*one);
  if (changed_.empty()) return news;
  std::unordered_set<std::string> changed;
  for (const auto& [name_space, name] : changed_) {
    changed.insert(k8s::ObjectKey{k8s::Kind::ingress, name_space, name}.text());
  }
  for (const k8s::Problem& one : *problems_) {
    if (changed.contains(one.object)) news.push_back(one);
  }
  return news;
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

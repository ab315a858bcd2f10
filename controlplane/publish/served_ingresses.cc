#include "controlplane/publish/served_ingresses.h"

#include <utility>

#include "base/check.h"

namespace millrace::publish {

void ServedIngresses::replace(const model::Model& table) {
  const auto before = std::exchange(routes_, {});
  // As if all were removed; what the table has again is none in the journal then.
  for (const auto& [name, routes] : before) note(name, Step::remove);
  for (const model::Host& host : table.hosts) count(host, Step::add);
  if (table.cluster_default) count(*table.cluster_default, Step::add);
}

void ServedIngresses::count(const model::Route& route, Step step) {
  const Name name{route.source.name_space, route.source.ingress};
  if (step == Step::add) {
    if (++routes_[name] == 1) note(name, step);
    return;
  }
  const auto at = routes_.find(name);
  CHECK(at != routes_.end());
  if (--at->second > 0) return;
  routes_.erase(at);
  note(name, step);
}

void ServedIngresses::note(const Name& name, Step step) {
  if (!journal_) return;
  const auto [at, is_new] = journal_->try_emplace(name, step);
  if (!is_new) journal_->erase(at);  // back to what it was
}

void ServedIngresses::count(const model::Host& host, Step step) {
  for (const model::Route& route : host.routes) count(route, step);
  if (host.default_route) count(*host.default_route, step);
}

void ServedIngresses::apply(const model::ModelDelta& change) {
  for (const model::HostChange& host : change.hosts) {
    if (host.after) count(*host.after, Step::add);
    if (host.before) count(*host.before, Step::remove);
  }
  if (!change.cluster_default) return;
  const auto& [before, after] = *change.cluster_default;
  if (after.route) count(*after.route, Step::add);
  if (before.route) count(*before.route, Step::remove);
}

std::set<ServedIngresses::Name> ServedIngresses::names() const {
  std::set<Name> names;
  for (const auto& [name, routes] : routes_) names.insert(names.end(), name);
  return names;
}

ServedIngresses::Changes ServedIngresses::take_changes() {
  Changes changes;
  if (journal_) {
    for (const auto& [name, step] : *journal_) {
      (step == Step::add ? changes.began : changes.ceased).push_back(name);
    }
  }
  if (!std::exchange(was_taken_, true)) {
    changes.began.clear();
    changes.began.reserve(routes_.size());
    for (const auto& [name, routes] : routes_) changes.began.push_back(name);
  }
  journal_.emplace();
  return changes;
}

}  // namespace millrace::publish

#include "controlplane/publish/served_ingresses.h"

#include "base/check.h"

namespace millrace::publish {

ServedIngresses::ServedIngresses(const model::Model& table) {
  for (const model::Host& host : table.hosts) count(host, Step::add);
  if (table.cluster_default) count(*table.cluster_default, Step::add);
}

void ServedIngresses::count(const model::Route& route, Step step) {
  Name name{route.source.name_space, route.source.ingress};
  if (step == Step::add) {
    ++routes_[std::move(name)];
    return;
  }
  const auto at = routes_.find(name);
  CHECK(at != routes_.end());
  if (--at->second == 0) routes_.erase(at);
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

}  // namespace millrace::publish

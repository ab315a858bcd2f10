#include "controlplane/publish/shrink_guard.h"

namespace millrace::publish {

namespace {

size_t routes_of(const model::Host& host) {
  return host.routes.size() + (host.default_route ? 1 : 0);
}

}  // namespace

void TableSize::apply(const model::ModelDelta& change) {
  for (const model::HostChange& host : change.hosts) {
    if (host.after) routes += routes_of(*host.after);
    if (host.before) routes -= routes_of(*host.before);
  }
  if (change.cluster_default) {
    routes += change.cluster_default->second.route ? 1 : 0;
    routes -= change.cluster_default->first.route ? 1 : 0;
  }
  for (const model::ServiceChange& service : change.services) {
    if (service.after) endpoints += service.after->endpoints.size();
    if (service.before) endpoints -= service.before->endpoints.size();
  }
}

TableSize size_of(const model::Model& model) {
  return {model.route_count(), model.endpoint_count()};
}

bool ShrinkGuard::is_implausible(size_t before, size_t after) const {
  if (after >= before || before - after < limits_.lost_min) return false;
  return static_cast<double>(before - after) > limits_.share_max * static_cast<double>(before);
}

bool ShrinkGuard::would_hold(TableSize published, TableSize asked, Instant now) const {
  return now >= accepted_until_ && limits_.confirmations != 0 &&
         (is_implausible(published.routes, asked.routes) ||
          is_implausible(published.endpoints, asked.endpoints));
}

std::optional<std::string> ShrinkGuard::check(TableSize published, TableSize asked, Instant now) {
  const bool routes = is_implausible(published.routes, asked.routes);
  if (!would_hold(published, asked, now)) {
    reset();
    return std::nullopt;
  }
  if (!is_holding()) {
    holding_since_ = now;
    due_ = now + limits_.interval;
    confirmed_ = 0;
  } else if (now >= due_) {
    ++confirmed_;
    due_ = now + limits_.interval;
  }
  if (confirmed_ >= limits_.confirmations) {
    reset();
    return std::nullopt;
  }
  const size_t before = routes ? published.routes : published.endpoints;
  const size_t after = routes ? asked.routes : asked.endpoints;
  return "the new table has " + std::to_string(after) + " of " + std::to_string(before) +
         (routes ? " routes" : " endpoints") +
         " left; it is held back and the old one stays until " +
         std::to_string(limits_.confirmations) + " looks, " +
         std::to_string(limits_.interval.count_ms() / 1'000) +
         " s apart, have said the same, or `millrace accept` (or SIGHUP) says that it is meant";
}

}  // namespace millrace::publish

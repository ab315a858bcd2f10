#include "controlplane/publish/held_routes.h"

#include <algorithm>
#include <map>
#include <optional>

#include "controlplane/model/endpoints.h"

namespace millrace::publish {

namespace {

// An Ingress that names the backend in this table: whom a problem is about.
std::map<model::ServiceKey, model::RouteSource> users_of(const model::Model& table) {
  std::map<model::ServiceKey, model::RouteSource> users;
  const auto note = [&](const model::Route& route) {
    if (route.backend) users.emplace(*route.backend, route.source);
  };
  for (const model::Host& host : table.hosts) {
    for (const model::Route& route : host.routes) note(route);
    for (const model::ShadowedRoute& shadowed : host.shadowed) note(shadowed.route);
    if (host.default_route) note(*host.default_route);
    for (const model::Route& route : host.shadowed_defaults) note(route);
  }
  if (table.cluster_default) note(*table.cluster_default);
  for (const model::Route& route : table.shadowed_cluster_defaults) note(route);
  return users;
}

}  // namespace

model::Model with_current_endpoints(const model::Model& held, const model::Model& asked,
                                    const store::Store& objects,
                                    std::vector<k8s::Problem>* problems) {
  model::Model table;
  table.hosts = held.hosts;
  table.cluster_default = held.cluster_default;
  table.shadowed_cluster_defaults = held.shadowed_cluster_defaults;
  k8s::ProblemList found;
  std::optional<model::EndpointResolver> resolver;  // made when the first backend needs it
  std::map<model::ServiceKey, model::RouteSource> users;
  for (const model::Service& service : held.services) {
    const auto at = std::lower_bound(
        asked.services.begin(), asked.services.end(), service.key,
        [](const model::Service& one, const model::ServiceKey& key) { return one.key < key; });
    if (at != asked.services.end() && at->key == service.key) {
      table.services.push_back(*at);
      continue;
    }
    if (!resolver) {
      resolver.emplace(objects, &found);
      found.take();  // about objects: building `asked` has told them already
      users = users_of(held);
    }
    const model::RouteSource& source = users[service.key];
    const k8s::Object user{{k8s::Kind::ingress, source.name_space, source.ingress}, {}, nullptr};
    table.services.push_back(resolver->resolve(service.key, user));
  }
  for (k8s::Problem& problem : found.take()) problems->push_back(std::move(problem));
  return table;
}

}  // namespace millrace::publish

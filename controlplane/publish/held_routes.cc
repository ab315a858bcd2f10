#include "controlplane/publish/held_routes.h"

#include <algorithm>
#include <map>
#include <string>

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

model::HeldObject held_object(const k8s::Object* object) {
  if (object == nullptr) return {};
  return {object->place, object->body};
}

std::map<std::string, model::HeldObject> slices_of(const model::ServiceKey& key,
                                                   const store::Store& objects) {
  std::map<std::string, model::HeldObject> slices;
  const k8s::ObjectKey first{k8s::Kind::endpoint_slice, key.name_space, ""};
  for (auto at = objects.objects().lower_bound(first);
       at != objects.objects().end() && at->first.kind == first.kind &&
       at->first.name_space == first.name_space;
       ++at) {
    const std::string* service =
        model::service_of_slice(std::get<k8s::EndpointSlice>(*at->second.body));
    if (service != nullptr && *service == key.service) {
      slices.emplace(at->first.name, held_object(&at->second));
    }
  }
  return slices;
}

}  // namespace

model::Model with_current_endpoints(const model::Model& held, const model::Model& asked,
                                    const store::Store& objects,
                                    std::vector<k8s::Problem>* problems) {
  model::Model table;
  table.hosts = held.hosts;
  table.cluster_default = held.cluster_default;
  table.shadowed_cluster_defaults = held.shadowed_cluster_defaults;
  std::map<model::ServiceKey, model::RouteSource> users;  // looked for when one is needed
  for (const model::Service& service : held.services) {
    const auto at = std::lower_bound(
        asked.services.begin(), asked.services.end(), service.key,
        [](const model::Service& one, const model::ServiceKey& key) { return one.key < key; });
    if (at != asked.services.end() && at->key == service.key) {
      table.services.push_back(*at);
      continue;
    }
    if (users.empty()) users = users_of(held);
    const model::RouteSource& source = users[service.key];
    const k8s::Object user{{k8s::Kind::ingress, source.name_space, source.ingress}, {}, nullptr};
    const model::HeldObject object = held_object(
        objects.find({k8s::Kind::service, service.key.name_space, service.key.service}));
    const auto slices = slices_of(service.key, objects);
    model::EndpointResolver resolver(object, slices, problems);
    table.services.push_back({service.key, resolver.resolve(service.key, user)});
  }
  return table;
}

}  // namespace millrace::publish

#include "controlplane/publish/held_routes.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <unordered_map>

#include "controlplane/k8s/external_name.h"
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

// Whose slices are which: each namespace that is asked for is walked once.
class SlicesByService {
 public:
  using Slices = std::map<std::string, model::HeldObject>;  // by name

  explicit SlicesByService(const store::Store& objects) : objects_(objects) {}

  const Slices& of(const std::string& name_space, const std::string& service) {
    const auto [of_namespace, is_new] = namespaces_.try_emplace(name_space);
    if (is_new) walk(name_space, &of_namespace->second);
    static const Slices none;
    const auto at = of_namespace->second.find(service);
    return at == of_namespace->second.end() ? none : at->second;
  }

 private:
  using Services = std::unordered_map<std::string, Slices>;

  void walk(const std::string& name_space, Services* services) const {
    const k8s::ObjectKey first{k8s::Kind::endpoint_slice, name_space, ""};
    for (auto at = objects_.objects().lower_bound(first);
         at != objects_.objects().end() && at->first.kind == first.kind &&
         at->first.name_space == name_space;
         ++at) {
      const std::optional<std::string> service = model::service_of_slice(at->second.body);
      if (service) (*services)[*service].emplace(at->first.name, held_object(&at->second));
    }
  }

  const store::Store& objects_;
  std::map<std::string, Services> namespaces_;
};

using Services = std::vector<model::Service>;

Services::const_iterator first_of(const Services& services, const model::ServiceKey& key) {
  return std::lower_bound(
      services.begin(), services.end(), key,
      [](const model::Service& one, const model::ServiceKey& wanted) { return one.key < wanted; });
}

const model::Service* find(const Services& services, const model::ServiceKey& key) {
  const auto at = first_of(services, key);
  return at != services.end() && at->key == key ? &*at : nullptr;
}

model::Service look_up(const model::ServiceKey& key, const k8s::Object& user,
                       const store::Store& objects, SlicesByService* slices,
                       std::vector<k8s::Problem>* problems) {
  const model::HeldObject object =
      held_object(objects.find({k8s::Kind::service, key.name_space, key.service}));
  // Where names are asked for every Service of type ExternalName has a derived slice.
  const k8s::ObjectKey derived = k8s::derived_slice_key(key.name_space, key.service);
  model::EndpointResolver resolver(objects.find(derived) != nullptr);
  resolver.begin(object, slices->of(key.name_space, key.service), problems);
  return {key, resolver.resolve(key, user)};
}

// Every port of one Service that the table names.
void take_ports(const Services& services, const std::string& name_space, const std::string& service,
                std::set<model::ServiceKey>* keys) {
  for (auto at = first_of(services, {name_space, service, "", {}});
       at != services.end() && at->key.name_space == name_space && at->key.service == service;
       ++at) {
    keys->insert(at->key);
  }
}

// Of a slice that is gone it is not known whose it was. Whom `asked` names, its change tells.
void take_namespace(const Services& services, const Services& asked, const std::string& name_space,
                    std::set<model::ServiceKey>* keys) {
  std::set<model::ServiceKey> found;
  for (auto at = first_of(services, {name_space, "", "", {}});
       at != services.end() && at->key.name_space == name_space; ++at) {
    if (find(asked, at->key) != nullptr) continue;
    if (found.size() == lost_slices_services_max) return;
    found.insert(at->key);
  }
  keys->merge(found);
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
  SlicesByService slices(objects);
  for (const model::Service& service : held.services) {
    if (const model::Service* known = find(asked.services, service.key)) {
      table.services.push_back(*known);
      continue;
    }
    if (users.empty()) users = users_of(held);
    const model::RouteSource& source = users[service.key];
    const k8s::Object user{{k8s::Kind::ingress, source.name_space, source.ingress}, {}, {}};
    table.services.push_back(look_up(service.key, user, objects, &slices, problems));
  }
  return table;
}

model::ModelDelta endpoints_change(const model::Model& table, const model::Model& asked,
                                   const model::ModelDelta& asked_change,
                                   const std::vector<store::Change>& changes,
                                   const store::Store& objects) {
  std::set<model::ServiceKey> keys;
  for (const model::ServiceChange& change : asked_change.services) {
    if (find(table.services, change.key) != nullptr) keys.insert(change.key);
  }
  for (const store::Change& change : changes) {
    const k8s::ObjectKey& key = change.key;
    if (key.kind == k8s::Kind::service) {
      take_ports(table.services, key.name_space, key.name, &keys);
    }
    if (key.kind != k8s::Kind::endpoint_slice) continue;
    const k8s::Object* slice = objects.find(key);
    if (slice == nullptr) {
      take_namespace(table.services, asked.services, key.name_space, &keys);
      continue;
    }
    const std::optional<std::string> service = model::service_of_slice(slice->body);
    if (service) take_ports(table.services, key.name_space, *service, &keys);
  }
  model::ModelDelta delta;
  std::vector<k8s::Problem> ignored;  // with_current_endpoints() names them
  SlicesByService slices(objects);
  for (const model::ServiceKey& key : keys) {
    const model::Service* before = find(table.services, key);
    const model::Service* known = find(asked.services, key);
    model::Service after = known != nullptr ? *known : look_up(key, {}, objects, &slices, &ignored);
    if (after != *before) delta.services.push_back({key, *before, std::move(after)});
  }
  return delta;
}

}  // namespace millrace::publish

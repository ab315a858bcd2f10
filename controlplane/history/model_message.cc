#include "controlplane/history/model_message.h"

#include <xxhash.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <utility>

namespace millrace::history {

namespace {

void fill(const model::ServiceKey& key, record::ServiceKey* message) {
  message->set_name_space(key.name_space);
  message->set_service(key.service);
  message->set_port(key.port);
  if (key.policy.is_unset()) return;
  record::Policy* policy = message->mutable_policy();
  policy->set_balance(static_cast<uint32_t>(key.policy.balance));
  policy->set_hash_by(static_cast<uint32_t>(key.policy.hash_by));
  policy->set_hash_name(key.policy.hash_name);
  policy->set_sticky_cookie(key.policy.sticky_cookie);
  policy->set_encoded_slash(static_cast<uint32_t>(key.policy.encoded_slash));
  policy->set_proxy_protocol(key.policy.proxy_protocol);
}

void fill(const model::Route& route, record::Route* message) {
  message->set_type(static_cast<uint32_t>(route.type));
  message->set_path(route.path);
  if (route.backend) fill(*route.backend, message->mutable_backend());
  message->set_ingress_namespace(route.source.name_space);
  message->set_ingress(route.source.ingress);
  message->set_rule_index(route.source.rule_index);
  message->set_path_index(route.source.path_index);
}

void fill(const model::Host& host, record::Host* message) {
  message->set_name(host.name);
  for (const model::Route& route : host.routes) fill(route, message->add_routes());
  for (const model::ShadowedRoute& shadowed : host.shadowed) {
    record::ShadowedRoute* one = message->add_shadowed();
    fill(shadowed.route, one->mutable_route());
    one->set_winner(shadowed.winner);
  }
  if (host.default_route) fill(*host.default_route, message->mutable_default_route());
  for (const model::Route& route : host.shadowed_defaults) {
    fill(route, message->add_shadowed_defaults());
  }
}

void fill(const model::Service& service, const compile::SlotTable* slots,
          record::Service* message) {
  fill(service.key, message->mutable_key());
  for (const model::Endpoint& endpoint : service.endpoints) {
    record::Endpoint* one = message->add_endpoints();
    one->set_address(endpoint.address.host_order());
    one->set_port(endpoint.port);
    one->set_ready(endpoint.ready);
    one->set_serving(endpoint.serving);
    one->set_terminating(endpoint.terminating);
  }
  if (slots != nullptr && slots->has(service.key)) message->set_slot(slots->slot_of(service.key));
}

void fill(const model::ClusterDefault& value, record::ClusterDefault* message) {
  if (value.route) fill(*value.route, message->mutable_route());
  for (const model::Route& route : value.shadowed) fill(route, message->add_shadowed());
}

// ---- and back
// ------------------------------------------------------------------------------------

bool take(const record::ServiceKey& message, model::ServiceKey* key) {
  *key = {message.name_space(), message.service(), message.port(), {}};
  const record::Policy& policy = message.policy();
  if (policy.balance() > static_cast<uint32_t>(model::Balance::least_requests) ||
      policy.hash_by() > static_cast<uint32_t>(model::HashBy::cookie) ||
      policy.encoded_slash() > static_cast<uint32_t>(model::EncodedSlash::refuse) ||
      policy.proxy_protocol() > UINT8_MAX) {
    return false;
  }
  key->policy.balance = static_cast<model::Balance>(policy.balance());
  key->policy.hash_by = static_cast<model::HashBy>(policy.hash_by());
  key->policy.hash_name = policy.hash_name();
  key->policy.sticky_cookie = policy.sticky_cookie();
  key->policy.encoded_slash = static_cast<model::EncodedSlash>(policy.encoded_slash());
  key->policy.proxy_protocol = static_cast<uint8_t>(policy.proxy_protocol());
  return true;
}

bool take(const record::Route& message, model::Route* route) {
  if (message.type() > static_cast<uint32_t>(model::PathType::implementation_specific)) {
    return false;
  }
  route->type = static_cast<model::PathType>(message.type());
  route->path = message.path();
  route->source = {message.ingress_namespace(), message.ingress(), message.rule_index(),
                   message.path_index()};
  return !message.has_backend() || take(message.backend(), &route->backend.emplace());
}

bool take(const record::Host& message, model::Host* host) {
  host->name = message.name();
  for (const record::Route& route : message.routes()) {
    if (!take(route, &host->routes.emplace_back())) return false;
  }
  for (const record::ShadowedRoute& shadowed : message.shadowed()) {
    model::ShadowedRoute& one = host->shadowed.emplace_back();
    one.winner = shadowed.winner();
    if (!take(shadowed.route(), &one.route)) return false;
  }
  if (message.has_default_route() &&
      !take(message.default_route(), &host->default_route.emplace())) {
    return false;
  }
  return std::all_of(message.shadowed_defaults().begin(), message.shadowed_defaults().end(),
                     [&](const record::Route& route) {
                       return take(route, &host->shadowed_defaults.emplace_back());
                     });
}

bool take(const record::Service& message, model::Service* service) {
  for (const record::Endpoint& endpoint : message.endpoints()) {
    if (endpoint.port() > UINT16_MAX) return false;
    service->endpoints.push_back({Ipv4Address::from_host_order(endpoint.address()),
                                  static_cast<uint16_t>(endpoint.port()), endpoint.ready(),
                                  endpoint.serving(), endpoint.terminating()});
  }
  return take(message.key(), &service->key);
}

bool take(const record::ClusterDefault& message, model::ClusterDefault* value) {
  if (message.has_route() && !take(message.route(), &value->route.emplace())) return false;
  return std::all_of(
      message.shadowed().begin(), message.shadowed().end(),
      [&](const record::Route& route) { return take(route, &value->shadowed.emplace_back()); });
}

bool take(const record::Delta& message, model::ModelDelta* delta) {
  for (const record::HostChange& change : message.hosts()) {
    model::HostChange& one = delta->hosts.emplace_back();
    if (change.has_before() && !take(change.before(), &one.before.emplace())) return false;
    if (change.has_after() && !take(change.after(), &one.after.emplace())) return false;
    if (!one.before && !one.after) return false;
    one.name = one.before ? one.before->name : one.after->name;
  }
  for (const record::ServiceChange& change : message.services()) {
    model::ServiceChange& one = delta->services.emplace_back();
    if (change.has_before() && !take(change.before(), &one.before.emplace())) return false;
    if (change.has_after() && !take(change.after(), &one.after.emplace())) return false;
    if (!one.before && !one.after) return false;
    one.key = one.before ? one.before->key : one.after->key;
  }
  if (!message.has_cluster_default_before()) return true;
  delta->cluster_default.emplace();
  return take(message.cluster_default_before(), &delta->cluster_default->first) &&
         take(message.cluster_default_after(), &delta->cluster_default->second);
}

// Different kinds of the same bytes are told apart by their seeds.
template <class Message>
uint64_t hash_of(const Message& message, uint64_t seed) {
  const std::string bytes = message.SerializeAsString();
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

uint64_t hash_of(const model::Host& host) {
  record::Host message;
  fill(host, &message);
  return hash_of(message, 1);
}

uint64_t hash_of(const model::Service& service) {
  record::Service message;
  fill(service, nullptr, &message);
  return hash_of(message, 2);
}

uint64_t hash_of(const model::ClusterDefault& value) {
  record::ClusterDefault message;
  fill(value, &message);
  return hash_of(message, 3);
}

}  // namespace

record::Model to_message(const model::Model& model, const compile::SlotTable* slots) {
  record::Model message;
  for (const model::Host& host : model.hosts) fill(host, message.add_hosts());
  for (const model::Service& service : model.services) {
    fill(service, slots, message.add_services());
  }
  fill({model.cluster_default, model.shadowed_cluster_defaults}, message.mutable_cluster_default());
  return message;
}

record::Delta to_message(const model::ModelDelta& delta, const compile::SlotTable* slots) {
  record::Delta message;
  for (const model::HostChange& change : delta.hosts) {
    record::HostChange* one = message.add_hosts();
    if (change.before) fill(*change.before, one->mutable_before());
    if (change.after) fill(*change.after, one->mutable_after());
  }
  for (const model::ServiceChange& change : delta.services) {
    record::ServiceChange* one = message.add_services();
    if (change.before) fill(*change.before, nullptr, one->mutable_before());
    if (change.after) fill(*change.after, slots, one->mutable_after());
  }
  if (delta.cluster_default) {
    fill(delta.cluster_default->first, message.mutable_cluster_default_before());
    fill(delta.cluster_default->second, message.mutable_cluster_default_after());
  }
  return message;
}

Result<model::Model> from_message(const record::Model& message) {
  model::Model model;
  bool is_right = true;
  for (const record::Host& host : message.hosts()) {
    is_right = is_right && take(host, &model.hosts.emplace_back());
  }
  for (const record::Service& service : message.services()) {
    is_right = is_right && take(service, &model.services.emplace_back());
  }
  model::ClusterDefault cluster_default;
  is_right = is_right && take(message.cluster_default(), &cluster_default);
  if (!is_right) return Error{"it holds a value that no table of this build has"};
  model.cluster_default = std::move(cluster_default.route);
  model.shadowed_cluster_defaults = std::move(cluster_default.shadowed);
  return model;
}

Result<model::ModelDelta> from_message(const record::Delta& message) {
  model::ModelDelta delta;
  if (!take(message, &delta)) return Error{"it holds a value that no table of this build has"};
  return delta;
}

ContentHash::ContentHash(const model::Model& model) {
  for (const model::Host& host : model.hosts) sum_ += hash_of(host);
  for (const model::Service& service : model.services) sum_ += hash_of(service);
  sum_ += hash_of(model::ClusterDefault{model.cluster_default, model.shadowed_cluster_defaults});
}

void ContentHash::apply(const model::ModelDelta& delta) {
  for (const model::HostChange& change : delta.hosts) {
    if (change.before) sum_ -= hash_of(*change.before);
    if (change.after) sum_ += hash_of(*change.after);
  }
  for (const model::ServiceChange& change : delta.services) {
    if (change.before) sum_ -= hash_of(*change.before);
    if (change.after) sum_ += hash_of(*change.after);
  }
  if (!delta.cluster_default) return;
  sum_ -= hash_of(delta.cluster_default->first);
  sum_ += hash_of(delta.cluster_default->second);
}

std::string ContentHash::text() const {
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(sum_));
  return digits;
}

bool fits(const model::ModelDelta& delta, const model::Model& model) {
  const auto host_fits = [&](const model::HostChange& change) {
    const auto at = std::lower_bound(
        model.hosts.begin(), model.hosts.end(), change.name,
        [](const model::Host& host, const std::string& name) { return host.name < name; });
    const bool is_there = at != model.hosts.end() && at->name == change.name;
    return is_there ? change.before && *change.before == *at : !change.before.has_value();
  };
  const auto service_fits = [&](const model::ServiceChange& change) {
    const auto at = std::lower_bound(
        model.services.begin(), model.services.end(), change.key,
        [](const model::Service& service, const auto& key) { return service.key < key; });
    const bool is_there = at != model.services.end() && at->key == change.key;
    return is_there ? change.before && *change.before == *at : !change.before.has_value();
  };
  const auto by_name = [](const auto& a, const auto& b) { return a.name < b.name; };
  const auto by_key = [](const auto& a, const auto& b) { return a.key < b.key; };
  return std::is_sorted(delta.hosts.begin(), delta.hosts.end(), by_name) &&
         std::is_sorted(delta.services.begin(), delta.services.end(), by_key) &&
         std::all_of(delta.hosts.begin(), delta.hosts.end(), host_fits) &&
         std::all_of(delta.services.begin(), delta.services.end(), service_fits);
}

}  // namespace millrace::history

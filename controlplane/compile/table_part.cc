#include "controlplane/compile/table_part.h"

#include <utility>

#include "base/check.h"
#include "base/hash.h"
#include "controlplane/model/limits.h"
#include "shm/snapshot_format.h"

namespace millrace::compile {

namespace {

static_assert(model::host_bytes_max <= shm::host_bytes_max);
static_assert(model::path_bytes_max <= shm::path_bytes_max);
static_assert(model::prefix_elements_max <= shm::prefix_elements_max);
static_assert(model::port_name_bytes_max <= shm::port_name_bytes_max);
static_assert(model::service_endpoints_max <= shm::endpoints_per_service_max);
static_assert(model::routes_max <= shm::routes_max && model::routes_max <= shm::hosts_max);
// Slots given up rest for one publish, so at most twice as many are in sight; and the unusable one.
static_assert(2 * model::services_max + 1 <= shm::service_slots_max);
static_assert(k8s::name_bytes_max <= shm::object_name_bytes_max);
static_assert(model::policy_name_bytes_max <= shm::policy_name_bytes_max);

shm::PathType to_shm(model::PathType type) {
  switch (type) {
    case model::PathType::exact: return shm::PathType::exact;
    case model::PathType::prefix: return shm::PathType::prefix;
    case model::PathType::implementation_specific: return shm::PathType::implementation_specific;
  }
  CHECK(false);
}

shm::HashSource to_shm(model::HashBy hash_by) {
  switch (hash_by) {
    case model::HashBy::nothing: return shm::HashSource::none;
    case model::HashBy::client_address: return shm::HashSource::client_address;
    case model::HashBy::path: return shm::HashSource::path;
    case model::HashBy::header: return shm::HashSource::header;
    case model::HashBy::cookie: return shm::HashSource::cookie;
  }
  CHECK(false);
}

shm::ServiceBalance to_shm(model::Balance balance) {
  switch (balance) {
    case model::Balance::unset: return shm::ServiceBalance::unset;
    case model::Balance::round_robin: return shm::ServiceBalance::round_robin;
    case model::Balance::least_requests: return shm::ServiceBalance::least_requests;
  }
  CHECK(false);
}

// Its name is a view of the policy's.
shm::ServicePolicyInput to_shm(const model::Policy& policy) {
  shm::ServicePolicyInput input;
  const bool hashes = policy.hash_by != model::HashBy::nothing;
  input.balance = hashes ? shm::ServiceBalance::hash : to_shm(policy.balance);
  input.hash_source = to_shm(policy.hash_by);
  input.name = policy.sticky_cookie.empty() ? policy.hash_name : policy.sticky_cookie;
  const auto set = [&](bool wanted, uint8_t flag) {
    if (wanted) input.flags = static_cast<uint8_t>(input.flags | flag);
  };
  set(!policy.sticky_cookie.empty(), shm::policy_sticky_cookie);
  set(policy.encoded_slash == model::EncodedSlash::pass, shm::policy_passes_encoded_slash);
  set(policy.encoded_slash == model::EncodedSlash::refuse, shm::policy_refuses_encoded_slash);
  set(policy.proxy_protocol == 1, shm::policy_proxy_header_v1);
  set(policy.proxy_protocol == 2, shm::policy_proxy_header_v2);
  return input;
}

// The parts of an endpoint's text, hashed one behind the other: '/' and ':' stand in no name, so no
// two different keys give one text.
uint64_t hash_of(const model::ServiceKey& key) {
  uint64_t hash = hash_text(key.name_space);
  hash = hash_octet('/', hash);
  hash = hash_text(key.service, hash);
  hash = hash_octet(':', hash);
  hash = hash_text(key.port, hash);
  return hash_octet('/', hash);
}

uint64_t hash_decimal(uint32_t number, uint64_t from) {
  char digits[10];
  size_t count = 0;
  do {
    digits[count++] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number != 0);
  while (count > 0) from = hash_octet(static_cast<uint8_t>(digits[--count]), from);
  return from;
}

// "10.0.0.1:8080" behind the hash of its key.
uint64_t endpoint_id(uint64_t hash, Ipv4Address address, uint16_t port) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    hash = hash_decimal((address.host_order() >> shift) & 0xff, hash);
    hash = hash_octet(shift > 0 ? '.' : ':', hash);
  }
  const uint64_t id = hash_finish(hash_decimal(port, hash));
  return id == 0 ? 1 : id;
}

}  // namespace

uint64_t endpoint_id(const model::ServiceKey& key, Ipv4Address address, uint16_t port) {
  return endpoint_id(hash_of(key), address, port);
}

void TablePart::add_host(const model::Host& host) {
  if (host.routes.empty() && !host.default_route) {
    const Status added = builder_.add_host(host.name);
    if (!added) problems_.add({k8s::Severity::error, {}, "host " + host.name, added.error()});
    return;
  }
  std::vector<std::optional<shm::RouteId>> ids;
  ids.reserve(host.routes.size());
  for (const model::Route& route : host.routes) {
    ids.push_back(remember(
        route, builder_.add_route(host.name, route.path, to_shm(route.type), source_of(route))));
  }
  for (const model::ShadowedRoute& loser : host.shadowed) {
    const std::optional<shm::RouteId> winner = ids[loser.winner];
    if (!winner) continue;
    check(loser.route, builder_.add_shadowed(host.name, loser.route.path, to_shm(loser.route.type),
                                             source_of(loser.route), *winner));
  }
  if (!host.default_route) return;
  const auto winner = remember(
      *host.default_route, builder_.set_host_default(host.name, source_of(*host.default_route)));
  for (const model::Route& loser : host.shadowed_defaults) {
    if (winner) {
      check(loser, builder_.add_shadowed_host_default(host.name, source_of(loser), *winner));
    }
  }
}

void TablePart::add_cluster_default(const model::ClusterDefault& rest) {
  if (!rest.route) return;
  const auto winner = remember(*rest.route, builder_.set_cluster_default(source_of(*rest.route)));
  for (const model::Route& loser : rest.shadowed) {
    if (winner) check(loser, builder_.add_shadowed_cluster_default(source_of(loser), *winner));
  }
}

void TablePart::add_service(const model::Service& service, uint32_t slot) {
  shm::ServiceInput& input = service_;
  input.slot = slot;
  input.service_namespace = service.key.name_space;
  input.service_name = service.key.service;
  input.port = service.key.port;
  input.policy = to_shm(service.key.policy);
  input.endpoints.clear();
  input.endpoints.reserve(service.endpoints.size());
  const uint64_t hash = hash_of(service.key);
  for (const model::Endpoint& endpoint : service.endpoints) {
    input.endpoints.push_back({endpoint_id(hash, endpoint.address, endpoint.port), endpoint.address,
                               endpoint.port, endpoint.ready, endpoint.serving,
                               endpoint.terminating});
  }
  const Status added = builder_.add_service(input);
  if (!added) {
    problems_.add({k8s::Severity::error,
                   {},
                   "Service " + service.key.text(),
                   added.error() + "; its requests are answered 503"});
  }
}

std::vector<k8s::Problem> TablePart::take_problems(
    const std::vector<shm::RejectedRoute>& rejected) {
  for (const shm::RejectedRoute& one : rejected) note(one.route, one.reason);
  return problems_.take();
}

// A backend without a service (a resource, or beyond services_max) leads to the slot of 503.
// Most routes of an Ingress lead where the one before does.
shm::RouteSource TablePart::source_of(const model::Route& route) {
  uint32_t slot = SlotTable::unusable_slot;
  if (route.backend) {
    if (last_backend_ == nullptr || *last_backend_ != *route.backend) {
      last_slot_ = slots_.find(*route.backend);
    }
    last_backend_ = &*route.backend;
    slot = last_slot_;
  }
  return {slot, route.source.name_space, route.source.ingress, route.source.rule_index};
}

std::optional<shm::RouteId> TablePart::remember(const model::Route& route,
                                                const Result<shm::RouteId>& id) {
  if (!id) {
    problems_.add(
        {k8s::Severity::error, {}, route.source.object(), id.error() + "; this route is left out"});
    return std::nullopt;
  }
  if (id->value >= routes_.size()) routes_.resize(id->value + 1, nullptr);
  routes_[id->value] = &route;
  return *id;
}

void TablePart::check(const model::Route& route, const Status& status) {
  if (!status) problems_.add({k8s::Severity::note, {}, route.source.object(), status.error()});
}

void TablePart::note(shm::RouteId id, const std::string& reason) {
  const bool known = id.value < routes_.size() && routes_[id.value] != nullptr;
  problems_.add({k8s::Severity::error,
                 {},
                 known ? routes_[id.value]->source.object() : "",
                 reason + "; this route is left out"});
}

}  // namespace millrace::compile

#include "controlplane/publish/causes.h"

#include <algorithm>
#include <vector>

#include "controlplane/model/endpoints.h"

namespace millrace::publish {

namespace {

// Hands over what is on one side only. Both lie in an order, so the ends that are the same are cut
// off; what is between may hold some that did not change.
template <class Item, class Take>
void take_differing(const std::vector<Item>& before, const std::vector<Item>& after, Take take) {
  const size_t most = std::min(before.size(), after.size());
  size_t first = 0;
  while (first < most && before[first] == after[first]) ++first;
  size_t last = 0;
  while (last < most - first &&
         before[before.size() - 1 - last] == after[after.size() - 1 - last]) {
    ++last;
  }
  for (size_t i = first; i + last < before.size(); ++i) take(before[i]);
  for (size_t i = first; i + last < after.size(); ++i) take(after[i]);
}

}  // namespace

Causes::Causes(const model::ModelDelta& change, Changed changed, bool reads_labels)
    : changed_(changed), reads_labels_(reads_labels) {
  for (const model::HostChange& host : change.hosts) add(host);
  if (change.cluster_default) {
    const auto& [before, after] = *change.cluster_default;
    if (before.route != after.route) {
      if (before.route) add(*before.route);
      if (after.route) add(*after.route);
    }
    take_differing(before.shadowed, after.shadowed, [&](const model::Route& route) { add(route); });
  }
  for (const model::ServiceChange& service : change.services) {
    // Without a side before, it is a rule that began to name it; that its endpoints are what they
    // are may be news too.
    const bool is_news = service.before || changed_ == Changed::just_now;
    if (service.after && is_news) services_.emplace(service.key.name_space, service.key.service);
  }
}

void Causes::add(const model::HostChange& host) {
  bool is_of_routes = false;
  const auto take = [&](const model::Route& route) {
    add(route);
    is_of_routes = true;
  };
  const model::Host none;
  const model::Host& before = host.before ? *host.before : none;
  const model::Host& after = host.after ? *host.after : none;
  take_differing(before.routes, after.routes, take);
  // That a winner has another place in its list is nobody's doing.
  std::vector<model::Route> losers_before, losers_after;
  for (const auto& one : before.shadowed) losers_before.push_back(one.route);
  for (const auto& one : after.shadowed) losers_after.push_back(one.route);
  take_differing(losers_before, losers_after, take);
  if (before.default_route != after.default_route) {
    if (before.default_route) take(*before.default_route);
    if (after.default_route) take(*after.default_route);
  }
  take_differing(before.shadowed_defaults, after.shadowed_defaults, take);
  // A host without a route is in the table too, and does not say whose it is.
  has_bare_host_ |= !is_of_routes;
}

bool Causes::has_any(const std::set<Name>& names, const std::string& name_space) {
  const auto at = names.lower_bound({name_space, ""});
  return at != names.end() && at->first == name_space;
}

bool Causes::contains(const k8s::ObjectKey& key, const store::Store& objects) const {
  switch (key.kind) {
    case k8s::Kind::ingress:
      return ingresses_.contains({key.name_space, key.name}) ||
             (has_bare_host_ && changed_ == Changed::just_now);
    case k8s::Kind::service: return services_.contains({key.name_space, key.name});
    case k8s::Kind::endpoint_slice: return contains_slice(key, objects);
    case k8s::Kind::ingress_class: return changed_ == Changed::just_now && !ingresses_.empty();
    case k8s::Kind::name_space:
      return changed_ == Changed::just_now && reads_labels_ && has_any(ingresses_, key.name);
    case k8s::Kind::secret:
    case k8s::Kind::node: return false;  // no table is made of them
  }
  return false;
}

bool Causes::contains_slice(const k8s::ObjectKey& key, const store::Store& objects) const {
  const k8s::Object* slice = objects.find(key);
  // Whose it was is not known any more; somebody in its namespace has lost endpoints, or not.
  if (slice == nullptr) return has_any(services_, key.name_space);
  const std::optional<std::string> service = model::service_of_slice(slice->body);
  return service && services_.contains({key.name_space, *service});
}

}  // namespace millrace::publish

#include "controlplane/model/live_model.h"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "base/check.h"
#include "controlplane/model/endpoints.h"
#include "controlplane/model/host_rules.h"
#include "controlplane/model/ingress_class.h"
#include "controlplane/model/ingress_reading.h"
#include "controlplane/model/limits.h"
#include "controlplane/model/live_backends.h"

namespace millrace::model {

namespace {

using k8s::Kind;
using k8s::Severity;
using Origin = ProblemOrigin;

const k8s::Ingress& ingress_of(const k8s::Object& object) {
  return std::get<k8s::Ingress>(*object.body);
}

std::string order_of(const std::string& name) {
  return name;
}

std::string order_of(const k8s::ObjectKey& key) {
  return key.name_space + '\0' + key.name;
}

// An unsigned number as text of the same order.
template <class Number>
void append_ordered(Number number, std::string* text) {
  for (int shift = 8 * (sizeof number - 1); shift >= 0; shift -= 8) {
    text->push_back(static_cast<char>(number >> shift));
  }
}

// Text of the same order as ages.
std::string order_of(const Age& age) {
  std::string text(1, age.has_no_time ? '\1' : '\0');
  append_ordered(static_cast<uint64_t>(age.seconds) ^ (uint64_t{1} << 63), &text);
  append_ordered(static_cast<uint32_t>(age.nanoseconds) ^ (uint32_t{1} << 31), &text);
  return text + age.name;
}

// An Ingress that is ours.
struct IngressRecord : RouteOwner {
  Grant grant;
  IngressReading reading;
  bool is_placed = false;
  bool is_dirty = false;
  std::vector<LiveBackend*> backends;  // of reading.backends, while it is placed
};

struct HostState {
  std::string name;
  HostRules rules;
  size_t mentions = 0;  // Ingresses with a rule for it
  bool is_dirty = false;
};

// Hosts by their own names.
struct ByName {
  using is_transparent = void;
  static std::string_view name_of(std::string_view name) { return name; }
  static std::string_view name_of(const std::unique_ptr<HostState>& host) { return host->name; }
  template <class Named>
  size_t operator()(const Named& one) const {
    return std::hash<std::string_view>()(name_of(one));
  }
  template <class Left, class Right>
  bool operator()(const Left& left, const Right& right) const {
    return name_of(left) == name_of(right);
  }
};

// Objects are spread over memory and read once, one behind the other: what is read soon is fetched
// while the one before is looked at, one step of its chain of pointers at a time.
void fetch_ahead(const std::vector<const k8s::Object*>& objects, size_t at) {
  constexpr size_t step = 3;
  const auto ahead = [&](size_t steps) {
    return at + steps * step < objects.size() ? objects[at + steps * step] : nullptr;
  };
  const auto fetch = [](const void* from) { __builtin_prefetch(from); };
  const auto ingress_ahead = [&](size_t steps) {
    const k8s::Object* const object = ahead(steps);
    return object == nullptr ? nullptr : std::get_if<k8s::Ingress>(object->body.get());
  };
  if (const k8s::Object* const object = ahead(4)) {
    fetch(object);
    fetch(&object->body);
  }
  if (const k8s::Object* const object = ahead(3)) fetch(object->body.get());
  if (const k8s::Ingress* const ingress = ingress_ahead(2)) {
    fetch(&ingress->metadata());
    fetch(&ingress->spec());
  }
  const k8s::Ingress* const ingress = ingress_ahead(1);
  if (ingress != nullptr && ingress->spec().rules_size() > 0) fetch(&ingress->spec().rules(0));
}

// Of one Service port: who asks for which policy.
struct PolicyUsers {
  std::map<ServiceKey, std::set<IngressRecord*, OlderOwner>> by_policy;
  std::set<ServiceKey> denied;
};

ServiceKey without_policy(ServiceKey key) {
  key.policy = {};
  return key;
}

}  // namespace

struct LiveModel::State {
  explicit State(const Options& its_options)
      : options(its_options),
        host_owners(options.ownership),
        reads_labels(options.ownership.reads_labels()),
        has_quotas(!options.ownership.quota.is_unset() || !options.ownership.quotas.empty()),
        backends(its_options.bounds.services) {}

  const Options options;
  const HostOwners host_owners;
  const bool reads_labels;
  const bool has_quotas;
  std::map<std::string, Labels> labels;  // by namespace, if anybody reads them
  std::optional<IngressClasses> classes;
  // Every Ingress; null: not ours.
  std::map<k8s::ObjectKey, std::unique_ptr<IngressRecord>> ingresses;
  std::unordered_set<std::unique_ptr<HostState>, ByName, ByName> hosts;
  HostState cluster;
  LiveBackends backends;
  std::map<ServiceKey, PolicyUsers> policies;  // by the key without one
  size_t routes_wanted = 0;
  size_t routes_bounded = 0;  // Ingresses that got less than they want
  ProblemBook problems;
  Model model;
  ModelCounts counts;
  ModelDelta delta;

  // Of the update under way.
  std::vector<IngressRecord*> dirty_ingresses;  // to be placed
  std::vector<HostState*> dirty_hosts;
  std::vector<HostState*> hosts_of_reading;  // of the Ingress that is being placed
  std::set<ServiceKey> dirty_policies;
  std::set<std::string> dirty_namespaces;

  // `thing` gives the order among the origins of this kind. Most things have nothing to say.
  template <class Thing>
  void say(Origin::Kind kind, const Thing& thing, std::vector<k8s::Problem> said) {
    if (said.empty() && problems.empty()) return;
    problems.set({kind, order_of(thing)}, std::move(said));
  }

  // ---- objects ------------------------------------------------------------------------------

  void take(const store::Store& objects, const std::vector<store::Change>& changes) {
    std::vector<k8s::ObjectKey> changed_ingresses;
    bool classes_changed = !classes;
    for (const store::Change& change : changes) {
      switch (change.key.kind) {
        case Kind::ingress: changed_ingresses.push_back(change.key); break;
        case Kind::ingress_class: classes_changed = true; break;
        case Kind::service: backends.take_service(change.key, objects.find(change.key)); break;
        case Kind::endpoint_slice: take_slice(change.key, objects.find(change.key)); break;
        case Kind::name_space:
          take_namespace(change.key, objects.find(change.key));
          note_ingresses_of(change.key.name, &changed_ingresses);
          break;
        case Kind::secret:
        case Kind::node: break;
      }
    }
    if (classes_changed) {
      classes.emplace(objects, options);
      ask_classes(objects, &changed_ingresses);
    }
    for (const k8s::ObjectKey& key : changed_ingresses) take_ingress(key, objects.find(key));
  }

  void take_all(const store::Store& objects) {
    classes.emplace(objects, options);
    for (auto at = objects.objects().lower_bound({Kind::name_space, "", ""});
         reads_labels && at != objects.objects().end() && at->first.kind == Kind::name_space;
         ++at) {
      take_namespace(at->first, &at->second);
    }
    std::vector<const k8s::Object*> all;
    all.reserve(objects.size());
    std::array<size_t, k8s::kind_count> counts_by_kind{};
    for (const auto& [key, object] : objects.objects()) {
      ++counts_by_kind[static_cast<size_t>(key.kind)];
      all.push_back(&object);
    }
    const auto count_of = [&](Kind kind) { return counts_by_kind[static_cast<size_t>(kind)]; };
    dirty_ingresses.reserve(count_of(Kind::ingress));
    hosts.reserve(count_of(Kind::ingress));
    dirty_hosts.reserve(count_of(Kind::ingress));
    backends.reserve(count_of(Kind::service), count_of(Kind::endpoint_slice));
    for (size_t i = 0; i < all.size(); ++i) {
      fetch_ahead(all, i);
      const k8s::Object& object = *all[i];
      const k8s::ObjectKey& key = object.key;
      switch (key.kind) {
        case Kind::ingress:
          if (has_quotas) dirty_namespaces.insert(key.name_space);
          ingresses.emplace_hint(ingresses.end(), key, record_of(object));
          break;
        case Kind::service: backends.take_service(key, &object); break;
        case Kind::endpoint_slice: take_slice(key, &object); break;
        default: break;
      }
    }
  }

  void take_namespace(const k8s::ObjectKey& key, const k8s::Object* object) {
    if (!reads_labels) return;
    labels.erase(key.name);
    if (object == nullptr) return;
    const auto& its_labels = k8s::metadata_of(*object->body).labels();
    if (!its_labels.empty()) labels[key.name] = {its_labels.begin(), its_labels.end()};
  }

  // Its labels may have changed whose hosts they may claim.
  void note_ingresses_of(const std::string& name_space, std::vector<k8s::ObjectKey>* changed) {
    if (!reads_labels) return;
    for (auto at = ingresses.lower_bound({Kind::ingress, name_space, ""});
         at != ingresses.end() && at->first.name_space == name_space; ++at) {
      changed->push_back(at->first);
    }
  }

  const Labels& labels_of(const std::string& name_space) const {
    static const Labels none;
    const auto at = labels.find(name_space);
    return at == labels.end() ? none : at->second;
  }

  // Notes every Ingress that is now ours and was not, or the reverse.
  void ask_classes(const store::Store& objects, std::vector<k8s::ObjectKey>* changed) {
    for (const auto& [key, record] : ingresses) {
      const k8s::Object* object = objects.find(key);
      if (object == nullptr) continue;  // among the changes
      if (is_ours(*object) != (record != nullptr)) changed->push_back(key);
    }
  }

  bool is_ours(const k8s::Object& object) {
    k8s::ProblemList said;
    const bool ours = classes->is_ours(object, ingress_of(object), &said);
    say(Origin::Kind::ingress_class, object.key, said.take());
    return ours;
  }

  void take_slice(const k8s::ObjectKey& key, const k8s::Object* object) {
    std::vector<k8s::Problem> said;
    backends.take_slice(key, object, &said);
    say(Origin::Kind::slice, key, std::move(said));
  }

  void take_ingress(const k8s::ObjectKey& key, const k8s::Object* object) {
    auto at = ingresses.lower_bound(key);
    const bool is_known = at != ingresses.end() && at->first == key;
    if (has_quotas) dirty_namespaces.insert(key.name_space);
    if (is_known) forget(at->second.get());
    if (object == nullptr) {
      if (is_known) ingresses.erase(at);
      say(Origin::Kind::ingress_class, key, {});
      return;
    }
    std::unique_ptr<IngressRecord> record = record_of(*object);
    if (is_known) {
      at->second = std::move(record);
    } else {
      ingresses.emplace_hint(at, key, std::move(record));
    }
  }

  // Read and counted; null: not ours.
  std::unique_ptr<IngressRecord> record_of(const k8s::Object& object) {
    if (!is_ours(object)) {
      ++counts.ingresses_ignored;
      return nullptr;
    }
    auto record = std::make_unique<IngressRecord>();
    record->object = object;
    record->age = age_of(object);
    read(record.get());
    touch(record.get());
    ++counts.ingresses;
    return record;
  }

  // Leaves no trace of an Ingress; null: one that is not ours.
  void forget(IngressRecord* record) {
    if (record == nullptr) {
      --counts.ingresses_ignored;
      return;
    }
    --counts.ingresses;
    withdraw(record);
    unread(record);
    say(Origin::Kind::ingress, record->age, {});
    if (record->is_dirty) std::erase(dirty_ingresses, record);
  }

  // ---- reading, and what is left by others --------------------------------------------------

  void read(IngressRecord* record) {
    record->reading = read_ingress(
        record->object, options.bounds,
        {options.ownership, host_owners, labels_of(record->object.key.name_space)}, record->grant);
    routes_wanted += record->reading.routes_wanted;
    routes_bounded += record->reading.routes_wanted > record->grant.routes;
    for (const ServiceKey& key : record->reading.policies) {
      policies[without_policy(key)].by_policy[key].insert(record);
      dirty_policies.insert(without_policy(key));
    }
  }

  void unread(IngressRecord* record) {
    routes_wanted -= record->reading.routes_wanted;
    routes_bounded -= record->reading.routes_wanted > record->grant.routes;
    for (const ServiceKey& key : record->reading.policies) {
      const auto users = policies.find(without_policy(key));
      const auto of_policy = users->second.by_policy.find(key);
      of_policy->second.erase(record);
      if (of_policy->second.empty()) users->second.by_policy.erase(of_policy);
      dirty_policies.insert(users->first);
    }
    record->reading = {};
  }

  void grant(IngressRecord* record, Grant granted) {
    withdraw(record);
    unread(record);
    record->grant = std::move(granted);
    read(record);
    touch(record);
  }

  void touch(IngressRecord* record) {
    if (!std::exchange(record->is_dirty, true)) dirty_ingresses.push_back(record);
  }

  // A quota is shared out in the order of age.
  void share_quota(const std::string& name_space) {
    const Quota& quota = options.ownership.quota_of(name_space);
    if (quota.is_unset()) return;
    std::vector<IngressRecord*> by_age;
    for (auto at = ingresses.lower_bound({Kind::ingress, name_space, ""});
         at != ingresses.end() && at->first.name_space == name_space; ++at) {
      if (at->second != nullptr) by_age.push_back(at->second.get());
    }
    std::sort(by_age.begin(), by_age.end(), OlderOwner());
    std::set<std::string> hosts_taken;
    std::set<std::string> certificates_taken;
    size_t left = quota.routes.value_or(Grant::unbounded);
    for (IngressRecord* record : by_age) {
      Grant next = record->grant;
      next.hosts_over = take_names(record->reading.hosts_claimed, quota.hosts, &hosts_taken);
      next.certificates_over =
          take_names(record->reading.certificates, quota.certificates, &certificates_taken);
      // Which hosts are left says how many routes are wanted.
      if (next != record->grant) grant(record, next);
      const size_t wanted = record->reading.quota_routes_wanted;
      next.quota_routes = wanted <= left ? Grant::unbounded : left;
      left -= std::min(left, wanted);
      if (next != record->grant) grant(record, std::move(next));
    }
  }

  // Those for which there is no place beside `taken`.
  static std::set<std::string> take_names(const std::set<std::string>& names,
                                          const std::optional<size_t>& quota,
                                          std::set<std::string>* taken) {
    std::set<std::string> over;
    for (const std::string& name : names) {
      if (taken->contains(name)) continue;
      if (quota && taken->size() >= *quota) {
        over.insert(name);
      } else {
        taken->insert(name);
      }
    }
    return over;
  }

  // routes_max: places are given in the order of age.
  void share_routes() {
    if (routes_wanted <= options.bounds.routes && routes_bounded == 0) return;
    std::vector<IngressRecord*> by_age;
    for (const auto& [key, record] : ingresses) {
      if (record != nullptr) by_age.push_back(record.get());
    }
    std::sort(by_age.begin(), by_age.end(), OlderOwner());
    size_t left = options.bounds.routes;
    for (IngressRecord* record : by_age) {
      const size_t wanted = record->reading.routes_wanted;
      const size_t granted = wanted <= left ? Grant::unbounded : left;
      left -= std::min(left, wanted);
      if (granted == record->grant.routes) continue;
      Grant next = record->grant;
      next.routes = granted;
      grant(record, std::move(next));
    }
  }

  // service_policies_max: those policies have a place whose oldest Ingress is older.
  void share_policies() {
    while (!dirty_policies.empty()) {
      const ServiceKey plain = *dirty_policies.begin();
      dirty_policies.erase(dirty_policies.begin());
      PolicyUsers& users = policies.at(plain);
      std::set<ServiceKey> denied = policies_denied(users);
      std::set<IngressRecord*, OlderOwner> concerned;
      for (const auto& [key, owners] : users.by_policy) {
        if (denied.contains(key) == users.denied.contains(key)) {
          // One that came lately may not know yet.
          if (!denied.contains(key)) continue;
        }
        concerned.insert(owners.begin(), owners.end());
      }
      users.denied = std::move(denied);
      for (IngressRecord* record : concerned) grant_policies(record, plain);
      dirty_policies.erase(plain);  // reading again changed nothing of who asks for what
      if (policies.at(plain).by_policy.empty()) policies.erase(plain);
    }
  }

  std::set<ServiceKey> policies_denied(const PolicyUsers& users) const {
    std::set<ServiceKey> denied;
    if (users.by_policy.size() <= options.bounds.service_policies) return denied;
    std::vector<std::pair<IngressRecord*, const ServiceKey*>> by_age;
    for (const auto& [key, owners] : users.by_policy) by_age.push_back({*owners.begin(), &key});
    std::sort(by_age.begin(), by_age.end(), [](const auto& left, const auto& right) {
      return left.first->age < right.first->age;
    });
    for (size_t i = options.bounds.service_policies; i < by_age.size(); ++i)
      denied.insert(*by_age[i].second);
    return denied;
  }

  void grant_policies(IngressRecord* record, const ServiceKey& plain) {
    Grant next = record->grant;
    std::erase_if(next.denied_policies,
                  [&](const ServiceKey& key) { return key.names() == plain.names(); });
    for (const ServiceKey& key : policies.at(plain).denied) {
      const auto users = policies.at(plain).by_policy.find(key);
      if (users->second.contains(record)) next.denied_policies.insert(key);
    }
    if (next != record->grant) grant(record, std::move(next));
  }

  // ---- placing ------------------------------------------------------------------------------

  HostState* host_of(const std::string& name) {
    auto at = hosts.find(name);
    if (at == hosts.end()) {
      auto host = std::make_unique<HostState>();
      host->name = name;
      at = hosts.insert(std::move(host)).first;
    }
    return at->get();
  }

  void touch(HostState* host) {
    if (std::exchange(host->is_dirty, true) || host == &cluster) return;
    dirty_hosts.push_back(host);
  }

  void place(IngressRecord* record) {
    IngressReading& reading = record->reading;
    record->backends.reserve(reading.backends.size());
    for (ServiceKey& key : reading.backends) {
      record->backends.push_back(backends.use(std::move(key), record));
    }
    reading.backends = {};  // the records of backends have them
    std::vector<HostState*>& of_reading = hosts_of_reading;
    of_reading.clear();
    for (const std::string& name : reading.hosts) {
      of_reading.push_back(host_of(name));
      ++of_reading.back()->mentions;
      touch(of_reading.back());
    }
    if (of_reading.size() == 1) of_reading[0]->rules.expect(reading.routes.size());
    for (const AskedRoute& route : reading.routes) {
      HostState* const host = route.host == no_index ? &cluster : of_reading[route.host];
      if (host == &cluster) touch(host);
      const Candidate candidate{
          record,
          route.backend == no_index ? nullptr : &record->backends[route.backend]->key,
          route.path,
          route.rule_index,
          route.path_index,
          route.type};
      if (route.path.empty()) {
        host->rules.add_default(candidate);
      } else {
        host->rules.add(candidate);
      }
    }
    record->is_placed = true;
    say(Origin::Kind::ingress, record->age, std::move(record->reading.problems));
    record->reading.problems = {};
    record->reading.routes = {};  // the hosts have them
  }

  void withdraw(IngressRecord* record) {
    if (!std::exchange(record->is_placed, false)) return;
    for (LiveBackend* backend : record->backends) backends.leave(backend, record);
    record->backends.clear();
    for (const std::string& name : record->reading.hosts) {
      HostState* const host = host_of(name);
      --host->mentions;
      host->rules.remove(record);
      touch(host);
    }
    if (ingress_of(record->object).spec().rules_size() == 0) {
      cluster.rules.remove(record);
      touch(&cluster);
    }
  }

  // ---- settling -----------------------------------------------------------------------------

  // What there is in `objects`, and nothing else, in a State that knows nothing yet: nothing is
  // compared with a model before.
  void rebuild(const store::Store& objects) {
    take_all(objects);
    share_and_place();
    sort_dirty_hosts();
    model.hosts.reserve(dirty_hosts.size());
    for (HostState* host : dirty_hosts) {
      host->is_dirty = false;
      std::vector<k8s::Problem> said;
      CHECK(host->mentions > 0);
      model.hosts.push_back(host->rules.settle(host->name, &said));
      say(Origin::Kind::host, host->name, std::move(said));
    }
    dirty_hosts.clear();
    model.services = backends.settle_all(&problems);
    settle_cluster();
    apply(std::exchange(delta, {}), &model);
    counts.routes = model.route_count();
    counts.shadowed = model.shadowed_count();
    counts.endpoints = model.endpoint_count();
    problems.forget_changes();
  }

  void settle() {
    share_and_place();
    settle_hosts();
    settle_cluster();
    settle_services();
  }

  void share_and_place() {
    for (const std::string& name_space : dirty_namespaces) share_quota(name_space);
    dirty_namespaces.clear();
    share_routes();
    share_policies();
    for (IngressRecord* record : dirty_ingresses) {
      record->is_dirty = false;
      place(record);
    }
    dirty_ingresses.clear();
  }

  void sort_dirty_hosts() {
    const auto by_name = [](const HostState* left, const HostState* right) {
      return left->name < right->name;
    };
    if (std::is_sorted(dirty_hosts.begin(), dirty_hosts.end(), by_name)) return;
    std::sort(dirty_hosts.begin(), dirty_hosts.end(), by_name);
  }

  void settle_hosts() {
    sort_dirty_hosts();
    delta.hosts.reserve(dirty_hosts.size());
    for (HostState* host : dirty_hosts) {
      host->is_dirty = false;
      std::vector<k8s::Problem> said;
      HostChange change{host->name, std::nullopt, std::nullopt};
      if (host->mentions > 0) change.after = host->rules.settle(host->name, &said);
      say(Origin::Kind::host, host->name, std::move(said));
      const Host* before = find_host(host->name);
      if (host->mentions == 0) hosts.erase(hosts.find(change.name));
      if (before == nullptr ? !change.after : change.after && *change.after == *before) continue;
      if (before != nullptr) change.before = *before;
      delta.hosts.push_back(std::move(change));
    }
    dirty_hosts.clear();
  }

  const Host* find_host(const std::string& name) const {
    const auto at = std::lower_bound(
        model.hosts.begin(), model.hosts.end(), name,
        [](const Host& host, const std::string& wanted) { return host.name < wanted; });
    return at == model.hosts.end() || at->name != name ? nullptr : &*at;
  }

  void settle_cluster() {
    if (!std::exchange(cluster.is_dirty, false)) return;
    ClusterDefault after;
    std::vector<k8s::Problem> said;
    cluster.rules.settle_defaults("the rest of all requests", &after.route, &after.shadowed, &said);
    problems.set({Origin::Kind::cluster_default, ""}, std::move(said));
    ClusterDefault before{model.cluster_default, model.shadowed_cluster_defaults};
    if (before != after) delta.cluster_default.emplace(std::move(before), std::move(after));
  }

  void settle_services() { delta.services = backends.settle(model.services, &problems); }

  // ---- counts -------------------------------------------------------------------------------

  static size_t routes_of(const Host& host) {
    return host.routes.size() + (host.default_route ? 1 : 0);
  }
  static size_t shadowed_of(const Host& host) {
    return host.shadowed.size() + host.shadowed_defaults.size();
  }

  void count_delta() {
    for (const HostChange& change : delta.hosts) {
      counts.routes += change.after ? routes_of(*change.after) : 0;
      counts.routes -= change.before ? routes_of(*change.before) : 0;
      counts.shadowed += change.after ? shadowed_of(*change.after) : 0;
      counts.shadowed -= change.before ? shadowed_of(*change.before) : 0;
    }
    for (const ServiceChange& change : delta.services) {
      counts.endpoints += change.after ? change.after->endpoints.size() : 0;
      counts.endpoints -= change.before ? change.before->endpoints.size() : 0;
    }
    if (!delta.cluster_default) return;
    const auto& [before, after] = *delta.cluster_default;
    counts.routes += after.route ? 1 : 0;
    counts.routes -= before.route ? 1 : 0;
    counts.shadowed += after.shadowed.size();
    counts.shadowed -= before.shadowed.size();
  }
};

LiveModel::LiveModel(const Options& options) : state_(std::make_unique<State>(options)) {}
LiveModel::~LiveModel() = default;
LiveModel::LiveModel(LiveModel&&) noexcept = default;
LiveModel& LiveModel::operator=(LiveModel&&) noexcept = default;

void LiveModel::rebuild(const store::Store& objects) {
  state_ = std::make_unique<State>(Options(state_->options));
  state_->rebuild(objects);
}

ModelUpdate LiveModel::update(const store::Store& objects,
                              const std::vector<store::Change>& changes) {
  state_->take(objects, changes);
  state_->settle();
  state_->count_delta();
  ModelUpdate update;
  update.delta = std::exchange(state_->delta, {});
  apply(update.delta, &state_->model);
  update.problems = state_->problems.take_changes();
  return update;
}

const Model& LiveModel::model() const {
  return state_->model;
}

std::vector<k8s::Problem> LiveModel::problems() const {
  return state_->problems.all();
}

bool LiveModel::has_certificate(const k8s::ObjectKey& ingress, const std::string& secret) const {
  if (!state_->options.ownership.enforces()) return true;
  const auto at = state_->ingresses.find(ingress);
  return at == state_->ingresses.end() || at->second == nullptr ||
         !at->second->grant.certificates_over.contains(secret);
}

const ModelCounts& LiveModel::counts() const {
  return state_->counts;
}

BuildResult build(const store::Store& objects, const Options& options) {
  LiveModel live(options);
  live.rebuild(objects);
  BuildResult result;
  result.problems = live.problems();
  result.ingresses = live.counts().ingresses;
  result.ingresses_ignored = live.counts().ingresses_ignored;
  result.model = std::move(live.state_->model);
  return result;
}

}  // namespace millrace::model

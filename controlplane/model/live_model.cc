#include "controlplane/model/live_model.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "controlplane/model/endpoints.h"
#include "controlplane/model/host_rules.h"
#include "controlplane/model/ingress_class.h"
#include "controlplane/model/ingress_reading.h"
#include "controlplane/model/limits.h"
#include "controlplane/model/live_backends.h"
#include "controlplane/model/live_hosts.h"
#include "controlplane/model/object_fetch.h"

namespace millrace::model {

namespace {

using k8s::Kind;
using k8s::Severity;
using Origin = ProblemOrigin;

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
  bool asks_for_rest = false;  // has a route of the cluster's default
  bool is_dirty = false;
  std::vector<LiveBackend*> backends;  // of reading.backends, while it is placed
};

// Nothing: no Service's, or no slice.
std::optional<std::string> owner_of(const k8s::Object* slice) {
  return slice == nullptr ? std::nullopt : service_of_slice(slice->body);
}

// What reading an Ingress gives before anything is done with it.
struct FreshIngress {
  std::unique_ptr<IngressRecord> record;  // null: not ours
  std::vector<k8s::Problem> of_class;
};

// Objects of a store by kind, those that are read from nothing.
struct ObjectLists {
  std::vector<const k8s::Object*> ingresses;
  std::vector<const k8s::Object*> services;
  std::vector<const k8s::Object*> slices;
};

// An object takes a microsecond or two to be read.
constexpr size_t objects_a_thread = 512;
constexpr size_t ingresses_a_task = 128;
constexpr size_t tasks_a_thread = objects_a_thread / ingresses_a_task;

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
        backends(its_options.bounds.services, its_options.serve_external_names) {}

  const Options options;
  const HostOwners host_owners;
  const bool reads_labels;
  const bool has_quotas;
  std::map<std::string, Labels> labels;  // by namespace, if anybody reads them
  std::optional<IngressClasses> classes;
  // Every Ingress; null: not ours.
  std::map<k8s::ObjectKey, std::unique_ptr<IngressRecord>> ingresses;
  LiveHosts hosts;
  LiveHost cluster;
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
  std::vector<LiveHost*> hosts_of_reading;      // of the Ingress that is being placed
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
        case Kind::endpoint_slice: {
          const k8s::Object* const slice = objects.find(change.key);
          take_slice(change.key, slice, owner_of(slice));
          break;
        }
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
    const ObjectLists lists = lists_of(objects);
    dirty_ingresses.reserve(lists.ingresses.size());
    hosts.reserve(lists.ingresses.size());
    backends.reserve(lists.services.size(), lists.slices.size());
    std::vector<FreshIngress> fresh(lists.ingresses.size());
    // The first task is what Services and slices change, which reading an Ingress does not look at.
    const size_t tasks = 1 + (fresh.size() + ingresses_a_task - 1) / ingresses_a_task;
    for_ranges(tasks, tasks_a_thread, options.threads, [&](size_t first, size_t end) {
      for (size_t task = first; task < end; ++task) {
        if (task == 0) {
          take_all_backends(lists);
        } else {
          read_some(lists.ingresses, (task - 1) * ingresses_a_task, &fresh);
        }
      }
    });
    for (size_t i = 0; i < fresh.size(); ++i) {
      const k8s::ObjectKey& key = lists.ingresses[i]->key;
      if (has_quotas) dirty_namespaces.insert(key.name_space);
      ingresses.emplace_hint(ingresses.end(), key, take_fresh(key, std::move(fresh[i])));
    }
  }

  void read_some(const std::vector<const k8s::Object*>& objects, size_t first,
                 std::vector<FreshIngress>* fresh) const {
    const size_t end = std::min(first + ingresses_a_task, objects.size());
    k8s::Ingress content;
    for (size_t i = first; i < end; ++i) {
      fetch_ahead(objects, i, end, object_fetch_steps, fetch_object);
      (*fresh)[i] = fresh_of(*objects[i], &content);
    }
  }

  void take_all_backends(const ObjectLists& lists) {
    for (const k8s::Object* service : lists.services) backends.take_service(service->key, service);
    for (size_t i = 0; i < lists.slices.size(); ++i) {
      fetch_ahead(lists.slices, i, lists.slices.size(), object_fetch_steps, fetch_object);
      take_slice(lists.slices[i]->key, lists.slices[i], owner_of(lists.slices[i]));
    }
  }

  // Two walks, because a step to the next node waits for memory and does nothing else.
  ObjectLists lists_of(const store::Store& objects) const {
    ObjectLists lists;
    const auto& all = objects.objects();
    const auto append = [&](Kind kind, std::vector<const k8s::Object*>* list) {
      for (auto at = all.lower_bound({kind, "", ""}); at != all.end() && at->first.kind == kind;
           ++at) {
        list->push_back(&at->second);
      }
    };
    const size_t walks_a_thread = objects.size() < 2 * objects_a_thread ? 2 : 1;
    for_ranges(2, walks_a_thread, options.threads, [&](size_t first, size_t end) {
      for (size_t walk = first; walk < end; ++walk) {
        if (walk == 0) append(Kind::ingress, &lists.ingresses);
        if (walk == 1) append(Kind::service, &lists.services);
        if (walk == 1) append(Kind::endpoint_slice, &lists.slices);
      }
    });
    return lists;
  }

  void take_namespace(const k8s::ObjectKey& key, const k8s::Object* object) {
    if (!reads_labels) return;
    labels.erase(key.name);
    if (object == nullptr) return;
    const k8s::ObjectMeta metadata = object->body.metadata();
    const auto& its_labels = metadata.labels();
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
    k8s::Ingress content;
    for (const auto& [key, record] : ingresses) {
      const k8s::Object* object = objects.find(key);
      if (object == nullptr) continue;  // among the changes
      object->body.read(&content);
      k8s::ProblemList said;
      const bool is_ours = classes->is_ours(*object, content, &said);
      say(Origin::Kind::ingress_class, object->key, said.take());
      if (is_ours != (record != nullptr)) changed->push_back(key);
    }
  }

  void take_slice(const k8s::ObjectKey& key, const k8s::Object* object,
                  const std::optional<std::string>& owner) {
    std::vector<k8s::Problem> said;
    backends.take_slice(key, object, owner, &said);
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
    k8s::Ingress content;
    std::unique_ptr<IngressRecord> record = take_fresh(key, fresh_of(*object, &content));
    if (is_known) {
      at->second = std::move(record);
    } else {
      ingresses.emplace_hint(at, key, std::move(record));
    }
  }

  // Changes nothing but `content`, into which it reads: many are read at once.
  FreshIngress fresh_of(const k8s::Object& object, k8s::Ingress* content) const {
    FreshIngress fresh;
    k8s::ProblemList said;
    object.body.read(content);
    if (classes->is_ours(object, *content, &said)) {
      fresh.record = std::make_unique<IngressRecord>();
      fresh.record->object = object;
      fresh.record->age = age_of(object.key, content->metadata());
      fresh.record->reading = reading_of(*fresh.record, *content);
    }
    fresh.of_class = said.take();
    return fresh;
  }

  // Counted and to be placed.
  std::unique_ptr<IngressRecord> take_fresh(const k8s::ObjectKey& key, FreshIngress fresh) {
    say(Origin::Kind::ingress_class, key, std::move(fresh.of_class));
    if (fresh.record == nullptr) {
      ++counts.ingresses_ignored;
      return nullptr;
    }
    ++counts.ingresses;
    note_reading(fresh.record.get());
    touch(fresh.record.get());
    return std::move(fresh.record);
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

  IngressReading reading_of(const IngressRecord& record, const k8s::Ingress& content) const {
    return read_ingress(record.object, content, options.bounds,
                        {options.ownership, host_owners, labels_of(record.object.key.name_space)},
                        record.grant);
  }

  void note_reading(IngressRecord* record) {
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
    record->reading = reading_of(*record, record->object.body.as<k8s::Ingress>());
    note_reading(record);
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

  void touch(LiveHost* host) {
    if (host == &cluster) {
      cluster.is_dirty = true;
    } else {
      hosts.touch(host);
    }
  }

  void place(IngressRecord* record) {
    IngressReading& reading = record->reading;
    record->backends.reserve(reading.backends.size());
    for (ServiceKey& key : reading.backends) {
      record->backends.push_back(backends.use(std::move(key), record));
    }
    reading.backends = {};  // the records of backends have them
    std::vector<LiveHost*>& of_reading = hosts_of_reading;
    of_reading.clear();
    for (const std::string& name : reading.hosts) {
      of_reading.push_back(hosts.find_or_make(name));
      ++of_reading.back()->mentions;
      touch(of_reading.back());
    }
    if (of_reading.size() == 1) of_reading[0]->rules.expect(reading.routes.size());
    for (const AskedRoute& route : reading.routes) {
      LiveHost* const host = route.host == no_index ? &cluster : of_reading[route.host];
      if (host == &cluster) {
        touch(host);
        record->asks_for_rest = true;
      }
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
      LiveHost* const host = hosts.find_or_make(name);
      --host->mentions;
      host->rules.remove(record);
      touch(host);
    }
    if (std::exchange(record->asks_for_rest, false)) {
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
    model.hosts = hosts.settle_all(options.threads, &problems);
    model.services = backends.settle_all(options.threads, &problems);
    settle_cluster();
    apply(std::exchange(delta, {}), &model);
    counts.routes = model.route_count();
    counts.shadowed = model.shadowed_count();
    counts.endpoints = model.endpoint_count();
    problems.forget_changes();
  }

  void settle() {
    share_and_place();
    delta.hosts = hosts.settle(model.hosts, &problems);
    settle_cluster();
    delta.services = backends.settle(model.services, &problems);
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

  void settle_cluster() {
    if (!std::exchange(cluster.is_dirty, false)) return;
    ClusterDefault after;
    std::vector<k8s::Problem> said;
    cluster.rules.settle_defaults("the rest of all requests", &after.route, &after.shadowed, &said);
    problems.set({Origin::Kind::cluster_default, ""}, std::move(said));
    ClusterDefault before{model.cluster_default, model.shadowed_cluster_defaults};
    if (before != after) delta.cluster_default.emplace(std::move(before), std::move(after));
  }

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

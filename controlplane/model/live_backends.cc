#include "controlplane/model/live_backends.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include "base/check.h"
#include "controlplane/model/object_fetch.h"

namespace millrace::model {

namespace {

using k8s::Severity;

// NUL stands in no name, and texts have the order of pairs.
std::string order_of(const FullName& name) {
  return std::string(name.name_space).append(1, '\0').append(name.name);
}

size_t hash_of(const FullName& name) {
  const std::hash<std::string_view> hash;
  return hash(name.name_space) * 31 + hash(name.name);
}

// A Service of a few endpoints takes a microsecond or two.
constexpr size_t services_a_thread = 256;

// Most Services have nothing to say.
void say(const FullName& name, std::vector<k8s::Problem> said, ProblemBook* problems) {
  if (said.empty() && problems->empty()) return;
  problems->set({ProblemOrigin::Kind::service, order_of(name)}, std::move(said));
}

}  // namespace

// One Service, whether it exists or is only named.
struct LiveService {
  std::string name_space;
  std::string name;
  HeldObject object;
  std::map<std::string, HeldObject> slices;            // by name
  std::vector<std::unique_ptr<LiveBackend>> backends;  // by key
  bool is_dirty = false;
  size_t dirty_place = 0;  // into LiveBackends::dirty_, while it is dirty

  FullName full_name() const { return {name_space, name}; }
  // Those of its backends that are the model's.
  size_t services() const {
    return static_cast<size_t>(std::count_if(backends.begin(), backends.end(),
                                             [](const auto& one) { return !one->is_left_out; }));
  }
  bool is_empty() const { return !object.body && slices.empty() && backends.empty(); }
};

namespace {

constexpr size_t service_fetch_steps = 3;
void fetch_service(const LiveService& service, size_t step) {
  if (step == 0) return fetch(&service, sizeof service);
  if (step == 1) {
    if (!service.slices.empty()) fetch(&*service.slices.begin(), sizeof(HeldObject));
    return fetch(service.backends.data());
  }
  if (!service.backends.empty()) fetch(service.backends[0].get(), sizeof(LiveBackend));
  if (!service.slices.empty()) fetch(service.slices.begin()->second.body);
  fetch(service.object.body);
}

}  // namespace

LiveBackends::LiveBackends(size_t services_max, bool serve_external_names)
    : services_max_(services_max), serve_external_names_(serve_external_names) {}
LiveBackends::~LiveBackends() = default;

size_t LiveBackends::ByName::operator()(const FullName& name) const {
  return hash_of(name);
}
size_t LiveBackends::ByName::operator()(const std::unique_ptr<LiveService>& service) const {
  return hash_of(service->full_name());
}
bool LiveBackends::ByName::operator()(const FullName& left,
                                      const std::unique_ptr<LiveService>& right) const {
  return left == right->full_name();
}
bool LiveBackends::ByName::operator()(const std::unique_ptr<LiveService>& left,
                                      const FullName& right) const {
  return left->full_name() == right;
}
bool LiveBackends::ByName::operator()(const std::unique_ptr<LiveService>& left,
                                      const std::unique_ptr<LiveService>& right) const {
  return left->full_name() == right->full_name();
}

void LiveBackends::reserve(size_t services, size_t slices) {
  services_.reserve(services);
  of_slice_.reserve(slices);
  dirty_.reserve(services);
}

LiveService* LiveBackends::find_or_make(const FullName& name) {
  // Objects and the Ingresses that name them come in one order: mostly it is the one that was asked
  // for last, or the one behind it.
  for (size_t place = last_found_; place < std::min(last_found_ + 2, dirty_.size()); ++place) {
    if (dirty_[place]->full_name() != name) continue;
    last_found_ = place;
    return dirty_[place];
  }
  const auto at = services_.find(name);
  if (at != services_.end()) {
    if ((*at)->is_dirty) last_found_ = (*at)->dirty_place;
    return at->get();
  }
  auto service = std::make_unique<LiveService>();
  service->name_space = name.name_space;
  service->name = name.name;
  return services_.insert(std::move(service)).first->get();
}

LiveBackends::SliceOwners::iterator LiveBackends::find_slice(const FullName& slice, size_t hash,
                                                             const std::string& name) {
  auto [at, end] = of_slice_.equal_range(hash);
  for (; at != end; ++at) {
    if (at->second->name_space == slice.name_space && at->second->slices.contains(name)) return at;
  }
  return of_slice_.end();
}

void LiveBackends::touch(LiveService* service) {
  if (std::exchange(service->is_dirty, true)) return;
  service->dirty_place = dirty_.size();
  dirty_.push_back(service);
}

void LiveBackends::take_service(const k8s::ObjectKey& key, const k8s::Object* object) {
  LiveService* const service = find_or_make({key.name_space, key.name});
  service->object = object == nullptr ? HeldObject{} : HeldObject{object->place, object->body};
  touch(service);
}

void LiveBackends::take_slice(const k8s::ObjectKey& key, const k8s::Object* object,
                              const std::optional<std::string>& owner,
                              std::vector<k8s::Problem>* problems) {
  const FullName name{key.name_space, key.name};
  const size_t hash = hash_of(name);
  const auto known = find_slice(name, hash, key.name);
  if (known != of_slice_.end()) {
    known->second->slices.erase(key.name);
    touch(known->second);
  }
  if (!owner) {
    if (known != of_slice_.end()) of_slice_.erase(known);
    if (object == nullptr) return;
    problems->push_back({Severity::warning, object->place, key.text(),
                         "has no label kubernetes.io/service-name, so it belongs to no Service "
                         "and is not used"});
    return;
  }
  LiveService* const service = find_or_make({key.name_space, *owner});
  service->slices.insert_or_assign(key.name, HeldObject{object->place, object->body});
  touch(service);
  if (known != of_slice_.end()) {
    known->second = service;
  } else {
    of_slice_.emplace(hash, service);
  }
}

LiveBackend* LiveBackends::use(ServiceKey key, const RouteOwner* user) {
  LiveService* const service = find_or_make({key.name_space, key.service});
  const auto at = std::lower_bound(
      service->backends.begin(), service->backends.end(), key,
      [](const auto& backend, const ServiceKey& wanted) { return backend->key < wanted; });
  LiveBackend* backend = nullptr;
  if (at != service->backends.end() && (*at)->key == key) {
    backend = at->get();
  } else {
    backend = service->backends.insert(at, std::make_unique<LiveBackend>())->get();
    backend->key = std::move(key);
    backend->service = service;
    ++backend_count_;
  }
  const auto place =
      std::lower_bound(backend->users.begin(), backend->users.end(), user, OlderOwner());
  if (place == backend->users.begin()) touch(service);
  backend->users.insert(place, user);
  return backend;
}

void LiveBackends::leave(LiveBackend* backend, const RouteOwner* user) {
  const auto at =
      std::lower_bound(backend->users.begin(), backend->users.end(), user, OlderOwner());
  CHECK(at != backend->users.end() && *at == user);
  if (at == backend->users.begin()) touch(backend->service);
  backend->users.erase(at);
}

// The first ones in the order of keys have a place.
void LiveBackends::share_places() {
  if (backend_count_ <= services_max_ && left_out_count_ == 0) return;
  std::vector<LiveBackend*> by_key;
  for (const auto& service : services_) {
    for (const auto& backend : service->backends) by_key.push_back(backend.get());
  }
  std::sort(by_key.begin(), by_key.end(), [](const LiveBackend* left, const LiveBackend* right) {
    return left->key < right->key;
  });
  left_out_count_ = 0;
  for (size_t i = 0; i < by_key.size(); ++i) {
    const bool is_left_out = i >= services_max_;
    left_out_count_ += is_left_out;
    if (std::exchange(by_key[i]->is_left_out, is_left_out) != is_left_out) {
      touch(by_key[i]->service);
    }
  }
}

void LiveBackends::begin_settling() {
  for (LiveService* service : dirty_) {
    backend_count_ -= std::erase_if(service->backends,
                                    [](const auto& backend) { return backend->users.empty(); });
  }
  share_places();
  const auto by_name = [](const LiveService* left, const LiveService* right) {
    return left->full_name() < right->full_name();
  };
  // The store's objects come in this order.
  if (!std::is_sorted(dirty_.begin(), dirty_.end(), by_name)) {
    std::sort(dirty_.begin(), dirty_.end(), by_name);
  }
}

std::vector<ServiceChange> LiveBackends::settle(const std::vector<Service>& before,
                                                ProblemBook* problems) {
  begin_settling();
  std::vector<ServiceChange> changes;
  changes.reserve(dirty_.size());
  for (LiveService* service : dirty_) {
    service->is_dirty = false;
    settle_one(service, before, problems, &changes);
    if (service->is_empty()) services_.erase(services_.find(service->full_name()));
  }
  dirty_.clear();
  return changes;
}

std::vector<Service> LiveBackends::settle_all(Threads threads, ProblemBook* problems) {
  begin_settling();
  std::vector<size_t> places;  // of each Service's first one
  places.reserve(dirty_.size());
  size_t count = 0;
  for (const LiveService* service : dirty_) {
    places.push_back(count);
    count += service->services();
  }
  std::vector<Service> services(count);
  std::vector<std::vector<k8s::Problem>> said(dirty_.size());
  for_ranges(dirty_.size(), services_a_thread, threads, [&](size_t first, size_t end) {
    EndpointResolver resolver(serve_external_names_);
    for (size_t i = first; i < end; ++i) {
      fetch_ahead(dirty_, i, end, service_fetch_steps, fetch_service);
      dirty_[i]->is_dirty = false;
      said[i] = resolve(*dirty_[i], &resolver, services.data() + places[i]);
    }
  });
  for (size_t i = 0; i < dirty_.size(); ++i) {
    say(dirty_[i]->full_name(), std::move(said[i]), problems);
  }
  dirty_.clear();
  return services;
}

void LiveBackends::settle_one(LiveService* service, const std::vector<Service>& before,
                              ProblemBook* problems, std::vector<ServiceChange>* changes) {
  const ServiceKey first{service->name_space, service->name, "", {}};
  auto old_one =
      std::lower_bound(before.begin(), before.end(), first,
                       [](const Service& left, const ServiceKey& key) { return left.key < key; });
  const auto is_old = [&] {
    return old_one != before.end() && old_one->key.name_space == first.name_space &&
           old_one->key.service == first.service;
  };
  std::vector<Service> services(service->services());
  EndpointResolver resolver(serve_external_names_);
  say(service->full_name(), resolve(*service, &resolver, services.data()), problems);
  for (Service& now : services) {
    for (; is_old() && old_one->key < now.key; ++old_one) {
      changes->push_back({old_one->key, *old_one, std::nullopt});
    }
    if (!is_old() || old_one->key != now.key) {
      const ServiceKey key = now.key;
      changes->push_back({key, std::nullopt, std::move(now)});
      continue;
    }
    if (*old_one != now) changes->push_back({now.key, *old_one, now});
    ++old_one;
  }
  for (; is_old(); ++old_one) changes->push_back({old_one->key, *old_one, std::nullopt});
}

// What its backends lead to, into as many places as it has services. What is to be said of it.
std::vector<k8s::Problem> LiveBackends::resolve(const LiveService& service,
                                                EndpointResolver* resolver,
                                                Service* services) const {
  std::vector<k8s::Problem> said;
  resolver->begin(service.object, service.slices, &said);
  const Service* last = nullptr;
  for (const auto& backend : service.backends) {
    const ServiceKey& key = backend->key;
    const k8s::Object& user = backend->users.front()->object;
    if (backend->is_left_out) {
      said.push_back({Severity::error, user.place, user.key.text(),
                      "routes name more than " + std::to_string(services_max_) +
                          " Service ports; the requests of " + key.text() + " are answered 503"});
      continue;
    }
    // The same Service port under another policy stands behind it: it is looked at once.
    const bool is_known = last != nullptr && last->key.names() == key.names();
    services->endpoints = is_known ? last->endpoints : resolver->resolve(key, user);
    services->key = key;
    last = services++;
  }
  return said;
}

}  // namespace millrace::model

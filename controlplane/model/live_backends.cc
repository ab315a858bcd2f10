#include "controlplane/model/live_backends.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"

namespace millrace::model {

namespace {

using k8s::Severity;

// NUL stands in no name, and texts have the order of pairs.
std::string full_name(const std::string& name_space, const std::string& name) {
  std::string text;
  text.reserve(name_space.size() + 1 + name.size());
  return text.append(name_space).append(1, '\0').append(name);
}

}  // namespace

// One Service, whether it exists or is only named.
struct LiveService {
  std::string full_name;
  HeldObject object;
  std::map<std::string, HeldObject> slices;            // by name
  std::vector<std::unique_ptr<LiveBackend>> backends;  // by key
  bool is_dirty = false;

  bool is_empty() const { return object.body == nullptr && slices.empty() && backends.empty(); }
};

LiveBackends::LiveBackends(size_t services_max) : services_max_(services_max) {}
LiveBackends::~LiveBackends() = default;

LiveService* LiveBackends::find_or_make(const std::string& name_space, const std::string& name) {
  const auto [at, is_new] = services_.try_emplace(full_name(name_space, name));
  if (is_new) {
    at->second = std::make_unique<LiveService>();
    at->second->full_name = at->first;
  }
  return at->second.get();
}

void LiveBackends::touch(LiveService* service) {
  if (!std::exchange(service->is_dirty, true)) dirty_.push_back(service);
}

void LiveBackends::take_service(const k8s::ObjectKey& key, const k8s::Object* object) {
  LiveService* const service = find_or_make(key.name_space, key.name);
  service->object = object == nullptr ? HeldObject{} : HeldObject{object->place, object->body};
  touch(service);
}

void LiveBackends::take_slice(const k8s::ObjectKey& key, const k8s::Object* object,
                              std::vector<k8s::Problem>* problems) {
  const std::string name = full_name(key.name_space, key.name);
  const auto known = of_slice_.find(name);
  if (known != of_slice_.end()) {
    known->second->slices.erase(key.name);
    touch(known->second);
  }
  const std::string* const owner =
      object == nullptr ? nullptr : service_of_slice(std::get<k8s::EndpointSlice>(*object->body));
  if (owner == nullptr) {
    if (known != of_slice_.end()) of_slice_.erase(known);
    if (object == nullptr) return;
    problems->push_back({Severity::warning, object->place, key.text(),
                         "has no label kubernetes.io/service-name, so it belongs to no Service "
                         "and is not used"});
    return;
  }
  LiveService* const service = find_or_make(key.name_space, *owner);
  service->slices.insert_or_assign(key.name, HeldObject{object->place, object->body});
  touch(service);
  if (known != of_slice_.end()) {
    known->second = service;
  } else {
    of_slice_.emplace(name, service);
  }
}

LiveBackend* LiveBackends::use(const ServiceKey& key, const RouteOwner* user) {
  LiveService* const service = find_or_make(key.name_space, key.service);
  const auto at = std::lower_bound(
      service->backends.begin(), service->backends.end(), key,
      [](const auto& backend, const ServiceKey& wanted) { return backend->key < wanted; });
  LiveBackend* backend = nullptr;
  if (at != service->backends.end() && (*at)->key == key) {
    backend = at->get();
  } else {
    backend = service->backends.insert(at, std::make_unique<LiveBackend>())->get();
    backend->key = key;
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
  for (const auto& [name, service] : services_) {
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

std::vector<ServiceChange> LiveBackends::settle(const std::vector<Service>& before,
                                                ProblemBook* problems) {
  for (LiveService* service : dirty_) {
    backend_count_ -= std::erase_if(service->backends,
                                    [](const auto& backend) { return backend->users.empty(); });
  }
  share_places();
  std::sort(dirty_.begin(), dirty_.end(), [](const LiveService* left, const LiveService* right) {
    return left->full_name < right->full_name;
  });
  std::vector<ServiceChange> changes;
  changes.reserve(dirty_.size());
  for (LiveService* service : dirty_) {
    service->is_dirty = false;
    settle_one(service, before, problems, &changes);
    if (service->is_empty()) services_.erase(services_.find(service->full_name));
  }
  dirty_.clear();
  return changes;
}

void LiveBackends::settle_one(LiveService* service, const std::vector<Service>& before,
                              ProblemBook* problems, std::vector<ServiceChange>* changes) {
  const size_t separator = service->full_name.find('\0');
  const ServiceKey first{
      service->full_name.substr(0, separator), service->full_name.substr(separator + 1), "", {}};
  auto old_one =
      std::lower_bound(before.begin(), before.end(), first,
                       [](const Service& left, const ServiceKey& key) { return left.key < key; });
  const auto is_old = [&] {
    return old_one != before.end() && old_one->key.name_space == first.name_space &&
           old_one->key.service == first.service;
  };
  for (Service& now : resolve(service, problems)) {
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

std::vector<Service> LiveBackends::resolve(LiveService* service, ProblemBook* problems) {
  std::vector<Service> services;
  std::vector<k8s::Problem> said;
  EndpointResolver resolver(service->object, service->slices, &said);
  for (const auto& backend : service->backends) {
    const ServiceKey& key = backend->key;
    const k8s::Object& user = backend->users.front()->object;
    if (backend->is_left_out) {
      said.push_back({Severity::error, user.place, user.key.text(),
                      "routes name more than " + std::to_string(services_max_) +
                          " Service ports; the requests of " + key.text() + " are answered 503"});
      continue;
    }
    // The same Service port under another policy stands behind it: it is looked at once.
    const bool is_known = !services.empty() && services.back().key.names() == key.names();
    std::vector<Endpoint> endpoints =
        is_known ? services.back().endpoints : resolver.resolve(key, user);
    services.push_back({key, std::move(endpoints)});
  }
  if (!said.empty() || !problems->empty()) {
    problems->set({ProblemOrigin::Kind::service, service->full_name}, std::move(said));
  }
  return services;
}

}  // namespace millrace::model

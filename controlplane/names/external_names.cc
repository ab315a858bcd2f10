#include "controlplane/names/external_names.h"

#include <optional>
#include <vector>

#include "controlplane/k8s/external_name.h"

namespace millrace::names {

namespace {

// The name to ask for; empty: none that could be. Nothing: it is of another type, or gone.
std::optional<std::string> name_of(const k8s::Object* service) {
  if (service == nullptr) return std::nullopt;
  const auto content = service->body.as<k8s::Service>();
  if (!k8s::is_external_name(content)) return std::nullopt;
  return k8s::dns_name_of(content.spec().external_name()).value_or("");
}

}  // namespace

void ExternalNames::follow(store::Store* objects) {
  std::vector<k8s::ObjectKey> changed;
  for (auto at = objects->changes().lower_bound({k8s::Kind::service, "", ""});
       at != objects->changes().end() && at->first.kind == k8s::Kind::service; ++at) {
    changed.push_back(at->first);
  }
  std::vector<ServiceName> renamed;
  bool wants_others = false;
  for (const k8s::ObjectKey& key : changed) {
    const ServiceName service{key.name_space, key.name};
    const std::optional<std::string> name = name_of(objects->find(key));
    const auto known = services_.find(service);
    if (known == services_.end() ? !name : name == known->second) continue;
    if (known == services_.end() && services_.size() >= external_services_max) continue;
    if (known != services_.end()) {
      const auto users = users_.find(known->second);
      users->second.erase(service);
      if (users->second.empty()) users_.erase(users);
      services_.erase(known);
    }
    wants_others = true;
    if (!name) {
      objects->remove(k8s::derived_slice_key(key.name_space, key.name));
      continue;
    }
    services_.emplace(service, *name);
    users_[*name].insert(service);
    renamed.push_back(service);
  }
  if (!wants_others) return;
  std::set<std::string> wanted;
  for (const auto& [name, users] : users_) {
    if (!name.empty()) wanted.insert(wanted.end(), name);
  }
  book_.want(wanted);
  for (const ServiceName& service : renamed) put_slice(service, services_.at(service), objects);
}

bool ExternalNames::turn(Instant now, store::Store* objects) {
  bool changed = false;
  for (const std::string& name : book_.turn(now)) {
    const auto users = users_.find(name);
    if (users == users_.end()) continue;
    for (const ServiceName& service : users->second) changed |= put_slice(service, name, objects);
  }
  return changed;
}

bool ExternalNames::put_slice(const ServiceName& service, const std::string& dns_name,
                              store::Store* objects) {
  const k8s::ObjectKey key = k8s::derived_slice_key(service.name_space, service.name);
  const KnownName* known = book_.find(dns_name);
  k8s::EndpointSlice slice;
  k8s::ObjectMeta* metadata = slice.mutable_metadata();
  metadata->set_namespace_(key.name_space);
  metadata->set_name(key.name);
  (*metadata->mutable_labels())[k8s::service_name_label] = service.name;
  slice.set_address_type("IPv4");
  (*metadata->mutable_annotations())[k8s::dns_name_annotation] = dns_name;
  std::string failure;
  if (known != nullptr) {
    failure = known->failure;
    for (const Ipv4Address address : known->addresses) {
      slice.add_endpoints()->add_addresses(address.text());
    }
    // Where another name stood before, its addresses serve until there is an answer for this one.
    const k8s::Object* before = known->is_answered ? nullptr : objects->find(key);
    if (before != nullptr) {
      *slice.mutable_endpoints() = before->body.as<k8s::EndpointSlice>().endpoints();
    }
  } else if (!dns_name.empty()) {
    failure = "more than " + std::to_string(names_max) + " names are wanted";
  }
  if (!failure.empty()) (*metadata->mutable_annotations())[k8s::dns_failure_annotation] = failure;
  return objects->put({key, {}, k8s::Body(slice), "DNS"});
}

}  // namespace millrace::names

#include "controlplane/model/ownership.h"

#include <algorithm>

#include "controlplane/k8s/object.h"
#include "controlplane/model/host.h"
#include "controlplane/model/ownership.pb.h"

namespace millrace::model {

namespace {

Result<std::string> parse_pattern(const std::string& text) {
  if (text == "*") return text;
  if (text.empty()) return Error{"is empty; \"*\" is all hosts"};
  return parse_host(text);
}

Result<Quota> parse_quota(const std::string& where, const NamespaceQuota& message) {
  if (message.routes() < 0 || message.hosts() < 0 || message.certificates() < 0) {
    return Error{where + ": a quota is 0 or more"};
  }
  Quota quota;
  if (message.has_routes()) quota.routes = static_cast<size_t>(message.routes());
  if (message.has_hosts()) quota.hosts = static_cast<size_t>(message.hosts());
  if (message.has_certificates()) quota.certificates = static_cast<size_t>(message.certificates());
  return quota;
}

Status check_namespaces(const std::string& where,
                        const google::protobuf::RepeatedPtrField<std::string>& names) {
  if (static_cast<size_t>(names.size()) > owner_patterns_max) {
    return Error{where + " names more than " + std::to_string(owner_patterns_max)};
  }
  for (const std::string& name : names) {
    if (!k8s::is_dns_subdomain(name)) {
      return Error{where + ": " + k8s::quote(name) + " is no name of a namespace"};
    }
  }
  return Ok{};
}

Result<HostOwner> parse_owner(const HostOwnerMessage& message, const std::string& where) {
  HostOwner owner;
  owner.name = message.name();
  if (owner.name.empty()) return Error{where + ".name is missing; problems call the owner by it"};
  if (message.hosts().empty()) return Error{where + ".hosts is empty; the owner has nothing"};
  if (static_cast<size_t>(message.hosts_size()) > owner_patterns_max) {
    return Error{where + ".hosts has more than " + std::to_string(owner_patterns_max)};
  }
  for (const std::string& text : message.hosts()) {
    const auto pattern = parse_pattern(text);
    if (!pattern) return Error{where + ".hosts: " + k8s::quote(text) + ' ' + pattern.error()};
    owner.patterns.push_back(*pattern);
  }
  const Status checked = check_namespaces(where + ".namespaces", message.namespaces());
  if (!checked) return Error{checked.error()};
  owner.namespaces.insert(message.namespaces().begin(), message.namespaces().end());
  if (message.has_namespace_selector()) {
    const auto& labels = message.namespace_selector().match_labels();
    if (labels.empty()) {
      return Error{where + ".namespaceSelector.matchLabels is empty and would be every namespace"};
    }
    owner.match_labels.emplace(labels.begin(), labels.end());
  }
  if (owner.namespaces.empty() && !owner.match_labels) {
    return Error{where + " has neither namespaces nor a namespaceSelector"};
  }
  return owner;
}

}  // namespace

bool HostOwner::has(const std::string& name_space, const Labels& labels) const {
  if (namespaces.contains(name_space)) return true;
  if (!match_labels) return false;
  return std::all_of(match_labels->begin(), match_labels->end(), [&](const auto& wanted) {
    const auto at = labels.find(wanted.first);
    return at != labels.end() && at->second == wanted.second;
  });
}

bool OwnershipPolicy::reads_labels() const {
  return std::any_of(owners.begin(), owners.end(),
                     [](const HostOwner& owner) { return owner.match_labels.has_value(); });
}

bool OwnershipPolicy::limits_certificates() const {
  return enforces() &&
         (quota.certificates || std::any_of(quotas.begin(), quotas.end(), [](const auto& one) {
            return one.second.certificates.has_value();
          }));
}

const Quota& OwnershipPolicy::quota_of(const std::string& name_space) const {
  const auto at = quotas.find(name_space);
  return at == quotas.end() ? quota : at->second;
}

Result<OwnershipPolicy> parse_ownership(const OwnershipFile& file) {
  OwnershipPolicy policy;
  if (file.mode() == "enforce") {
    policy.mode = OwnershipMode::enforce;
  } else if (file.has_mode() && file.mode() != "warn") {
    return Error{"mode: " + k8s::quote(file.mode()) + " is neither warn nor enforce"};
  }
  if (static_cast<size_t>(file.owners_size()) > owners_max) {
    return Error{"owners has more than " + std::to_string(owners_max)};
  }
  for (int i = 0; i < file.owners_size(); ++i) {
    auto owner = parse_owner(file.owners(i), "owners[" + std::to_string(i) + ']');
    if (!owner) return Error{owner.error()};
    policy.owners.push_back(std::move(*owner));
  }
  if (!file.quota().namespaces().empty()) {
    return Error{"quota.namespaces: this one is of every namespace that quotas does not name"};
  }
  const auto quota = parse_quota("quota", file.quota());
  if (!quota) return Error{quota.error()};
  policy.quota = *quota;
  for (int i = 0; i < file.quotas_size(); ++i) {
    const NamespaceQuota& message = file.quotas(i);
    const auto its_quota = parse_quota("quotas[" + std::to_string(i) + ']', message);
    if (!its_quota) return Error{its_quota.error()};
    const std::string where = "quotas[" + std::to_string(i) + "].namespaces";
    if (message.namespaces().empty()) return Error{where + " is empty"};
    const Status checked = check_namespaces(where, message.namespaces());
    if (!checked) return Error{checked.error()};
    for (const std::string& name : message.namespaces()) {
      if (!policy.quotas.emplace(name, *its_quota).second) {
        return Error{where + ": " + k8s::quote(name) + " has a quota already"};
      }
    }
  }
  return policy;
}

HostOwners::HostOwners(const OwnershipPolicy& policy) {
  for (const HostOwner& owner : policy.owners) {
    for (const std::string& pattern : owner.patterns) by_pattern_[pattern].push_back(&owner);
  }
}

std::optional<std::string> HostOwners::refusal(const std::string& name_space, const Labels& labels,
                                               const std::string& host) const {
  if (empty()) return std::nullopt;
  auto at = by_pattern_.find(host);
  // Then every wildcard above it, the longest first. A wildcard itself is its own first one.
  std::string_view rest = host;
  while (at == by_pattern_.end()) {
    const size_t dot = rest.find('.');
    if (dot == std::string_view::npos) break;
    rest.remove_prefix(dot + 1);
    at = by_pattern_.find("*." + std::string(rest));
  }
  if (at == by_pattern_.end()) at = by_pattern_.find("*");
  if (at == by_pattern_.end()) return std::nullopt;
  return refusal_by(at->second, at->first, name_space, labels);
}

std::optional<std::string> HostOwners::refusal_by(const std::vector<const HostOwner*>& owners,
                                                  const std::string& pattern,
                                                  const std::string& name_space,
                                                  const Labels& labels) const {
  for (const HostOwner* owner : owners) {
    if (owner->has(name_space, labels)) return std::nullopt;
  }
  return "the policy's owner " + k8s::quote(owners[0]->name) + " has " + k8s::quote(pattern) +
         " and namespace " + k8s::quote(name_space) + " is not among it";
}

}  // namespace millrace::model

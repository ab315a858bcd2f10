// Which namespaces may claim which hosts, and how many routes, hosts and certificates each of them
// may have: the operator's word, beside what the cluster's objects ask for.
//
// Hosts. An owner's pattern is a name ("shop.example"), a wildcard ("*.shop.example": every name
// below it at any depth, and wildcards of those, but not "shop.example" itself) or "*" (everything,
// the empty host and default backends of the cluster included). For a host that an Ingress claims
// the most specific pattern decides that covers it: the name itself, else the longest wildcard,
// else
// "*". The namespaces of all owners that have this pattern may claim it, nobody else. A host that
// no pattern covers is everybody's.
//
// Quotas. What exceeds one is refused to the youngest Ingresses of the namespace, as elsewhere. A
// certificate is a Secret that spec.tls names.
//
// In the mode `warn` everything is served and said; in `enforce` the rule, route or certificate is
// left out. Whoever claims a host of others takes nothing of its own quota in `enforce`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace millrace::model {

class OwnershipFile;

enum class OwnershipMode : uint8_t { warn, enforce };

using Labels = std::map<std::string, std::string>;

constexpr size_t owners_max = 10'000;          // of one policy
constexpr size_t owner_patterns_max = 10'000;  // of one owner, and namespaces likewise

// Those that may claim what its patterns cover.
struct HostOwner {
  std::string name;
  std::vector<std::string> patterns;   // lower-case
  std::set<std::string> namespaces;    // by name
  std::optional<Labels> match_labels;  // or by labels, all of which a Namespace must have

  bool has(const std::string& name_space, const Labels& labels) const;
};

struct Quota {
  std::optional<size_t> routes;
  std::optional<size_t> hosts;
  std::optional<size_t> certificates;

  bool is_unset() const { return !routes && !hosts && !certificates; }
};

struct OwnershipPolicy {
  OwnershipMode mode = OwnershipMode::warn;
  std::vector<HostOwner> owners;
  Quota quota;                          // of every other namespace
  std::map<std::string, Quota> quotas;  // by namespace

  bool enforces() const { return mode == OwnershipMode::enforce; }
  bool reads_labels() const;
  bool limits_certificates() const;  // and enforces it
  const Quota& quota_of(const std::string& name_space) const;
};

// Error: one sentence, with the field. Patterns are checked as hosts of rules are.
Result<OwnershipPolicy> parse_ownership(const OwnershipFile& file);

// Looks owners up by host; the policy outlives it.
class HostOwners {
 public:
  explicit HostOwners(const OwnershipPolicy& policy);

  bool empty() const { return by_pattern_.empty(); }
  // Nothing when the namespace may claim the host (lower-case, "" for all); else why not: "owner
  // "shop" has "*.shop.example"".
  std::optional<std::string> refusal(const std::string& name_space, const Labels& labels,
                                     const std::string& host) const;

 private:
  std::optional<std::string> refusal_by(const std::vector<const HostOwner*>& owners,
                                        const std::string& pattern, const std::string& name_space,
                                        const Labels& labels) const;

  std::map<std::string, std::vector<const HostOwner*>, std::less<>> by_pattern_;
};

}  // namespace millrace::model

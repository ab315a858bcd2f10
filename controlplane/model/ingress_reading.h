// One Ingress by itself: the routes that it asks for, and what is wrong with it. Knows nothing of
// other Ingresses; what they leave it is told as a grant.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/k8s/object.h"
#include "controlplane/k8s/problem.h"
#include "controlplane/model/build.h"
#include "controlplane/model/model.h"

namespace millrace::model {

// What is left for an Ingress by those that are older.
struct Grant {
  static constexpr size_t unbounded = std::numeric_limits<size_t>::max();

  size_t quota_routes = unbounded;          // of the namespace's quota
  std::set<std::string> hosts_over;         // the quota
  std::set<std::string> certificates_over;  // likewise
  size_t routes = unbounded;                // of routes_max
  std::set<ServiceKey> denied_policies;     // ways to a Service of which there are too many

  bool operator==(const Grant&) const = default;
};

constexpr uint32_t no_index = UINT32_MAX;

// One route that an Ingress asks for.
struct AskedRoute {
  std::string_view path;        // as written; empty for defaults. Lies in IngressReading::paths
  uint32_t host = no_index;     // into IngressReading::hosts; none: the cluster's default
  uint32_t backend = no_index;  // into IngressReading::backends; none: it cannot be used
  uint32_t rule_index = 0;
  uint32_t path_index = 0;
  PathType type = PathType::prefix;
};

struct IngressReading {
  std::vector<std::string> hosts;    // that its rules make known, by name
  std::vector<ServiceKey> backends;  // in the order of their first mention
  std::vector<AskedRoute> routes;
  std::vector<char> paths;   // of all routes, one behind the other
  size_t routes_wanted = 0;  // had the grant no bounds
  std::vector<ServiceKey>
      policies;  // those of `backends` and more that are not as they are by default
  // What counts for quotas, had the grant no bounds.
  std::set<std::string> hosts_claimed;
  std::set<std::string> certificates;
  size_t quota_routes_wanted = 0;
  std::vector<k8s::Problem> problems;
};

// What is asked of the operator's policy about one namespace. All of it outlives the reading.
struct NamespaceView {
  const OwnershipPolicy& policy;
  const HostOwners& owners;
  const Labels& labels;
};

// `ingress` is what `object` says.
IngressReading read_ingress(const k8s::Object& object, const k8s::Ingress& ingress,
                            const ModelBounds& bounds, const NamespaceView& name_space,
                            const Grant& grant);

// "spec.rules[0].http.paths[1]"
std::string place_in_ingress(uint32_t rule_index, uint32_t path_index);
// "host "a.example"", "all hosts"
std::string host_text(const std::string& host);

}  // namespace millrace::model

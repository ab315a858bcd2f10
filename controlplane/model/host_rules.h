// Everything that Ingresses ask for of one host, and who of them wins.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/k8s/problem.h"
#include "controlplane/model/age.h"
#include "controlplane/model/model.h"

namespace millrace::model {

// The Ingress that a candidate comes from; it outlives its candidates.
struct RouteOwner {
  k8s::Object object;
  Age age;
};

struct OlderOwner {
  bool operator()(const RouteOwner* left, const RouteOwner* right) const {
    return left->age < right->age;
  }
};

// A route that wants a place.
struct Candidate {
  const RouteOwner* owner = nullptr;
  const ServiceKey* backend = nullptr;  // null: it cannot be used
  std::string_view path;                // as written; empty for defaults. The owner keeps it
  uint32_t rule_index = 0;
  uint32_t path_index = 0;
  PathType type = PathType::prefix;
};

class HostRules {
 public:
  // So many paths are about to be added.
  void expect(size_t count) {
    if (paths_.empty()) paths_.reserve(count);
  }
  void add(const Candidate& candidate) { paths_.push_back(candidate); }
  void add_default(const Candidate& candidate) { defaults_.push_back(candidate); }
  void remove(const RouteOwner* owner);
  // Asks memory for what settle() reads, one step at a time (object_fetch.h).
  static constexpr size_t fetch_steps = 2;
  void fetch(size_t step) const;

  // Winners and losers; who loses, to whom and why is told in `problems`.
  Host settle(const std::string& name, std::vector<k8s::Problem>* problems);
  // The same for the defaults alone, which is all that the cluster as a whole has. `what` is what
  // problems call it.
  void settle_defaults(const std::string& what, std::optional<Route>* winner,
                       std::vector<Route>* shadowed, std::vector<k8s::Problem>* problems);

 private:
  void sort();

  std::vector<Candidate> paths_;  // the first sorted_ of them by key and then by rank
  std::vector<Candidate> defaults_;
  size_t sorted_ = 0;
};

}  // namespace millrace::model

// What differs between two models: the unit in which tables are compared, kept in the history, and
// put together again. A delta holds both sides, so it reads in either direction.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/model/model.h"

namespace millrace::model {

struct HostChange {
  std::string name;
  std::optional<Host> before;  // nothing: the host is new
  std::optional<Host> after;   // nothing: the host is gone

  bool operator==(const HostChange&) const = default;
};

struct ServiceChange {
  ServiceKey key;
  std::optional<Service> before;
  std::optional<Service> after;

  bool operator==(const ServiceChange&) const = default;
};

// The cluster's default backend and those that wanted to be it.
struct ClusterDefault {
  std::optional<Route> route;
  std::vector<Route> shadowed;

  bool operator==(const ClusterDefault&) const = default;
};

struct ModelDelta {
  std::vector<HostChange> hosts;                                             // by name
  std::vector<ServiceChange> services;                                       // by key
  std::optional<std::pair<ClusterDefault, ClusterDefault>> cluster_default;  // before, after

  bool operator==(const ModelDelta&) const = default;
  bool empty() const { return hosts.empty() && services.empty() && !cluster_default; }
};

ModelDelta difference(const Model& before, const Model& after);
ModelDelta reversed(ModelDelta delta);
// `model` must be what the delta's side before says of the hosts and services that it names.
void apply(const ModelDelta& delta, Model* model);

}  // namespace millrace::model

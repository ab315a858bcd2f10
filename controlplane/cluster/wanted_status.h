// The addresses at which clients reach us, as `status.loadBalancer` of an Ingress says them
// (networking/v1 IngressLoadBalancerStatus).
#pragma once

#include <string>
#include <vector>

#include "controlplane/k8s/object.h"
#include "controlplane/store/store.h"

namespace millrace::cluster {

// Where the addresses come from: the first that is set.
struct StatusOptions {
  bool writes = true;
  std::vector<std::string> addresses;  // IP addresses or host names
  std::string publish_service;         // "namespace/name": what its own status says
  bool from_nodes = false;             // InternalIP of every node that is ready
};

// What the options mean now; empty when nothing is known.
k8s::IngressLoadBalancerStatus wanted_status(const StatusOptions& options,
                                             const store::Store& store);

// The same text for the same addresses in the same order; empty for none.
std::string text_of(const k8s::IngressLoadBalancerStatus& status);

}  // namespace millrace::cluster

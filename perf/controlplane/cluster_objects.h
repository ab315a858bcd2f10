// A cluster of any size as objects, for measuring the control plane: N tenants, each a namespace
// with one Ingress of a host of its own, the Service that its paths lead to, and the Service's
// EndpointSlice. The same numbers give the same objects.
#pragma once

#include <cstdint>

#include "controlplane/store/store.h"

namespace millrace::perf {

struct ClusterSize {
  uint32_t ingresses = 10'000;  // at most 2^20
  uint32_t paths = 3;           // of each Ingress
  uint32_t endpoints = 5;       // of each Service, at most 200
  bool one_host = false;        // all paths are of one host, instead of a host an Ingress
};

// `generation` of an object says how often it has changed: its creation is 0. A change of an
// Ingress moves its last path, one of a slice replaces its last endpoint.
k8s::Object cluster_ingress(const ClusterSize& size, uint32_t tenant, uint32_t generation = 0);
k8s::Object cluster_service(uint32_t tenant);
k8s::Object cluster_slice(const ClusterSize& size, uint32_t tenant, uint32_t generation = 0);

// All of them. What has changed in the store is taken already.
store::Store cluster_store(const ClusterSize& size);

}  // namespace millrace::perf

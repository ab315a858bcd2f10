// How much one object, and all of them, may ask for. What exceeds a limit is left out with a
// problem; everything else is served. Each stays within the snapshot format's own limits
// (shm/snapshot_format.h, asserted in compile/).
#pragma once

#include <cstddef>

namespace millrace::model {

constexpr size_t host_bytes_max = 253;            // RFC 1035 2.3.4, as Kubernetes checks it
constexpr size_t path_bytes_max = 4'096;          // half a request head; nobody writes longer ones
constexpr size_t prefix_elements_max = 63;        // the router keeps a host's depths in one word
constexpr size_t port_name_bytes_max = 63;        // Kubernetes: 15
constexpr size_t policy_name_bytes_max = 48;      // of a header or cookie in an annotation
constexpr size_t ingress_rules_max = 1'000;       // of one Ingress; the first ones count
constexpr size_t ingress_paths_max = 5'000;       // of one Ingress over all its rules
constexpr size_t service_endpoints_max = 10'000;  // of one Service port; ten full EndpointSlices
constexpr size_t routes_max = 1'000'000;          // of the model, shadowed ones included
constexpr size_t services_max = 200'000;          // Service ports that routes name
constexpr size_t service_policies_max = 16;       // of one Service port; each is one more of it

}  // namespace millrace::model

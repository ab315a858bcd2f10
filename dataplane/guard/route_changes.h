// Which routes of a table lead elsewhere than their requests were led before: what a new version
// can be blamed for. Pure: two validated snapshots in, a list out.
//
// A route is compared with whatever took its requests in the table before, under whatever name. A
// route whose requests nobody took has nothing to be worse than, and is not listed. Endpoints that
// come and go are the cluster's news and no change of ours; only when a service's endpoints are the
// same machines at other ports (somebody edited a port) do its routes count as changed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "shm/snapshot.h"

namespace millrace::guard {

// What is beyond is not watched.
constexpr size_t route_changes_max = 1'024;

struct RouteChange {
  shm::RouteRef after;   // in the new table
  shm::RouteRef before;  // in the old one: what took these requests
  uint32_t slot = 0;     // where the new one leads
  std::string text;      // "Ingress shop/web: a.example/x, from shop/web:80 to shop/new:80"
};

std::vector<RouteChange> find_route_changes(const shm::SnapshotView& before,
                                            const shm::SnapshotView& after);

// Whether both slots have the same endpoints, in whatever state. For the same service in two
// tables.
bool same_endpoints(const shm::SnapshotView& one, uint32_t slot, const shm::SnapshotView& other,
                    uint32_t other_slot);

}  // namespace millrace::guard

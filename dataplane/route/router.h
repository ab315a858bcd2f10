// The router: a request's host and path to the route that takes it. A pure function over a
// validated snapshot: no allocation, no state, instructions flat in the number of routes.
//
// Precedence (Ingress API, networking.k8s.io/v1, and where it is silent the project's choice):
//   host  precise, else wildcard (exactly one first label), else the empty host; once a host is
//         chosen there is no fall-through to a less specific one
//   path  in that host: an Exact path equal byte for byte, else the longest Prefix whose elements
//         begin the request's, else the host's default backend
//   else  the cluster's default backend, else nothing (404)
// Case matters in paths; nothing is decoded or normalised here.
#pragma once

#include <cstdint>
#include <string_view>

#include "shm/snapshot.h"

namespace millrace::route {

enum class RouteFound : uint8_t {
  none,             // no rule: 404
  rule,             // a path of the chosen host
  host_default,     // the chosen host's default backend
  cluster_default,  // the cluster's
};

struct RouteMatch {
  RouteFound found = RouteFound::none;
  uint32_t service_slot = shm::index_none;  // below the snapshot's service_slot_count when found
  shm::RouteRef route;                      // SnapshotView::route() explains it
};

// host: lower-case, without port and without trailing dot; "" when the request has none.
// path: the request target's path, without query. One that does not begin with '/' (the asterisk of
// OPTIONS *) matches no path and goes to the defaults.
// Boundaries behind the first shm::prefix_elements_max elements are not considered: no Prefix in a
// snapshot is deeper.
RouteMatch match(const shm::SnapshotView& snapshot, std::string_view host, std::string_view path);

// In a large table match() waits for memory, one line after the other. Who has several requests
// before him can ask for the lines of all of them first: for each the row of its host's name in the
// directory, then for each the host's record, then for each the service slots that the record leads
// to ("/" and its first path). The first two do not wait; none changes what match() finds, and a
// name that is not in the table costs no more than the asking. host: as for match().
uint64_t host_hint(std::string_view host);
void prefetch_row(const shm::SnapshotView& snapshot, uint64_t hint);
void prefetch_record(const shm::SnapshotView& snapshot, uint64_t hint);
void prefetch_slots(const shm::SnapshotView& snapshot, uint64_t hint);

}  // namespace millrace::route

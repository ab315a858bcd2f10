// A routing table of any size, the same bytes for the same numbers: tenants with a host each, a few
// paths a host, a Service a path, and all Services answered by a handful of backends. What the
// replay asks and what perf/table/make_table writes.
//
//   host h:  tenant%06u.example
//     "/"        as Prefix -> Service web-h, backend (h + 1) modulo the count
//     "/api/v1"  as Prefix -> Service api-h-1, backend h modulo the count
//     "/api/v2"  as Prefix -> Service api-h-2, backend (h + 1) modulo the count, and so on
//
// Two neighboring paths of a host, and two neighboring hosts, lead to different backends (if there
// is more than one), so a client that knows the rule sees a wrong route in the answer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/address.h"
#include "base/result.h"
#include "shm/snapshot.h"

namespace millrace::perf {

// A Service a route, and service slots are bounded (shm::service_slots_max).
inline constexpr uint32_t tenant_routes_max = 1'000'000;
inline constexpr uint32_t tenant_routes_per_host_max = 16;
inline constexpr uint32_t tenant_backends_max = 1'024;

struct TenantTable {
  uint32_t routes = 10;          // 1 to tenant_routes_max; the last host may have fewer than others
  uint32_t routes_per_host = 2;  // 1 to tenant_routes_per_host_max
  // Backend b is at this address and port + b. Services of one backend share its endpoint id, so
  // kept connections to it serve every tenant.
  SocketAddress backend;
  uint32_t backend_count = 1;  // 1 to tenant_backends_max; port + backend_count - 1 is a port

  uint32_t host_count() const { return (routes + routes_per_host - 1) / routes_per_host; }
};

std::string tenant_host(uint32_t host);
// The path of a host's n-th route: "/", "/api/v1", "/api/v2", ...
std::string tenant_path(uint32_t number);
// Which backend answers for the n-th route of a host.
uint32_t tenant_backend(const TenantTable& table, uint32_t host, uint32_t number);

// Error: a number out of its range, or what the snapshot's builder refuses.
Result<std::shared_ptr<const shm::Snapshot>> build_tenant_table(const TenantTable& table);

}  // namespace millrace::perf

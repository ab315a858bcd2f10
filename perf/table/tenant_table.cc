#include "perf/table/tenant_table.h"

#include <algorithm>
#include <cstdio>
#include <utility>
#include <vector>

#include "shm/snapshot_writer.h"

namespace millrace::perf {
namespace {

constexpr uint64_t table_version = 1;

Status check(const TenantTable& table) {
  const auto within = [](uint32_t value, uint32_t most) { return value >= 1 && value <= most; };
  if (!within(table.routes, tenant_routes_max)) {
    return Error{"routes must be 1 to " + std::to_string(tenant_routes_max)};
  }
  if (!within(table.routes_per_host, tenant_routes_per_host_max)) {
    return Error{"routes a host must be 1 to " + std::to_string(tenant_routes_per_host_max)};
  }
  if (!within(table.backend_count, tenant_backends_max)) {
    return Error{"backends must be 1 to " + std::to_string(tenant_backends_max)};
  }
  if (table.backend.port == 0 || table.backend.port + table.backend_count - 1 > UINT16_MAX) {
    return Error{"the backends' ports must be 1 to 65535"};
  }
  return Ok{};
}

Status add_route(shm::SnapshotBuilder& builder, const TenantTable& table, uint32_t route) {
  const uint32_t host = route / table.routes_per_host;
  const uint32_t number = route % table.routes_per_host;
  const std::string tenant = "tenant" + std::to_string(host);
  const auto added = builder.add_route(tenant_host(host), tenant_path(number),
                                       shm::PathType::prefix, {route, tenant, "ingress", 0});
  if (!added.ok()) return Error{added.error()};

  const std::string service_name =
      number == 0 ? std::string("web") : "api-v" + std::to_string(number);
  const uint32_t backend = tenant_backend(table, host, number);
  shm::ServiceInput service;
  service.slot = route;
  service.service_namespace = tenant;
  service.service_name = service_name;
  service.port = "http";
  service.endpoints = {{uint64_t{backend} + 1, table.backend.address,
                        static_cast<uint16_t>(table.backend.port + backend)}};
  return builder.add_service(service);
}

}  // namespace

std::string tenant_host(uint32_t host) {
  char text[32];
  const int size = std::snprintf(text, sizeof text, "tenant%06u.example", host);
  return {text, static_cast<size_t>(size)};
}

std::string tenant_path(uint32_t number) {
  return number == 0 ? "/" : "/api/v" + std::to_string(number);
}

uint32_t tenant_backend(const TenantTable& table, uint32_t host, uint32_t number) {
  return (host + (number == 0 ? 1 : number - 1)) % table.backend_count;
}

Result<std::shared_ptr<const shm::Snapshot>> build_tenant_table(const TenantTable& table) {
  const Status checked = check(table);
  if (!checked.ok()) return Error{checked.error()};
  shm::SnapshotBuilder builder;
  for (uint32_t route = 0; route < table.routes; ++route) {
    const Status added = add_route(builder, table, route);
    if (!added.ok()) return Error{added.error()};
  }
  const auto built = builder.build(table_version);
  if (!built.ok()) return Error{built.error()};
  if (!built->rejected.empty()) return Error{built->rejected.front().reason};
  std::vector<ByteView> segments;
  for (const shm::BuiltSegment& segment : built->segments) segments.push_back(segment.bytes);
  return shm::Snapshot::from_bytes(built->root, segments);
}

}  // namespace millrace::perf

#include "perf/table/tenant_table.h"

#include <gtest/gtest.h>

#include "dataplane/route/router.h"

namespace millrace::perf {
namespace {

TenantTable table_of(uint32_t routes, uint32_t routes_per_host, uint32_t backends) {
  TenantTable table;
  table.routes = routes;
  table.routes_per_host = routes_per_host;
  table.backend = {Ipv4Address::from_octets(10, 0, 0, 7), 8000};
  table.backend_count = backends;
  return table;
}

TEST(TenantTable, EveryRouteLeadsToTheBackendOfTheRule) {
  const TenantTable table = table_of(1'000, 3, 5);
  const auto snapshot = build_tenant_table(table);
  ASSERT_TRUE(snapshot.ok()) << snapshot.error();
  const shm::SnapshotView& view = (*snapshot)->view();
  EXPECT_EQ(view.root().route_count, 1'000U);
  EXPECT_EQ(view.root().host_count, 334U);
  for (uint32_t route = 0; route < table.routes; ++route) {
    const uint32_t host = route / 3;
    const uint32_t number = route % 3;
    const std::string path = tenant_path(number) + (number == 0 ? "index" : "/index");
    const route::RouteMatch match = route::match(view, tenant_host(host), path);
    ASSERT_EQ(match.found, route::RouteFound::rule) << host << " " << path;
    const auto endpoints = view.endpoints(match.service_slot);
    ASSERT_EQ(endpoints.size(), 1U);
    EXPECT_EQ(endpoints[0].port, 8000 + tenant_backend(table, host, number)) << host << " " << path;
  }
  EXPECT_EQ(route::match(view, tenant_host(334), "/").found, route::RouteFound::none);
}

TEST(TenantTable, NeighborsLeadElsewhere) {
  const TenantTable table = table_of(100, 4, 7);
  for (uint32_t host = 0; host < 24; ++host) {
    EXPECT_NE(tenant_backend(table, host, 1), tenant_backend(table, host + 1, 1));
    EXPECT_NE(tenant_backend(table, host, 0), tenant_backend(table, host, 1));
    EXPECT_NE(tenant_backend(table, host, 1), tenant_backend(table, host, 2));
  }
}

TEST(TenantTable, TheSameNumbersGiveTheSameBytes) {
  const TenantTable table = table_of(500, 2, 3);
  const auto one = build_tenant_table(table);
  const auto other = build_tenant_table(table);
  ASSERT_TRUE(one.ok() && other.ok());
  const auto left = (*one)->root_bytes();
  const auto right = (*other)->root_bytes();
  // The root names every segment by the hash of its bytes.
  EXPECT_TRUE(std::equal(left.begin(), left.end(), right.begin(), right.end()));
}

TEST(TenantTable, NumbersOutOfRangeAreRefused) {
  EXPECT_FALSE(build_tenant_table(table_of(0, 2, 1)).ok());
  EXPECT_FALSE(build_tenant_table(table_of(10, 0, 1)).ok());
  EXPECT_FALSE(build_tenant_table(table_of(10, 2, 0)).ok());
  TenantTable table = table_of(10, 2, 2);
  table.backend.port = 65'535;
  EXPECT_FALSE(build_tenant_table(table).ok());
}

}  // namespace
}  // namespace millrace::perf

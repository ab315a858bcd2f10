#include "dataplane/traffic_rows.h"

#include <gtest/gtest.h>

#include <map>

#include "shm/snapshot_test_support.h"
#include "shm/snapshot_writer.h"

namespace millrace {
namespace {

using shm::TrafficKind;
using shm::TrafficRef;

struct Rule {
  std::string host, path;
  shm::PathType type = shm::PathType::prefix;
};

std::shared_ptr<const shm::Snapshot> table_of(const std::vector<Rule>& rules) {
  static uint64_t version = 0;
  shm::SnapshotBuilder builder;
  uint32_t slot = 0;
  for (const Rule& rule : rules) {
    shm::RouteSource source;
    source.service_slot = slot;
    source.ingress_namespace = "shop";
    source.ingress_name = "web";
    CHECK(builder.add_route(rule.host, rule.path, rule.type, source).ok());
    shm::ServiceInput service;
    service.slot = slot++;
    service.service_namespace = "shop";
    const std::string name = "of" + std::to_string(service.slot);
    service.service_name = name;
    service.port = "http";
    CHECK(builder.add_service(service).ok());
  }
  return shm::testing::open_builder(builder, ++version);
}

class TrafficRowsTest : public ::testing::Test {
 protected:
  void make(uint32_t own_rows) {
    auto page = shm::TrafficPage::create(shm::traffic_rows_fixed + own_rows, 1);
    ASSERT_TRUE(page.ok()) << page.error();
    page_ = std::move(*page);
    rows_ = std::make_unique<TrafficRows>(*page_);
  }
  // The rows of a table by their names, as a reader sees them now.
  std::map<std::string, TrafficRef> names(TrafficKind kind) {
    std::map<std::string, TrafficRef> found;
    const auto reader = shm::TrafficReader::map(page_->fd());
    for (const auto& row : (*reader)->read()) {
      if (row.kind == kind) found[row.name] = {row.row, row.generation};
    }
    return found;
  }
  // The row that the one route of that host has in a map.
  TrafficRef of_host(const shm::Snapshot& table, const shm::TrafficMap& map,
                     const std::string& host) {
    const shm::RoutesSegment& segment = table.view().routes_segment(0);
    for (uint32_t i = 0; i < segment.route_count; ++i) {
      if (segment.name(segment.hosts[segment.routes[i].host]) == host) return map.route(0, i);
    }
    ADD_FAILURE() << host;
    return {};
  }

  std::unique_ptr<shm::TrafficPage> page_;
  std::unique_ptr<TrafficRows> rows_;
};

TEST_F(TrafficRowsTest, EveryRouteAndServiceHasItsName) {
  make(16);
  const auto table = table_of({{"a.example", "/"},
                               {"b.example", "/x", shm::PathType::exact},
                               {"*.c.example", "/y/"},
                               {"", "/z"}});
  const auto map = rows_->map(table->view());
  const auto routes = names(TrafficKind::route);
  EXPECT_TRUE(routes.contains("(no route)"));
  EXPECT_TRUE(routes.contains("(other routes)"));
  EXPECT_TRUE(routes.contains("shop/web a.example/"));
  EXPECT_TRUE(routes.contains("shop/web b.example/x (Exact)"));
  EXPECT_TRUE(routes.contains("shop/web *.c.example/y/"));
  EXPECT_TRUE(routes.contains("shop/web */z"));
  EXPECT_EQ(routes.size(), 6U);
  const auto services = names(TrafficKind::service);
  EXPECT_TRUE(services.contains("shop/of0:http"));
  EXPECT_EQ(services.size(), 5U);
  EXPECT_EQ(of_host(*table, *map, "a.example").row, routes.at("shop/web a.example/").row);
  EXPECT_EQ(map->service(0).row, services.at("shop/of0:http").row);
}

TEST_F(TrafficRowsTest, ARouteKeepsItsRowFromTableToTable) {
  make(16);
  const auto first = table_of({{"a.example", "/"}, {"b.example", "/"}});
  auto map = rows_->map(first->view());
  const TrafficRef a = of_host(*first, *map, "a.example");
  const TrafficRef b = of_host(*first, *map, "b.example");
  // One goes, one comes, and the order is another.
  const auto second = table_of({{"c.example", "/"}, {"a.example", "/"}});
  const auto next = rows_->map(second->view());
  map.reset();
  EXPECT_EQ(of_host(*second, *next, "a.example").row, a.row);
  EXPECT_EQ(of_host(*second, *next, "a.example").generation, a.generation);
  EXPECT_NE(of_host(*second, *next, "c.example").row, b.row);
  // Back again, and it has what it had: nobody needed its row.
  const auto third = rows_->map(first->view());
  EXPECT_EQ(of_host(*first, *third, "b.example").row, b.row);
  EXPECT_EQ(of_host(*first, *third, "b.example").generation, b.generation);
}

TEST_F(TrafficRowsTest, RowsOfATableThatIsStillReadAreNotGivenAway) {
  make(4);  // two routes
  const auto first = table_of({{"a.example", "/"}, {"b.example", "/"}});
  auto old = rows_->map(first->view());
  const TrafficRef a = of_host(*first, *old, "a.example");
  const TrafficRef b = of_host(*first, *old, "b.example");
  const auto second = table_of({{"c.example", "/"}});
  auto now = rows_->map(second->view());
  EXPECT_EQ(of_host(*second, *now, "c.example").row, shm::traffic_row_other_routes);
  old.reset();
  now = rows_->map(second->view());
  const TrafficRef c = of_host(*second, *now, "c.example");
  EXPECT_TRUE(c.row == a.row || c.row == b.row);
  EXPECT_GT(c.generation, a.generation);
  EXPECT_FALSE(names(TrafficKind::route)
                   .contains(c.row == a.row ? "shop/web a.example/" : "shop/web b.example/"));
}

TEST_F(TrafficRowsTest, TheLongestGoneGoesFirst) {
  make(4);
  const auto both = table_of({{"a.example", "/"}, {"b.example", "/"}});
  auto map = rows_->map(both->view());
  const TrafficRef b = of_host(*both, *map, "b.example");
  const auto only_a = table_of({{"a.example", "/"}});
  map = rows_->map(only_a->view());
  const TrafficRef a = of_host(*only_a, *map, "a.example");
  map.reset();
  const auto only_c = table_of({{"c.example", "/"}});
  map = rows_->map(only_c->view());
  EXPECT_EQ(of_host(*only_c, *map, "c.example").row, b.row);
  EXPECT_NE(of_host(*only_c, *map, "c.example").row, a.row);
}

TEST_F(TrafficRowsTest, WhatHasNoRowIsCountedWithTheOthers) {
  make(4);
  const auto table = table_of({{"a.example", "/"}, {"b.example", "/"}, {"c.example", "/"}});
  const auto map = rows_->map(table->view());
  uint32_t others = 0;
  for (uint32_t i = 0; i < 3; ++i) {
    if (map->route(0, i).row == shm::traffic_row_other_routes) ++others;
  }
  EXPECT_EQ(others, 1U);
  EXPECT_EQ(map->service(2).row, shm::traffic_row_other_services);
  make(0);
  EXPECT_EQ(rows_->map(table->view())->route(0, 0).row, shm::traffic_row_other_routes);
}

}  // namespace
}  // namespace millrace

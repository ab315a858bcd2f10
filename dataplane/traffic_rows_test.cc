#include "dataplane/traffic_rows.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <set>

#include "base/random.h"
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

// One table after another, each with the segments of the one before that are the same.
class Tables {
 public:
  std::shared_ptr<const shm::Snapshot> last() const { return last_; }
  std::shared_ptr<const shm::Snapshot> next(Random& random) {
    for (uint64_t changes = random.between(1, 3); changes > 0; --changes) {
      const auto host = static_cast<uint32_t>(random.below(hosts_max));
      if (!hosts_.erase(host)) hosts_.insert(host);
    }
    shm::SnapshotBuilder builder({8, 2, hosts_max});
    for (uint32_t host : hosts_) {
      shm::RouteSource source;
      source.service_slot = host;
      source.ingress_namespace = "shop";
      source.ingress_name = "web";
      const std::string name = "h" + std::to_string(host) + ".example";
      CHECK(builder.add_route(name, "/", shm::PathType::prefix, source).ok());
      CHECK(builder.add_route(name, "/x", shm::PathType::exact, source).ok());
      shm::ServiceInput service;
      service.slot = host;
      service.service_namespace = "shop";
      const std::string service_name = "of" + std::to_string(host);
      service.service_name = service_name;
      service.port = "http";
      CHECK(builder.add_service(service).ok());
    }
    const auto built = builder.build(++version_);
    CHECK(built.ok());
    std::vector<shm::SegmentMemory> segments;
    for (const shm::BuiltSegment& segment : built->segments) {
      shm::SegmentMemory memory = last_ ? last_->find_segment(segment.id) : nullptr;
      if (memory == nullptr) {
        memory = std::make_shared<const shm::MappedBytes>(
            std::move(*shm::MappedBytes::copy_of(segment.bytes)));
      }
      segments.push_back(std::move(memory));
    }
    std::vector<std::shared_ptr<const shm::Snapshot>> known;
    if (last_) known.push_back(last_);
    auto snapshot = shm::Snapshot::create(std::move(*shm::MappedBytes::copy_of(built->root)),
                                          std::move(segments), known);
    CHECK(snapshot.ok());
    return last_ = *snapshot;
  }

 private:
  static constexpr uint32_t hosts_max = 24;
  std::set<uint32_t> hosts_;
  std::shared_ptr<const shm::Snapshot> last_;
  uint64_t version_ = 0;
};

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
  std::map<uint32_t, std::pair<uint32_t, std::string>> names_by_row() {
    std::map<uint32_t, std::pair<uint32_t, std::string>> found;
    const auto reader = shm::TrafficReader::map(page_->fd());
    for (const auto& row : (*reader)->read()) found[row.row] = {row.generation, row.name};
    return found;
  }
  // Every route and service in use has the row of its name, of this generation, or none.
  static void expect_names(const shm::Snapshot& table, const shm::TrafficMap& map,
                           const std::map<uint32_t, std::pair<uint32_t, std::string>>& names) {
    const auto expect = [&](TrafficRef ref, uint32_t others, const std::string& name) {
      if (ref.row == others) return;
      ASSERT_TRUE(names.contains(ref.row)) << name;
      EXPECT_EQ(names.at(ref.row), std::pair(ref.generation, name));
    };
    for (uint32_t number = 0; number < table.view().routes_segment_count(); ++number) {
      const shm::RoutesSegment& segment = table.view().routes_segment(number);
      for (uint32_t i = 0; i < segment.route_count; ++i) {
        const std::string host(segment.name(segment.hosts[segment.routes[i].host]));
        const std::string path(segment.text(segment.routes[i].path));
        expect(map.route(number, i), shm::traffic_row_other_routes,
               "shop/web " + host + (path == "/" ? path : path + " (Exact)"));
      }
    }
    for (uint32_t slot = 0; slot < table.view().service_slot_count(); ++slot) {
      const bool in_use = (table.view().service(slot).flags & shm::slot_in_use) != 0;
      if (!in_use) {
        EXPECT_EQ(map.service(slot).row, shm::traffic_row_other_services);
        continue;
      }
      expect(map.service(slot), shm::traffic_row_other_services,
             "shop/" + std::string(table.view().service_name(slot)) + ":http");
    }
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

// Tables that share segments, the rows of some of them still read: every row is its route's or
// service's, whatever came between.
TEST_F(TrafficRowsTest, RowsAreRightInAnySequenceOfTablesThatShareSegments) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    make(seed % 2 == 0 ? 120 : 30);  // there are enough of them, or not
    Random random(seed);
    Tables tables;
    std::deque<
        std::pair<std::shared_ptr<const shm::Snapshot>, std::shared_ptr<const shm::TrafficMap>>>
        read;
    size_t kept = 0;
    for (int i = 0; i < 60; ++i) {
      const auto before = tables.last();
      const auto table = random.below(8) == 0 && before != nullptr ? before : tables.next(random);
      // Mostly the map before is in use when the next one is made, as in a data plane.
      if (random.below(8) == 0) read.clear();
      read.emplace_back(table, rows_->map(table->view()));
      while (read.size() > 1 + random.below(3)) read.pop_front();
      const auto names_now = names_by_row();
      for (const auto& [snapshot, map] : read) expect_names(*snapshot, *map, names_now);
      ASSERT_FALSE(HasFailure()) << "seed " << seed << " table " << i;
      if (before == nullptr) continue;
      for (uint32_t place = 0; place < table->view().directory().size(); ++place) {
        kept += table->view().segment_identity(place) == before->view().segment_identity(place);
      }
    }
    EXPECT_GT(kept, 100U) << "tables share segments";
  }
}

// A segment that is shared with the table before asks again for what had no row.
TEST_F(TrafficRowsTest, ASharedSegmentGetsRowsThatHaveBecomeSpare) {
  make(4);
  const auto first = table_of({{"a.example", "/"}, {"b.example", "/"}});
  auto old = rows_->map(first->view());
  const auto second = table_of({{"c.example", "/"}});
  auto now = rows_->map(second->view());
  EXPECT_EQ(now->route(0, 0).row, shm::traffic_row_other_routes);
  EXPECT_EQ(now->service(0).row, old->service(0).row);
  old.reset();
  const auto again = rows_->map(second->view());
  EXPECT_NE(again->route(0, 0).row, shm::traffic_row_other_routes);
  EXPECT_EQ(names(TrafficKind::route).at("shop/web c.example/").row, again->route(0, 0).row);
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

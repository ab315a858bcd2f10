#include "dataplane/guard/route_changes.h"

#include <gtest/gtest.h>

#include "dataplane/guard/guard_test_support.h"

namespace millrace::guard {
namespace {

using testing::TableRoute;
using testing::Tables;

std::string texts(const std::shared_ptr<const shm::Snapshot>& before,
                  const std::shared_ptr<const shm::Snapshot>& after) {
  std::string text;
  for (const RouteChange& change : find_route_changes(before->view(), after->view())) {
    text += change.text + '\n';
  }
  return text;
}

TEST(RouteChanges, ARouteThatLeadsElsewhere) {
  Tables tables;
  const auto before = tables.make({{"a.example", "/", "one"}, {"b.example", "/", "one"}});
  const auto after = tables.make({{"a.example", "/", "two"}, {"b.example", "/", "one"}});
  EXPECT_EQ(texts(before, after),
            "Ingress shop/web: a.example/, from shop/one:80 to shop/two:80\n");
  EXPECT_EQ(texts(after, after), "");
}

TEST(RouteChanges, WhoeverTookTheRequestsBeforeIsWhatIsComparedWith) {
  Tables tables;
  const auto before = tables.make({{"a.example", "/", "one"}, {"*.b.example", "/", "one"}}, "rest");
  // A deeper path, a host that a wildcard took, a host that only the default took, and an Ingress
  // of another name that leads where the old one did.
  const auto after = tables.make({{"a.example", "/", "one", shm::PathType::prefix, "renamed"},
                                  {"a.example", "/api", "two"},
                                  {"*.b.example", "/", "one"},
                                  {"x.b.example", "/", "two"},
                                  {"c.example", "/", "two"}},
                                 "rest");
  EXPECT_EQ(texts(before, after),
            "Ingress shop/web: a.example/api, from shop/one:80 to shop/two:80\n"
            "Ingress shop/web: x.b.example/, from shop/one:80 to shop/two:80\n"
            "Ingress shop/web: c.example/, from shop/rest:80 to shop/two:80\n");
}

TEST(RouteChanges, ANewRouteHasNothingToBeWorseThan) {
  Tables tables;
  const auto before = tables.make({{"a.example", "/", "one"}});
  const auto after = tables.make({{"a.example", "/", "one"}, {"new.example", "/", "two"}});
  EXPECT_EQ(texts(before, after), "");
}

TEST(RouteChanges, DefaultsAndWildcardsToo) {
  Tables tables;
  const auto before = tables.make({{"*.a.example", "/", "one"}, {"b.example", "", "one"}}, "one");
  const auto after = tables.make({{"*.a.example", "/", "two"}, {"b.example", "", "two"}}, "two");
  EXPECT_EQ(texts(before, after),
            "Ingress shop/web: *.a.example/, from shop/one:80 to shop/two:80\n"
            "Ingress shop/web: b.example (default), from shop/one:80 to shop/two:80\n"
            "Ingress shop/all: * (default), from shop/one:80 to shop/two:80\n");
}

TEST(RouteChanges, APolicyIsAChangeAndEndpointsAreNot) {
  Tables tables;
  const auto before = tables.make({{"a.example", "/", "one"}});
  tables.endpoints("one", {"10.0.1.7:8080", "10.0.1.8:8080"});
  const auto scaled = tables.make({{"a.example", "/", "one"}});
  EXPECT_EQ(texts(before, scaled), "");
  tables.endpoints("one", {});
  const auto empty = tables.make({{"a.example", "/", "one"}});
  EXPECT_EQ(texts(scaled, empty), "");
  tables.policy("one", {shm::ServiceBalance::least_requests, shm::HashSource::none, 0, ""});
  const auto balanced = tables.make({{"a.example", "/", "one"}});
  EXPECT_NE(texts(empty, balanced), "");
}

TEST(RouteChanges, TheSameMachinesAtOtherPorts) {
  Tables tables;
  tables.endpoints("one", {"10.0.1.1:8080", "10.0.1.2:8080"});
  const auto before = tables.make({{"a.example", "/", "one"}, {"b.example", "/", "two"}});
  tables.endpoints("one", {"10.0.1.1:9090", "10.0.1.3:9090"});
  const auto after = tables.make({{"a.example", "/", "one"}, {"b.example", "/", "two"}});
  EXPECT_EQ(texts(before, after),
            "Ingress shop/web: a.example/, from shop/one:80 to shop/one:80\n");
}

TEST(RouteChanges, AreBounded) {
  Tables tables;
  std::vector<TableRoute> one, other;
  for (size_t i = 0; i < route_changes_max + 10; ++i) {
    const std::string host = "h" + std::to_string(i) + ".example";
    one.push_back({host, "/", "one"});
    other.push_back({host, "/", "two"});
  }
  const auto before = tables.make(one);
  const auto after = tables.make(other);
  EXPECT_EQ(find_route_changes(before->view(), after->view()).size(), route_changes_max);
}

}  // namespace
}  // namespace millrace::guard

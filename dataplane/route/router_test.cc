#include "dataplane/route/router.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "dataplane/route/reference_matcher.h"
#include "shm/snapshot_hash.h"
#include "shm/snapshot_test_support.h"

namespace millrace::route {
namespace {

using shm::PathType;
using shm::RouteId;
using shm::SnapshotBuilder;
using shm::testing::open_builder;

constexpr PathType exact = PathType::exact;
constexpr PathType prefix = PathType::prefix;
constexpr PathType specific = PathType::implementation_specific;

struct Rule {
  std::string host;
  std::string path;
  PathType type;
};

// Rules in order get the service slots 0, 1, 2 ..; the cluster default, if wanted, gets slot 99.
constexpr uint32_t default_slot = 99;

shm::RouteSource to_slot(uint32_t slot) {
  shm::RouteSource source;
  source.service_slot = slot;
  source.ingress_namespace = "default";
  source.ingress_name = "test";
  return source;
}

SnapshotBuilder builder_of(const std::vector<Rule>& rules) {
  SnapshotBuilder builder;
  for (uint32_t i = 0; i < rules.size(); ++i) {
    const auto route = builder.add_route(rules[i].host, rules[i].path, rules[i].type, to_slot(i));
    EXPECT_TRUE(route.ok()) << route.error();
  }
  return builder;
}

// The slot that takes a request, or -1 for 404.
int slot_for(const shm::SnapshotView& view, std::string_view host, std::string_view path) {
  const RouteMatch found = match(view, host, path);
  if (found.found == RouteFound::none) return -1;
  EXPECT_EQ(view.route(found.route).service_slot, found.service_slot);
  return static_cast<int>(found.service_slot);
}

int slot_for(const std::vector<Rule>& rules, std::string_view host, std::string_view path) {
  SnapshotBuilder builder = builder_of(rules);
  EXPECT_TRUE(builder.set_cluster_default(to_slot(default_slot)).ok());
  return slot_for(open_builder(builder, 1)->view(), host, path);
}

// The examples table of the Ingress documentation, row by row. Where several paths stand in one
// row, or several requests, each gets a line.
struct DocumentedRow {
  int row;
  std::vector<Rule> rules;
  const char* request;
  int slot;  // which rule; 99 for the default backend
};

TEST(Router, C8AllDocumentedPathRows) {
  const std::vector<DocumentedRow> rows = {
      {1, {{"", "/", prefix}}, "/", 0},
      {1, {{"", "/", prefix}}, "/anything/at/all", 0},
      {2, {{"", "/foo", exact}}, "/foo", 0},
      {3, {{"", "/foo", exact}}, "/bar", 99},
      {4, {{"", "/foo", exact}}, "/foo/", 99},
      {5, {{"", "/foo/", exact}}, "/foo", 99},
      {6, {{"", "/foo", prefix}}, "/foo", 0},
      {6, {{"", "/foo", prefix}}, "/foo/", 0},
      {7, {{"", "/foo/", prefix}}, "/foo", 0},
      {7, {{"", "/foo/", prefix}}, "/foo/", 0},
      {8, {{"", "/aaa/bb", prefix}}, "/aaa/bbb", 99},
      {9, {{"", "/aaa/bbb", prefix}}, "/aaa/bbb", 0},
      {10, {{"", "/aaa/bbb/", prefix}}, "/aaa/bbb", 0},
      {11, {{"", "/aaa/bbb", prefix}}, "/aaa/bbb/", 0},
      {12, {{"", "/aaa/bbb", prefix}}, "/aaa/bbb/ccc", 0},
      {13, {{"", "/aaa/bbb", prefix}}, "/aaa/bbbxyz", 99},
      {14, {{"", "/", prefix}, {"", "/aaa", prefix}}, "/aaa/ccc", 1},
      {15, {{"", "/", prefix}, {"", "/aaa", prefix}, {"", "/aaa/bbb", prefix}}, "/aaa/bbb", 2},
      {16, {{"", "/", prefix}, {"", "/aaa", prefix}, {"", "/aaa/bbb", prefix}}, "/ccc", 0},
      {17, {{"", "/aaa", prefix}}, "/ccc", 99},
      {18, {{"", "/foo", prefix}, {"", "/foo", exact}}, "/foo", 1},
  };
  std::set<int> seen;
  for (const DocumentedRow& row : rows) {
    seen.insert(row.row);
    EXPECT_EQ(slot_for(row.rules, "any.example", row.request), row.slot)
        << "row " << row.row << " request " << row.request;
  }
  EXPECT_EQ(seen.size(), 18U);
}

TEST(Router, C8PathsAreCaseSensitiveAndByteEqual) {
  EXPECT_EQ(slot_for({{"", "/Foo", exact}}, "h", "/foo"), 99);
  EXPECT_EQ(slot_for({{"", "/Foo", prefix}}, "h", "/foo/x"), 99);
  EXPECT_EQ(slot_for({{"", "/foo", prefix}}, "h", "/foo%2Fx"), 99);
  EXPECT_EQ(slot_for({{"", "/foo", prefix}}, "h", "//foo"), 99);
  EXPECT_EQ(slot_for({{"", "/foo", prefix}}, "h", "/foo//bar"), 0);
}

TEST(Router, C8WildcardIsExactlyOneLabel) {
  const std::vector<Rule> rules = {{"*.foo.com", "/", prefix}};
  EXPECT_EQ(slot_for(rules, "bar.foo.com", "/"), 0);
  EXPECT_EQ(slot_for(rules, "baz.bar.foo.com", "/"), 99);
  EXPECT_EQ(slot_for(rules, "foo.com", "/"), 99);
  EXPECT_EQ(slot_for(rules, ".foo.com", "/"), 99);
  EXPECT_EQ(slot_for(rules, "xfoo.com", "/"), 99);
  EXPECT_EQ(slot_for(rules, "", "/"), 99);
}

TEST(Router, C8HostPrecedenceIsPreciseWildcardEmpty) {
  const std::vector<Rule> rules = {
      {"", "/", prefix}, {"*.foo.com", "/", prefix}, {"bar.foo.com", "/", prefix}};
  EXPECT_EQ(slot_for(rules, "bar.foo.com", "/x"), 2);
  EXPECT_EQ(slot_for(rules, "baz.foo.com", "/x"), 1);
  EXPECT_EQ(slot_for(rules, "foo.com", "/x"), 0);
  EXPECT_EQ(slot_for(rules, "", "/x"), 0);
}

// A host that only looks like the wildcard's text is not a precise match of it.
TEST(Router, C8AStarInARequestIsNoWildcard) {
  EXPECT_EQ(slot_for({{"*.foo.com", "/", prefix}}, "*.foo.com", "/"), 0);  // one label, "*"
  EXPECT_EQ(slot_for({{"*.foo.com", "/a", prefix}, {"", "/", prefix}}, "foo.com", "/a"), 1);
}

TEST(Router, C8NoFallThroughOnceAHostIsChosen) {
  const std::vector<Rule> rules = {
      {"", "/", prefix}, {"*.foo.com", "/", prefix}, {"bar.foo.com", "/only", exact}};
  EXPECT_EQ(slot_for(rules, "bar.foo.com", "/only"), 2);
  EXPECT_EQ(slot_for(rules, "bar.foo.com", "/other"), 99)
      << "the cluster default, not the wildcard";
}

TEST(Router, C8AHostWithoutPathsStillShadowsTheEmptyHost) {
  SnapshotBuilder builder = builder_of({{"", "/", prefix}});
  ASSERT_TRUE(builder.add_host("bare.example").ok());
  const auto snapshot = open_builder(builder, 1);
  EXPECT_EQ(slot_for(snapshot->view(), "bare.example", "/"), -1);
  EXPECT_EQ(slot_for(snapshot->view(), "other.example", "/"), 0);
}

TEST(Router, C8DefaultsGoFromHostToClusterToNone) {
  SnapshotBuilder builder = builder_of({{"a.example", "/x", prefix}, {"b.example", "/x", prefix}});
  EXPECT_EQ(slot_for(open_builder(builder, 1)->view(), "a.example", "/y"), -1);
  ASSERT_TRUE(builder.set_host_default("a.example", to_slot(7)).ok());
  ASSERT_TRUE(builder.set_cluster_default(to_slot(8)).ok());
  const auto snapshot = open_builder(builder, 2);
  const RouteMatch host_rest = match(snapshot->view(), "a.example", "/y");
  EXPECT_EQ(host_rest.found, RouteFound::host_default);
  EXPECT_EQ(host_rest.service_slot, 7U);
  const RouteMatch cluster_rest = match(snapshot->view(), "b.example", "/y");
  EXPECT_EQ(cluster_rest.found, RouteFound::cluster_default);
  EXPECT_EQ(cluster_rest.service_slot, 8U);
  EXPECT_EQ(match(snapshot->view(), "nobody.example", "/").found, RouteFound::cluster_default);
  EXPECT_EQ(match(snapshot->view(), "a.example", "/x").found, RouteFound::rule);
}

// ---- golden cases beyond the documentation ----

TEST(Router, C8ExactFooBesidePrefixFooSlash) {
  const std::vector<Rule> rules = {{"", "/foo/", prefix}, {"", "/foo", exact}};
  EXPECT_EQ(slot_for(rules, "h", "/foo"), 1);
  EXPECT_EQ(slot_for(rules, "h", "/foo/"), 0);
  EXPECT_EQ(slot_for(rules, "h", "/foo/bar"), 0);
}

TEST(Router, C8SolverBesideAnApplicationsPrefix) {
  const std::string challenge = "/.well-known/acme-challenge/TOKEN";
  for (PathType type : {exact, specific}) {
    const std::vector<Rule> rules = {{"app.example", "/", prefix},
                                     {"app.example", challenge, type}};
    EXPECT_EQ(slot_for(rules, "app.example", challenge), 1);
    EXPECT_EQ(slot_for(rules, "app.example", "/.well-known/acme-challenge/OTHER"), 0);
    EXPECT_EQ(slot_for(rules, "app.example", "/.well-known"), 0);
  }
}

TEST(Router, C8PreciseSolverHostUnderAWildcardApplication) {
  const std::string challenge = "/.well-known/acme-challenge/TOKEN";
  const std::vector<Rule> rules = {{"*.apps.example", "/", prefix},
                                   {"one.apps.example", challenge, exact}};
  EXPECT_EQ(slot_for(rules, "one.apps.example", challenge), 1);
  EXPECT_EQ(slot_for(rules, "two.apps.example", challenge), 0);
  EXPECT_EQ(slot_for(rules, "one.apps.example", "/"), 99) << "no fall-through to the wildcard";
}

TEST(Router, TheDeepestPrefixIsFoundAndDeeperRequestsTooAndNotMore) {
  std::string deep;
  for (uint32_t i = 0; i < shm::prefix_elements_max; ++i) deep += "/e";
  SnapshotBuilder builder = builder_of({{"", "/e", prefix}, {"", deep, prefix}});
  EXPECT_FALSE(builder.add_route("", deep + "/e", prefix, to_slot(5)).ok());
  const auto snapshot = open_builder(builder, 1);
  EXPECT_EQ(slot_for(snapshot->view(), "h", deep), 1);
  EXPECT_EQ(slot_for(snapshot->view(), "h", deep + "/e/e/e"), 1);
  EXPECT_EQ(slot_for(snapshot->view(), "h", deep.substr(2)), 0);
  std::string hostile(100000, '/');
  EXPECT_EQ(slot_for(snapshot->view(), "h", hostile), -1);
}

// In their host's record and in the path table, the same rules give the same routes: a host with
// these rules, and one that has more beside them than its record holds.
TEST(Router, C8PathsMeanTheSameInTheRecordAndInTheTable) {
  const std::vector<Rule> few = {{"h.example", "/", prefix},
                                 {"h.example", "/a", exact},
                                 {"h.example", "/a", prefix},
                                 {"h.example", "/a/b/", prefix}};
  std::vector<Rule> many = few;
  for (const char* path : {"/q", "/r", "/s"}) many.push_back({"h.example", path, prefix});
  for (const char* path : {"/", "/a", "/a/", "/a/b", "/a/b/", "/a/bc", "/a/b/c", "/ab", "/A", "*",
                           "", "/a//b", "/x"}) {
    EXPECT_EQ(slot_for(few, "h.example", path), slot_for(many, "h.example", path)) << path;
  }
  EXPECT_EQ(slot_for(few, "h.example", "/a"), 1);
  EXPECT_EQ(slot_for(few, "h.example", "/a/b"), 3);
  EXPECT_EQ(slot_for(few, "h.example", "/a/bc"), 2);
  EXPECT_EQ(slot_for(few, "h.example", "/ab"), 0);
}

TEST(Router, ATargetWithoutSlashMatchesNoPath) {
  EXPECT_EQ(slot_for({{"", "/", prefix}}, "h", "*"), 99);
  EXPECT_EQ(slot_for({{"", "/", prefix}, {"", "/a", exact}}, "h", ""), 99);
}

TEST(Router, TheBuiltInSnapshotSendsEverythingToAnEmptyService) {
  const auto snapshot = shm::Snapshot::built_in();
  const RouteMatch found = match(snapshot->view(), "any.example", "/any");
  ASSERT_EQ(found.found, RouteFound::cluster_default);
  EXPECT_TRUE(snapshot->view().endpoints(found.service_slot).empty());
}

// ---- against the slow and obvious matcher ----

class RandomTables {
 public:
  explicit RandomTables(uint64_t seed) : random_(seed) {}

  std::string host(bool rule) {
    static const std::vector<std::string> labels = {"a", "b", "c", "ab",
                                                    "a-label-of-thirty-octets-xxxxx"};
    if (random_.below(8) == 0) return "";
    std::string name = rule && random_.below(3) == 0 ? "*" : pick(labels);
    const uint64_t more = random_.between(1, 3);
    for (uint64_t i = 0; i < more; ++i) name += "." + pick(labels);
    return name;
  }
  std::string path() {
    static const std::vector<std::string> parts = {"a", "b", "A", "aa", "a.b", "%2f"};
    std::string text;
    const uint64_t count = random_.below(5);
    for (uint64_t i = 0; i < count; ++i) text += "/" + pick(parts);
    if (text.empty() || random_.below(4) == 0) text += "/";
    return text;
  }
  PathType type() {
    return random_.below(3) == 0 ? exact : random_.below(4) == 0 ? specific : prefix;
  }
  uint64_t below(uint64_t bound) { return random_.below(bound); }

 private:
  const std::string& pick(const std::vector<std::string>& from) {
    return from[random_.below(from.size())];
  }
  Random random_;
};

void compare_one_table(uint64_t seed) {
  RandomTables random(seed);
  shm::SnapshotShape shape;
  shape.routes_segment_count = 1U << random.below(4);
  SnapshotBuilder builder(shape);
  std::vector<testing::ReferenceRule> rules;
  std::optional<uint32_t> cluster_default;
  std::map<std::string, RouteId> taken;
  const uint64_t count = random.below(40);
  for (uint32_t i = 0; i < count; ++i) {
    const std::string host = random.host(true);
    if (random.below(10) == 0) {
      if (builder.set_host_default(host, to_slot(i)).ok()) rules.push_back({host, {}, prefix, i});
      continue;
    }
    const std::string path = random.path();
    const PathType type = random.type();
    // The model's part: on one canonical key the longest as written wins.
    const auto same = [&](const testing::ReferenceRule& other) {
      return other.path && other.host == host && (other.type == exact) == (type == exact) &&
             (type == exact ? *other.path == path
                            : shm::canonical_prefix(*other.path) == shm::canonical_prefix(path));
    };
    if (std::any_of(rules.begin(), rules.end(), same)) {
      EXPECT_FALSE(builder.add_route(host, path, type, to_slot(i)).ok());
      continue;
    }
    ASSERT_TRUE(builder.add_route(host, path, type, to_slot(i)).ok());
    rules.push_back({host, path, type, i});
  }
  if (random.below(2) == 0) {
    cluster_default = 1000;
    ASSERT_TRUE(builder.set_cluster_default(to_slot(1000)).ok());
  }
  const auto snapshot = open_builder(builder, seed);
  for (int i = 0; i < 60; ++i) {
    const std::string host = random.host(false);
    const std::string path = random.path();
    // Asking for memory first reads nothing beyond the table and changes nothing.
    prefetch_row(snapshot->view(), host_hint(host));
    prefetch_record(snapshot->view(), host_hint(host));
    prefetch_slots(snapshot->view(), host_hint(host));
    const std::optional<uint32_t> expected =
        testing::reference_match(rules, cluster_default, host, path);
    ASSERT_EQ(slot_for(snapshot->view(), host, path), expected ? static_cast<int>(*expected) : -1)
        << "seed " << seed << " host " << host << " path " << path;
  }
}

TEST(Router, AgreesWithTheReferenceOnRandomTables) {
  for (uint64_t seed = 1; seed <= 4000; ++seed) {
    compare_one_table(seed);
    if (::testing::Test::HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace millrace::route

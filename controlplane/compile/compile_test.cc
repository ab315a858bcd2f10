#include "controlplane/compile/compile.h"

#include <gtest/gtest.h>

#include <set>

#include "controlplane/manifests/file.h"
#include "controlplane/model/build.h"
#include "shm/snapshot.h"

namespace millrace::compile {
namespace {

using model::Service;
using model::ServiceKey;

std::vector<Service> services(const std::vector<std::string>& names) {
  std::vector<Service> list;
  for (const std::string& name : names) list.push_back({ServiceKey{"s", name, "80"}, {}});
  return list;
}

std::string slots_of(const SlotTable& table, const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) {
    text += name + std::to_string(table.slot_of(ServiceKey{"s", name, "80"})) + ' ';
  }
  return text;
}

TEST(SlotTable, FromNothingFollowsTheOrderOfKeys) {
  EXPECT_EQ(slots_of(SlotTable().next(services({"a", "b", "c"})), {"a", "b", "c"}), "a1 b2 c3 ");
}

TEST(SlotTable, AServiceKeepsItsSlotForLife) {
  SlotTable table = SlotTable().next(services({"b", "d"}));
  table = table.next(services({"a", "b", "c", "d", "e"}));
  EXPECT_EQ(slots_of(table, {"a", "b", "c", "d", "e"}), "a3 b1 c4 d2 e5 ");
  table = table.next(services({"d", "e"}));
  EXPECT_EQ(slots_of(table, {"d", "e"}), "d2 e5 ");
}

TEST(SlotTable, AGivenUpSlotRestsForOneChange) {
  SlotTable table = SlotTable().next(services({"a", "b"}));
  table = table.next(services({"b", "c"}));  // a goes, c comes: not into a's slot
  EXPECT_EQ(slots_of(table, {"b", "c"}), "b2 c3 ");
  table = table.next(services({"b", "c", "d"}));  // now it is free
  EXPECT_EQ(slots_of(table, {"b", "c", "d"}), "b2 c3 d1 ");
}

TEST(SlotTable, ChurnDoesNotMakeTheTableGrow) {
  SlotTable table;
  uint32_t highest = 0;
  for (int i = 0; i < 1'000; ++i) {
    const std::string passing = "solver-" + std::to_string(i);
    table = table.next(services({"app", passing}));
    highest = std::max(highest, table.slot_of(ServiceKey{"s", passing, "80"}));
    ASSERT_EQ(table.slot_of(ServiceKey{"s", "app", "80"}), 1u);
  }
  EXPECT_LE(highest, 3u);
}

TEST(EndpointId, DependsOnEveryPartAndOnNothingElse) {
  const auto id = [](const char* name_space, const char* service, const char* port, uint8_t last,
                     uint16_t number) {
    return endpoint_id(ServiceKey{name_space, service, port},
                       Ipv4Address::from_octets(10, 0, 0, last), number);
  };
  const std::set<uint64_t> ids = {id("s", "web", "80", 1, 8080), id("t", "web", "80", 1, 8080),
                                  id("s", "wep", "80", 1, 8080), id("s", "web", "81", 1, 8080),
                                  id("s", "web", "80", 2, 8080), id("s", "web", "80", 1, 8081)};
  EXPECT_EQ(ids.size(), 6u);
  // The same in every process and version: pools of a running data plane depend on it.
  EXPECT_EQ(id("s", "web", "80", 1, 8080), 0xfe7e31b807176ca4U);
}

store::Store store_of(const std::string& yaml) {
  manifests::ParsedFile parsed = manifests::parse_file("f.yaml", yaml);
  for (const auto& problem : parsed.problems) ADD_FAILURE() << problem.text();
  store::Store store;
  store.replace(std::move(parsed.objects));
  return store;
}

constexpr char table_yaml[] = R"(
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: old, namespace: s, creationTimestamp: "2024-01-01T00:00:00Z"}
spec:
  defaultBackend: {service: {name: rest, port: {name: http}}}
  rules:
  - host: a.example
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}
      - {path: /x, pathType: Exact, backend: {resource: {kind: A, name: b}}}
      - {path: /y/, pathType: ImplementationSpecific, backend: {service: {name: web, port: {number: 80}}}}
  - host: "*.example"
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: young, namespace: s, creationTimestamp: "2024-02-01T00:00:00Z"}
spec:
  defaultBackend: {service: {name: web, port: {number: 80}}}
  rules:
  - host: a.example
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: rest, port: {name: http}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: known, namespace: s}
spec: {rules: [{host: known.example}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: everything, namespace: s}
spec: {defaultBackend: {service: {name: rest, port: {name: http}}}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: s}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: s, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}]
)";

// What the data plane would map.
std::shared_ptr<const shm::Snapshot> mapped(const shm::BuiltSnapshot& built) {
  std::vector<ByteView> segments;
  for (const auto& segment : built.segments) segments.push_back(segment.bytes);
  auto snapshot = shm::Snapshot::from_bytes(built.root, segments);
  if (!snapshot) {
    ADD_FAILURE() << snapshot.error();
    return nullptr;
  }
  return *snapshot;
}

TEST(Compile, TheWholeTablePassesTheDataPlanesValidator) {
  const model::BuildResult built = model::build(store_of(table_yaml), {});
  auto compiled = compile(built.model, SlotTable(), 7);
  ASSERT_TRUE(compiled.ok()) << compiled.error();
  for (const auto& problem : compiled->problems) ADD_FAILURE() << problem.text();
  const auto snapshot = mapped(compiled->snapshot);
  ASSERT_NE(snapshot, nullptr);
  const shm::SnapshotView& view = snapshot->view();
  EXPECT_EQ(view.version(), 7u);
  EXPECT_EQ(view.root().host_count, 3u);
  EXPECT_EQ(view.root().route_count, built.model.route_count());
  EXPECT_EQ(view.root().shadowed_count, built.model.shadowed_count());
  EXPECT_EQ(view.root().endpoint_count, 2u);
  const uint32_t web = compiled->slots.slot_of({"s", "web", "80"});
  ASSERT_EQ(view.endpoints(web).size(), 2u);
  EXPECT_EQ(view.service_name(web), "web");
  EXPECT_EQ(view.service_port(web), "80");
  EXPECT_EQ(view.endpoints(web)[0].port, 8080);
  EXPECT_TRUE(view.endpoints(SlotTable::unusable_slot).empty());
  const shm::RoutesSegment& routes = view.routes_segment(0);
  std::string found;
  for (uint32_t i = 0; i < routes.route_count; ++i) {
    const shm::RouteRecord& route = routes.routes[i];
    if (routes.text(route.path) != "/x") continue;
    found = std::string(routes.name(routes.hosts[route.host]));
    EXPECT_EQ(route.service_slot, SlotTable::unusable_slot);
  }
  EXPECT_EQ(found, "a.example");
  ASSERT_NE(view.cluster_default().route, shm::index_none);
  EXPECT_EQ(view.route(view.cluster_default()).service_slot,
            compiled->slots.slot_of({"s", "rest", "http"}));
}

TEST(Compile, C8SameInputSameBytes) {
  const model::BuildResult built = model::build(store_of(table_yaml), {});
  const auto one = compile(built.model, SlotTable(), 1);
  const auto two = compile(built.model, SlotTable(), 1);
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_EQ(one->snapshot.root, two->snapshot.root);
  EXPECT_TRUE(same_content(one->snapshot, two->snapshot));
  // From its own slots again: nothing moves. Another version: another root, the same content.
  const auto again = compile(built.model, one->slots, 2);
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(same_content(one->snapshot, again->snapshot));
  EXPECT_NE(one->snapshot.root, again->snapshot.root);
}

TEST(Compile, AChangeOfEndpointsChangesOneSegmentAndKeepsTheOtherIds) {
  std::string yaml = table_yaml;
  const auto before = compile(model::build(store_of(yaml), {}).model, SlotTable(), 1);
  ASSERT_TRUE(before.ok());
  yaml.replace(yaml.find("10.0.0.2"), 8, "10.0.0.3");
  const auto after = compile(model::build(store_of(yaml), {}).model, before->slots, 2);
  ASSERT_TRUE(after.ok());
  EXPECT_FALSE(same_content(before->snapshot, after->snapshot));
  size_t changed = 0;
  ASSERT_EQ(before->snapshot.segments.size(), after->snapshot.segments.size());
  for (size_t i = 0; i < before->snapshot.segments.size(); ++i) {
    changed += before->snapshot.segments[i].id != after->snapshot.segments[i].id;
  }
  EXPECT_EQ(changed, 1u);
  const auto ids = [](const Result<Compiled>& compiled) {
    const auto snapshot = mapped(compiled->snapshot);
    std::set<uint64_t> found;
    for (const auto& endpoint :
         snapshot->view().endpoints(compiled->slots.slot_of({"s", "web", "80"}))) {
      found.insert(endpoint.id);
    }
    return found;
  };
  std::set<uint64_t> both = ids(before);
  both.merge(ids(after));
  EXPECT_EQ(both.size(), 3u);  // 10.0.0.1 is the same one in both
}

TEST(Compile, AnEmptyModelIsATable) {
  const auto compiled = compile(model::Model(), SlotTable(), 1);
  ASSERT_TRUE(compiled.ok()) << compiled.error();
  const auto snapshot = mapped(compiled->snapshot);
  ASSERT_NE(snapshot, nullptr);
  EXPECT_EQ(snapshot->view().root().route_count, 0u);
}

// Two Ingresses that lead to one Service in two ways: two slots, the same endpoints in both.
TEST(Compile, APolicyOfAnIngressIsItsRoutesSlots) {
  const std::string policies = std::string(table_yaml) + R"(
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: told
  namespace: s
  annotations: {millrace.dev/hash-by: "header:X-User", millrace.dev/encoded-slash: pass, millrace.dev/send-proxy-protocol: v2}
spec:
  rules:
  - host: told.example
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
)";
  const model::BuildResult built = model::build(store_of(policies), {});
  const auto compiled = compile(built.model, SlotTable(), 1);
  ASSERT_TRUE(compiled.ok()) << compiled.error();
  const auto snapshot = mapped(compiled->snapshot);
  ASSERT_NE(snapshot, nullptr);
  const shm::SnapshotView& view = snapshot->view();
  const uint32_t plain = compiled->slots.slot_of({"s", "web", "80"});
  model::ServiceKey key{"s", "web", "80"};
  key.policy.hash_by = model::HashBy::header;
  key.policy.hash_name = "x-user";
  key.policy.encoded_slash = model::EncodedSlash::pass;
  key.policy.proxy_protocol = 2;
  const uint32_t told = compiled->slots.slot_of(key);
  ASSERT_NE(told, plain);
  EXPECT_EQ(view.policy_name(told), "x-user");
  EXPECT_EQ(view.policy(told).balance, static_cast<uint8_t>(shm::ServiceBalance::hash));
  EXPECT_EQ(view.policy(told).hash_source, static_cast<uint8_t>(shm::HashSource::header));
  EXPECT_EQ(view.policy(told).flags,
            shm::policy_passes_encoded_slash | shm::policy_proxy_header_v2);
  EXPECT_EQ(view.policy(plain).flags, 0);
  ASSERT_EQ(view.endpoints(told).size(), 2U);
  EXPECT_EQ(view.endpoints(told)[0].id, view.endpoints(plain)[0].id);
}

}  // namespace
}  // namespace millrace::compile

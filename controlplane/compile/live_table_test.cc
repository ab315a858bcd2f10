#include "controlplane/compile/live_table.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "controlplane/compile/compile.h"
#include "controlplane/model/live_model.h"
#include "controlplane/model/random_cluster_testing.h"
#include "perf/controlplane/cluster_objects.h"
#include "shm/snapshot.h"

namespace millrace::compile {
namespace {

using model::testing::RandomCluster;

bool same_bytes(const shm::BuiltSnapshot& left, const shm::BuiltSnapshot& right) {
  return left.root == right.root && same_content(left, right);
}

Status validate(const shm::BuiltSnapshot& snapshot) {
  std::vector<ByteView> segments;
  for (const shm::BuiltSegment& segment : snapshot.segments) segments.push_back(segment.bytes);
  const auto opened = shm::Snapshot::from_bytes(snapshot.root, segments);
  return opened ? Status(Ok{}) : Status(Error{opened.error()});
}

// Keeps a table true and beside it makes everything anew at every step.
class Pair {
 public:
  explicit Pair(size_t services_max = model::services_max) : live_(services_max) {}

  void update(const model::Model& model, const model::ModelDelta& delta) {
    auto changed = live_.update(model, delta);
    ASSERT_TRUE(changed.ok()) << changed.error();
    auto compiled = compile(model, slots_, 1);
    ASSERT_TRUE(compiled.ok()) << compiled.error();
    slots_ = compiled->slots;
    const shm::BuiltSnapshot now = live_.snapshot(1);
    ASSERT_TRUE(same_bytes(now, compiled->snapshot)) << "not the bytes of a table from nothing";
    ASSERT_EQ(live_.problems().size(), compiled->problems.size());
    ASSERT_EQ(*changed, is_first_ || !same_bytes(now, before_));
    const Status valid = validate(now);
    ASSERT_TRUE(valid.ok()) << valid.error();
    is_first_ = false;
    before_ = now;
  }
  const shm::BuiltSnapshot& snapshot() const { return before_; }

 private:
  LiveTable live_;
  SlotTable slots_;
  bool is_first_ = true;
  shm::BuiltSnapshot before_;
};

void live_through(uint64_t seed, const model::Options& options) {
  RandomCluster cluster(seed);
  store::Store store;
  model::LiveModel live(options);
  Pair table(options.bounds.services);
  for (int step = 0; step < 100; ++step) {
    cluster.step(&store);
    const model::ModelUpdate update = live.update(store, store.take_changes());
    SCOPED_TRACE("seed " + std::to_string(seed) + " step " + std::to_string(step));
    table.update(live.model(), update.delta);
    if (::testing::Test::HasFatalFailure()) return;
  }
}

TEST(C8LiveTable, HasAfterAnyChangesTheBytesOfATableFromNothing) {
  for (uint64_t seed = 1; seed <= 20; ++seed) live_through(seed, {});
}

TEST(C8LiveTable, AndAtTheBoundOfServices) {
  model::Options tight;
  tight.bounds = {30, 3, 2};
  for (uint64_t seed = 1; seed <= 20; ++seed) live_through(seed, tight);
}

TEST(C8LiveTable, HasTheSameBytesWithAnyNumberOfThreads) {
  perf::ClusterSize size;
  size.ingresses = 3'000;
  const store::Store store = perf::cluster_store(size);
  std::vector<shm::BuiltSnapshot> snapshots;
  for (const size_t threads : {1U, 2U, 4U, 7U}) {
    model::Options options;
    options.threads = {threads};
    model::LiveModel live(options);
    live.rebuild(store);
    LiveTable table(model::services_max, {threads});
    ASSERT_TRUE(table.reset(live.model()).ok());
    snapshots.push_back(table.snapshot(1));
  }
  EXPECT_GT(snapshots[0].segments.size(), 64U);
  for (const shm::BuiltSnapshot& snapshot : snapshots) {
    EXPECT_TRUE(same_bytes(snapshots[0], snapshot));
  }
}

// More endpoints than one segment can have: the table as a whole cannot be made.
TEST(C8LiveTable, ATableThatCannotBeMadeLeavesEverySlotAsItWas) {
  const auto service = [](const std::string& name, uint32_t endpoints) {
    model::Service one{{"ns", name, "80", {}}, {}};
    one.endpoints.reserve(endpoints);
    for (uint32_t i = 0; i < endpoints; ++i) {
      one.endpoints.push_back({Ipv4Address::from_host_order(0x0a000000 + i), 80});
    }
    return one;
  };
  constexpr uint32_t most = 16;
  constexpr uint32_t segment_most = 64 * most;
  model::Model model;
  model.services.push_back(service("a-gone", 1));
  for (uint32_t i = 0; i < segment_most / most - 1; ++i) {
    model.services.push_back(service("b" + std::to_string(100 + i), most));
  }
  model.services.push_back(service("z", 1));
  // So far apart that a segment has 128 slots.
  auto slots = SlotTable::from({{model.services[0].key, 1}, {model.services.back().key, 9'000}});
  ASSERT_TRUE(slots.has_value());
  LiveTable table(model::services_max, {}, segment_most);
  table.begin_with(std::move(*slots));
  ASSERT_TRUE(table.reset(model).ok());
  const shm::BuiltSnapshot before = table.snapshot(1);
  const uint32_t gone = table.slots().slot_of(model.services[0].key);
  const uint32_t last = table.slots().slot_of(model.services.back().key);
  model::Model next = model;
  next.services.erase(next.services.begin());
  next.services.insert(next.services.end() - 1, service("c-new", most));
  next.services.insert(next.services.end() - 1, service("d-new", most));
  const model::ModelDelta change = model::difference(model, next);
  for (int tries = 0; tries < 2; ++tries) {  // by the difference, and from nothing
    ASSERT_FALSE(table.update(next, change).ok());
    EXPECT_EQ(table.slots().size(), model.services.size());
    EXPECT_EQ(table.slots().find(model.services[0].key), gone);
    EXPECT_EQ(table.slots().find(model.services.back().key), last);
    EXPECT_FALSE(table.slots().has({"ns", "c-new", "80", {}}));
    EXPECT_TRUE(same_bytes(table.snapshot(1), before));
  }
  ASSERT_TRUE(table.update(model, model::reversed(change)).ok());
  EXPECT_TRUE(same_bytes(table.snapshot(1), before));
}

// ---- tables of many segments -------------------------------------------------------------------

model::Host host_of(const std::string& name, uint64_t paths) {
  model::Host host;
  host.name = name;
  for (uint64_t i = 0; i < paths; ++i) {
    host.routes.push_back({model::PathType::prefix,
                           "/" + std::to_string(i),
                           model::ServiceKey{"ns", name.substr(0, name.find('.')), "80"},
                           {"ns", "ingress", 0, static_cast<uint32_t>(i)}});
  }
  return host;
}

model::Model random_model(Random& random, uint32_t hosts) {
  std::map<std::string, model::Host> by_name;
  for (uint32_t i = 0; i < hosts; ++i) {
    if (random.below(8) == 0) continue;
    const std::string name = "h" + std::to_string(i) + ".example";
    by_name[name] = host_of(name, random.between(1, 3));
  }
  model::Model model;
  std::map<model::ServiceKey, model::Service> services;
  for (auto& [name, host] : by_name) {
    const model::ServiceKey& key = *host.routes[0].backend;
    model::Service& service = services[key];
    service.key = key;
    for (uint64_t i = random.below(6); i > 0; --i) {
      service.endpoints.push_back(
          {Ipv4Address::from_octets(10, 0, 0, static_cast<uint8_t>(i)), 8080});
    }
    model.hosts.push_back(host);
  }
  for (auto& [key, service] : services) model.services.push_back(service);
  return model;
}

TEST(C8LiveTable, GrowsAndShrinksThroughItsShapes) {
  Random random(11);
  Pair table;
  model::Model model;
  for (int step = 0; step < 60; ++step) {
    const auto most = static_cast<uint32_t>(random.between(0, 3)) * 200;
    const model::Model next = random_model(random, most);
    SCOPED_TRACE("step " + std::to_string(step));
    table.update(next, difference(model, next));
    if (HasFatalFailure()) return;
    model = next;
  }
}

TEST(LiveTable, AChangeOfOneHostOrServiceIsOneSegment) {
  Random random(5);
  model::Model model = random_model(random, 2'000);
  Pair table;
  table.update(model, difference({}, model));
  const shm::BuiltSnapshot before = table.snapshot();
  ASSERT_GE(before.segments.size(), 32u);
  model::Model next = model;
  next.hosts[700].routes[0].path = "/elsewhere";
  next.services[900].endpoints = {{Ipv4Address::from_octets(10, 1, 1, 1), 8080}};
  table.update(next, difference(model, next));
  const shm::BuiltSnapshot& after = table.snapshot();
  size_t shared = 0;
  for (size_t i = 0; i < before.segments.size(); ++i) {
    shared += before.segments[i].bytes.data() == after.segments[i].bytes.data();
  }
  EXPECT_EQ(shared, before.segments.size() - 2);
}

TEST(LiveTable, ANewServiceIsOneSegmentOfEachKind) {
  Random random(5);
  model::Model model = random_model(random, 2'000);
  Pair table;
  table.update(model, difference({}, model));
  const shm::BuiltSnapshot before = table.snapshot();
  model::Model next = model;
  next.hosts.insert(next.hosts.begin(), host_of("a.example", 1));
  next.services.insert(next.services.begin(), {model::ServiceKey{"ns", "a", "80"}, {}});
  table.update(next, difference(model, next));
  size_t shared = 0;
  for (size_t i = 0; i < before.segments.size(); ++i) {
    shared += before.segments[i].bytes.data() == table.snapshot().segments[i].bytes.data();
  }
  EXPECT_EQ(shared, before.segments.size() - 2);
}

// At the bound a Service leaves the model because another one, of a smaller key, has come; the
// routes that name it lie in segments that nobody else touches.
TEST(C8LiveTable, AServiceThatLosesItsPlaceLosesItInEverySegment) {
  Random random(5);
  const model::Model model = random_model(random, 2'000);
  Pair table(model.services.size());
  table.update(model, difference({}, model));
  model::Model next = model;
  next.hosts.insert(next.hosts.begin(), host_of("a.example", 1));
  next.services.insert(next.services.begin(), {model::ServiceKey{"ns", "a", "80"}, {}});
  next.services.pop_back();
  table.update(next, difference(model, next));
  table.update(model, difference(next, model));
}

// ---- what is identical -------------------------------------------------------------------------

TEST(C8LiveTable, ObjectsInAnyOrderAndAnyNumberOfRestartsGiveTheSameBytes) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    RandomCluster cluster(seed);
    store::Store store;
    for (int step = 0; step < 60; ++step) cluster.step(&store);
    const auto expected = compile(model::build(store, {}).model, SlotTable(), 1);
    ASSERT_TRUE(expected.ok());
    for (int restart = 0; restart < 3; ++restart) {
      store::Store read;
      model::LiveModel live({});
      for (const k8s::Object& object : cluster.shuffled(store)) {
        read.put(object);
        live.update(read, read.take_changes());
      }
      LiveTable table;
      ASSERT_TRUE(table.reset(live.model()).ok());
      ASSERT_TRUE(same_bytes(table.snapshot(1), expected->snapshot)) << "seed " << seed;
    }
  }
}

TEST(LiveTable, BeforeItsFirstModelItIsAnEmptyTable) {
  EXPECT_TRUE(validate(LiveTable().snapshot(7)).ok());
  EXPECT_EQ(LiveTable().snapshot(7).version, 7u);
}

}  // namespace
}  // namespace millrace::compile

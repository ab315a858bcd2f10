#include "controlplane/publish/rollout.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "controlplane/manifests/file.h"
#include "controlplane/model/build.h"
#include "controlplane/model/live_model.h"

namespace millrace::publish {
namespace {

namespace fs = std::filesystem;

std::string service(const std::string& name, const std::string& address) {
  return "---\napiVersion: v1\nkind: Service\nmetadata: {name: " + name +
         "}\nspec: {ports: [{port: 80}]}\n---\napiVersion: discovery.k8s.io/v1\nkind: "
         "EndpointSlice\nmetadata: {name: " +
         name + "-1, resourceVersion: \"7\", labels: {kubernetes.io/service-name: " + name +
         "}}\naddressType: IPv4\nports: [{port: 80}]\nendpoints: [{addresses: [" + address +
         "]}]\n";
}
std::string ingress(const std::string& name, const std::string& backend) {
  return "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: " + name +
         ", resourceVersion: \"42\"}\nspec: {rules: [{host: " + name +
         ".example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: " +
         backend + ", port: {number: 80}}}}]}}]}\n";
}

// Each test twice: with models that are told whole, and with one that follows the store.
class RolloutTest : public ::testing::TestWithParam<bool> {
 protected:
  RolloutTest() {
    char name[] = "/tmp/millrace-rollout-XXXXXX";
    root_ = mkdtemp(name);
    start();
  }
  ~RolloutTest() override { fs::remove_all(root_); }

  // As after a kill: nothing but the folder goes on.
  void start() {
    rollout_.reset();
    publisher_ = std::make_unique<Publisher>(root_ / "socket", shm::ChannelPeers{}, 1);
    auto history = history::History::open(root_ / "state", {});
    ASSERT_TRUE(history.ok()) << history.error();
    rollout_ = std::make_unique<Rollout>(publisher_.get(), std::move(*history), ShrinkLimits{});
    store_ = store::Store();
    live_.reset();
  }
  void offer(const std::string& manifest) {
    store_.replace(manifests::parse_file("a.yaml", manifest).objects);
    const std::vector<store::Change> changes = store_.take_changes();
    if (!GetParam()) {
      rollout_->offer(model::build(store_, {}).model, changes, store_, at_);
    } else if (live_ == nullptr) {
      live_ = std::make_unique<model::LiveModel>(model::Options{});
      live_->rebuild(store_);
      rollout_->offer_live(live_->model(), nullptr, changes, store_, at_);
    } else {
      const model::ModelUpdate update = live_->update(store_, changes);
      rollout_->offer_live(live_->model(), &update.delta, changes, store_, at_);
    }
    if (!rollout_->holds_routes() && rollout_->held_back().empty()) {
      EXPECT_EQ(rollout_->published(), model::build(store_, {}).model);
    }
  }
  void offer(const model::Model& model) {
    const model::ModelDelta delta = model::difference(asked_, model);
    asked_ = model;
    if (!GetParam()) {
      rollout_->offer(model, {}, store_, at_);
    } else {
      rollout_->offer_live(asked_, rollout_->asked() == nullptr ? nullptr : &delta, {}, store_,
                           at_);
    }
  }
  uint64_t version() { return publisher_->wanted_version(); }
  const record::Version& newest() { return *rollout_->history().find(version()); }
  std::string backend(const std::string& host) {
    for (const model::Host& one : rollout_->published().hosts) {
      if (one.name == host) return one.routes[0].backend->service;
    }
    return "(none)";
  }
  std::string address(const std::string& service) {
    for (const model::Service& one : rollout_->published().services) {
      if (one.key.service == service && !one.endpoints.empty()) {
        return one.endpoints[0].address.text();
      }
    }
    return "(none)";
  }

  fs::path root_;
  std::unique_ptr<Publisher> publisher_;
  std::unique_ptr<Rollout> rollout_;
  store::Store store_;
  std::unique_ptr<model::LiveModel> live_;
  model::Model asked_;
  Moment at_{Instant::from_ns(1'000'000'000'000), 1'795'872'376'042};
};

const std::string services = service("red", "10.0.0.1") + service("blue", "10.0.0.2");

TEST_P(RolloutTest, EveryTableIsAVersionWithItsCauses) {
  offer(services + ingress("a", "red"));
  EXPECT_EQ(version(), 1u);
  EXPECT_EQ(newest().time(), "2026-11-28T13:26:16.042Z");
  EXPECT_EQ(newest().causes_size(), 3) << "nobody routes to blue";
  offer(services + ingress("a", "red"));
  EXPECT_EQ(version(), 1u) << "nothing has changed";
  offer(services + ingress("a", "blue"));
  EXPECT_EQ(version(), 2u);
  ASSERT_EQ(newest().causes_size(), 1);
  const record::Cause& cause = newest().causes(0);
  EXPECT_EQ(cause.kind() + ' ' + cause.name_space() + '/' + cause.name() + ' ' + cause.change() +
                ' ' + cause.resource_version(),
            "Ingress default/a updated 42");
  EXPECT_EQ(newest().previous(), 1);
}

TEST_P(RolloutTest, C2ARestartWithTheSameObjectsIsNoVersionAndWithOthersNamesThem) {
  offer(services + ingress("a", "red") + ingress("b", "red"));
  offer(services + ingress("a", "blue") + ingress("b", "red"));
  const std::string hash = newest().content_hash();
  start();
  offer(services + ingress("a", "blue") + ingress("b", "red"));
  EXPECT_EQ(version(), 2u);
  EXPECT_EQ(rollout_->history().size(), 2u);
  EXPECT_EQ(rollout_->content_hash(), hash);
  start();
  offer(services + ingress("a", "blue") + ingress("b", "blue"));
  EXPECT_EQ(version(), 3u);
  ASSERT_EQ(newest().causes_size(), 1) << newest().DebugString();
  EXPECT_EQ(newest().causes(0).name(), "b");
}

TEST_P(RolloutTest, ARollbackPinsRoutesAndEndpointsGoOn) {
  offer(services + ingress("a", "red"));
  offer(services + ingress("a", "blue"));
  const auto done = rollout_->rollback(1, store_, at_);
  ASSERT_TRUE(done.ok()) << done.error();
  EXPECT_EQ(version(), 3u);
  EXPECT_EQ(backend("a.example"), "red");
  EXPECT_EQ(newest().trigger(), "rollback");
  EXPECT_EQ(newest().rolled_back_to(), 1);
  // Another route waits; an endpoint that moves does not, though nothing asked for names it.
  const std::string moved = service("red", "10.0.0.9") + service("blue", "10.0.0.2");
  offer(moved + ingress("a", "blue") + ingress("b", "blue"));
  EXPECT_EQ(version(), 4u);
  EXPECT_EQ(backend("b.example"), "(none)");
  EXPECT_EQ(address("red"), "10.0.0.9");
  ASSERT_EQ(newest().causes_size(), 1);
  EXPECT_EQ(newest().causes(0).kind(), "EndpointSlice");
  ASSERT_EQ(rollout_->waiting().size(), 1u);
  EXPECT_EQ(rollout_->waiting().begin()->first.text(), "Ingress default/b");
  // The pin outlives the process.
  start();
  EXPECT_EQ(rollout_->hold().pinned_version(), 1);
  offer(moved + ingress("a", "blue") + ingress("b", "blue"));
  EXPECT_EQ(version(), 4u);
  EXPECT_EQ(backend("a.example"), "red");
  ASSERT_TRUE(rollout_->release(store_, at_).ok());
  EXPECT_EQ(version(), 5u);
  EXPECT_EQ(newest().trigger(), "release");
  EXPECT_EQ(backend("b.example"), "blue");
  EXPECT_TRUE(rollout_->waiting().empty());
  EXPECT_FALSE(rollout_->release(store_, at_).ok());
  EXPECT_FALSE(rollout_->rollback(99, store_, at_).ok());
}

// What is told of Ingresses is what the published table serves, whatever made it: another process,
// a change, a rollback to a whole table, its release.
TEST_P(RolloutTest, WhatBeganAndCeasedToBeServedIsThatOfThePublishedTable) {
  const auto taken = [&] {
    const ServedIngresses::Changes changes = rollout_->take_served_changes();
    std::string text;
    for (const auto& [name_space, name] : changes.began) text += '+' + name;
    for (const auto& [name_space, name] : changes.ceased) text += '-' + name;
    return text;
  };
  offer(services + ingress("a", "red") + ingress("b", "red"));
  EXPECT_EQ(taken(), "+a+b");
  offer(services + ingress("a", "blue") + ingress("b", "red"));
  EXPECT_EQ(taken(), "") << "another backend";
  offer(services + ingress("b", "red") + ingress("c", "red"));
  EXPECT_EQ(taken(), "+c-a");
  ASSERT_TRUE(rollout_->rollback(1, store_, at_).ok());
  EXPECT_EQ(taken(), "+a-c");
  offer(services + ingress("d", "red"));
  EXPECT_EQ(taken(), "") << "the routes are pinned";
  start();
  offer(services + ingress("d", "red"));
  EXPECT_EQ(taken(), "+a+b") << "a process that knows nothing is told all";
  ASSERT_TRUE(rollout_->release(store_, at_).ok());
  EXPECT_EQ(taken(), "+d-a-b");
  // What came and went while no process looked, beside what stays.
  start();
  offer(services + ingress("d", "red") + ingress("e", "red"));
  offer(services + ingress("e", "red"));
  EXPECT_EQ(taken(), "+e-d") << "somebody wrote our address to it, and nobody else clears it";
  start();
  offer(services + ingress("f", "red"));
  offer(services + ingress("e", "blue"));
  EXPECT_EQ(taken(), "+e");
  offer(services);
  EXPECT_EQ(taken(), "-e");
}

TEST_P(RolloutTest, AFreezeQueuesAndOutlivesRestarts) {
  EXPECT_FALSE(rollout_->freeze(false, store_, at_).ok()) << "nothing is there yet";
  offer(services + ingress("a", "red"));
  ASSERT_TRUE(rollout_->freeze(false, store_, at_).ok());
  offer(services + ingress("a", "blue"));
  EXPECT_EQ(version(), 1u);
  EXPECT_EQ(rollout_->waiting().size(), 1u);
  start();
  offer(services + ingress("a", "blue"));
  EXPECT_EQ(version(), 1u);
  EXPECT_EQ(backend("a.example"), "red");
  offer(service("red", "10.0.0.9") + ingress("a", "blue"));
  EXPECT_EQ(address("red"), "10.0.0.9");
  ASSERT_TRUE(rollout_->unfreeze(store_, at_).ok());
  EXPECT_EQ(backend("a.example"), "blue");
}

TEST_P(RolloutTest, AFreezeOfEndpointsHoldsThemToo) {
  offer(services + ingress("a", "red"));
  ASSERT_TRUE(rollout_->freeze(true, store_, at_).ok());
  offer(service("red", "10.0.0.9") + ingress("a", "red"));
  EXPECT_EQ(address("red"), "10.0.0.1");
  ASSERT_TRUE(rollout_->unfreeze(store_, at_).ok());
  EXPECT_EQ(address("red"), "10.0.0.9");
}

TEST_P(RolloutTest, PinnedAndFrozenAreLetGoOneByOne) {
  offer(services + ingress("a", "red"));
  offer(services + ingress("a", "blue"));
  ASSERT_TRUE(rollout_->rollback(1, store_, at_).ok());
  ASSERT_TRUE(rollout_->freeze(false, store_, at_).ok());
  ASSERT_TRUE(rollout_->release(store_, at_).ok());
  EXPECT_EQ(backend("a.example"), "red") << "still frozen";
  ASSERT_TRUE(rollout_->unfreeze(store_, at_).ok());
  EXPECT_EQ(backend("a.example"), "blue");
}

TEST_P(RolloutTest, C4AnImplausibleTableWaitsForItsConfirmations) {
  std::string many = services;
  for (int i = 0; i < 30; ++i) many += ingress("h" + std::to_string(i), "red");
  offer(many);
  offer(services + ingress("h1", "red"));
  EXPECT_EQ(version(), 1u);
  EXPECT_NE(rollout_->held_back().find("has 1 of 30 routes left"), std::string::npos);
  // A restart in between does not make it plausible.
  start();
  offer(services + ingress("h1", "red"));
  EXPECT_EQ(version(), 1u);
  EXPECT_EQ(rollout_->published().route_count(), 30u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(version(), 1u);
    at_.now = rollout_->due();
    rollout_->turn(store_, at_);
  }
  EXPECT_EQ(version(), 2u);
  offer(many);
  EXPECT_EQ(version(), 3u);
  offer(services);
  EXPECT_EQ(version(), 3u);
  rollout_->accept(store_, at_);
  EXPECT_EQ(version(), 4u);
  EXPECT_EQ(newest().trigger(), "accept");
}

TEST_P(RolloutTest, ADamagedHoldKeepsWhatIsThere) {
  offer(services + ingress("a", "red"));
  ASSERT_TRUE(rollout_->freeze(false, store_, at_).ok());
  rollout_.reset();
  std::ofstream(root_ / "state/hold", std::ios::binary) << "damage";
  start();
  const auto events = rollout_->take_events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_NE(events[0].sentence.find("is frozen until `millrace unfreeze`"), std::string::npos);
  offer(services + ingress("a", "blue"));
  EXPECT_EQ(backend("a.example"), "red");
}

TEST_P(RolloutTest, MoreCausesThanAreNamedAreCounted) {
  std::string many = services;
  for (int i = 0; i < 150; ++i) many += ingress("h" + std::to_string(i), "red");
  offer(many);
  EXPECT_EQ(newest().causes_size(), 100);
  EXPECT_EQ(newest().causes_more(), 52u);
}

TEST_P(RolloutTest, WhatTheDataPlaneWentBackFromStaysAwayUntilItIsReleased) {
  offer(services + ingress("a", "red") + ingress("b", "red"));
  offer(services + ingress("a", "blue") + ingress("b", "red"));
  rollout_->guard_went_back({2, 1, "a.example fails"}, store_, at_);
  EXPECT_EQ(version(), 3u);
  EXPECT_EQ(backend("a.example"), "red");
  EXPECT_EQ(newest().trigger(), "guard");
  ASSERT_EQ(rollout_->problems().size(), 1u);
  EXPECT_EQ(rollout_->problems()[0].object, "Ingress default/a") << "whose change it was";
  EXPECT_EQ(rollout_->problems()[0].sentence,
            "version 2 was taken back: a.example fails; the routes of version 1 answer until "
            "`millrace release`");
  // Another change, and another process, bring nothing back.
  offer(services + ingress("a", "blue") + ingress("b", "blue"));
  EXPECT_EQ(backend("a.example") + backend("b.example"), "redred");
  start();
  offer(services + ingress("a", "blue") + ingress("b", "blue"));
  EXPECT_EQ(backend("a.example"), "red");
  EXPECT_EQ(rollout_->problems().size(), 1u);
  ASSERT_TRUE(rollout_->release(store_, at_).ok());
  EXPECT_EQ(backend("a.example") + backend("b.example"), "blueblue");
  EXPECT_TRUE(rollout_->problems().empty());
  EXPECT_FALSE(rollout_->release(store_, at_).ok());
}

TEST_P(RolloutTest, WhatAnOperatorPinnedIsNotUndoneByTheGuard) {
  offer(services + ingress("a", "red"));
  offer(services + ingress("a", "blue"));
  offer(services + ingress("a", "red"));
  ASSERT_TRUE(rollout_->rollback(2, store_, at_).ok());
  EXPECT_EQ(version(), 4u);
  rollout_->take_events();
  // What the data plane did before the operator's word reached it.
  rollout_->guard_went_back({3, 1, "a.example fails"}, store_, at_);
  rollout_->follow_number();
  EXPECT_EQ(rollout_->hold().pinned_version(), 2);
  EXPECT_EQ(rollout_->hold().guard_bad_version(), 0);
  EXPECT_EQ(backend("a.example"), "blue");
  EXPECT_EQ(version(), 5u) << "the number that is on its way means nothing any more";
  EXPECT_EQ(newest().content_hash(), rollout_->history().find(2)->content_hash());
  const std::vector<Event> events = rollout_->take_events();
  ASSERT_GE(events.size(), 1u);
  EXPECT_NE(events[0].sentence.find("stay pinned, as an operator said"), std::string::npos);
  // The guard's own pin gives way to an operator's, and to the bad version too.
  ASSERT_TRUE(rollout_->release(store_, at_).ok());
  rollout_->guard_went_back({3, 2, "a.example fails"}, store_, at_);
  EXPECT_FALSE(rollout_->is_pinned_by_operator());
  ASSERT_TRUE(rollout_->rollback(3, store_, at_).ok());
  EXPECT_TRUE(rollout_->is_pinned_by_operator());
  EXPECT_EQ(backend("a.example"), "red");
}

TEST_P(RolloutTest, ARollbackToWhatIsThereIsAVersionOfItsOwn) {
  offer(services + ingress("a", "red"));
  const std::string hash = rollout_->content_hash();
  ASSERT_TRUE(rollout_->rollback(1, store_, at_).ok());
  EXPECT_EQ(version(), 2u) << "so that the data plane hears that it is an operator's choice";
  EXPECT_EQ(newest().trigger(), "rollback");
  EXPECT_EQ(newest().content_hash(), hash);
  ASSERT_TRUE(rollout_->rollback(2, store_, at_).ok());
  EXPECT_EQ(rollout_->hold().pinned_version(), 2);
  EXPECT_EQ(version(), 3u);
  start();
  offer(services + ingress("a", "blue"));
  EXPECT_EQ(version(), 3u);
  EXPECT_EQ(backend("a.example"), "red");
}

TEST_P(RolloutTest, ARollbackBeforeTheFirstTableOfAProcessIsAVersionToo) {
  offer(services + ingress("a", "red"));
  offer(services + ingress("a", "blue"));
  start();
  ASSERT_TRUE(rollout_->rollback(2, store_, at_).ok());
  offer(services + ingress("a", "red"));
  EXPECT_EQ(version(), 3u) << "so that the data plane hears that it is an operator's choice";
  EXPECT_EQ(newest().trigger(), "rollback");
  EXPECT_EQ(newest().rolled_back_to(), 2);
  EXPECT_EQ(backend("a.example"), "blue");
  offer(services + ingress("a", "blue"));
  EXPECT_EQ(version(), 3u);
  start();
  offer(services + ingress("a", "red"));
  EXPECT_EQ(version(), 3u) << "it has been told";
  // One that is taken back before it could go out is none.
  ASSERT_TRUE(rollout_->release(store_, at_).ok());
  EXPECT_EQ(version(), 4u);
  start();
  ASSERT_TRUE(rollout_->rollback(4, store_, at_).ok());
  ASSERT_TRUE(rollout_->release(store_, at_).ok());
  offer(services + ingress("a", "red"));
  EXPECT_EQ(version(), 4u);
}

TEST_P(RolloutTest, WhatTheFormatRefusesIsSaidForAsLongAsItIsPublished) {
  std::string many = services + ingress("a", "red");
  for (int i = 0; i < 30; ++i) many += ingress("h" + std::to_string(i), "red");
  store_.replace(manifests::parse_file("a.yaml", many).objects);
  model::Model model = model::build(store_, {}).model;
  model.hosts[0].routes[0].path = "no-slash";
  const auto said = [&] {
    size_t count = 0;
    for (const k8s::Problem& problem : rollout_->problems()) {
      count += problem.sentence.find("does not begin with '/'") != std::string::npos ? 1 : 0;
    }
    return count;
  };
  offer(model);
  EXPECT_EQ(said(), 1u);
  offer(model);
  EXPECT_EQ(said(), 1u) << "nothing has changed";
  ASSERT_TRUE(rollout_->freeze(false, store_, at_).ok());
  EXPECT_EQ(said(), 1u);
  offer(model);
  at_.now = at_.now + settle_interval;
  offer(model);
  EXPECT_EQ(said(), 1u);
  ASSERT_TRUE(rollout_->unfreeze(store_, at_).ok());
  EXPECT_EQ(said(), 1u);
  model::Model small = model;
  small.hosts.resize(1);
  offer(small);
  EXPECT_NE(rollout_->held_back(), "");
  EXPECT_EQ(said(), 1u) << "the table of before goes on being published";
  model.hosts[0].routes[0].path = "/";
  offer(model);
  EXPECT_EQ(said(), 0u);
  EXPECT_TRUE(rollout_->problems().empty());
}

std::string node(int revision) {
  return "---\napiVersion: v1\nkind: Node\nmetadata: {name: worker, resourceVersion: \"" +
         std::to_string(revision) + "\", labels: {revision: \"" + std::to_string(revision) +
         "\"}}\n";
}

TEST_P(RolloutTest, OnlyWhatChangedTheTableIsACause) {
  offer(services + ingress("a", "red") + node(1));
  offer(services + ingress("a", "blue") + node(2));
  ASSERT_EQ(newest().causes_size(), 1) << newest().DebugString();
  EXPECT_EQ(newest().causes(0).kind(), "Ingress");
  // What was of no consequence is no cause of what comes later either.
  offer(services + ingress("a", "blue") + node(3));
  EXPECT_EQ(version(), 2u);
  offer(services + ingress("a", "red") + node(3));
  ASSERT_EQ(newest().causes_size(), 1) << newest().DebugString();
}

TEST_P(RolloutTest, WhatWaitedBeforeARestartIsNamedBehindIt) {
  offer(services + ingress("a", "red") + ingress("b", "red"));
  ASSERT_TRUE(rollout_->freeze(false, store_, at_).ok());
  offer(services + ingress("a", "blue") + ingress("b", "red"));
  ASSERT_EQ(rollout_->waiting().size(), 1u);
  start();
  offer(services + ingress("a", "blue") + ingress("b", "red"));
  ASSERT_EQ(rollout_->waiting().size(), 1u);
  EXPECT_EQ(rollout_->waiting().begin()->first.text(), "Ingress default/a");
  ASSERT_TRUE(rollout_->unfreeze(store_, at_).ok());
  ASSERT_EQ(newest().causes_size(), 1) << newest().DebugString();
  EXPECT_EQ(newest().causes(0).name(), "a");
}

TEST_P(RolloutTest, C4WhatIsHeldBackAcrossARestartKeepsItsCauses) {
  std::string many = services;
  for (int i = 0; i < 30; ++i) many += ingress("h" + std::to_string(i), "red");
  offer(many);
  offer(services + ingress("h1", "blue"));
  start();
  offer(services + ingress("h1", "blue"));
  EXPECT_EQ(version(), 1u);
  ASSERT_EQ(rollout_->waiting().size(), 1u) << "the objects that are gone are known to nobody now";
  rollout_->accept(store_, at_);
  ASSERT_EQ(newest().causes_size(), 1) << newest().DebugString();
  EXPECT_EQ(newest().causes(0).name(), "h1");
}

TEST_P(RolloutTest, WhatIsUndoneWhileItWaitsWaitsNoMore) {
  offer(services + ingress("a", "red"));
  ASSERT_TRUE(rollout_->freeze(false, store_, at_).ok());
  offer(services + ingress("a", "blue"));
  EXPECT_EQ(rollout_->waiting().size(), 1u);
  offer(services + ingress("a", "red"));
  at_.now = at_.now + settle_interval;
  rollout_->turn(store_, at_);
  EXPECT_TRUE(rollout_->waiting().empty());
}

TEST_P(RolloutTest, WhileRoutesAreHeldTheirEndpointsFollowAtOnceHoweverOftenTheyMove) {
  offer(services + ingress("a", "red"));
  offer(services + ingress("a", "blue"));
  ASSERT_TRUE(rollout_->rollback(1, store_, at_).ok());
  // Of a Service that only the pinned table names, and of one that both name.
  for (int i = 10; i < 30; ++i) {
    const std::string moved = "10.0.1." + std::to_string(i);
    const uint64_t before = version();
    offer(service("red", moved) + service("blue", "10.0.0.2") + ingress("a", "blue") +
          ingress("b", "red"));
    EXPECT_EQ(address("red"), moved) << "in the same moment";
    EXPECT_EQ(version(), before + 1);
    ASSERT_EQ(newest().causes_size(), 1) << newest().DebugString();
    EXPECT_EQ(newest().causes(0).name(), "red-1");
  }
  // Its slice is gone, and then the Service.
  offer("---\napiVersion: v1\nkind: Service\nmetadata: {name: red}\nspec: {ports: [{port: 80}]}\n" +
        service("blue", "10.0.0.2") + ingress("a", "blue"));
  EXPECT_EQ(address("red"), "(none)");
  offer(service("red", "10.0.1.9") + service("blue", "10.0.0.2") + ingress("a", "blue"));
  EXPECT_EQ(address("red"), "10.0.1.9");
  offer(service("blue", "10.0.0.2") + ingress("a", "blue"));
  EXPECT_EQ(address("red"), "(none)");
  // What is wrong with it is said a moment later.
  at_.now = at_.now + settle_interval;
  rollout_->turn(store_, at_);
  EXPECT_EQ(rollout_->due(), Instant::never());
  EXPECT_EQ(rollout_->problems().size(), 1u);
}

TEST_P(RolloutTest, AVersionThatIsNotInTheHistoryCannotBePinnedAndIsSaid) {
  offer(services + ingress("a", "red"));
  rollout_->take_events();
  rollout_->guard_went_back({9, 8, "a.example fails"}, store_, at_);
  EXPECT_FALSE(rollout_->holds_routes());
  const std::vector<Event> events = rollout_->take_events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].severity, k8s::Severity::error);
}

INSTANTIATE_TEST_SUITE_P(Model, RolloutTest, ::testing::Bool(),
                         [](const auto& parameter) { return parameter.param ? "Live" : "Whole"; });

}  // namespace
}  // namespace millrace::publish

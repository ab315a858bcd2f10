#include "controlplane/publish/served_ingresses.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "controlplane/publish/shrink_guard.h"

namespace millrace::publish {
namespace {

model::Route route(Random* random) {
  const std::string ingress = "i" + std::to_string(random->between(0, 9));
  return {model::PathType::prefix, "/", std::nullopt, {"shop", ingress, 0, 0}};
}

// Hosts and services that come, go and change, defaults too.
model::Model table(Random* random) {
  model::Model model;
  for (int h = 0; h < 6; ++h) {
    if (random->chance(0.3)) continue;
    model::Host host;
    host.name = "h" + std::to_string(h) + ".example";
    for (uint64_t i = random->between(0, 3); i > 0; --i) host.routes.push_back(route(random));
    if (random->chance(0.3)) host.default_route = route(random);
    if (random->chance(0.3)) host.shadowed_defaults.push_back(route(random));
    model.hosts.push_back(std::move(host));
    model::Service service{{"shop", "s" + std::to_string(h), "80", {}}, {}};
    for (uint64_t i = random->between(0, 3); i > 0; --i) {
      service.endpoints.push_back({Ipv4Address::from_octets(10, 0, 0, 1), 80});
    }
    model.services.push_back(std::move(service));
  }
  if (random->chance(0.5)) model.cluster_default = route(random);
  return model;
}

std::set<ServedIngresses::Name> walked(const model::Model& model) {
  std::set<ServedIngresses::Name> names;
  const auto add = [&](const model::Route& one) {
    names.emplace(one.source.name_space, one.source.ingress);
  };
  for (const model::Host& host : model.hosts) {
    for (const model::Route& one : host.routes) add(one);
    if (host.default_route) add(*host.default_route);
  }
  if (model.cluster_default) add(*model.cluster_default);
  return names;
}

// What is kept by differences is what a walk over the table finds.
TEST(ServedIngressesTest, NamesAndSizesFollowAnyRowOfChanges) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Random random(seed);
    model::Model now = table(&random);
    ServedIngresses served;
    served.replace(now);
    TableSize size = size_of(now);
    for (int step = 0; step < 30; ++step) {
      model::Model next = table(&random);
      const model::ModelDelta change = model::difference(now, next);
      served.apply(change);
      size.apply(change);
      now = std::move(next);
      ASSERT_EQ(served.names(), walked(now)) << "seed " << seed << " step " << step;
      ASSERT_EQ(size, size_of(now)) << "seed " << seed << " step " << step;
    }
  }
}

// What the journal says, taken at any time, leads from the names of one time to those of the other,
// by differences and by whole tables.
TEST(ServedIngressesTest, WhatBeganAndCeasedLeadsFromOneTakeToTheNext) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Random random(seed);
    model::Model now = table(&random);
    ServedIngresses served;
    served.replace(now);
    std::set<ServedIngresses::Name> known;
    for (int step = 0; step < 60; ++step) {
      model::Model next = table(&random);
      if (random.chance(0.2)) next = {};
      if (random.chance(0.3)) {
        served.replace(next);
      } else {
        served.apply(model::difference(now, next));
      }
      now = std::move(next);
      if (random.chance(0.5)) continue;
      const ServedIngresses::Changes changes = served.take_changes();
      for (const auto& name : changes.began) {
        ASSERT_TRUE(known.insert(name).second) << "seed " << seed << " step " << step;
      }
      for (const auto& name : changes.ceased) {
        ASSERT_EQ(known.erase(name), 1u) << "seed " << seed << " step " << step;
      }
      ASSERT_EQ(known, walked(now)) << "seed " << seed << " step " << step;
    }
  }
}

// As behind a restart: the first take tells all that is served, and what was and is no more.
TEST(ServedIngressesTest, TheFirstTakeTellsWhatCeasedSinceTheJournalBegan) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Random random(seed);
    const model::Model before = table(&random);
    model::Model now = before;
    ServedIngresses served;
    served.replace(before);
    served.begin_journal();
    for (uint64_t left = random.below(5); left > 0; --left) {
      model::Model next = table(&random);
      served.apply(model::difference(now, next));
      now = std::move(next);
    }
    const ServedIngresses::Changes changes = served.take_changes();
    const std::set<ServedIngresses::Name> names = walked(now);
    std::vector<ServedIngresses::Name> ceased;
    for (const ServedIngresses::Name& name : walked(before)) {
      if (!names.contains(name)) ceased.push_back(name);
    }
    ASSERT_EQ(changes.ceased, ceased) << "seed " << seed;
    ASSERT_EQ(changes.began, (std::vector<ServedIngresses::Name>(names.begin(), names.end())));
    const ServedIngresses::Changes none = served.take_changes();
    ASSERT_TRUE(none.began.empty() && none.ceased.empty());
  }
}

TEST(ServedIngressesTest, WhatCameAndWentBetweenTwoTakesIsNoChange) {
  model::Model with;
  with.hosts.push_back({});
  with.hosts[0].name = "a.example";
  with.hosts[0].routes.push_back({model::PathType::prefix, "/", std::nullopt, {"shop", "a", 0, 0}});
  ServedIngresses served;
  EXPECT_TRUE(served.take_changes().began.empty());
  served.apply(model::difference({}, with));
  served.apply(model::difference(with, {}));
  ServedIngresses::Changes changes = served.take_changes();
  EXPECT_TRUE(changes.began.empty() && changes.ceased.empty());
  served.replace(with);
  EXPECT_EQ(served.take_changes().began.size(), 1u);
  served.replace(with);
  served.apply(model::difference(with, {}));
  served.apply(model::difference({}, with));
  changes = served.take_changes();
  EXPECT_TRUE(changes.began.empty() && changes.ceased.empty());
}

}  // namespace
}  // namespace millrace::publish

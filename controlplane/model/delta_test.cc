#include "controlplane/model/delta.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace millrace::model {
namespace {

Model random_model(Random& random) {
  Model model;
  for (int i = 0; i < 40; ++i) {
    const std::string name = "h" + std::to_string(100 + i);
    if (random.below(3) == 0) continue;
    const ServiceKey key{"ns", name, "80"};
    Host host;
    host.name = name;
    const PathType type = random.below(2) == 0 ? PathType::exact : PathType::prefix;
    host.routes.push_back({type, "/", key, {"ns", "one", 0, 0}});
    model.hosts.push_back(host);
    model.services.push_back(
        {key, {{Ipv4Address::from_octets(10, 0, 0, static_cast<uint8_t>(random.below(3))), 80}}});
  }
  if (random.below(2) == 0) {
    model.cluster_default = Route{PathType::prefix, "", std::nullopt, {"ns", "all", 0, 0}};
  }
  return model;
}

TEST(ModelDelta, LeadsFromEitherSideToTheOther) {
  Random random(7);
  for (int round = 0; round < 500; ++round) {
    const Model before = random_model(random);
    const Model after = random_model(random);
    const ModelDelta delta = difference(before, after);
    EXPECT_EQ(delta.empty(), before == after);
    Model model = before;
    apply(delta, &model);
    EXPECT_EQ(model, after);
    apply(reversed(delta), &model);
    EXPECT_EQ(model, before);
    EXPECT_EQ(reversed(delta), difference(after, before));
  }
}

TEST(ModelDelta, NamesOnlyWhatDiffers) {
  Random random(7);
  const Model before = random_model(random);
  Model after = before;
  after.hosts[1].routes[0].path = "/changed";
  const ModelDelta delta = difference(before, after);
  ASSERT_EQ(delta.hosts.size(), 1u);
  EXPECT_EQ(delta.hosts[0].name, before.hosts[1].name);
  EXPECT_EQ(delta.hosts[0].before, before.hosts[1]);
  EXPECT_EQ(delta.hosts[0].after, after.hosts[1]);
  EXPECT_TRUE(delta.services.empty());
  EXPECT_FALSE(delta.cluster_default);
}

}  // namespace
}  // namespace millrace::model

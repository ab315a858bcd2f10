#include "controlplane/cluster/secret_places.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace millrace::cluster {
namespace {

store::SecretNames many(const std::string& name_space, size_t count) {
  store::SecretNames names;
  for (size_t i = 0; i < count; ++i) names.emplace(name_space, "s" + std::to_string(i));
  return names;
}

std::map<std::string, size_t> counts(const store::SecretNames& names) {
  std::map<std::string, size_t> counts;
  for (const auto& name : names) ++counts[name.first];
  return counts;
}

TEST(SecretPlaces, WhereThereIsRoomEverybodyHasAPlace) {
  EXPECT_EQ(share_places(many("shop", 10), {}, 10), many("shop", 10));
  EXPECT_TRUE(share_places({}, {}, 10).empty());
}

TEST(SecretPlaces, C9_ANamespaceThatNamesThousandsTakesNothingFromOthers) {
  store::SecretNames names = many("greedy", 5'000);
  // Also of those that come later.
  const store::SecretNames held = share_places(names, {}, 1'000);
  EXPECT_EQ(held.size(), 1'000u);
  names.merge(many("home", 3));
  names.merge(many("shop", 40));
  names.merge(many("wiki", 2'000));
  const auto shared = share_places(names, held, 1'000);
  EXPECT_EQ(counts(shared), (std::map<std::string, size_t>{
                                {"greedy", 479}, {"home", 3}, {"shop", 40}, {"wiki", 478}}));
  for (const auto& name : shared) EXPECT_TRUE(names.contains(name));
}

TEST(SecretPlaces, WhoHasAPlaceKeepsItWithinItsNamespace) {
  const store::SecretNames held = {{"shop", "x"}, {"shop", "y"}};
  store::SecretNames names = many("shop", 10);
  names.insert(held.begin(), held.end());
  const auto shared = share_places(names, held, 3);
  EXPECT_EQ(shared, (store::SecretNames{{"shop", "s0"}, {"shop", "x"}, {"shop", "y"}}));
  EXPECT_EQ(share_places(names, shared, 3), shared);
}

TEST(SecretPlaces, MoreNamespacesThanPlaces) {
  store::SecretNames names;
  for (int i = 0; i < 50; ++i) names.merge(many("n" + std::to_string(i), 2));
  const auto shared = share_places(names, {}, 20);
  EXPECT_EQ(shared.size(), 20u);
  EXPECT_EQ(counts(shared).size(), 20u);
}

}  // namespace
}  // namespace millrace::cluster

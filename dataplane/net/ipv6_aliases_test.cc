#include "dataplane/net/ipv6_aliases.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "base/random.h"

namespace millrace::net {
namespace {

Ipv6Address host(uint16_t number) {
  return Ipv6Address::from_groups({0x2001, 0xdb8, 0, 0, 0, 0, 0, number});
}

TEST(Ipv6Aliases, AVisitorIsNotRememberedUntilItIsHeld_T9) {
  Ipv6Aliases aliases(4, {1, 2});
  const Ipv4Address visitor = aliases.find_or_visit(host(1));
  EXPECT_TRUE(is_ipv6_alias(visitor));
  EXPECT_EQ(aliases.address(visitor), host(1));
  EXPECT_FALSE(aliases.find(host(1)).has_value());
  EXPECT_EQ(aliases.find_or_visit(host(2)), visitor);
  EXPECT_EQ(aliases.address(visitor), host(2));
  EXPECT_EQ(aliases.held_count(), 0U);

  const auto held = aliases.hold(visitor);
  ASSERT_TRUE(held.has_value());
  EXPECT_NE(*held, visitor);
  EXPECT_EQ(aliases.find(host(2)), held);
  EXPECT_EQ(aliases.find_or_visit(host(2)), *held);
  // The visitor's alias again, although its host has one of its own by now.
  EXPECT_EQ(aliases.hold(visitor), held);
  EXPECT_EQ(aliases.references(*held), 2U);
  EXPECT_TRUE(aliases.check_invariants());
}

TEST(Ipv6Aliases, TheHashIsOfTheAddressWhateverTheAlias_T8) {
  Ipv6Aliases aliases(1, {1, 2});
  const Ipv4Address visitor = aliases.find_or_visit(host(1));
  const uint64_t hash = aliases.hash_of(visitor);
  const Ipv4Address held = *aliases.hold(visitor);
  EXPECT_EQ(aliases.hash_of(held), hash);
  aliases.release(held);
  // The same alias for another host: another hash.
  EXPECT_EQ(aliases.hold(host(2)), held);
  EXPECT_NE(aliases.hash_of(held), hash);
  // Another key: another hash of the same address.
  Ipv6Aliases others(1, {1, 3});
  EXPECT_NE(others.hash_of(others.find_or_visit(host(1))), hash);
}

TEST(Ipv6Aliases, WhatNobodyHoldsStaysUntilItsPlaceIsNeeded) {
  Ipv6Aliases aliases(2, {1, 2});
  const Ipv4Address first = *aliases.hold(host(1));
  const Ipv4Address second = *aliases.hold(host(2));
  EXPECT_FALSE(aliases.hold(host(3)).has_value());  // full
  aliases.release(first);
  EXPECT_EQ(aliases.find(host(1)), first);
  EXPECT_EQ(aliases.hold(first), first);
  aliases.release(second);
  EXPECT_EQ(aliases.hold(host(3)), second);
  EXPECT_FALSE(aliases.find(host(2)).has_value());
  EXPECT_TRUE(aliases.check_invariants());
}

// Against a map that does the same the slow way.
TEST(Ipv6Aliases, AgreesWithAModelOverManySteps) {
  constexpr uint32_t places = 64;
  Ipv6Aliases aliases(places, {3, 4});
  std::map<uint16_t, uint32_t> references;
  std::vector<std::pair<uint16_t, Ipv4Address>> held;
  Random random(7);
  for (int step = 0; step < 20'000; ++step) {
    if (random.between(0, 99) < 52) {
      const auto number = static_cast<uint16_t>(random.between(1, 200));
      const bool fits = references.count(number) != 0 || references.size() < places;
      const auto alias = aliases.hold(host(number));
      ASSERT_EQ(alias.has_value(), fits);
      if (!alias) continue;
      held.emplace_back(number, *alias);
      ++references[number];
    } else if (!held.empty()) {
      const size_t at = random.between(0, static_cast<uint32_t>(held.size() - 1));
      const auto [number, alias] = held[at];
      ASSERT_EQ(aliases.address(alias), host(number));
      aliases.release(alias);
      if (--references[number] == 0) references.erase(number);
      held.erase(held.begin() + static_cast<ptrdiff_t>(at));
    }
    ASSERT_EQ(aliases.held_count(), references.size());
  }
  EXPECT_EQ(aliases.reference_count(), held.size());
  EXPECT_TRUE(aliases.check_invariants());
}

}  // namespace
}  // namespace millrace::net

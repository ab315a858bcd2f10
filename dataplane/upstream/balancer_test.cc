#include "dataplane/upstream/balancer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/hash.h"

namespace millrace::upstream {
namespace {

using shm::EndpointRecord;

const Instant now = Instant::from_ns(1'000'000'000);

std::vector<EndpointRecord> endpoints(std::initializer_list<uint16_t> flags) {
  std::vector<EndpointRecord> made;
  for (uint16_t flag : flags) {
    made.push_back({.id = made.size() + 1, .address = 1, .port = 80, .flags = flag});
  }
  return made;
}

TEST(Balancer, RoundRobinIsEvenOverReadyEndpoints) {
  EndpointStates states({}, 1);
  Balancer balancer(Policy::round_robin, 1);
  const auto list = endpoints({shm::endpoint_ready, shm::endpoint_ready, 0, shm::endpoint_ready});
  std::map<uint64_t, int> taken;
  for (int i = 0; i < 300; ++i) ++taken[balancer.choose(7, list, 0, states, now).endpoint->id];
  EXPECT_EQ(taken.count(3), 0U) << "not ready";
  // One neighbor of the gap may be favoured by the rotation, never starved.
  for (uint64_t id : {1U, 2U, 4U}) EXPECT_GE(taken[id], 75) << id;
}

TEST(Balancer, ServicesRotateIndependently) {
  EndpointStates states({}, 1);
  Balancer balancer(Policy::round_robin, 1);
  const auto list = endpoints({shm::endpoint_ready, shm::endpoint_ready});
  const uint64_t first = balancer.choose(1, list, 0, states, now).endpoint->id;
  balancer.choose(2, list, 0, states, now);
  EXPECT_NE(balancer.choose(1, list, 0, states, now).endpoint->id, first);
}

TEST(Balancer, TerminatingEndpointsServeOnlyWhenNoneIsReady) {
  EndpointStates states({}, 1);
  Balancer balancer(Policy::round_robin, 1);
  constexpr uint16_t draining = shm::endpoint_serving | shm::endpoint_terminating;
  const auto mixed = endpoints({draining, shm::endpoint_ready});
  for (int i = 0; i < 4; ++i) EXPECT_EQ(balancer.choose(0, mixed, 0, states, now).endpoint->id, 2U);
  const auto only_draining = endpoints({draining, shm::endpoint_terminating});
  EXPECT_EQ(balancer.choose(0, only_draining, 0, states, now).endpoint->id, 1U);
  EXPECT_EQ(balancer.choose(0, endpoints({0, shm::endpoint_terminating}), 0, states, now).endpoint,
            nullptr);
  EXPECT_EQ(balancer.choose(0, {}, 0, states, now).endpoint, nullptr);
}

TEST(Balancer, AvoidsTheFailedEndpointUnlessItIsAlone) {
  EndpointStates states({}, 1);
  Balancer balancer(Policy::round_robin, 1);
  const auto two = endpoints({shm::endpoint_ready, shm::endpoint_ready});
  for (int i = 0; i < 4; ++i) EXPECT_EQ(balancer.choose(0, two, 1, states, now).endpoint->id, 2U);
  const auto one = endpoints({shm::endpoint_ready});
  EXPECT_EQ(balancer.choose(0, one, 1, states, now).endpoint->id, 1U);
}

// One request for each endpoint of `busy`.
void fill(EndpointStates& states, std::initializer_list<uint64_t> busy) {
  for (const uint64_t id : busy) states.enter(id);
}

TEST(Balancer, EndpointsThatHaveAllTheyMayAreLeftOut) {
  EndpointStates states({.requests_max = 1}, 1);
  for (const Policy policy : {Policy::round_robin, Policy::least_requests}) {
    Balancer balancer(policy, 1);
    const auto list = endpoints({shm::endpoint_ready, shm::endpoint_ready, shm::endpoint_ready});
    fill(states, {1, 3});
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(balancer.choose(0, list, 0, states, now).endpoint->id, 2U);
    }
    fill(states, {2});
    const Balancer::Choice none = balancer.choose(0, list, 0, states, now);
    EXPECT_EQ(none.endpoint, nullptr);
    EXPECT_TRUE(none.all_busy);
    EXPECT_FALSE(balancer.choose(0, endpoints({0}), 0, states, now).all_busy) << "not ready";
    for (uint32_t record = 0; record < 3; ++record) states.leave(record);
  }
}

TEST(Balancer, AnEjectedEndpointIsBetterThanNone) {
  EndpointStates states({.failures_max = 1}, 1);
  Balancer balancer(Policy::round_robin, 1);
  constexpr uint16_t draining = shm::endpoint_serving | shm::endpoint_terminating;
  for (const uint64_t id : {1U, 2U}) {
    const uint32_t record = states.enter(id);
    EXPECT_TRUE(states.failed(record, now));
    states.leave(record);
  }
  const auto three = endpoints({shm::endpoint_ready, shm::endpoint_ready, shm::endpoint_ready});
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(balancer.choose(0, three, 0, states, now).endpoint->id, 3U);
  }
  const auto two = endpoints({shm::endpoint_ready, shm::endpoint_ready});
  std::map<uint64_t, int> taken;
  for (int i = 0; i < 10; ++i) ++taken[balancer.choose(0, two, 0, states, now).endpoint->id];
  EXPECT_EQ(taken.size(), 2U) << "both are tried";
  const auto with_draining = endpoints({shm::endpoint_ready, 0, draining});
  EXPECT_EQ(balancer.choose(0, with_draining, 0, states, now).endpoint->id, 3U);
  EXPECT_EQ(balancer.choose(0, two, 1, states, now).endpoint->id, 2U) << "not the one just tried";
  EXPECT_EQ(balancer.choose(0, endpoints({draining}), 0, states, now).endpoint->id, 1U);
  EXPECT_EQ(balancer.choose(0, endpoints({shm::endpoint_ready}), 1, states, now).endpoint->id, 1U);
}

TEST(Balancer, LeastRequestsPrefersWhoHasFewer) {
  EndpointStates states({}, 1);
  Balancer balancer(Policy::least_requests, 1);
  const auto list = endpoints({shm::endpoint_ready, shm::endpoint_ready, shm::endpoint_ready});
  for (int i = 0; i < 10; ++i) fill(states, {2});
  std::map<uint64_t, int> taken;
  for (int i = 0; i < 3'000; ++i) ++taken[balancer.choose(0, list, 0, states, now).endpoint->id];
  EXPECT_EQ(taken.count(2), 0U) << "the other of a pair has fewer, always";
  EXPECT_GT(taken[1], 1'000);
  EXPECT_GT(taken[3], 1'000);
  const auto pair = endpoints({shm::endpoint_ready, 0});
  EXPECT_EQ(balancer.choose(0, pair, 0, states, now).endpoint->id, 1U);
  EXPECT_EQ(balancer.choose(0, endpoints({shm::endpoint_ready}), 0, states, now).endpoint->id, 1U);
}

// Ids as the control plane makes them: hashes.
std::vector<EndpointRecord> hashed_endpoints(uint32_t count) {
  std::vector<EndpointRecord> made;
  for (uint32_t i = 0; i < count; ++i) {
    made.push_back({.id = hash_finish(hash_text(std::to_string(i))) | 1,
                    .address = i + 1,
                    .port = 80,
                    .flags = shm::endpoint_ready});
  }
  std::sort(made.begin(), made.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return made;
}

uint64_t id_by_hash(Balancer& balancer, std::span<const EndpointRecord> list, uint64_t hash,
                    const EndpointStates& states) {
  Balancer::Wish wish;
  wish.hash = hash;
  return balancer.choose(0, list, 0, wish, states, now).endpoint->id;
}

TEST(Balancer, AHashIsEvenAndTheSameEverywhere) {
  EndpointStates states({}, 1);
  Balancer one(Policy::round_robin, 1);
  Balancer other(Policy::least_requests, 2);
  for (const auto& list : {hashed_endpoints(7), endpoints({1, 1, 1, 1, 1, 1, 1})}) {
    std::map<uint64_t, int> taken;
    for (uint64_t i = 0; i < 7'000; ++i) {
      const uint64_t hash = hash_finish(hash_text("client " + std::to_string(i)));
      const uint64_t id = id_by_hash(one, list, hash, states);
      EXPECT_EQ(id_by_hash(other, list, hash, states), id);
      ++taken[id];
    }
    ASSERT_EQ(taken.size(), 7U);
    for (const auto& [id, count] : taken) {  // 5 standard deviations of 1,000
      EXPECT_GT(count, 850) << id;
      EXPECT_LT(count, 1'150) << id;
    }
  }
}

TEST(Balancer, AnEndpointThatComesOrGoesMovesNoOtherRequest) {
  EndpointStates states({}, 1);
  Balancer balancer(Policy::round_robin, 1);
  const auto all = hashed_endpoints(9);
  auto fewer = all;
  const uint64_t gone = fewer[4].id;
  fewer.erase(fewer.begin() + 4);
  auto not_ready = all;
  not_ready[4].flags = 0;
  int moved = 0;
  for (uint64_t hash = 1; hash < 2'000; ++hash) {
    const uint64_t before = id_by_hash(balancer, all, hash, states);
    const uint64_t after = id_by_hash(balancer, fewer, hash, states);
    EXPECT_EQ(id_by_hash(balancer, not_ready, hash, states), after);
    if (before == after) continue;
    EXPECT_EQ(before, gone);
    ++moved;
  }
  EXPECT_GT(moved, 100);
}

TEST(Balancer, AHashedRequestGoesElsewhereWhereItsEndpointIsBusyOrJustFailed) {
  EndpointStates states({.requests_max = 1}, 1);
  Balancer balancer(Policy::round_robin, 1);
  const auto list = hashed_endpoints(3);
  Balancer::Wish wish;
  wish.hash = 99;
  const uint64_t first = balancer.choose(0, list, 0, wish, states, now).endpoint->id;
  const uint64_t second = balancer.choose(0, list, first, wish, states, now).endpoint->id;
  EXPECT_NE(second, first);
  fill(states, {first});
  EXPECT_EQ(balancer.choose(0, list, 0, wish, states, now).endpoint->id, second);
  for (const EndpointRecord& endpoint : list) {
    if (endpoint.id != first) fill(states, {endpoint.id});
  }
  EXPECT_TRUE(balancer.choose(0, list, 0, wish, states, now).all_busy);
}

TEST(Balancer, WhoHadAnEndpointComesBackToItWhileItMayTakeRequests) {
  EndpointStates states({.requests_max = 1}, 1);
  Balancer balancer(Policy::round_robin, 1);
  auto list = hashed_endpoints(4);
  Balancer::Wish wish;
  wish.stick_to = list[2].id;
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(balancer.choose(0, list, 0, wish, states, now).endpoint->id, list[2].id);
  }
  EXPECT_NE(balancer.choose(0, list, list[2].id, wish, states, now).endpoint->id, list[2].id);
  wish.stick_to = list[2].id + 1;  // nobody's
  EXPECT_NE(balancer.choose(0, list, 0, wish, states, now).endpoint, nullptr);
  wish.stick_to = list[2].id;
  fill(states, {list[2].id});
  EXPECT_NE(balancer.choose(0, list, 0, wish, states, now).endpoint->id, list[2].id);
  list[2].flags = 0;
  EXPECT_NE(balancer.choose(0, list, 0, wish, states, now).endpoint->id, list[2].id);
}

TEST(Balancer, AServiceMayHaveAPolicyOfItsOwn) {
  EndpointStates states({}, 1);
  Balancer balancer(Policy::round_robin, 1);
  const auto list = hashed_endpoints(2);
  fill(states, {list[0].id, list[0].id, list[1].id});
  Balancer::Wish wish;
  wish.policy = Policy::least_requests;
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(balancer.choose(0, list, 0, wish, states, now).endpoint->id, list[1].id);
  }
}

}  // namespace
}  // namespace millrace::upstream

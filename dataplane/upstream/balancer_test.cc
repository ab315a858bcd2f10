#include "dataplane/upstream/balancer.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

namespace millrace::upstream {
namespace {

using shm::EndpointRecord;

std::vector<EndpointRecord> endpoints(std::initializer_list<uint16_t> flags) {
  std::vector<EndpointRecord> made;
  for (uint16_t flag : flags) {
    made.push_back({.id = made.size() + 1, .address = 1, .port = 80, .flags = flag});
  }
  return made;
}

TEST(Balancer, RoundRobinIsEvenOverReadyEndpoints) {
  Balancer balancer(1);
  const auto list = endpoints({shm::endpoint_ready, shm::endpoint_ready, 0, shm::endpoint_ready});
  std::map<uint64_t, int> taken;
  for (int i = 0; i < 300; ++i) ++taken[balancer.choose(7, list, 0)->id];
  EXPECT_EQ(taken.count(3), 0U) << "not ready";
  // One neighbor of the gap may be favoured by the rotation, never starved.
  for (uint64_t id : {1U, 2U, 4U}) EXPECT_GE(taken[id], 75) << id;
}

TEST(Balancer, ServicesRotateIndependently) {
  Balancer balancer(1);
  const auto list = endpoints({shm::endpoint_ready, shm::endpoint_ready});
  const uint64_t first = balancer.choose(1, list, 0)->id;
  balancer.choose(2, list, 0);
  EXPECT_NE(balancer.choose(1, list, 0)->id, first);
}

TEST(Balancer, TerminatingEndpointsServeOnlyWhenNoneIsReady) {
  Balancer balancer(1);
  constexpr uint16_t draining = shm::endpoint_serving | shm::endpoint_terminating;
  const auto mixed = endpoints({draining, shm::endpoint_ready});
  for (int i = 0; i < 4; ++i) EXPECT_EQ(balancer.choose(0, mixed, 0)->id, 2U);
  const auto only_draining = endpoints({draining, shm::endpoint_terminating});
  EXPECT_EQ(balancer.choose(0, only_draining, 0)->id, 1U);
  EXPECT_EQ(balancer.choose(0, endpoints({0, shm::endpoint_terminating}), 0), nullptr);
  EXPECT_EQ(balancer.choose(0, {}, 0), nullptr);
}

TEST(Balancer, AvoidsTheFailedEndpointUnlessItIsAlone) {
  Balancer balancer(1);
  const auto two = endpoints({shm::endpoint_ready, shm::endpoint_ready});
  for (int i = 0; i < 4; ++i) EXPECT_EQ(balancer.choose(0, two, 1)->id, 2U);
  const auto one = endpoints({shm::endpoint_ready});
  EXPECT_EQ(balancer.choose(0, one, 1)->id, 1U);
}

}  // namespace
}  // namespace millrace::upstream

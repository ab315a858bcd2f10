#include "dataplane/proxy/client_limits.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "base/random.h"

namespace millrace::proxy {
namespace {

const Instant start = Instant::from_ns(5'000'000'000);

TEST(ClientLimits, AClientIsAnAddressOrANetworkOfIpv6) {
  EXPECT_EQ(ClientLimits::key_of("192.0.2.1"), ClientLimits::key_of("192.0.2.1"));
  EXPECT_NE(ClientLimits::key_of("192.0.2.1"), ClientLimits::key_of("192.0.2.2"));
  EXPECT_EQ(ClientLimits::key_of("2001:db8::1"), ClientLimits::key_of("2001:db8:0:0:ffff::9"));
  EXPECT_NE(ClientLimits::key_of("2001:db8::1"), ClientLimits::key_of("2001:db8:0:1::1"));
  EXPECT_NE(ClientLimits::key_of("0.0.0.0"), ClientLimits::key_of("::"));
  EXPECT_EQ(ClientLimits::key_of("::ffff:192.0.2.1"), ClientLimits::key_of("192.0.2.1"));
}

TEST(ClientLimits, ConnectionsAreCountedByClient) {
  ClientLimits limits({.connections_max = 2}, 16, 1);
  EXPECT_TRUE(limits.open(1));
  EXPECT_TRUE(limits.open(1));
  EXPECT_FALSE(limits.open(1));
  EXPECT_TRUE(limits.open(2));
  limits.close(1);
  EXPECT_TRUE(limits.open(1));
  EXPECT_FALSE(limits.open(1));
}

TEST(ClientLimits, ASecondsRequestsAtOnceThenTheRate) {
  ClientLimits limits({.requests_per_second_max = 10}, 16, 1);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(limits.take_request(7, start)) << i;
  EXPECT_FALSE(limits.take_request(7, start));
  EXPECT_FALSE(limits.take_request(7, start + Duration::milliseconds(99)));
  EXPECT_TRUE(limits.take_request(7, start + Duration::milliseconds(100)));
  EXPECT_FALSE(limits.take_request(7, start + Duration::milliseconds(100)));
  EXPECT_TRUE(limits.take_request(8, start));
  // A steady rate is never refused, however long it goes on.
  for (int i = 0; i < 1'000; ++i) {
    EXPECT_TRUE(limits.take_request(9, start + Duration::milliseconds(100 * i)));
  }
  // Nor does what was not asked for heap up.
  const Instant later = start + Duration::seconds(1'000);
  int taken = 0;
  while (limits.take_request(9, later)) ++taken;
  EXPECT_EQ(taken, 10);
}

TEST(ClientLimits, WhoHasAConnectionIsNeverForgotten) {
  constexpr uint32_t connections = 8;
  ClientLimits limits({.connections_max = 1, .requests_per_second_max = 1}, connections, 1);
  for (uint64_t client = 0; client < connections; ++client) EXPECT_TRUE(limits.open(client));
  // More strangers than there are records.
  for (uint64_t client = 100; client < 20'000; ++client) {
    EXPECT_TRUE(limits.take_request(client, start));
  }
  for (uint64_t client = 0; client < connections; ++client) {
    EXPECT_FALSE(limits.open(client));
    limits.close(client);
    EXPECT_TRUE(limits.open(client));
  }
  // The last ones are known still, the first ones are not.
  EXPECT_FALSE(limits.take_request(19'999, start));
  EXPECT_TRUE(limits.take_request(100, start));
}

// Against a table that forgets nobody.
TEST(ClientLimits, CountsAsATableWithoutBoundsWould) {
  constexpr uint32_t connections = 64;
  ClientLimits limits({.connections_max = 3}, connections, 5);
  Random random(11);
  std::map<uint64_t, uint32_t> expected;
  std::vector<uint64_t> open;
  for (int step = 0; step < 50'000; ++step) {
    if (open.size() < connections && random.below(2) == 0) {
      const uint64_t client = random.below(40) << 40;
      const bool wanted = expected[client] < 3;
      ASSERT_EQ(limits.open(client), wanted);
      if (!wanted) continue;
      ++expected[client];
      open.push_back(client);
    } else if (!open.empty()) {
      const size_t which = random.below(open.size());
      limits.close(open[which]);
      --expected[open[which]];
      open.erase(open.begin() + static_cast<ptrdiff_t>(which));
    }
  }
}

TEST(ClientLimits, WithoutLimitsThereIsNoTable) {
  const ClientLimits limits({}, 1'000'000, 1);
  EXPECT_FALSE(limits.limits_connections());
  EXPECT_FALSE(limits.limits_requests());
  EXPECT_EQ(limits.memory_bytes(), 0U);
}

}  // namespace
}  // namespace millrace::proxy

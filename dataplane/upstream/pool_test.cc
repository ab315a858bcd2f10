#include "dataplane/upstream/pool.h"

#include <gtest/gtest.h>

namespace millrace::upstream {
namespace {

constexpr Instant start = Instant::from_ns(1'000'000'000);

TEST(Pool, LastInFirstOutPerEndpoint) {
  Pool pool({.connections = 8, .idle = 8, .idle_per_endpoint = 8}, 1);
  const uint32_t a = pool.add({}, 10);
  const uint32_t b = pool.add({}, 10);
  const uint32_t other = pool.add({}, 11);
  for (uint32_t index : {a, b, other}) EXPECT_EQ(pool.put_idle(index, start), Pool::none);
  EXPECT_EQ(pool.take_idle(10), b);
  EXPECT_EQ(pool.take_idle(10), a);
  EXPECT_EQ(pool.take_idle(10), Pool::none) << "H28: never another endpoint's connection";
  EXPECT_EQ(pool.idle_count(), 1U);
}

TEST(Pool, FullPoolDisplacesTheLongestIdle) {
  Pool pool({.connections = 8, .idle = 2, .idle_per_endpoint = 8}, 1);
  const uint32_t a = pool.add({}, 1);
  const uint32_t b = pool.add({}, 2);
  const uint32_t c = pool.add({}, 3);
  pool.put_idle(a, start);
  pool.put_idle(b, start);
  EXPECT_EQ(pool.put_idle(c, start), a);
  EXPECT_FALSE(pool.is_idle(a));
  EXPECT_EQ(pool.take_idle(1), Pool::none);
}

TEST(Pool, EndpointBoundRefusesTheNewest) {
  Pool pool({.connections = 8, .idle = 8, .idle_per_endpoint = 1}, 1);
  const uint32_t a = pool.add({}, 1);
  const uint32_t b = pool.add({}, 1);
  EXPECT_EQ(pool.put_idle(a, start), Pool::none);
  EXPECT_EQ(pool.put_idle(b, start), b);
}

TEST(Pool, ExpiresByAge) {
  Pool pool({.connections = 8, .idle = 8, .idle_per_endpoint = 8}, 1);
  const uint32_t a = pool.add({}, 1);
  pool.put_idle(a, start);
  EXPECT_EQ(pool.expired(start + Duration::seconds(30)), Pool::none);
  EXPECT_EQ(pool.expired(start + Duration::seconds(31)), a);
  pool.remove_idle(a);
  pool.release(a);
  EXPECT_EQ(pool.count(), 0U);
}

}  // namespace
}  // namespace millrace::upstream

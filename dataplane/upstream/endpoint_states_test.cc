#include "dataplane/upstream/endpoint_states.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "base/random.h"

namespace millrace::upstream {
namespace {

using Verdict = EndpointStates::Verdict;
const Instant start = Instant::from_ns(1'000'000'000);
Instant after(int64_t seconds) {
  return start + Duration::seconds(seconds);
}

TEST(EndpointStates, RequestsAreCountedUpToTheLimit) {
  EndpointStates states({.requests_max = 2}, 1);
  EXPECT_EQ(states.look(7, start).verdict, Verdict::free);
  const uint32_t first = states.enter(7);
  EXPECT_EQ(states.look(7, start).requests, 1U);
  const uint32_t second = states.enter(7);
  EXPECT_EQ(first, second);
  EXPECT_EQ(states.look(7, start).verdict, Verdict::busy);
  EXPECT_EQ(states.look(8, start).verdict, Verdict::free);
  states.leave(first);
  EXPECT_EQ(states.look(7, start).verdict, Verdict::free);
  states.leave(second);
  EXPECT_EQ(states.look(7, start).requests, 0U);
}

TEST(EndpointStates, NoLimitIsNone) {
  EndpointStates states({.requests_max = 0, .failures_max = 0}, 1);
  uint32_t record = EndpointStates::none;
  for (int i = 0; i < 10'000; ++i) record = states.enter(7);
  EXPECT_EQ(states.look(7, start).verdict, Verdict::free);
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(states.failed(record, start));
}

TEST(EndpointStates, FailuresInARowEjectForLongerEachTime) {
  EndpointStates states({}, 1);
  const uint32_t record = states.enter(7);
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(states.failed(record, start));
  states.succeeded(record);
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(states.failed(record, start)) << "counted anew";
  EXPECT_TRUE(states.failed(record, start));
  EXPECT_EQ(states.look(7, start).verdict, Verdict::ejected);
  EXPECT_EQ(states.look(7, after(10) - Duration::nanoseconds(1)).verdict, Verdict::ejected);
  EXPECT_EQ(states.look(7, after(10)).verdict, Verdict::free);
  // One more failure is enough now, and it lasts twice as long; at most five minutes.
  Instant now = after(10);
  for (const int64_t seconds : {20, 40, 80, 160, 300, 300, 300}) {
    EXPECT_TRUE(states.failed(record, now));
    EXPECT_EQ(states.look(7, now + Duration::seconds(seconds) - Duration::nanoseconds(1)).verdict,
              Verdict::ejected);
    now = now + Duration::seconds(seconds);
    EXPECT_EQ(states.look(7, now).verdict, Verdict::free) << seconds;
  }
  states.succeeded(record);
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(states.failed(record, now)) << "all is forgiven";
}

TEST(EndpointStates, RequestsThatWereThereBeforeDoNotEjectAgain) {
  EndpointStates states({.failures_max = 1}, 1);
  const uint32_t record = states.enter(7);
  EXPECT_TRUE(states.failed(record, start));
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(states.failed(record, after(1)));
  EXPECT_EQ(states.look(7, after(10)).verdict, Verdict::free);
}

TEST(EndpointStates, AFullTableForgetsOneAtRestAndNeverABusyOne) {
  EndpointStates states({.endpoints = 3, .requests_max = 1}, 1);
  const uint32_t busy = states.enter(1);
  const uint32_t at_fault = states.enter(2);
  EXPECT_FALSE(states.failed(at_fault, start));
  states.leave(at_fault);
  states.leave(states.enter(3));
  states.enter(4);
  EXPECT_EQ(states.count(), 3U);
  EXPECT_EQ(states.look(1, start).verdict, Verdict::busy);
  EXPECT_EQ(states.look(4, start).verdict, Verdict::busy);
  EXPECT_EQ(states.look(2, start).record, at_fault) << "what it did is remembered for longer";
  EXPECT_EQ(states.look(3, start).record, EndpointStates::none);
  states.enter(5);
  EXPECT_EQ(states.look(2, start).record, EndpointStates::none);
  // All are busy: one more stays unknown, which limits nothing, and nothing breaks.
  EXPECT_EQ(states.enter(6), EndpointStates::none);
  states.succeeded(EndpointStates::none);
  EXPECT_FALSE(states.failed(EndpointStates::none, start));
  states.leave(EndpointStates::none);
  EXPECT_EQ(states.look(6, start).verdict, Verdict::free);
  states.leave(busy);
  EXPECT_NE(states.enter(6), EndpointStates::none);
}

// Against a map, with ids that collide in a small table.
TEST(EndpointStates, AgreesWithAMapOverManyEndpoints) {
  EndpointStates states({.endpoints = 64, .requests_max = 1'000}, 3);
  Random random(5);
  std::map<uint64_t, uint32_t> requests;
  std::multimap<uint64_t, uint32_t> entered;
  for (int step = 0; step < 50'000; ++step) {
    if (random.below(2) == 0 && entered.size() < 60) {
      const uint64_t id = random.below(200);
      const uint32_t record = states.enter(id);
      ASSERT_NE(record, EndpointStates::none);
      entered.emplace(id, record);
      ++requests[id];
    } else if (!entered.empty()) {
      auto one = entered.begin();
      std::advance(one, static_cast<long>(random.below(entered.size())));
      states.leave(one->second);
      --requests[one->first];
      entered.erase(one);
    }
    const uint64_t id = random.below(200);
    ASSERT_EQ(states.look(id, start).requests, requests[id]) << step;
  }
}

}  // namespace
}  // namespace millrace::upstream

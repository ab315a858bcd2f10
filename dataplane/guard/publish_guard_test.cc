#include "dataplane/guard/publish_guard.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "dataplane/guard/guard_test_support.h"
#include "dataplane/route/router.h"
#include "dataplane/traffic_rows.h"

namespace millrace::guard {
namespace {

using testing::TableRoute;
using testing::Tables;

class PublishGuardTest : public ::testing::Test {
 protected:
  PublishGuardTest() {
    auto page = shm::TrafficPage::create(shm::traffic_rows_fixed + 64, 1);
    CHECK(page.ok());
    page_ = std::move(*page);
    rows_ = std::make_unique<TrafficRows>(*page_);
    auto counts = shm::TrafficCounts::map(*page_, 1);
    CHECK(counts.ok());
    counts_ = std::move(*counts);
    restart({});
  }

  void restart(const Limits& limits) {
    guard_ = std::make_unique<PublishGuard>(limits, *counts_);
    current_ = {};
  }

  void install(std::shared_ptr<const shm::Snapshot> table, bool is_deliberate = false) {
    Installed next{table, rows_->map(table->view()), is_deliberate};
    guard_->installed(current_, next, now_);
    current_ = next;
  }

  // As a worker counts: in the row of the route, of its service, and of the class of the status.
  void ask(const std::string& host, int good, int bad, const std::string& path = "/x") {
    const route::RouteMatch match = route::match(current_.snapshot->view(), host, path);
    ASSERT_NE(match.found, route::RouteFound::none);
    shm::TrafficWriter writer = page_->writer(0);
    for (int i = 0; i < good + bad; ++i) {
      shm::TrafficExchange exchange;
      exchange.status = i < good ? 200 : 502;
      writer.count(current_.rows->route(match.route.segment, match.route.route),
                   shm::traffic_row_other_routes, exchange);
      writer.count(current_.rows->service(match.service_slot), shm::traffic_row_other_services,
                   exchange);
      writer.count_class(exchange);
    }
  }

  std::optional<Verdict> turn(Duration later = Duration::milliseconds(100)) {
    now_ = now_ + later;
    return guard_->turn(current_, now_);
  }

  // A minute in which everything is well.
  void live(const std::vector<std::string>& hosts, int bad_percent = 0) {
    for (int i = 0; i < 6; ++i) {
      for (const std::string& host : hosts) ask(host, 100 - bad_percent, bad_percent);
      EXPECT_FALSE(turn(Duration::seconds(10)));
    }
  }

  std::unique_ptr<shm::TrafficPage> page_;
  std::unique_ptr<TrafficRows> rows_;
  std::unique_ptr<shm::TrafficCounts> counts_;
  std::unique_ptr<PublishGuard> guard_;
  Tables tables_;
  Installed current_;
  Instant now_ = Instant::from_ns(1'000'000'000'000);
};

const std::vector<TableRoute> usual = {{"a.example", "/", "one"}, {"b.example", "/", "other"}};
const std::vector<TableRoute> changed = {{"a.example", "/", "two"}, {"b.example", "/", "other"}};

TEST_F(PublishGuardTest, AChangedRouteThatFailsIsBlamedAfterFiftyRequests) {
  install(tables_.make(usual));
  const auto good_table = current_.snapshot;
  live({"a.example", "b.example"});
  install(tables_.make(changed));
  ask("a.example", 0, 49);
  ask("b.example", 49, 0);
  EXPECT_FALSE(turn()) << "49 requests are too few";
  ask("a.example", 0, 1);
  const auto verdict = turn();
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->bad_version, current_.snapshot->version());
  EXPECT_EQ(verdict->before, good_table);
  EXPECT_NE(verdict->sentence.find("a.example/, from shop/one:80 to shop/two:80: 100 % of 50"),
            std::string::npos)
      << verdict->sentence;
  EXPECT_FALSE(turn()) << "said once";
}

TEST_F(PublishGuardTest, WhatWasBadBeforeIsNoJump) {
  install(tables_.make(usual));
  live({"a.example", "b.example"}, 60);
  install(tables_.make(changed));
  ask("a.example", 40, 60);
  EXPECT_FALSE(turn());
  EXPECT_EQ(guard_->watched(), 0U) << "judged, and well enough";
}

TEST_F(PublishGuardTest, WhenEverythingFailsTheVersionIsNotToBlame) {
  install(tables_.make(usual));
  live({"a.example", "b.example"});
  install(tables_.make(changed));
  ask("a.example", 0, 80);
  ask("b.example", 5, 75);
  EXPECT_FALSE(turn());
}

TEST_F(PublishGuardTest, ABackendThatFailsForOtherRoutesTooIsNotTheVersions) {
  // b.example leads to service two all the time.
  install(tables_.make(
      {{"a.example", "/", "one"}, {"b.example", "/", "two"}, {"c.example", "/", "three"}}));
  live({"a.example", "b.example", "c.example"});
  install(tables_.make(
      {{"a.example", "/", "two"}, {"b.example", "/", "two"}, {"c.example", "/", "three"}}));
  ask("c.example", 2'000, 0);  // the rest of the world is well
  ask("a.example", 0, 80);
  ask("b.example", 10, 40);
  EXPECT_FALSE(turn());
  EXPECT_EQ(guard_->watched(), 0U);
}

TEST_F(PublishGuardTest, AnOutageThatTheClusterKnowsOfIsNotTheVersions) {
  install(tables_.make(usual));
  live({"a.example", "b.example"});
  install(tables_.make(changed));
  ask("a.example", 0, 30);
  // Its endpoint is no longer ready: another table comes.
  tables_.endpoints("two", {});
  install(tables_.make(changed));
  ask("a.example", 0, 100);
  EXPECT_FALSE(turn());
}

TEST_F(PublishGuardTest, AnOutageLongAfterTheChangeIsNotTheVersions) {
  install(tables_.make(usual));
  live({"a.example", "b.example"});
  install(tables_.make(changed));
  ask("a.example", 60, 0);
  EXPECT_FALSE(turn());
  EXPECT_EQ(guard_->watched(), 0U);
  ask("a.example", 0, 500);
  EXPECT_FALSE(turn());
}

TEST_F(PublishGuardTest, AServiceWithoutEndpointsIsABadChange) {
  install(tables_.make(usual));
  live({"a.example", "b.example"});
  tables_.endpoints("two", {});
  install(tables_.make(changed));
  ask("a.example", 0, 60);
  ask("b.example", 60, 0);
  EXPECT_TRUE(turn());
}

TEST_F(PublishGuardTest, ManyRoutesOfFewRequestsAreJudgedTogether) {
  std::vector<TableRoute> one, two;
  std::vector<std::string> hosts;
  for (int i = 0; i < 20; ++i) {
    hosts.push_back("h" + std::to_string(i) + ".example");
    one.push_back({hosts.back(), "/", "one"});
    two.push_back({hosts.back(), "/", "two"});
  }
  install(tables_.make(one));
  live(hosts);
  install(tables_.make(two));
  for (const std::string& host : hosts) ask(host, 0, 4);
  const auto verdict = turn();
  ASSERT_TRUE(verdict);
  EXPECT_NE(verdict->sentence.find("20 changed routes"), std::string::npos) << verdict->sentence;
}

TEST_F(PublishGuardTest, ALaterTableDoesNotHideTheBadOne) {
  install(tables_.make(usual));
  const auto good_table = current_.snapshot;
  live({"a.example", "b.example"});
  install(tables_.make(changed));
  const uint64_t bad = current_.snapshot->version();
  // Endpoints of another service come and go.
  for (int i = 0; i < 20; ++i) {
    tables_.endpoints("other", {"10.0.9." + std::to_string(i + 1) + ":80"});
    install(tables_.make(changed));
    ask("b.example", 5, 0);
    EXPECT_FALSE(turn());
  }
  ask("a.example", 5, 60);
  const auto verdict = turn();
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->bad_version, bad);
  EXPECT_EQ(verdict->before, good_table);
}

TEST_F(PublishGuardTest, AMistakeThatWasMendedTakesNothingBack) {
  install(tables_.make(usual));
  live({"a.example", "b.example"});
  tables_.endpoints("two", {});
  install(tables_.make(changed));
  ask("a.example", 0, 30);
  EXPECT_FALSE(turn());
  // Mended, and something else comes with it.
  install(tables_.make({{"a.example", "/", "three"}, {"b.example", "/", "other"}}));
  ask("a.example", 40, 0);
  ask("b.example", 60, 0);
  EXPECT_FALSE(turn());
  // Or taken out altogether.
  install(tables_.make(changed));
  ask("a.example", 0, 30);
  install(tables_.make({{"b.example", "/", "other"}}));
  EXPECT_FALSE(turn());
  EXPECT_EQ(guard_->watched(), 0U);
}

Limits acting() {
  Limits limits;
  limits.mode = Mode::act;
  return limits;
}

TEST_F(PublishGuardTest, WhatAnOperatorChoseIsNotTakenBack) {
  restart(acting());
  install(tables_.make(usual));
  live({"a.example", "b.example"});
  install(tables_.make(changed), true);
  ask("a.example", 0, 60);
  ask("b.example", 60, 0);
  const auto verdict = turn();
  ASSERT_TRUE(verdict) << "it is watched, and said";
  EXPECT_FALSE(verdict->is_to_act);
}

TEST_F(PublishGuardTest, WhatWasWatchedBeforeTheOperatorsChoiceTakesNothingBackEither) {
  restart(acting());
  install(tables_.make(usual));
  live({"a.example", "b.example"});
  install(tables_.make(changed));
  ask("a.example", 0, 30);
  EXPECT_FALSE(turn());
  // What the operator goes back to leads a.example to the same place, ...
  tables_.endpoints("other", {"10.0.9.1:80"});
  install(tables_.make(changed), true);
  // ... and what is published after a release does too.
  tables_.endpoints("other", {"10.0.9.2:80"});
  install(tables_.make(changed));
  ask("a.example", 0, 60);
  ask("b.example", 60, 0);
  const auto verdict = turn();
  ASSERT_TRUE(verdict);
  EXPECT_FALSE(verdict->is_to_act) << "it would undo the operator's choice and the release";
}

TEST_F(PublishGuardTest, AnOperatorWhoChoosesWhatIsThereIsNotContradictedEither) {
  restart({.mode = Mode::act});
  install(tables_.make(usual));
  live({"a.example", "b.example"});
  install(tables_.make(changed));
  ask("a.example", 0, 30);
  install(current_.snapshot, true);
  EXPECT_EQ(guard_->watched(), 1U);
  ask("a.example", 0, 30);
  ask("b.example", 60, 0);
  const auto verdict = turn();
  ASSERT_TRUE(verdict);
  EXPECT_FALSE(verdict->is_to_act);
}

TEST_F(PublishGuardTest, AVerdictThatIsOnlySaidEndsNoOtherTrial) {
  restart(acting());
  install(tables_.make(usual));
  live({"a.example", "b.example"});
  install(tables_.make(changed), true);
  install(tables_.make({{"a.example", "/", "two"}, {"b.example", "/", "three"}}));
  ask("b.example", 20, 0);
  ask("a.example", 0, 60);
  const auto said = turn();
  ASSERT_TRUE(said);
  EXPECT_FALSE(said->is_to_act);
  // Of the table that the objects asked for behind it, the other route fails now.
  ask("a.example", 3'000, 0);
  ask("b.example", 0, 80);
  const auto verdict = turn();
  ASSERT_TRUE(verdict);
  EXPECT_TRUE(verdict->is_to_act);
}

TEST_F(PublishGuardTest, WhoDoesWellIsAcquittedOnce) {
  restart(acting());
  install(tables_.make(usual));
  live({"a.example", "b.example"});
  EXPECT_EQ(guard_->acquitted(), 0U) << "nothing was on trial";
  install(tables_.make(changed));
  ask("a.example", 49, 0);
  EXPECT_FALSE(turn());
  EXPECT_EQ(guard_->acquitted(), 0U);
  EXPECT_EQ(guard_->watched(), 1U);
  ask("a.example", 1, 0);
  EXPECT_FALSE(turn());
  EXPECT_FALSE(turn());
  EXPECT_EQ(guard_->acquitted(), 1U);
  EXPECT_EQ(guard_->watched(), 0U);
}

TEST_F(PublishGuardTest, NobodyAskedOrNobodyToldIsNotJudged) {
  install(tables_.make(usual));
  live({"b.example"});  // a.example has no past
  install(tables_.make(changed));
  ask("a.example", 0, 100);
  EXPECT_FALSE(turn());
  Limits off;
  off.mode = Mode::off;
  restart(off);
  install(tables_.make(usual));
  live({"a.example", "b.example"});
  install(tables_.make(changed));
  ask("a.example", 0, 100);
  EXPECT_FALSE(turn());
}

TEST_F(PublishGuardTest, AVersionIsWatchedForALimitedTime) {
  install(tables_.make(usual));
  live({"a.example", "b.example"});
  install(tables_.make(changed));
  EXPECT_EQ(guard_->watched(), 1U);
  EXPECT_FALSE(turn(Limits().watch_max + Duration::seconds(1)));
  EXPECT_EQ(guard_->watched(), 0U);
}

TEST_F(PublishGuardTest, ThePastIsTheLastMinuteAndNoMore) {
  install(tables_.make(usual));
  live({"a.example", "b.example"});                                  // well for a long time,
  for (int i = 0; i < 2; ++i) live({"a.example", "b.example"}, 90);  // ill for two minutes
  install(tables_.make(changed));
  ask("a.example", 20, 80);
  ask("b.example", 100, 0);
  EXPECT_FALSE(turn()) << "it was as ill before";
}

// Failures by chance: a service that fails now and then is not blamed for bad luck.
TEST_F(PublishGuardTest, ChanceIsNoReason) {
  Random random(11);
  int blamed = 0;
  for (int round = 0; round < 400; ++round) {
    restart({});
    install(tables_.make(usual));
    const auto ask_some = [&](const std::string& host, int count) {
      int bad = 0;
      for (int i = 0; i < count; ++i) bad += random.chance(0.1) ? 1 : 0;
      ask(host, count - bad, bad);
    };
    for (int i = 0; i < 6; ++i) {
      ask_some("a.example", 40);
      ask_some("b.example", 40);
      turn(Duration::seconds(10));
    }
    install(tables_.make(changed));
    for (int i = 0; i < 10; ++i) {
      ask_some("a.example", 12);
      ask_some("b.example", 12);
      blamed += turn() ? 1 : 0;
    }
  }
  EXPECT_EQ(blamed, 0);
}

}  // namespace
}  // namespace millrace::guard

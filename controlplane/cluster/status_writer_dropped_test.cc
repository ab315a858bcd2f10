// What is served no more loses the address that we wrote, once, however late that comes to be
// known.
#include <gtest/gtest.h>

#include "controlplane/cluster/status_writer_test_support.h"

namespace millrace::cluster {
namespace {

TEST_F(StatusWriterTest, WhatIsDroppedWhileItIsWrittenIsClearedBehindThat) {
  add("a");
  serve_these({{"shop", "a"}});
  writer_->turn(now_, store_, true);
  EXPECT_EQ(api_.calls, 1u);
  serve_these({});
  run(Duration::seconds(10));
  EXPECT_EQ(requests_["a"], 2);
  EXPECT_EQ(ip("a"), "");
  EXPECT_EQ(writer_->remembered(), 0u);
}

TEST_F(StatusWriterTest, IngressesThatComeAndGoWhileAllIsRefusedLeaveNothing) {
  std::set<IngressName> names = add_many(100);
  serve_these(names);
  answer_ = 403;
  for (int round = 0; round < 300; ++round) {
    const IngressName name("shop", "z" + std::to_string(round));
    add(name.second, "192.0.2.7");
    names.insert(name);
    serve_these(names);
    run(Duration::seconds(1));
    store_.remove({k8s::Kind::ingress, name.first, name.second});
    names.erase(name);
    serve_these(names);
    run(Duration::seconds(1));
  }
  EXPECT_LE(writer_->remembered(), 210u) << "each that lasts as failed and as to be tried again";
}

TEST_F(StatusWriterTest, IngressesThatComeAndGoLeaveNothing) {
  for (int round = 0; round < 50; ++round) {
    const std::string name = "i" + std::to_string(round);
    add(name);
    serve_these({{"shop", name}});
    run(Duration::milliseconds(200), round % 2 == 0);
    store_.remove({k8s::Kind::ingress, "shop", name});
    serve_these({});
    run(Duration::milliseconds(200), round % 2 == 0);
  }
  run(status_settle_time + Duration::seconds(10));
  EXPECT_EQ(writer_->due(), Instant::never());
  EXPECT_EQ(writer_->remembered(), 0u);
}

TEST_F(StatusWriterTest, WhatIsServedNoMoreLosesOurAddressAndNoOther) {
  add("a");
  add("b", "192.0.2.7");
  serve_these({{"shop", "a"}, {"shop", "b"}});
  run(Duration::seconds(5));
  add("b", "203.0.113.1");  // another controller took it
  serve_these({});
  run(Duration::seconds(5));
  EXPECT_EQ(ip("a"), "");
  EXPECT_EQ(ip("b"), "203.0.113.1");
  run(status_settle_time);
  EXPECT_EQ(ip("b"), "203.0.113.1");
  EXPECT_EQ(writer_->due(), Instant::never());
}

TEST_F(StatusWriterTest, WhatIsDroppedBeforeTheWatchToldWhatWeWroteIsCleared) {
  run(status_settle_time);  // who led before us has nothing under way any more
  add("a");
  swallows_ = true;  // the watch is late
  serve_these({{"shop", "a"}});
  run(Duration::milliseconds(200));
  EXPECT_EQ(requests_["a"], 1);
  serve_these({});
  run(status_settle_time - Duration::seconds(5));
  add("a", "192.0.2.7");  // what was written comes by the watch
  swallows_ = false;
  run(Duration::seconds(3));
  EXPECT_EQ(ip("a"), "");
  run(status_settle_time);
  EXPECT_EQ(writer_->remembered(), 0u);
  EXPECT_EQ(writer_->due(), Instant::never());
}

TEST_F(StatusWriterTest, WhatIsDroppedAndTakesEffectBehindItsTimeIsCleared) {
  run(status_settle_time * 2);
  for (const bool is_cleared_between : {false, true}) {
    const std::string name = is_cleared_between ? "a" : "b";
    add(name);
    lost_.insert(name);
    serve_these({{"shop", name}});
    run(Duration::seconds(30) + Duration::milliseconds(100));
    EXPECT_EQ(writer_->failed(), 1u + is_cleared_between) << "no answer";
    lost_.clear();
    if (is_cleared_between) {
      run(Duration::seconds(5));  // and a second one is taken
      EXPECT_EQ(ip(name), "192.0.2.7");
    }
    serve_these({});
    run(Duration::seconds(10));
    EXPECT_EQ(ip(name), "");
    add(name, "192.0.2.7");  // the first one, very late
    run(Duration::seconds(3));
    EXPECT_EQ(ip(name), "");
    run(status_settle_time);
    EXPECT_EQ(writer_->remembered(), 0u);
  }
}

// Of two deployments with the same addresses the other one has it now: what it writes is cleared
// once at most, or they would go on for ever.
TEST_F(StatusWriterTest, WhatIsClearedAndWrittenAgainByAnotherIsLeftAlone) {
  run(status_settle_time);
  add("a");
  add("b");
  serve_these({{"shop", "a"}, {"shop", "b"}});
  run(Duration::seconds(10));
  serve_these({{"shop", "b"}});
  run(Duration::milliseconds(200));
  EXPECT_EQ(ip("a"), "");
  EXPECT_EQ(requests_["a"], 2);
  add("a", "192.0.2.7");
  run(status_settle_time * 2);
  EXPECT_EQ(requests_["a"], 2);
  EXPECT_EQ(ip("a"), "192.0.2.7");
}

TEST_F(StatusWriterTest, WhatIsDroppedWhenTheAddressBecomesAnotherIsCleared) {
  follow_service();
  add_service("192.0.2.7");
  const std::set<IngressName> names = add_many(2);
  serve_these(names);
  run(Duration::seconds(10));
  add_service("");  // nothing known, so nothing is cleared
  serve_these(names);
  run(Duration::seconds(10));
  serve_these({{"shop", "i1"}});
  run(Duration::seconds(10));
  add_service("192.0.2.8");
  run(Duration::seconds(10));
  EXPECT_EQ(ip("i1"), "192.0.2.8");
  EXPECT_EQ(ip("i0"), "");
}

TEST_F(StatusWriterTest, WhatIsDroppedWhileAllFailsAndTheAddressBecomesAnotherIsCleared) {
  follow_service();
  add_service("192.0.2.7");
  add("a");
  serve_these({{"shop", "a"}});
  run(Duration::seconds(10));
  answer_ = 503;
  serve_these({});
  run(Duration::seconds(10));
  add_service("192.0.2.8");
  run(Duration::seconds(3));
  answer_ = 200;
  run(status_hold_last * 2);
  EXPECT_EQ(ip("a"), "");
}

TEST_F(StatusWriterTest, AnAddressThatTheLeaderBeforeUsWroteCountsAsOurs) {
  follow_service();
  add_service("192.0.2.7");
  add("a");
  serve_these({{"shop", "a"}});
  run(Duration::seconds(1), false);
  add("a", "192.0.2.7");  // by the leader
  run(Duration::seconds(1), false);
  add_service("192.0.2.8");
  serve_these({});
  run(Duration::seconds(1), false);
  run(Duration::seconds(1));
  EXPECT_EQ(ip("a"), "");
}

TEST_F(StatusWriterTest, WhatTheLeaderBeforeUsWroteLateIsCleared) {
  add("a");
  serve_these({{"shop", "a"}});
  run(Duration::seconds(100), false);
  serve_these({});
  run(status_settle_time - Duration::seconds(5));
  add("a", "192.0.2.7");
  run(Duration::seconds(3));
  EXPECT_EQ(ip("a"), "");
  run(status_settle_time);
  EXPECT_EQ(writer_->remembered(), 0u);
}

// Deleted and made anew while our request was on its way: it came to another object.
TEST_F(StatusWriterTest, WhatWasDeletedAndSaysOursWhenItComesAnewIsCleared) {
  run(status_settle_time * 2);
  add("a");
  swallows_ = true;
  serve_these({{"shop", "a"}});
  run(Duration::milliseconds(200));
  EXPECT_EQ(requests_["a"], 1);
  remove("a");
  serve_these({});
  run(Duration::seconds(5));
  swallows_ = false;
  add("a", "192.0.2.7");
  run(Duration::seconds(3));
  EXPECT_EQ(ip("a"), "");
}

TEST_F(StatusWriterTest, WhatAProxyAnswers404ForIsClearedLater) {
  add("a");
  serve_these({{"shop", "a"}});
  run(Duration::seconds(100));
  answer_ = 404;
  serve_these({});
  run(Duration::milliseconds(200));
  answer_ = 200;
  run(Duration::seconds(10));
  EXPECT_EQ(ip("a"), "");
}

// A process before us served it, which we know from the history.
TEST_F(StatusWriterTest, WhatCeasedBeforeItWasKnownIsCleared) {
  add("a", "192.0.2.7");
  served_ = {{"shop", "a"}};  // and nobody told the writer
  serve_these({});
  run(Duration::seconds(5));
  EXPECT_EQ(ip("a"), "");
}

TEST_F(StatusWriterTest, WhoDoesNotLeadForgetsWhatCeasedWhenItsObjectIsGone) {
  const std::set<IngressName> names = add_many(3);
  serve_these(names);
  run(Duration::seconds(2), false);
  // Gone while its route was held, and the route behind it: only `ceased` tells.
  remove("i0");
  serve_these(names);
  run(Duration::seconds(2), false);
  serve_these({{"shop", "i1"}, {"shop", "i2"}});
  EXPECT_EQ(writer_->remembered(), 0u);
  // Of another class, and then gone: only `changed` tells.
  serve_these({{"shop", "i2"}});
  run(Duration::seconds(2), false);
  EXPECT_EQ(writer_->remembered(), 1u);
  remove("i1");
  serve_these({{"shop", "i2"}});
  EXPECT_EQ(writer_->remembered(), 0u);
  // Served again.
  serve_these({});
  EXPECT_EQ(writer_->remembered(), 1u);
  serve_these({{"shop", "i2"}});
  EXPECT_EQ(writer_->remembered(), 0u);
}

TEST_F(StatusWriterTest, OfWhatIsGoneWhileAllIsRefusedNothingIsRemembered) {
  answer_ = 403;
  const std::set<IngressName> names = add_many(20);
  serve_these(names);
  run(Duration::milliseconds(10'500));
  EXPECT_EQ(api_.under_way(), 0u);
  add("i0", "203.0.113.1");
  serve_these(names);
  EXPECT_GT(writer_->remembered(), 0u);
  for (const IngressName& name : names) remove(name.second);
  serve_these({});
  EXPECT_EQ(writer_->remembered(), 0u);
}

TEST_F(StatusWriterTest, ARequestAboutWhatIsGoneIsCanceledWithItsWriter) {
  add("a");
  serve_these({{"shop", "a"}});
  writer_->turn(now_, store_, true);
  writer_->turn(now_, store_, false);
  remove("a");
  serve_these({});
  EXPECT_EQ(api_.under_way(), 1u);
  writer_.reset();
  EXPECT_EQ(api_.under_way(), 0u);
}

}  // namespace
}  // namespace millrace::cluster

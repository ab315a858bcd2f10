// What fails each time keeps no other waiting, and a server that is away is left in peace.
#include <gtest/gtest.h>

#include "controlplane/cluster/status_writer_test_support.h"

namespace millrace::cluster {
namespace {

constexpr Duration few_seconds = status_probe_interval + Duration::seconds(1);

TEST_F(StatusWriterTest, AFreshOneDoesNotWaitForTwoHundredThatFail) {
  for (const int code : {403, 429, 500, 503}) {
    for (const Duration failing_for : {Duration::seconds(3), Duration::seconds(3'600)}) {
      for (const bool were_told : {true, false}) {
        writer_ = std::make_unique<StatusWriter>(&api_, options_);
        served_.clear();
        may_be_asked_.clear();
        broken_answer_ = code;
        if (were_told) run(Duration::milliseconds(20));  // leads before they come
        std::set<IngressName> names = add_broken(200);
        serve_these(names);
        run(failing_for);
        for (const char* name : {"a", "b5a", "z"}) {
          add(name);
          names.emplace("shop", name);
          serve_these(names);
          EXPECT_TRUE(is_written_within(name, few_seconds)) << name << " beside " << code;
        }
      }
    }
  }
}

// Each of them has its place for half a minute, also when it is told of again.
TEST_F(StatusWriterTest, AFreshOneDoesNotWaitForTwoHundredThatGetNoAnswer) {
  std::set<IngressName> names = add_many(200);
  for (const IngressName& name : names) lost_.insert(name.second);
  serve_these(names);
  run(Duration::seconds(3'600));  // each was tried
  for (int round = 0; round < 30; ++round) {
    const std::string fresh = "a" + std::to_string(round);
    add(fresh);
    names.emplace("shop", fresh);
    for (const std::string& name : lost_) add(name, "203.0.113." + std::to_string(round));
    serve_these(names);
    ASSERT_TRUE(is_written_within(fresh, few_seconds)) << fresh;
    run(Duration::seconds(7));
  }
}

// By an admission webhook of that namespace.
TEST_F(StatusWriterTest, ANamespaceWhereAllFailsKeepsNoOtherWaiting) {
  std::set<IngressName> names = add_broken(200, "first");
  names.merge(add_many(300));
  serve_these(names);
  run(Duration::seconds(5));
  EXPECT_EQ(writer_->written(), 300u);
}

TEST_F(StatusWriterTest, WhatFailsWhileOthersAreWrittenWaitsAloneWithABackoff) {
  std::set<IngressName> names = add_broken(20);
  serve_these(names);
  for (int i = 0; i < 3'600; ++i) {
    const std::string fresh = "i" + std::to_string(i);
    add(fresh);
    names.emplace("shop", fresh);
    serve_these(names);
    run(Duration::seconds(1));
    ASSERT_TRUE(is_written_within(fresh, few_seconds)) << fresh;
  }
  for (const std::string& name : broken_) {
    EXPECT_LT(requests_[name], 24) << "1, 2, 4 ... 300 s apart";
    EXPECT_GT(requests_[name], 10);
  }
  broken_.clear();
  run(status_retry_last + Duration::seconds(5));
  EXPECT_EQ(saying(names, "192.0.2.7"), 3'620);
}

TEST_F(StatusWriterTest, WhatIsToldWhileTheServerIsAwayIsTriedNowAndThen) {
  std::set<IngressName> names = add_many(100);
  answer_ = 503;
  serve_these(names);
  run(Duration::seconds(600));
  const size_t before = api_.calls;
  for (int i = 0; i < 600; ++i) {
    add("new" + std::to_string(i));
    names.emplace("shop", "new" + std::to_string(i));
    serve_these(names);
    run(Duration::seconds(1));
  }
  EXPECT_LT(api_.calls - before, 120 + status_requests_max * 11);
  EXPECT_GT(api_.calls - before, 100u);
}

TEST_F(StatusWriterTest, WhatFailsEachTimeKeepsNoOtherWaiting) {
  std::set<IngressName> names;
  for (size_t i = 0; i < 2 * status_requests_max; ++i) {
    const std::string name = "b" + std::to_string(i);
    add(name);
    names.emplace("shop", name);
    broken_.insert(name);
  }
  serve_these(names);
  run(Duration::seconds(300));
  add("a");
  add("c");
  names.insert({{"shop", "a"}, {"shop", "c"}});
  serve_these(names);
  run(status_hold_last * 4);
  EXPECT_EQ(ip("a") + ' ' + ip("c"), "192.0.2.7 192.0.2.7");
}

TEST_F(StatusWriterTest, AServerThatFailsAnewIsTriedAnewFromTheFirstPauseOn) {
  follow_service();
  add_service("192.0.2.7");
  const std::set<IngressName> names = add_many(50);
  answer_ = 503;
  serve_these(names);
  run(Duration::seconds(600));
  answer_ = 200;
  run(status_hold_last + Duration::seconds(20));
  EXPECT_EQ(saying(names, "192.0.2.7"), 50);
  add_service("192.0.2.8");
  answer_ = 503;
  run(Duration::seconds(5));
  answer_ = 200;
  run(Duration::seconds(10));
  EXPECT_EQ(saying(names, "192.0.2.8"), 50);
}

TEST_F(StatusWriterTest, AFailureIsToldUntilItsIngressIsWellOrGone) {
  const std::set<IngressName> names = add_broken(1);
  serve_these(names);
  run(Duration::seconds(5));
  EXPECT_NE(writer_->failure().find("Ingress shop/b0: HTTP 500"), std::string::npos);
  add("b0", "192.0.2.7");  // by itself
  run(Duration::seconds(10));
  EXPECT_EQ(writer_->failure(), "");
  broken_answer_ = 403;
  add("b0", "203.0.113.1");
  run(Duration::seconds(5));
  add("good");
  serve_these({{"shop", "b0"}, {"shop", "good"}});
  run(Duration::seconds(5));
  EXPECT_EQ(ip("good"), "192.0.2.7");
  EXPECT_NE(writer_->failure(), "") << "another one that is well does not hide it";
  remove("b0");
  serve_these({{"shop", "good"}});
  EXPECT_EQ(writer_->failure(), "");
}

}  // namespace
}  // namespace millrace::cluster

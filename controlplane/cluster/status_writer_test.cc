#include "controlplane/cluster/status_writer.h"

#include <gtest/gtest.h>

#include <ctime>

#include "controlplane/cluster/status_writer_test_support.h"

namespace millrace::cluster {
namespace {

TEST_F(StatusWriterTest, WritesOnceWhatIsNotRight) {
  add("a");
  add("b", "192.0.2.7");
  add("c", "203.0.113.1");
  serve_these({{"shop", "a"}, {"shop", "b"}, {"shop", "c"}, {"shop", "gone"}});
  run(Duration::seconds(10));
  EXPECT_EQ(ip("a") + ip("b") + ip("c"), "192.0.2.7192.0.2.7192.0.2.7");
  EXPECT_EQ(requests_, (std::map<std::string, int>{{"a", 1}, {"c", 1}}));
  EXPECT_EQ(writer_->due(), Instant::never()) << "nothing is left to do";
}

TEST_F(StatusWriterTest, OnlyWhoMayWrites) {
  add("a");
  serve_these({{"shop", "a"}});
  run(Duration::seconds(5), false);
  EXPECT_EQ(api_.calls, 0u);
  run(Duration::seconds(5));
  EXPECT_EQ(ip("a"), "192.0.2.7");
}

TEST_F(StatusWriterTest, AServerThatFailsIsAskedLessAndLess) {
  const std::set<IngressName> names = add_many(100);
  for (const int code : {403, 429, 503}) {
    answer_ = code;
    const size_t before = api_.calls;
    serve_these(names);
    run(Duration::seconds(600));
    // Seven or eight at a time: 1, 2, 4 ... 60 s apart, and every 60 s.
    EXPECT_LT(api_.calls - before, status_requests_max * 20) << code;
    EXPECT_GT(api_.calls - before, status_requests_max * 8) << code;
    EXPECT_NE(writer_->failure().find("HTTP " + std::to_string(code)), std::string::npos);
  }
  answer_ = 200;
  run(status_hold_last + Duration::seconds(20));
  EXPECT_EQ(writer_->written(), 100u);
  EXPECT_EQ(writer_->failure(), "");
  EXPECT_LE(api_.most_under_way, status_requests_max);
}

TEST_F(StatusWriterTest, OneThatIsRefusedWaitsAloneWithABackoff) {
  add("bad");
  add("good");
  answer_ = 422;
  serve_these({{"shop", "bad"}});
  run(Duration::seconds(3'600));
  EXPECT_LT(requests_["bad"], 22) << "1, 2, 4 ... 300 s apart";
  EXPECT_GT(requests_["bad"], 12);
  answer_ = 200;
  serve_these({{"shop", "bad"}, {"shop", "good"}});
  run(Duration::seconds(2));
  EXPECT_EQ(ip("good"), "192.0.2.7") << "it waits for no other";
}

TEST_F(StatusWriterTest, AServerThatForgetsWhatItTookIsNotStormed) {
  add("a");
  swallows_ = true;
  serve_these({{"shop", "a"}});
  run(Duration::seconds(3'600));
  EXPECT_LT(requests_["a"], 22);
}

TEST_F(StatusWriterTest, NothingKnownIsNotWritten) {
  options_.addresses.clear();
  options_.from_nodes = true;
  writer_ = std::make_unique<StatusWriter>(&api_, options_);
  add("a", "192.0.2.9");
  serve_these({{"shop", "a"}});
  run(Duration::seconds(5));
  EXPECT_EQ(api_.calls, 0u);
  EXPECT_EQ(writer_->due(), Instant::never());
}

TEST_F(StatusWriterTest, TenThousandAreWrittenInTimeThatGrowsWithThem) {
  serve_these(add_many(10'000));
  const std::clock_t began = std::clock();
  run(Duration::seconds(60));
  const double took_s = static_cast<double>(std::clock() - began) / CLOCKS_PER_SEC;
  EXPECT_EQ(writer_->written(), 10'000u);
  EXPECT_LT(took_s, 10) << "not all are looked at again with each answer";
  EXPECT_EQ(writer_->due(), Instant::never());
}

TEST_F(StatusWriterTest, OfTenThousandOnlyWhatChangedIsLookedAt) {
  std::set<IngressName> names = add_many(10'000, "192.0.2.7");
  serve_these(names);
  run(Duration::seconds(5));
  EXPECT_EQ(writer_->looked_at(), 10'000u);
  add("i77", "203.0.113.1");  // another controller's word
  add("i78", "192.0.2.7");    // the same again
  store_.remove({k8s::Kind::ingress, "shop", "i79"});
  add("new");
  names.emplace("shop", "new");
  names.erase({"shop", "i80"});
  serve_these(names);
  run(Duration::seconds(10));
  EXPECT_EQ(ip("i77") + ' ' + ip("new") + ' ' + ip("i80"), "192.0.2.7 192.0.2.7 ");
  EXPECT_EQ(requests_, (std::map<std::string, int>{{"i77", 1}, {"i80", 1}, {"new", 1}}));
  EXPECT_LE(writer_->looked_at(), 10'000u + 12) << "each, and again when it has rested";
  EXPECT_EQ(writer_->due(), Instant::never());
}

TEST_F(StatusWriterTest, OneTurnLooksAtSoManyAtMost) {
  serve_these(add_many(3 * static_cast<int>(status_looks_max) + 1, "192.0.2.7"));
  for (uint64_t turn = 1; turn <= 3; ++turn) {
    writer_->turn(now_, store_, true);
    EXPECT_EQ(writer_->looked_at(), turn * status_looks_max);
    EXPECT_EQ(writer_->due(), now_);
  }
  writer_->turn(now_, store_, true);
  EXPECT_EQ(writer_->looked_at(), 3 * status_looks_max + 1);
  EXPECT_EQ(writer_->due(), Instant::never());
}

TEST_F(StatusWriterTest, AnotherAddressIsWrittenToAll) {
  follow_service();
  add_service("192.0.2.7");
  const std::set<IngressName> names = add_many(1'000);
  serve_these(names);
  run(Duration::seconds(10));
  EXPECT_EQ(saying(names, "192.0.2.7"), 1'000);
  add_service("192.0.2.8");
  run(Duration::seconds(10));
  EXPECT_EQ(saying(names, "192.0.2.8"), 1'000);
  // Nothing known changes nothing, and what became true meanwhile is written when there is more.
  add_service("");
  run(Duration::seconds(5));
  add("i5", "203.0.113.1");
  run(Duration::seconds(5));
  EXPECT_EQ(ip("i5"), "203.0.113.1");
  add_service("192.0.2.8");
  run(Duration::seconds(5));
  EXPECT_EQ(saying(names, "192.0.2.8"), 1'000);
  EXPECT_EQ(writer_->written(), 2'001u);
  EXPECT_EQ(writer_->due(), Instant::never());
}

// Another one led, and wrote what it thought right; of that nothing was to be looked at then.
TEST_F(StatusWriterTest, WhoBecomesTheLeaderLooksAtAll) {
  std::set<IngressName> names = add_many(1'000, "192.0.2.7");
  serve_these(names);
  run(Duration::seconds(5));
  const uint64_t before = writer_->looked_at();
  for (int i = 0; i < 100; ++i) add("i" + std::to_string(i), "192.0.2.9");
  names.erase({"shop", "i500"});
  serve_these(names);
  run(Duration::seconds(5), false);
  EXPECT_EQ(writer_->looked_at(), before);
  run(Duration::seconds(20));
  EXPECT_EQ(saying(names, "192.0.2.7"), 999);
  EXPECT_EQ(ip("i500"), "") << "dropped while another one led";
  EXPECT_GE(writer_->looked_at(), before + 1'000);
  EXPECT_EQ(writer_->written(), 101u);
}

TEST_F(StatusWriterTest, WhatIsToldDuringAPassDoesNotWaitForItsEnd) {
  follow_service();
  add_service("192.0.2.7");
  std::set<IngressName> names = add_many(5'000);
  serve_these(names);
  run(Duration::seconds(60));
  add_service("192.0.2.8");
  serve_these(names);
  run(Duration::seconds(1));
  EXPECT_LT(saying(names, "192.0.2.8"), 1'000);
  add("a");    // before where the pass is
  add("zzz");  // and behind it
  names.insert({{"shop", "a"}, {"shop", "zzz"}});
  names.erase({"shop", "i7"});
  serve_these(names);
  run(Duration::seconds(1));
  EXPECT_EQ(ip("a") + ' ' + ip("zzz") + ' ' + ip("i7"), "192.0.2.8 192.0.2.8 ");
  EXPECT_LT(saying(names, "192.0.2.8"), 2'000);
  run(Duration::seconds(60));
  EXPECT_EQ(saying(names, "192.0.2.8"), 5'001);
  EXPECT_EQ(requests_["i4999"], 2);
}

TEST_F(StatusWriterTest, AddressesThatChangeSoonerThanAPassTakesLeaveNobodyOut) {
  follow_service();
  add_service("192.0.2.7");
  const std::set<IngressName> names = add_many(1'000);
  serve_these(names);
  for (int i = 0; i < 20; ++i) {
    add_service("192.0.2." + std::to_string(i + 10));
    run(Duration::seconds(1));
  }
  EXPECT_EQ(requests_.size(), 1'000u);
  run(Duration::seconds(30));
  EXPECT_EQ(saying(names, "192.0.2.29"), 1'000);
  EXPECT_EQ(writer_->due(), Instant::never());
}

TEST_F(StatusWriterTest, AddressesAreReadAgainOnlyWhenAnObjectThatTheyAreMadeOfChanged) {
  follow_service();
  add_service("192.0.2.7");
  std::set<IngressName> names = add_many(100);
  serve_these(names);
  for (int i = 0; i < 100; ++i) {
    add("i" + std::to_string(i), "203.0.113.1");
    run(Duration::seconds(1));
  }
  EXPECT_EQ(writer_->addresses_read(), 1u);
  add_service("192.0.2.8");
  run(Duration::seconds(2));
  EXPECT_EQ(writer_->addresses_read(), 2u);
}

TEST(WantedStatus, FromTheFirstThatIsSet) {
  store::Store store;
  k8s::Node ready;
  ready.mutable_metadata()->set_name("n");
  auto* condition = ready.mutable_status()->add_conditions();
  condition->set_type("Ready");
  condition->set_status("True");
  for (const auto& [type, address] : std::vector<std::pair<std::string, std::string>>{
           {"Hostname", "n"}, {"InternalIP", "fd00::1"}, {"InternalIP", "10.0.0.1"}}) {
    auto* one = ready.mutable_status()->add_addresses();
    one->set_type(type);
    one->set_address(address);
  }
  k8s::Node off = ready;
  off.mutable_metadata()->set_name("off");
  off.mutable_status()->mutable_addresses(2)->set_address("10.0.0.2");
  off.mutable_status()->mutable_conditions(0)->set_status("False");
  for (const k8s::Node& node : {ready, off}) {
    store.put({{k8s::Kind::node, "", node.metadata().name()}, {}, k8s::Body(node)});
  }
  StatusOptions options;
  options.from_nodes = true;
  const auto status = wanted_status(options, store);
  ASSERT_EQ(status.ingress_size(), 2);
  EXPECT_EQ(status.ingress(0).ip() + ' ' + status.ingress(1).ip(), "10.0.0.1 fd00::1");
  options.addresses = {"lb.example"};
  EXPECT_EQ(wanted_status(options, store).ingress(0).hostname(), "lb.example");
}

}  // namespace
}  // namespace millrace::cluster

#include "controlplane/cluster/status_writer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
#include <iterator>
#include <memory>

#include "controlplane/cluster/fake_api_test_support.h"

namespace millrace::cluster {
namespace {

class StatusWriterTest : public ::testing::Test {
 protected:
  StatusWriterTest() {
    options_.addresses = {"192.0.2.7"};
    writer_ = std::make_unique<StatusWriter>(&api_, options_);
  }

  void add(const std::string& name, const std::string& ip = "") {
    k8s::Ingress body;
    body.mutable_metadata()->set_name(name);
    body.mutable_metadata()->set_namespace_("shop");
    if (!ip.empty()) body.mutable_status()->mutable_load_balancer()->add_ingress()->set_ip(ip);
    store_.put({{k8s::Kind::ingress, "shop", name}, {}, k8s::Body(std::move(body))});
  }
  // As the server: what is written comes back by the watch, unless `swallows_`.
  ApiAnswer serve(const ApiRequest& request) {
    const size_t begin = request.target.find("/ingresses/") + 11;
    const std::string name = request.target.substr(begin, request.target.find("/status") - begin);
    ++requests_[name];
    EXPECT_EQ(--may_be_asked_[name], 0) << "two at a time for " << name;
    const int answer = broken_.contains(name) ? 500 : answer_;
    if (answer == 200 && !swallows_) {
      const size_t ip = request.body.find("\"ip\":\"");
      add(name, ip == std::string::npos
                    ? ""
                    : request.body.substr(ip + 6, request.body.find('"', ip + 6) - ip - 6));
    }
    return answer_of(answer, "because");
  }
  // As the control loop: what the watch brought is told once a second at most.
  void run(Duration span, bool may_write = true) {
    const Instant end = now_ + span;
    for (; now_ < end; now_ = now_ + Duration::milliseconds(20)) {
      api_.turn(now_);
      if (store_.has_changes() && now_ >= told_at_ + Duration::seconds(1)) serve_these(served_);
      writer_->turn(now_, store_, may_write);
    }
  }
  // These and no others from now on.
  void serve_these(const std::set<IngressName>& names) {
    store::Report report;
    std::set_difference(names.begin(), names.end(), served_.begin(), served_.end(),
                        std::back_inserter(report.began));
    std::set_difference(served_.begin(), served_.end(), names.begin(), names.end(),
                        std::back_inserter(report.ceased));
    for (const store::Change& change : store_.take_changes()) {
      report.changed.emplace(change.key.name_space, change.key.name);
    }
    served_ = names;
    told_at_ = now_;
    writer_->tell(report, store_);
  }
  std::set<IngressName> add_many(int count, const std::string& ip = "") {
    std::set<IngressName> names;
    for (int i = 0; i < count; ++i) {
      add("i" + std::to_string(i), ip);
      names.emplace("shop", "i" + std::to_string(i));
    }
    return names;
  }
  // The addresses are what this Service says.
  void add_service(const std::string& ip) {
    k8s::Service body;
    body.mutable_metadata()->set_name("lb");
    body.mutable_metadata()->set_namespace_("millrace");
    if (!ip.empty()) body.mutable_status()->mutable_load_balancer()->add_ingress()->set_ip(ip);
    store_.put({{k8s::Kind::service, "millrace", "lb"}, {}, k8s::Body(std::move(body))});
  }
  void follow_service() {
    options_.addresses.clear();
    options_.publish_service = "millrace/lb";
    writer_ = std::make_unique<StatusWriter>(&api_, options_);
  }
  int saying(const std::set<IngressName>& names, const std::string& address) const {
    return static_cast<int>(std::count_if(
        names.begin(), names.end(), [&](const auto& name) { return ip(name.second) == address; }));
  }
  std::string ip(const std::string& name) const {
    const auto& object = *store_.find({k8s::Kind::ingress, "shop", name});
    const k8s::IngressLoadBalancerStatus status =
        object.body.as<k8s::Ingress>().status().load_balancer();
    return status.ingress().empty() ? "" : status.ingress(0).ip();
  }

  Instant now_ = Instant::from_ns(1'000'000'000'000);
  StatusOptions options_;
  store::Store store_;
  int answer_ = 200;
  bool swallows_ = false;
  std::set<std::string> broken_;  // names that the server fails at
  std::set<IngressName> served_;
  Instant told_at_;
  std::map<std::string, int> requests_;
  std::map<std::string, int> may_be_asked_;
  FakeApi api_{[this](const ApiRequest& request) { return serve(request); },
               [this](FakeApi::Asked* asked) {
                 const std::string& target = asked->request.target;
                 const size_t begin = target.find("/ingresses/") + 11;
                 ++may_be_asked_[target.substr(begin, target.find("/status") - begin)];
                 asked->arrives = asked->comes = asked->arrives + Duration::milliseconds(30);
               }};
  std::unique_ptr<StatusWriter> writer_;
};

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
  EXPECT_EQ(writer_->due(), Instant::never());
}

TEST_F(StatusWriterTest, AServerThatFailsIsAskedLessAndLess) {
  const std::set<IngressName> names = add_many(100);
  for (const int code : {403, 429, 503}) {
    answer_ = code;
    const size_t before = api_.calls;
    serve_these(names);
    run(Duration::seconds(600));
    // Eight at a time: 1, 2, 4 ... 60 s apart, and every 60 s.
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
  run(Duration::seconds(10));
  EXPECT_EQ(writer_->due(), Instant::never());
  EXPECT_EQ(writer_->remembered(), 0u);
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
  EXPECT_LE(writer_->remembered(), 110u);
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

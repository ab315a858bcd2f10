// What a reporter says and looks at by whether it leads, and how little of that a report costs.
#include "controlplane/cluster/cluster_reporter.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "controlplane/cluster/fake_api_test_support.h"
#include "controlplane/cluster/lease_server_test_support.h"

namespace millrace::cluster {
namespace {

using k8s::Problem;

k8s::SharedProblems shared(std::vector<Problem> problems) {
  return std::make_shared<const std::vector<Problem>>(std::move(problems));
}

class ClusterReporterTest : public ::testing::Test {
 protected:
  ClusterReporterTest() {
    options_.leader.identity = "us";
    options_.status.addresses = {"192.0.2.7"};
    start();
  }
  void start() {
    reporter_ = std::make_unique<ClusterReporter>(
        &api_, options_, [] { return google::protobuf::Timestamp(); }, 1);
  }
  ApiAnswer serve(const ApiRequest& request) {
    if (request.target.find("/leases") != std::string::npos) {
      return is_cut_off_ ? answer_of(503) : lease_.serve(request);
    }
    if (request.method == "PATCH") {
      ++patches_;
      return answer_of(200);
    }
    Event event;
    EXPECT_TRUE(decode_message(Encoding::protobuf, request.body, &event));
    events_.push_back(event.regarding().name() + " of " + event.regarding().uid() + ": " +
                      event.note());
    return answer_of(201);
  }
  void add(const std::string& name, const std::string& uid) {
    k8s::Ingress body;
    body.mutable_metadata()->set_name(name);
    body.mutable_metadata()->set_namespace_("shop");
    body.mutable_metadata()->set_uid(uid);
    body.mutable_status()->mutable_load_balancer()->add_ingress()->set_ip("192.0.2.7");
    store_.put({{k8s::Kind::ingress, "shop", name}, {}, k8s::Body(std::move(body))});
  }
  static Problem problem(const std::string& name, const std::string& sentence) {
    return {k8s::Severity::error, {}, "Ingress shop/" + name, sentence};
  }
  // A report of these problems, the same pointer for the same ones, as the control loop makes it.
  void report(k8s::SharedProblems problems, std::vector<store::IngressName> began = {}) {
    reporter_->tell({std::move(began), {}, {}, std::move(problems)}, store_);
  }
  // Turned when it asks for it, and by the answers.
  void run(Duration span) {
    const Instant end = now_ + span;
    for (; now_ < end; now_ = now_ + Duration::milliseconds(50)) {
      api_.turn(now_);
      if (now_ < reporter_->due(now_)) continue;
      reporter_->turn(now_, store_);
      ++turns_;
    }
  }
  std::vector<std::string> take_events() { return std::exchange(events_, {}); }

  using Said = std::vector<std::string>;
  Instant now_ = Instant::from_ns(1'000'000'000'000);
  store::Store store_;
  LeaseServer lease_;
  bool is_cut_off_ = false;
  int patches_ = 0;
  int turns_ = 0;
  std::vector<std::string> events_;
  FakeApi api_{[this](const ApiRequest& request) { return serve(request); }};
  ReporterOptions options_;
  std::unique_ptr<ClusterReporter> reporter_;
};

TEST_F(ClusterReporterTest, WhatLastsIsSaidAgainWhenItsEventHasExpiredThoughNothingChanged) {
  add("a", "1");
  const k8s::SharedProblems problems = shared({problem("a", "is refused")});
  report(problems);
  run(Duration::seconds(10));
  EXPECT_EQ(take_events(), Said{"a of 1: is refused"});
  const Instant end = now_ + event_again_after + events_told_interval;
  while (now_ < end) {  // changes that make no difference to what is wrong
    report(problems);
    run(Duration::seconds(10));
  }
  EXPECT_EQ(take_events(), Said{"a of 1: is refused"});
}

TEST_F(ClusterReporterTest, OnlyNewProblemsAreGoneThroughBetweenTwoTimesOfAll) {
  add("a", "1");
  std::vector<Problem> all;
  for (size_t i = 0; i < events_of_object_max + 5; ++i) {
    all.push_back(problem("a", "has problem " + std::to_string(i)));
  }
  report(shared(all));
  run(Duration::seconds(10));
  // Each time when it is gone through, one that has no room is counted.
  EXPECT_EQ(reporter_->events().left_out(), 5u);
  EXPECT_EQ(take_events().size(), events_of_object_max);
  reporter_->tell({{}, {}, {{"shop", "a"}}, shared(all)}, store_);
  run(Duration::seconds(10));
  EXPECT_EQ(reporter_->events().left_out(), 10u) << "once more, and not in each turn";
  add("b", "2");
  for (int i = 0; i < 40; ++i) {
    all.insert(all.begin() + 3, problem("b", "is new " + std::to_string(i % 3)));
    report(shared(all));
    run(Duration::seconds(1));
    report(shared(all));  // another pointer, and yet the same
  }
  EXPECT_EQ(reporter_->events().left_out(), 10u);
  EXPECT_EQ(take_events(), (Said{"b of 2: is new 0", "b of 2: is new 1", "b of 2: is new 2"}));
  run(events_told_interval);
  EXPECT_EQ(reporter_->events().left_out(), 15u) << "all once in that time";
  run(events_told_interval * 10 + Duration::seconds(30));
  EXPECT_GE(reporter_->events().left_out(), 60u) << "and again while any had no room";
  EXPECT_LE(reporter_->events().left_out(), 70u);
}

TEST_F(ClusterReporterTest, WhatFoundNoRoomIsSaidWhenThereIsSomeWithoutAnotherReport) {
  std::vector<Problem> all;
  for (size_t i = 0; i < events_waiting_max + 1'000; ++i) {
    const std::string name = "i" + std::to_string(i);
    add(name, name);
    all.push_back(problem(name, "is refused"));
  }
  report(shared(all));
  run(Duration::seconds(20));
  EXPECT_EQ(reporter_->events().left_out(), 1'000u);
  run(event_interval * static_cast<int64_t>(all.size()) + events_told_interval);
  EXPECT_EQ(take_events().size(), all.size());
  const uint64_t left_out = reporter_->events().left_out();
  run(events_told_interval * 10);
  EXPECT_EQ(reporter_->events().left_out(), left_out);
}

// Its problem is word for word that of the one before it.
TEST_F(ClusterReporterTest, AnObjectThatIsMadeAnewHearsOfItWithoutAnotherReport) {
  add("a", "1");
  const k8s::SharedProblems problems = shared({problem("a", "is refused")});
  report(problems);
  run(Duration::seconds(10));
  add("a", "2");
  report(problems);
  run(events_told_interval);
  EXPECT_EQ(take_events(), (Said{"a of 1: is refused", "a of 2: is refused"}));
}

TEST_F(ClusterReporterTest, AnObjectThatIsMadeAnewHearsOfItAtOnceWhereItIsToldAsChanged) {
  add("a", "1");
  add("b", "1");
  const k8s::SharedProblems problems =
      shared({problem("a", "is refused"), problem("b", "is refused")});
  report(problems);
  run(Duration::seconds(10));
  EXPECT_EQ(take_events().size(), 2u);
  add("a", "2");
  add("b", "2");
  reporter_->tell({{}, {}, {{"shop", "a"}}, problems}, store_);
  run(Duration::seconds(2));
  EXPECT_EQ(take_events(), Said{"a of 2: is refused"}) << "and the other within a minute";
}

TEST_F(ClusterReporterTest, WhoComesToLeadSaysAndLooksAtAll) {
  std::vector<store::IngressName> names;
  for (int i = 0; i < 1'000; ++i) {
    const std::string name = "i" + std::to_string(i);
    add(name, name);
    names.emplace_back("shop", name);
  }
  const k8s::SharedProblems problems = shared({problem("i1", "is refused")});
  is_cut_off_ = true;
  report(problems, names);
  run(Duration::seconds(30));
  EXPECT_TRUE(take_events().empty());
  EXPECT_EQ(reporter_->status().looked_at(), 0u);
  is_cut_off_ = false;
  run(Duration::seconds(10));
  EXPECT_EQ(take_events(), Said{"i1 of i1: is refused"});
  EXPECT_EQ(reporter_->status().looked_at(), 1'000u);
  report(problems);
  run(Duration::seconds(10));
  EXPECT_EQ(reporter_->status().looked_at(), 1'000u) << "nothing was said to have changed";
  // For half a minute another one may have led.
  is_cut_off_ = true;
  run(Duration::seconds(30));
  EXPECT_FALSE(reporter_->leader().is_leader(now_));
  add("i1", "anew");
  is_cut_off_ = false;
  run(Duration::seconds(10));
  EXPECT_EQ(reporter_->status().looked_at(), 2'000u);
  EXPECT_EQ(take_events(), Said{"i1 of anew: is refused"});
  EXPECT_EQ(patches_, 0);
}

TEST_F(ClusterReporterTest, WithNothingToSayOnlyTheLeaseMakesItTurn) {
  for (const bool writes : {true, false}) {
    options_.writes_events = options_.status.writes = writes;
    start();
    report(nullptr);
    run(Duration::seconds(120));
    report(shared({}));
    turns_ = 0;
    run(Duration::seconds(1'000));
    EXPECT_LE(turns_, 1'100) << "an answer and a question each two seconds";
  }
}

}  // namespace
}  // namespace millrace::cluster

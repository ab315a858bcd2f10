#include "controlplane/cluster/event_writer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "controlplane/cluster/fake_api_test_support.h"
#include "controlplane/cluster/messages_test_support.h"

namespace millrace::cluster {
namespace {

class EventWriterTest : public ::testing::Test {
 protected:
  ApiAnswer serve(const ApiRequest& request) {
    Event event;
    EXPECT_TRUE(decode_message(Encoding::protobuf, request.body, &event));
    if (answer_ != 201) return answer_of(answer_, "no");
    if (!names_.insert(event.metadata().name()).second) return answer_of(409, "AlreadyExists");
    EXPECT_TRUE(k8s::is_dns_subdomain(event.metadata().name()));
    EXPECT_LE(event.note().size(), event_note_bytes_max);
    events_.push_back(std::move(event));
    return answer_of(201);
  }
  void add(const std::string& name) {
    k8s::Service body = service(name, "1");
    body.mutable_metadata()->set_uid("uid-" + name);
    store_.put({{k8s::Kind::service, "shop", name}, {}, k8s::Body(std::move(body))});
  }
  static k8s::Problem problem(const std::string& name, const std::string& sentence,
                              k8s::Severity severity = k8s::Severity::error) {
    return {severity, {}, "Service shop/" + name, sentence};
  }
  void run(EventWriter* writer, Duration span, bool may_write = true) {
    const Instant end = now_ + span;
    for (; now_ < end; now_ = now_ + Duration::milliseconds(50)) {
      api_.turn(now_);
      writer->turn(now_, may_write);
    }
  }

  Instant now_ = Instant::from_ns(1'000'000'000'000);
  store::Store store_;
  int answer_ = 201;
  std::set<std::string> names_;
  std::vector<Event> events_;
  FakeApi api_{[this](const ApiRequest& request) { return serve(request); }};
  EventWriter writer_{&api_, "test", [] { return google::protobuf::Timestamp(); }};
};

TEST_F(EventWriterTest, EachIsSaidOnceAlsoByAnother) {
  add("a");
  std::vector<k8s::Problem> problems = {problem("a", "is refused"),
                                        problem("a", "is hidden", k8s::Severity::warning),
                                        problem("gone", "was here"),
                                        {k8s::Severity::error, {}, "", "of no object"}};
  problems[1].reason = k8s::Reason::shadowed;
  for (int i = 0; i < 20; ++i) {
    writer_.tell(problems, store_, now_);
    run(&writer_, Duration::seconds(1));
  }
  ASSERT_EQ(events_.size(), 2u);
  EXPECT_EQ(events_[0].reason() + ' ' + events_[0].type() + ' ' + events_[0].note(),
            "Refused Warning is refused");
  EXPECT_EQ(events_[1].reason(), "Shadowed");
  EXPECT_EQ(events_[0].regarding().uid(), "uid-a");
  // The next leader gets 409.
  EventWriter next(&api_, "next", [] { return google::protobuf::Timestamp(); });
  next.tell(problems, store_, now_);
  run(&next, Duration::seconds(2));
  EXPECT_EQ(events_.size(), 2u);
  EXPECT_EQ(next.failure(), "");
  EXPECT_EQ(next.failed(), 0u);
}

TEST_F(EventWriterTest, NothingIsSaidOfADerivedObject) {
  k8s::EndpointSlice slice;
  slice.mutable_metadata()->set_name("a/external-name");
  store_.put({{k8s::Kind::endpoint_slice, "shop", "a/external-name"}, {}, k8s::Body(slice)});
  add("a");
  const k8s::Problem of_slice{k8s::Severity::error, {}, "EndpointSlice shop/a/external-name", "x"};
  writer_.tell({of_slice, problem("a", "y")}, store_, now_);
  run(&writer_, Duration::seconds(5));
  ASSERT_EQ(events_.size(), 1u);
  EXPECT_EQ(events_[0].note(), "y");
  EXPECT_EQ(writer_.failed(), 0u);
}

TEST_F(EventWriterTest, WhoMayNotSaysNothingUntilItMay) {
  add("a");
  writer_.tell({problem("a", "x")}, store_, now_);
  run(&writer_, Duration::seconds(5), false);
  EXPECT_EQ(api_.calls, 0u);
  writer_.tell({problem("a", "x")}, store_, now_);
  run(&writer_, Duration::seconds(5));
  EXPECT_EQ(events_.size(), 1u);
}

TEST_F(EventWriterTest, AnObjectWhoseSentenceChangesMakesNoStorm) {
  add("a");
  for (int i = 0; i < 3'000; ++i) {
    writer_.tell({problem("a", std::to_string(i) + " endpoints")}, store_, now_);
    run(&writer_, Duration::seconds(1));
  }
  EXPECT_EQ(events_.size(), events_of_object_max);
  EXPECT_GT(writer_.left_out(), 2'000u);
  run(&writer_, event_again_after);
  writer_.tell({problem("a", "something new")}, store_, now_);
  run(&writer_, Duration::seconds(1));
  EXPECT_EQ(events_.size(), events_of_object_max + 1) << "an hour later it may speak again";
}

TEST_F(EventWriterTest, ManyAreSaidSlowlyAndWithinABound) {
  std::vector<k8s::Problem> problems;
  for (int i = 0; i < 7'000; ++i) {
    add("s" + std::to_string(i));
    problems.push_back(problem("s" + std::to_string(i), "x"));
  }
  writer_.tell(problems, store_, now_);
  EXPECT_EQ(writer_.left_out(), 7'000 - events_waiting_max);
  run(&writer_, Duration::seconds(10));
  EXPECT_LE(events_.size(), event_burst + 101);
  EXPECT_GE(events_.size(), event_burst + 90);
  EXPECT_LE(api_.most_under_way, event_requests_max);
}

TEST_F(EventWriterTest, ANoteOfEveryObjectDelaysNoErrorAndIsSaidOnce) {
  std::vector<k8s::Problem> problems;
  for (int i = 0; i < 1'000; ++i) {
    add("s" + std::to_string(i));
    problems.push_back(problem("s" + std::to_string(i), "by the way", k8s::Severity::note));
  }
  writer_.tell(problems, store_, now_);
  run(&writer_, Duration::seconds(10));
  add("late");
  problems.push_back(problem("late", "is refused"));
  writer_.tell(problems, store_, now_);
  run(&writer_, Duration::seconds(1));
  EXPECT_TRUE(std::any_of(events_.begin(), events_.end(), [](const Event& event) {
    return event.reason() == "Refused";
  })) << "behind nine hundred notes";
  run(&writer_, Duration::seconds(100));
  EXPECT_EQ(events_.size(), 1'001u);
  // The server forgets Events within an hour. What is wrong is said again, what is a note is not.
  names_.clear();
  run(&writer_, event_again_after);
  writer_.tell(problems, store_, now_);
  run(&writer_, Duration::seconds(200));
  EXPECT_EQ(events_.size(), 1'002u);
}

TEST_F(EventWriterTest, NotesOfAnObjectSilenceNoErrorOfIt) {
  add("a");
  std::vector<k8s::Problem> problems;
  for (size_t i = 0; i < 2 * events_of_object_max; ++i) {
    problems.push_back(problem("a", "note " + std::to_string(i), k8s::Severity::note));
  }
  writer_.tell(problems, store_, now_);
  run(&writer_, Duration::seconds(10));
  EXPECT_EQ(events_.size(), events_of_object_max);
  problems.push_back(problem("a", "is refused"));
  writer_.tell(problems, store_, now_);
  run(&writer_, Duration::seconds(1));
  ASSERT_EQ(events_.size(), events_of_object_max + 1);
  EXPECT_EQ(events_.back().note(), "is refused");
}

// They would lie in the namespace "default", where a control plane of a namespace has no rights.
TEST_F(EventWriterTest, C11_ObjectsWithoutANamespaceAreLeftToThoseWhoMaySpeakOfThem) {
  k8s::IngressClass body;
  body.mutable_metadata()->set_uid("uid-of-class");
  store_.put({{k8s::Kind::ingress_class, "", "millrace"}, {}, k8s::Body(body)});
  add("a");
  const std::vector<k8s::Problem> problems = {
      {k8s::Severity::error, {}, "IngressClass millrace", "is a default beside another"},
      problem("a", "is refused")};
  EventWriter of_namespaces(
      &api_, "test", [] { return google::protobuf::Timestamp(); },
      EventScope::objects_of_namespaces);
  of_namespaces.tell(problems, store_, now_);
  run(&of_namespaces, Duration::seconds(2));
  ASSERT_EQ(events_.size(), 1u);
  EXPECT_EQ(events_[0].regarding().name(), "a");
  EXPECT_EQ(of_namespaces.left_out(), 0u);
  writer_.tell(problems, store_, now_);
  run(&writer_, Duration::seconds(2));
  ASSERT_EQ(events_.size(), 2u);
  EXPECT_EQ(events_[1].metadata().namespace_(), "default");
}

TEST_F(EventWriterTest, AServerThatIsAwayIsAskedLessAndLessAndLosesNothing) {
  std::vector<k8s::Problem> problems;
  for (int i = 0; i < 20; ++i) {
    add("s" + std::to_string(i));
    problems.push_back(problem("s" + std::to_string(i), "x"));
  }
  answer_ = 503;
  writer_.tell(problems, store_, now_);
  run(&writer_, Duration::seconds(100));
  EXPECT_LT(api_.calls, event_requests_max * 10);
  EXPECT_EQ(writer_.failure(), "Event: HTTP 503: no");
  answer_ = 201;
  writer_.tell(problems, store_, now_);
  run(&writer_, event_hold_last * 2);
  EXPECT_EQ(events_.size(), 20u);
  EXPECT_EQ(writer_.failure(), "");
}

TEST_F(EventWriterTest, OneThatIsRefusedForItselfBlocksNoOther) {
  add("a");
  add("b");
  answer_ = 500;
  writer_.tell({problem("a", "x")}, store_, now_);
  run(&writer_, Duration::seconds(300));
  const size_t asked = api_.calls;
  EXPECT_EQ(asked, size_t{event_tries_max} + 1);
  answer_ = 403;  // as in a namespace that is being removed
  for (int i = 0; i < 600; ++i) {
    writer_.tell({problem("a", "x")}, store_, now_);
    run(&writer_, Duration::seconds(1));
  }
  EXPECT_LE(api_.calls - asked, 12u) << "once a minute";
  answer_ = 201;
  writer_.tell({problem("b", "x")}, store_, now_);
  run(&writer_, Duration::seconds(61));
  EXPECT_GE(events_.size(), 1u);
}

TEST_F(EventWriterTest, C9_LongNamesAndSentencesAreCut) {
  const std::string name = std::string(250, 'a') + "-b";
  add(name);
  std::string sentence;
  while (sentence.size() < 3'000) sentence += "\xc3\xbc";
  writer_.tell({problem(name, sentence)}, store_, now_);
  run(&writer_, Duration::seconds(1));
  ASSERT_EQ(events_.size(), 1u);
  EXPECT_TRUE(events_[0].note().ends_with("\xbc..."));
}

}  // namespace
}  // namespace millrace::cluster

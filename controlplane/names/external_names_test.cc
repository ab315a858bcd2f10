// From Services to derived slices, by a DNS server of the test's own.
#include "controlplane/names/external_names.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <functional>

#include "controlplane/k8s/external_name.h"
#include "controlplane/names/dns_server_test_support.h"

namespace millrace::names {
namespace {

using testing::DnsServer;

class ExternalNamesTest : public ::testing::Test {
 protected:
  void put(const std::string& name, const std::string& type, const std::string& external_name) {
    k8s::Service service;
    service.mutable_metadata()->set_name(name);
    service.mutable_spec()->set_type(type);
    service.mutable_spec()->set_external_name(external_name);
    store_.put({{k8s::Kind::service, "shop", name}, {}, k8s::Body(service)});
  }
  void follow() {
    names_.follow(&store_);
    store_.take_changes();
  }
  void run(const std::function<bool()>& is_done) {
    const Instant end = MonotonicClock().now() + Duration::seconds(20);
    while (!is_done()) {
      names_.turn(now_, &store_);
      server_.serve();
      if (MonotonicClock().now() > end) FAIL() << "nothing comes of it";
      poll(nullptr, 0, 1);
    }
  }
  void settle() {
    follow();
    run([&] { return names_.is_settled(); });
  }
  // What the derived slice of a Service says.
  std::string slice(const std::string& service) const {
    const k8s::Object* object = store_.find(k8s::derived_slice_key("shop", service));
    if (object == nullptr) return "none";
    const auto content = object->body.as<k8s::EndpointSlice>();
    EXPECT_EQ(content.address_type(), "IPv4");
    EXPECT_EQ(content.metadata().labels().at(k8s::service_name_label), service);
    std::string text;
    for (const k8s::Endpoint& one : content.endpoints()) text += one.addresses(0) + ' ';
    const auto& annotations = content.metadata().annotations();
    const auto failure = annotations.find(k8s::dns_failure_annotation);
    return failure == annotations.end() ? text : text + failure->second;
  }

  Instant now_ = Instant::from_ns(1'000'000'000'000);
  DnsServer server_;
  store::Store store_;
  ExternalNames names_{{server_.address(), {}, Duration::milliseconds(50)}};
};

TEST_F(ExternalNamesTest, EachServiceHasASliceOfWhatDnsSays) {
  server_.script["nas.example"] = {{"192.0.2.7", "192.0.2.8"}};
  put("nas", "ExternalName", "nas.example.");
  put("same", "ExternalName", "nas.example");
  put("gone", "ExternalName", "gone.example");
  put("wrong", "ExternalName", "192.0.2.9");
  put("inside", "ClusterIP", "nas.example");
  follow();
  for (const char* service : {"nas", "same", "gone", "wrong"}) EXPECT_EQ(slice(service), "");
  run([&] { return names_.is_settled(); });
  EXPECT_EQ(slice("nas"), "192.0.2.7 192.0.2.8 ");
  EXPECT_EQ(slice("same"), "192.0.2.7 192.0.2.8 ");
  EXPECT_EQ(slice("gone"), "there is no such name");
  EXPECT_EQ(slice("wrong"), "");
  EXPECT_EQ(slice("inside"), "none");
  EXPECT_EQ(server_.asked, (std::map<std::string, int>{{"nas.example", 1}, {"gone.example", 1}}));
}

TEST_F(ExternalNamesTest, ASliceGoesWithItsServiceOrWithItsType) {
  server_.script["nas.example"] = {{"192.0.2.7"}};
  put("a", "ExternalName", "nas.example");
  put("b", "ExternalName", "nas.example");
  settle();
  put("a", "ClusterIP", "nas.example");
  follow();
  EXPECT_EQ(slice("a"), "none");
  EXPECT_EQ(slice("b"), "192.0.2.7 ");
  EXPECT_NE(names_.due(now_), Instant::never()) << "b wants it still";
  store_.remove({k8s::Kind::service, "shop", "b"});
  follow();
  EXPECT_EQ(slice("b"), "none");
  EXPECT_EQ(names_.due(now_), Instant::never());
}

// Between two names nothing is lost; what the new one says counts, also when it is nothing.
TEST_F(ExternalNamesTest, AnotherNameTakesOverWhenItIsAnswered) {
  server_.script["old.example"] = {{"192.0.2.7"}};
  server_.script["new.example"] = {{"192.0.2.8"}};
  put("nas", "ExternalName", "old.example");
  settle();
  put("nas", "ExternalName", "new.example");
  follow();
  EXPECT_EQ(slice("nas"), "192.0.2.7 ");
  run([&] { return names_.is_settled(); });
  EXPECT_EQ(slice("nas"), "192.0.2.8 ");
  server_.script["far.example"].is_silent = true;
  put("nas", "ExternalName", "far.example");
  follow();
  run([&] { return slice("nas") != "192.0.2.8 "; });
  EXPECT_EQ(slice("nas"), "192.0.2.8 no DNS server answers");
  put("nas", "ExternalName", "gone.example");
  settle();
  EXPECT_EQ(slice("nas"), "there is no such name");
  put("nas", "ExternalName", "not a name");
  follow();
  EXPECT_EQ(slice("nas"), "");
}

TEST_F(ExternalNamesTest, AnswersAreChangesOfTheStoreAndTheSameAnswerIsNone) {
  server_.script["nas.example"] = {{"192.0.2.7"}, 5};
  put("nas", "ExternalName", "nas.example");
  settle();
  store_.take_changes();
  now_ = now_ + Duration::seconds(5);
  run([&] {
    return server_.asked["nas.example"] == 2 && names_.due(now_) == now_ + Duration::seconds(5);
  });
  EXPECT_FALSE(store_.has_changes());
  server_.script["nas.example"] = {{"192.0.2.8"}, 5};
  now_ = now_ + Duration::seconds(5);
  run([&] { return store_.has_changes(); });
  ASSERT_EQ(store_.changes().size(), 1u);
  EXPECT_EQ(store_.changes().begin()->first.text(), "EndpointSlice shop/nas/external-name");
  EXPECT_EQ(slice("nas"), "192.0.2.8 ");
}

TEST_F(ExternalNamesTest, C10NamesBeyondTheBoundAreToldSo) {
  for (size_t i = 0; i <= names_max; ++i) {
    std::string number = std::to_string(i);
    number.insert(0, 4 - number.size(), '0');
    put("s" + number, "ExternalName", "n" + number + ".example");
  }
  settle();
  EXPECT_EQ(slice("s0000"), "there is no such name");
  EXPECT_EQ(slice("s1000"), "more than 1000 names are wanted");
  // A place that becomes free is taken at the next look at Services.
  store_.remove({k8s::Kind::service, "shop", "s0000"});
  settle();
  EXPECT_EQ(slice("s1000"), "there is no such name");
}

}  // namespace
}  // namespace millrace::names

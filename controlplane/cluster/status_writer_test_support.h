// A writer of status, a store, and an API server that answers after 30 ms.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "controlplane/cluster/fake_api_test_support.h"
#include "controlplane/cluster/status_writer.h"

namespace millrace::cluster {

class StatusWriterTest : public ::testing::Test {
 protected:
  StatusWriterTest() {
    options_.addresses = {"192.0.2.7"};
    writer_ = std::make_unique<StatusWriter>(&api_, options_);
  }

  void add(const std::string& name, const std::string& ip = "",
           const std::string& name_space = "shop") {
    k8s::Ingress body;
    body.mutable_metadata()->set_name(name);
    body.mutable_metadata()->set_namespace_(name_space);
    if (!ip.empty()) body.mutable_status()->mutable_load_balancer()->add_ingress()->set_ip(ip);
    store_.put({{k8s::Kind::ingress, name_space, name}, {}, k8s::Body(std::move(body))});
  }
  void remove(const std::string& name) { store_.remove({k8s::Kind::ingress, "shop", name}); }
  static IngressName name_in(const std::string& target) {
    constexpr char before[] = "/namespaces/";
    constexpr char between[] = "/ingresses/";
    const size_t begin = target.find(before) + std::size(before) - 1;
    const size_t middle = target.find(between);
    const size_t name = middle + std::size(between) - 1;
    return {target.substr(begin, middle - begin),
            target.substr(name, target.find("/status") - name)};
  }
  // As the server: what is written comes back by the watch, unless `swallows_`.
  ApiAnswer serve(const ApiRequest& request) {
    const auto [name_space, name] = name_in(request.target);
    ++requests_[name];
    EXPECT_EQ(--may_be_asked_[name], 0) << "two at a time for " << name;
    const int answer = broken_.contains(name) ? broken_answer_ : answer_;
    if (answer == 200 && !swallows_) {
      const size_t ip = request.body.find("\"ip\":\"");
      const bool clears = ip == std::string::npos;
      add(name, clears ? "" : request.body.substr(ip + 6, request.body.find('"', ip + 6) - ip - 6),
          name_space);
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
      const bool is_ingress = change.key.kind == k8s::Kind::ingress;
      if (is_ingress) report.changed.emplace(change.key.name_space, change.key.name);
      report.nodes_or_services_changed |= !is_ingress;
    }
    served_ = names;
    told_at_ = now_;
    writer_->tell(report, store_);
  }
  std::set<IngressName> add_many(int count, const std::string& ip = "",
                                 const std::string& name_space = "shop",
                                 const std::string& prefix = "i") {
    std::set<IngressName> names;
    for (int i = 0; i < count; ++i) {
      add(prefix + std::to_string(i), ip, name_space);
      names.emplace(name_space, prefix + std::to_string(i));
    }
    return names;
  }
  // These at which the server fails.
  std::set<IngressName> add_broken(int count, const std::string& name_space = "shop") {
    const std::set<IngressName> names = add_many(count, "", name_space, "b");
    for (const IngressName& name : names) broken_.insert(name.second);
    return names;
  }
  bool is_written_within(const std::string& name, Duration time) {
    for (const Instant end = now_ + time; now_ < end && ip(name) != "192.0.2.7";) {
      run(Duration::milliseconds(20));
    }
    return ip(name) == "192.0.2.7";
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
  int broken_answer_ = 500;
  std::set<std::string> lost_;  // names about which nothing reaches the server
  std::set<IngressName> served_;
  Instant told_at_;
  std::map<std::string, int> requests_;
  std::map<std::string, int> may_be_asked_;
  FakeApi api_{[this](const ApiRequest& request) { return serve(request); },
               [this](FakeApi::Asked* asked) {
                 const std::string name = name_in(asked->request.target).second;
                 asked->arrives = asked->comes = asked->arrives + Duration::milliseconds(30);
                 if (lost_.contains(name)) asked->arrives = asked->comes = Instant::never();
                 if (!lost_.contains(name)) ++may_be_asked_[name];
               }};
  std::unique_ptr<StatusWriter> writer_;
};

}  // namespace millrace::cluster

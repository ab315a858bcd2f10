// Writers of status against an API server that loses, refuses and delays, under changes of
// everything in any order: when that ends, what is served says the wanted address, nothing else
// says one that a writer put there, and nothing is left to do. MILLRACE_SEEDS=n runs that many of
// each trouble.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <deque>
#include <iterator>
#include <map>
#include <memory>
#include <optional>

#include "base/random.h"
#include "controlplane/cluster/fake_api_test_support.h"
#include "controlplane/cluster/status_writer.h"

namespace millrace::cluster {
namespace {

struct Trouble {
  double refused = 0;  // of the requests
  double lost = 0;     // half of them before the server, half of the others late
  int64_t late_s_max = 0;
  int64_t watch_lag_ms_max = 300;
  int64_t way_ms_max = 100;  // there, and back
  bool leaders_change = false;
  bool routes_are_held = false;  // what is served does not follow the objects at times
  bool addresses_change = false;
  int names = 8;
};

constexpr char address_of_another[] = "203.0.113.1";

class Simulation {
 public:
  Simulation(const Trouble& trouble, uint64_t seed) : trouble_(trouble), random_(seed) {
    StatusOptions options;
    options.publish_service = "millrace/lb";
    for (auto& writer : writers_) writer = std::make_unique<StatusWriter>(&api_, options);
    set_address("192.0.2.7");
  }

  void trouble() {
    for (int act = 0; act < 150; ++act) {
      change_something();
      run(Duration::milliseconds(static_cast<int64_t>(random_.below(1'500))));
    }
  }
  void quiet() {
    trouble_.refused = trouble_.lost = 0;
    is_held_ = false;
    if (!leader_) leader_ = random_.below(2);
    if (wanted_.empty()) set_address("192.0.2.7");
    run((status_retry_last + status_settle_time) * 2);
  }
  // Empty when all is well.
  std::string complaint() const {
    std::string text;
    if (spins_) text += "a writer has something to do in each turn; ";
    for (const auto& [name, object] : objects_) {
      const bool is_served = served_.contains({"shop", name});
      if (is_served && object.ip != wanted_) text += name + " says '" + object.ip + "'; ";
      const bool is_ours = object.by_us && object.ip.starts_with("192.0.2.");
      if (!is_served && is_ours) text += name + " is not served and says " + object.ip + "; ";
    }
    const StatusWriter& leader = *writers_[*leader_];
    if (leader.due() != Instant::never()) text += "something is due; ";
    if (leader.remembered() != 0) text += std::to_string(leader.remembered()) + " remembered; ";
    return text;
  }

 private:
  struct Object {
    int uid = 0;
    std::string ip;
    bool by_us = false;
  };
  struct Seen {
    Instant at;
    std::string name;
    std::optional<Object> object;
  };

  void run(Duration span) {
    for (const Instant end = now_ + span; now_ < end; now_ = now_ + Duration::milliseconds(50)) {
      api_.turn(now_);
      follow_watch();
      if (now_ >= told_at_ + Duration::seconds(1)) report();
      for (size_t i = 0; i < writers_.size(); ++i) {
        int turns = 0;
        do {
          writers_[i]->turn(now_, store_, leader_ == i);
        } while (leader_ == i && writers_[i]->due() <= now_ && ++turns < 100);
        spins_ |= turns == 100;
      }
    }
  }
  void change_something() {
    const std::string name =
        "i" + std::to_string(random_.below(static_cast<uint64_t>(trouble_.names)));
    const auto object = objects_.find(name);
    switch (random_.below(10)) {
      case 0:
      case 1:
        if (object == objects_.end()) create(name);
        break;
      case 2:
      case 3:
        if (object == objects_.end()) break;
        objects_.erase(object);
        show(name);
        if (random_.chance(0.5)) create(name);
        break;
      case 4:
      case 5: ours_.insert(name); break;
      case 6: ours_.erase(name); break;
      case 7:
        if (object == objects_.end()) break;
        object->second = {object->second.uid, address_of_another, false};
        show(name);
        break;
      case 8:
        if (!trouble_.leaders_change) break;
        leader_ = leader_ ? std::nullopt : std::optional<size_t>(random_.below(2));
        break;
      case 9: is_held_ = trouble_.routes_are_held && random_.chance(0.3); break;
    }
    if (!trouble_.addresses_change || !random_.chance(0.05)) return;
    set_address(random_.chance(0.3) ? "" : "192.0.2." + std::to_string(random_.between(7, 9)));
  }
  void create(const std::string& name) {
    objects_[name] = {++uids_, "", false};
    show(name);
  }
  // By the watch: in order, after a time.
  void show(const std::string& name) {
    Instant at = now_ + up_to(trouble_.watch_lag_ms_max);
    if (!watch_.empty()) at = std::max(at, watch_.back().at);
    const auto object = objects_.find(name);
    watch_.push_back({at, name, {}});
    if (object != objects_.end()) watch_.back().object = object->second;
  }
  void follow_watch() {
    for (; !watch_.empty() && watch_.front().at <= now_; watch_.pop_front()) {
      const Seen& seen = watch_.front();
      if (!seen.object) {
        store_.remove({k8s::Kind::ingress, "shop", seen.name});
        continue;
      }
      k8s::Ingress body;
      body.mutable_metadata()->set_name(seen.name);
      body.mutable_metadata()->set_namespace_("shop");
      body.mutable_metadata()->set_uid(std::to_string(seen.object->uid));
      if (!seen.object->ip.empty()) {
        body.mutable_status()->mutable_load_balancer()->add_ingress()->set_ip(seen.object->ip);
      }
      store_.put({{k8s::Kind::ingress, "shop", seen.name}, {}, k8s::Body(std::move(body))});
    }
  }
  void report() {
    store::Report report;
    std::set<IngressName> served;
    for (const auto& [key, object] : store_.objects()) {
      if (key.kind == k8s::Kind::ingress && ours_.contains(key.name)) {
        served.emplace(key.name_space, key.name);
      }
    }
    if (is_held_) served = served_;
    std::set_difference(served.begin(), served.end(), served_.begin(), served_.end(),
                        std::back_inserter(report.began));
    std::set_difference(served_.begin(), served_.end(), served.begin(), served.end(),
                        std::back_inserter(report.ceased));
    for (const store::Change& change : store_.take_changes()) {
      const bool is_ingress = change.key.kind == k8s::Kind::ingress;
      if (is_ingress) report.changed.emplace(change.key.name_space, change.key.name);
      report.nodes_or_services_changed |= !is_ingress;
    }
    served_ = std::move(served);
    told_at_ = now_;
    for (const auto& writer : writers_) writer->tell(report, store_);
  }
  void set_address(const std::string& ip) {
    wanted_ = ip;
    k8s::Service body;
    body.mutable_metadata()->set_name("lb");
    body.mutable_metadata()->set_namespace_("millrace");
    if (!ip.empty()) body.mutable_status()->mutable_load_balancer()->add_ingress()->set_ip(ip);
    store_.put({{k8s::Kind::service, "millrace", "lb"}, {}, k8s::Body(std::move(body))});
  }
  ApiAnswer serve(const ApiRequest& request) {
    if (random_.chance(trouble_.refused)) {
      constexpr int codes[] = {403, 404, 409, 422, 429, 500, 503};
      return answer_of(codes[random_.below(std::size(codes))], "because");
    }
    const size_t begin = request.target.find("/ingresses/") + 11;
    const std::string name = request.target.substr(begin, request.target.find("/status") - begin);
    const auto object = objects_.find(name);
    if (object == objects_.end()) return answer_of(404);
    const size_t ip = request.body.find("\"ip\":\"");
    object->second.by_us = true;
    object->second.ip = ip == std::string::npos ? "" : request.body.substr(ip + 6, 9);
    show(name);
    return answer_of(200);
  }
  void route(FakeApi::Asked* asked) {
    asked->arrives = asked->arrives + up_to(trouble_.way_ms_max);
    asked->comes = asked->arrives + up_to(trouble_.way_ms_max);
    if (!random_.chance(trouble_.lost)) return;
    asked->comes = Instant::never();
    if (random_.chance(0.5)) {
      asked->arrives = Instant::never();
    } else if (trouble_.late_s_max > 0) {
      asked->arrives = asked->arrives + up_to(trouble_.late_s_max * 1'000);
    }
  }
  Duration up_to(int64_t max_ms) {
    return Duration::milliseconds(
        static_cast<int64_t>(random_.between(0, static_cast<uint64_t>(max_ms))));
  }

  Trouble trouble_;
  Random random_;
  Instant now_ = Instant::from_ns(1'000'000'000'000);
  Instant told_at_;
  store::Store store_;                     // of the watch
  std::map<std::string, Object> objects_;  // of the server
  int uids_ = 0;
  std::deque<Seen> watch_;
  std::set<std::string> ours_;  // of our class
  std::set<IngressName> served_;
  std::string wanted_;
  std::optional<size_t> leader_ = 0;
  bool is_held_ = false;
  bool spins_ = false;
  FakeApi api_{[this](const ApiRequest& request) { return serve(request); },
               [this](FakeApi::Asked* asked) { route(asked); }};
  std::array<std::unique_ptr<StatusWriter>, 2> writers_;
};

TEST(StatusWriterSimulation, WhateverHappenedInTheEndAllIsRight) {
  const std::pair<const char*, Trouble> troubles[] = {
      {"none", {}},
      {"refused", {.refused = 0.3}},
      {"lost", {.lost = 0.2}},
      {"late", {.lost = 0.2, .late_s_max = 60}},
      {"slow watch", {.watch_lag_ms_max = 5'000}},
      {"slow server", {.refused = 0.3, .way_ms_max = 2'000}},
      {"leaders", {.leaders_change = true}},
      {"leaders of a slow server", {.way_ms_max = 2'000, .leaders_change = true}},
      {"held routes", {.routes_are_held = true}},
      {"addresses", {.addresses_change = true}},
      {"addresses and refused", {.refused = 0.3, .addresses_change = true}},
      {"all but lost",
       {.refused = 0.3, .leaders_change = true, .routes_are_held = true, .addresses_change = true}},
      {"many", {.refused = 0.2, .leaders_change = true, .routes_are_held = true, .names = 60}},
  };
  const char* seeds = std::getenv("MILLRACE_SEEDS");
  const uint64_t seed_max = seeds == nullptr ? 60 : std::strtoull(seeds, nullptr, 10);
  for (const auto& [name, trouble] : troubles) {
    for (uint64_t seed = 1; seed <= seed_max; ++seed) {
      Simulation simulation(trouble, seed);
      simulation.trouble();
      simulation.quiet();
      EXPECT_EQ(simulation.complaint(), "") << name << ", seed " << seed;
    }
  }
}

}  // namespace
}  // namespace millrace::cluster

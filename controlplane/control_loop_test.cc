// The loop with a source that is made up: when tables are built, and that nothing is published of
// half a view.
#include "controlplane/control_loop.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <optional>
#include <thread>

#include "base/unique_fd.h"
#include "controlplane/k8s/external_name.h"
#include "controlplane/manifests/file.h"
#include "controlplane/names/dns_server_test_support.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

std::string ingress(int revision) {
  return "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a, resourceVersion: "
         "\"" +
         std::to_string(revision) + "\"}\nspec: {rules: [{host: h" + std::to_string(revision) +
         ".example}]}\n";
}

// Does what the test says at each turn, which comes at the instant that the test names.
class MadeUpSource final : public store::Source {
 public:
  using Turn = std::function<Instant(Instant now, store::Store* store, MadeUpSource* self)>;
  explicit MadeUpSource(Turn turn) : fd_(eventfd(0, EFD_CLOEXEC)), turn_(std::move(turn)) {}

  int fd() const override { return fd_.get(); }
  Instant due(Instant) const override { return due_; }
  void turn(Instant now, store::Store* store) override {
    if (now >= due_) due_ = turn_(now, store, this);
  }
  bool has_synced() const override { return synced; }
  std::vector<k8s::Problem> problems() const override { return {}; }
  void accept_removals() override { ++accepted; }
  void watch_secrets(const store::SecretNames& names, store::Store*) override {
    wanted = names;
    ++asked;
  }
  uint64_t secrets_news() const override { return news; }
  std::optional<std::string> why_unknown(const std::string&, const std::string&) const override {
    ++whys;
    return unknown;
  }
  std::string name() const override { return "made up"; }

  bool synced = true;
  int accepted = 0;
  store::SecretNames wanted;
  int asked = 0;
  uint64_t news = 0;
  std::optional<std::string> unknown;
  mutable int whys = 0;

 private:
  UniqueFd fd_;
  Turn turn_;
  Instant due_;
};

// Keeps what it was told.
class MadeUpReporter final : public store::Reporter {
 public:
  explicit MadeUpReporter(std::vector<store::Report>* told) : told_(told) {}

  void tell(store::Report report, const store::Store&) override {
    told_->push_back(std::move(report));
  }
  Instant due(Instant) const override { return Instant::never(); }
  void turn(Instant, const store::Store&) override {}
  void stop(Instant) override {}
  bool done() const override { return true; }
  std::vector<k8s::Problem> problems() const override { return {}; }

 private:
  std::vector<store::Report>* told_;
};

class ControlLoopTest : public ::testing::Test {
 protected:
  ControlLoopTest() {
    char name[] = "/tmp/millrace-loop-XXXXXX";
    root_ = mkdtemp(name);
    EXPECT_EQ(pipe(signals_), 0);
  }
  ~ControlLoopTest() override {
    close(signals_[0]);
    close(signals_[1]);
    fs::remove_all(root_);
  }

  void signal(int number) {
    signalfd_siginfo info{};
    info.ssi_signo = static_cast<uint32_t>(number);
    ASSERT_EQ(write(signals_[1], &info, sizeof info), static_cast<ssize_t>(sizeof info));
  }
  // Runs the loop over the source until it signals SIGTERM; then the history that is left.
  std::unique_ptr<history::History> run(MadeUpSource::Turn turn,
                                        std::unique_ptr<store::Reporter> reporter = nullptr) {
    config_.socket = root_ / "socket";
    {
      auto history = history::History::open(root_ / "state", {});
      EXPECT_TRUE(history.ok());
      ControlLoop loop(config_, std::make_unique<MadeUpSource>(std::move(turn)),
                       std::move(reporter), std::move(*history), 1);
      loop.run(signals_[0]);
    }
    auto history = history::History::open(root_ / "state", {});
    EXPECT_TRUE(history.ok());
    return std::move(*history);
  }
  static void put(store::Store* store, int revision) {
    for (k8s::Object& object : manifests::parse_file("", ingress(revision)).objects) {
      store->put(std::move(object));
    }
  }

  fs::path root_;
  ControlPlaneConfig config_;
  int signals_[2];
};

TEST_F(ControlLoopTest, C10AStormOfChangesMakesTwentyTablesASecondAndTheLastOneIsThere) {
  int revision = 0;
  const Instant began = MonotonicClock().now();
  const auto history = run([&](Instant now, store::Store* store, MadeUpSource*) {
    if (++revision <= 400) put(store, revision);
    if (revision == 450) signal(SIGTERM);
    return now + Duration::milliseconds(2);
  });
  const auto took_ms = static_cast<uint64_t>((MonotonicClock().now() - began).count_ms());
  ASSERT_GE(history->size(), 3u);
  EXPECT_LE(history->size(), 2 + took_ms / 50);
  for (size_t i = 1; i < history->size(); ++i) {
    EXPECT_GE(history->at(i).time(), history->at(i - 1).time());
  }
  EXPECT_EQ(history->at(history->size() - 1).causes(0).resource_version(), "400");
}

TEST_F(ControlLoopTest, TheFirstChangeAfterQuietWaitsForNothing) {
  // The change at the third turn has been published before the fourth, which is due at once.
  int turns = 0;
  const auto history = run([&](Instant now, store::Store* store, MadeUpSource*) {
    ++turns;
    if (turns == 1) put(store, 1);
    if (turns == 2) return now + Duration::milliseconds(200);
    if (turns == 3) put(store, 2);
    if (turns == 4) signal(SIGTERM);
    return now;
  });
  ASSERT_EQ(history->size(), 2u);
  EXPECT_EQ(history->at(1).causes(0).resource_version(), "2");
}

TEST_F(ControlLoopTest, C3NothingIsPublishedOfHalfAView) {
  int turns = 0;
  const auto history = run([&](Instant now, store::Store* store, MadeUpSource* self) {
    ++turns;
    self->synced = turns > 20;
    put(store, turns);
    if (turns == 40) signal(SIGTERM);
    return now + Duration::milliseconds(10);
  });
  ASSERT_GE(history->size(), 1u);
  const int first = std::stoi(history->at(0).causes(0).resource_version());
  EXPECT_GT(first, 20) << "a table of turn " << first;
}

TEST_F(ControlLoopTest, SecretsAreAskedForWhereNamedAndMakeNoVersion) {
  const auto put_ingress = [](store::Store* store, const char* tls) {
    const std::string yaml =
        std::string(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\nspec: {") +
        tls + "rules: [{host: a.example}]}\n";
    for (k8s::Object& object : manifests::parse_file("", yaml).objects) store->put(object);
  };
  config_.cluster.watch_secrets = true;
  const store::SecretNames named = {{"default", "s"}};
  int turns = 0;
  const auto history = run([&](Instant now, store::Store* store, MadeUpSource* self) {
    ++turns;
    if (turns == 1) put_ingress(store, "tls: [{secretName: s}], ");
    if (turns == 10) {
      EXPECT_EQ(self->wanted, named);
    }
    if (turns >= 10 && turns < 20) {  // a certificate that is written again and again
      k8s::Secret secret;
      secret.mutable_metadata()->set_name("s");
      secret.set_type(std::to_string(turns));
      store->put({{k8s::Kind::secret, "default", "s"}, {}, k8s::Body(secret)});
    }
    if (turns == 20) {
      EXPECT_EQ(self->asked, 1) << "the names stay what they were";
      put_ingress(store, "");
    }
    if (turns == 30) {
      EXPECT_TRUE(self->wanted.empty());
      EXPECT_EQ(self->asked, 2);
      signal(SIGTERM);
    }
    return now + Duration::milliseconds(15);
  });
  ASSERT_EQ(history->size(), 1u);
  ASSERT_EQ(history->at(0).causes_size(), 1);
  EXPECT_EQ(history->at(0).causes(0).kind(), "Ingress");
}

// One Secret that becomes known while another one ceases to be: a count would stay the same.
TEST_F(ControlLoopTest, WhatASourceHasNewToSayOfSecretsIsLookedAtOnce) {
  config_.cluster.watch_secrets = true;
  int turns = 0;
  int whys = 0;
  run([&](Instant now, store::Store* store, MadeUpSource* self) {
    ++turns;
    self->unknown = "";
    if (turns == 1) {
      const std::string yaml =
          "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\nspec: {tls: "
          "[{secretName: s}], rules: [{host: a.example}]}\n";
      for (k8s::Object& object : manifests::parse_file("", yaml).objects) store->put(object);
    }
    if (turns == 15) {
      whys = self->whys;
      ++self->news;
    }
    if (turns == 30) {
      EXPECT_EQ(self->whys, whys + 1);
      signal(SIGTERM);
    }
    return now + Duration::milliseconds(15);
  });
}

// An Ingress that leads to port 80 of Service nas, which is of this type.
void put_nas(store::Store* store, const std::string& type) {
  const std::string yaml =
      "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\nspec: {rules: [{host: "
      "a.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: nas, port: "
      "{number: 80}}}}]}}]}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: nas}\nspec: "
      "{type: " +
      type + ", externalName: nas.example, ports: [{port: 80}]}\n";
  for (k8s::Object& object : manifests::parse_file("", yaml).objects) store->put(object);
}

// A data plane that never says a word: whoever has connected waits for it in silence.
UniqueFd listen_as_data_plane(const std::string& path) {
  UniqueFd listener(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  std::snprintf(at.sun_path, sizeof at.sun_path, "%s", path.c_str());
  EXPECT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  EXPECT_EQ(listen(listener.get(), 1), 0);
  return listener;
}

// The endpoints of each version, a text each.
std::vector<std::string> endpoints_of(history::History* history) {
  std::vector<std::string> texts;
  for (size_t i = 0; i < history->size(); ++i) {
    const auto model = history->model_at(static_cast<uint64_t>(history->at(i).number()));
    EXPECT_TRUE(model.ok());
    std::string text;
    for (const model::Service& service : model->services) {
      for (const model::Endpoint& one : service.endpoints) text += one.address.text() + ' ';
    }
    texts.push_back(text);
  }
  return texts;
}

// The first table has waited for DNS, and what DNS says later makes the next one, while source and
// data plane are quiet: the loop wakes for nothing else.
TEST_F(ControlLoopTest, AnExternalNameLeadsWhereDnsSaysWhileItsServiceIsOfThatType) {
  names::testing::DnsServer server;
  config_.model.serve_external_names = true;
  config_.dns.server = server.address();
  config_.dns.try_time = Duration::seconds(60);
  const UniqueFd data_plane = listen_as_data_plane(root_ / "socket");
  std::atomic<bool> is_over = false;
  std::thread serving([&] {
    server.script["nas.example"] = {{"192.0.2.7"}, 0};
    while (!is_over) {
      pollfd ready{server.fd(), POLLIN, 0};
      poll(&ready, 1, 20);
      server.serve();
      if (server.asked["nas.example"] == 1) server.script["nas.example"].addresses = {"192.0.2.8"};
    }
  });
  const k8s::ObjectKey slice = k8s::derived_slice_key("default", "nas");
  int turns = 0;
  const auto history = run([&](Instant now, store::Store* store, MadeUpSource*) {
    ++turns;
    if (turns == 1) {
      put_nas(store, "ExternalName");
      return now + names::answer_time_min + Duration::milliseconds(1'500);
    }
    if (turns == 2) {
      EXPECT_NE(store->find(slice), nullptr);
      put_nas(store, "ClusterIP");
    } else {
      EXPECT_EQ(store->find(slice), nullptr);
      signal(SIGTERM);
    }
    return now + Duration::milliseconds(300);
  });
  is_over = true;
  serving.join();
  EXPECT_EQ(endpoints_of(history.get()),
            (std::vector<std::string>{"192.0.2.7 ", "192.0.2.8 ", ""}));
  ASSERT_EQ(history->size(), 3u);
  EXPECT_EQ(history->at(1).causes(0).name(), "nas/external-name");
  EXPECT_EQ(history->at(1).causes(0).field_manager(), "DNS");
}

TEST_F(ControlLoopTest, TheFirstTableWaitsForDnsWithinBounds) {
  names::testing::DnsServer server;
  server.script["nas.example"].is_silent = true;
  config_.model.serve_external_names = true;
  config_.dns.server = server.address();
  config_.dns.try_time = Duration::seconds(60);
  std::optional<Instant> end;
  const auto history = run([&](Instant now, store::Store* store, MadeUpSource*) {
    server.serve();
    if (!end) end = now + first_answers_time_max + Duration::milliseconds(200);
    if (store->empty()) put_nas(store, "ExternalName");
    if (now >= *end) signal(SIGTERM);
    return now + Duration::milliseconds(20);
  });
  EXPECT_EQ(endpoints_of(history.get()), (std::vector<std::string>{""}));
}

TEST_F(ControlLoopTest, WithoutTheOptionNobodyIsAskedForAnExternalName) {
  names::testing::DnsServer server;
  server.script["nas.example"] = {{"192.0.2.7"}};
  config_.dns.server = server.address();
  int turns = 0;
  const auto history = run([&](Instant now, store::Store* store, MadeUpSource*) {
    server.serve();
    if (++turns == 1) put_nas(store, "ExternalName");
    if (turns == 20) {
      EXPECT_EQ(store->size(), 2u);
      signal(SIGTERM);
    }
    return now + Duration::milliseconds(10);
  });
  EXPECT_TRUE(server.asked.empty());
  EXPECT_EQ(endpoints_of(history.get()), (std::vector<std::string>{""}));
}

// Each report tells what came to be different since the one before it: what is served, which
// Ingresses somebody wrote to, and problems by the same pointer while they are the same.
TEST_F(ControlLoopTest, AReportTellsWhatChangedSinceTheOneBeforeIt) {
  std::vector<store::Report> told;
  const auto put_ingress = [](store::Store* store, const std::string& name,
                              const std::string& path_type, const std::string& more) {
    const std::string yaml =
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: " + name +
        "}\nspec: {rules: [{host: " + name +
        ".example, http: {paths: [{path: /, pathType: " + path_type +
        ", backend: {service: {name: s, port: {number: 80}}}}]}}]" + more + "}\n";
    for (k8s::Object& object : manifests::parse_file("", yaml).objects) store->put(object);
  };
  const std::string status = "}\nstatus: {loadBalancer: {ingress: [{ip: 192.0.2.9}]}";
  const std::string tls = ", tls: [{hosts: [c.example]}]";
  const std::vector<std::function<void(store::Store*)>> steps = {
      [&](store::Store* store) {
        put_ingress(store, "a", "Prefix", "");
        put_ingress(store, "b", "Prefix", "");
      },
      [&](store::Store* store) { put_ingress(store, "b", "Prefix", status); },
      [&](store::Store* store) {
        store->remove({k8s::Kind::ingress, "default", "a"});
        put_ingress(store, "c", "Wrong", tls);
      },
      [&](store::Store* store) {
        store->put({{k8s::Kind::service, "default", "s"}, {}, k8s::Body(k8s::Service())});
      },
      [&](store::Store*) { signal(SIGTERM); },
  };
  size_t step = 0;
  run(
      [&](Instant now, store::Store* store, MadeUpSource*) {
        if (step <= told.size()) steps[step++](store);  // the one before has been told
        return now + Duration::milliseconds(20);
      },
      std::make_unique<MadeUpReporter>(&told));
  using Names = std::vector<store::IngressName>;
  using NameSet = std::set<store::IngressName>;
  ASSERT_EQ(told.size(), 4u);
  for (size_t i = 0; i < told.size(); ++i) EXPECT_EQ(told[i].nodes_or_services_changed, i == 3);
  EXPECT_EQ(told[0].began, (Names{{"default", "a"}, {"default", "b"}}));
  EXPECT_EQ(told[0].changed, (NameSet{{"default", "a"}, {"default", "b"}}));
  EXPECT_EQ(told[0].problems->size(), 1u) << "no such Service";
  EXPECT_TRUE(told[1].began.empty() && told[1].ceased.empty());
  EXPECT_EQ(told[1].changed, (NameSet{{"default", "b"}})) << "somebody wrote its status";
  EXPECT_EQ(told[1].problems, told[0].problems);
  EXPECT_EQ(told[2].began, Names());
  EXPECT_EQ(told[2].ceased, (Names{{"default", "a"}}));
  EXPECT_EQ(told[2].changed, (NameSet{{"default", "a"}, {"default", "c"}}));
  std::string problems;
  for (const k8s::Problem& problem : *told[2].problems) problems += problem.text() + '\n';
  for (const char* part :
       {"\"Wrong\" is unknown", "there is no Service", "TLS is not terminated"}) {
    EXPECT_NE(problems.find(part), std::string::npos) << part << " in\n" << problems;
  }
  EXPECT_EQ(problems.find("Ingress default/a"), std::string::npos) << problems;
}

}  // namespace
}  // namespace millrace

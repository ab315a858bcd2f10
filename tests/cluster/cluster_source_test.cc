// ClusterSource against a real API server. tests/cluster/run starts one and says where it is.
#include "controlplane/cluster/cluster_source.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

namespace millrace::cluster {
namespace {

std::string setting(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// A whole shell command; its exit status.
int shell(const std::string& command) {
  const int status = std::system(command.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

class ClusterSourceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (setting("MILLRACE_TEST_KUBECTL").empty()) GTEST_SKIP() << "no API server";
    name_space_ = "t" + std::to_string(getpid()) + "-" + std::to_string(++count);
    ASSERT_EQ(kube("create namespace " + name_space_), 0);
  }

  // `input`: YAML for "apply -f -".
  int kube(const std::string& arguments, const std::string& input = "") {
    const std::string file = ::testing::TempDir() + "/input-" + std::to_string(getpid());
    std::ofstream(file) << input;
    return shell(setting("MILLRACE_TEST_KUBECTL") + ' ' + arguments + " <" + file + " >/dev/null");
  }
  int apply(const std::string& yaml) { return kube("-n " + name_space_ + " apply -f -", yaml); }

  void open(ClusterOptions options = {}) {
    auto credentials = Credentials::from_kubeconfig(setting("MILLRACE_TEST_KUBECONFIG"), "");
    ASSERT_TRUE(credentials.ok()) << credentials.error();
    auto api = Api::create(std::move(*credentials));
    ASSERT_TRUE(api.ok()) << api.error();
    source_.reset();
    api_ = std::move(*api);
    source_ = std::make_unique<ClusterSource>(api_.get(), options, 1);
  }

  // Turns the source until `done`, for ten seconds at most.
  bool wait_for(const std::function<bool()>& done) {
    const Instant end = MonotonicClock().now() + Duration::seconds(10);
    while (true) {
      const Instant now = MonotonicClock().now();
      source_->turn(now, &store_);
      if (done()) return true;
      if (now >= end) return false;
      const Instant due = source_->due(now);
      const Duration wait = due <= now ? Duration() : std::min(due - now, Duration::seconds(1));
      pollfd ready{source_->fd(), POLLIN, 0};
      poll(&ready, 1, static_cast<int>(wait.count_ms()));
    }
  }

  k8s::ObjectKey key(k8s::Kind kind, const std::string& name) const {
    return {kind, name_space_, name};
  }
  const k8s::Object* find(k8s::Kind kind, const std::string& name) const {
    return store_.find(key(kind, name));
  }
  std::string problems() const {
    std::string text;
    for (const k8s::Problem& problem : source_->problems()) text += problem.text() + '\n';
    return text;
  }

  static int count;
  std::string name_space_;
  std::unique_ptr<Api> api_;
  std::unique_ptr<ClusterSource> source_;
  store::Store store_;
};

int ClusterSourceTest::count = 0;

constexpr char web[] = R"(
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, annotations: {millrace.dev/balance: least-requests}}
spec:
  ingressClassName: millrace
  tls: [{hosts: [a.example], secretName: a-tls}]
  rules:
  - host: a.example
    http: {paths: [{path: /x, pathType: Exact, backend: {service: {name: web, port: {number: 80}}}}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{name: http, port: 80, targetPort: named}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints: [{addresses: [10.1.2.3], conditions: {ready: true, serving: true, terminating: false}}]
)";

TEST_F(ClusterSourceTest, WhatIsThereAndWhatComesAndGoes) {
  ASSERT_EQ(apply(web), 0);
  open();
  ASSERT_TRUE(wait_for([&] { return source_->has_synced(); })) << problems();
  EXPECT_EQ(problems(), "");
  const k8s::Object* object = find(k8s::Kind::ingress, "web");
  ASSERT_NE(object, nullptr);
  const auto& ingress = std::get<k8s::Ingress>(*object->body);
  ASSERT_EQ(ingress.spec().rules_size(), 1);
  const auto& path = ingress.spec().rules(0).value().http().paths(0);
  EXPECT_EQ(path.path() + ' ' + path.path_type() + ' ' + path.backend().service().name(),
            "/x Exact web");
  EXPECT_EQ(ingress.spec().tls(0).secret_name(), "a-tls");
  EXPECT_EQ(ingress.metadata().annotations().at("millrace.dev/balance"), "least-requests");
  EXPECT_GT(ingress.metadata().creation_timestamp().seconds(), 0);
  EXPECT_FALSE(ingress.metadata().resource_version().empty());
  EXPECT_EQ(object->field_manager, "kubectl-client-side-apply");
  ASSERT_NE(find(k8s::Kind::endpoint_slice, "web-1"), nullptr);
  const auto& slice = std::get<k8s::EndpointSlice>(*find(k8s::Kind::endpoint_slice, "web-1")->body);
  EXPECT_EQ(slice.endpoints(0).addresses(0), "10.1.2.3");
  EXPECT_TRUE(slice.endpoints(0).conditions().ready());
  EXPECT_NE(store_.find({k8s::Kind::name_space, "", name_space_}), nullptr);

  ASSERT_EQ(kube("-n " + name_space_ +
                 " create ingress late --class=millrace "
                 "--rule=b.example/=web:80"),
            0);
  EXPECT_TRUE(wait_for([&] { return find(k8s::Kind::ingress, "late") != nullptr; }));
  ASSERT_EQ(kube("-n " + name_space_ + " delete ingress web --wait=false"), 0);
  EXPECT_TRUE(wait_for([&] { return find(k8s::Kind::ingress, "web") == nullptr; }));
  ASSERT_EQ(kube("-n " + name_space_ + " label service web colour=blue"), 0);
  EXPECT_TRUE(wait_for([&] {
    return metadata_of(*find(k8s::Kind::service, "web")->body).labels().contains("colour");
  }));
  EXPECT_EQ(source_->counts().lists, 6u) << "one a kind";
}

TEST_F(ClusterSourceTest, OneNamespaceOfMany) {
  ASSERT_EQ(apply(web), 0);
  ASSERT_EQ(kube("create namespace " + name_space_ + "-other"), 0);
  ASSERT_EQ(kube("-n " + name_space_ + "-other apply -f -", web), 0);
  open({{name_space_}});
  ASSERT_TRUE(wait_for([&] { return source_->has_synced(); })) << problems();
  EXPECT_NE(find(k8s::Kind::ingress, "web"), nullptr);
  for (const auto& [key, object] : store_.objects()) {
    EXPECT_TRUE(key.kind == k8s::Kind::ingress_class || key.name_space == name_space_)
        << key.text();
  }
}

TEST_F(ClusterSourceTest, SecretsOfTlsAreWatchedWhereNamedAndKeysAreNotKept) {
  open({{}, true});
  ASSERT_TRUE(wait_for([&] { return source_->has_synced(); })) << problems();
  source_->watch_secrets({{name_space_, "a-tls"}}, &store_);
  EXPECT_FALSE(wait_for([&] { return find(k8s::Kind::secret, "a-tls") != nullptr; }));
  ASSERT_EQ(shell("cd " + ::testing::TempDir() +
                  " && openssl req -x509 -newkey rsa:2048 -nodes -keyout t.key -out t.crt "
                  "-subj /CN=a.example -days 30 2>/dev/null"),
            0);
  for (const std::string name : {"a-tls", "unnamed"}) {
    ASSERT_EQ(kube("-n " + name_space_ + " create secret tls " + name + " --cert " +
                   ::testing::TempDir() + "/t.crt --key " + ::testing::TempDir() + "/t.key"),
              0);
  }
  ASSERT_TRUE(wait_for([&] { return find(k8s::Kind::secret, "a-tls") != nullptr; })) << problems();
  EXPECT_EQ(find(k8s::Kind::secret, "unnamed"), nullptr);
  const auto& secret = std::get<k8s::Secret>(*find(k8s::Kind::secret, "a-tls")->body);
  EXPECT_EQ(secret.type(), "kubernetes.io/tls");
  EXPECT_TRUE(secret.data().at("tls.crt").starts_with("-----BEGIN CERTIFICATE"));
  EXPECT_EQ(secret.data().at("tls.key"), "");
  source_->watch_secrets({}, &store_);
  EXPECT_EQ(find(k8s::Kind::secret, "a-tls"), nullptr);
}

TEST_F(ClusterSourceTest, C6_WatchesThatEndAreTakenUpWithoutAList) {
  open({{}, false, 1});
  ASSERT_TRUE(wait_for([&] { return source_->has_synced(); })) << problems();
  const uint64_t lists = source_->counts().lists;
  const uint64_t watches = source_->counts().watches;
  for (int i = 0; i < 5; ++i) {
    const std::string name = "s" + std::to_string(i);
    ASSERT_EQ(kube("-n " + name_space_ + " create service clusterip " + name + " --tcp=80:80"), 0);
    EXPECT_TRUE(wait_for([&] { return find(k8s::Kind::service, name) != nullptr; })) << problems();
    EXPECT_TRUE(
        wait_for([&] { return source_->counts().watches >= watches + 6 * (uint64_t(i) + 1); }));
  }
  EXPECT_EQ(source_->counts().lists, lists);
  EXPECT_EQ(source_->counts().failures, 0u);
}

TEST_F(ClusterSourceTest, C1_AServerThatComesBackIsFollowedAgain) {
  ASSERT_EQ(apply(web), 0);
  open();
  ASSERT_TRUE(wait_for([&] { return source_->has_synced(); })) << problems();
  ASSERT_EQ(shell(setting("MILLRACE_TEST_RESTART")), 0) << "kube-apiserver starts anew";
  EXPECT_NE(find(k8s::Kind::ingress, "web"), nullptr) << "nothing is lost while it is away";
  ASSERT_EQ(kube("-n " + name_space_ +
                 " create ingress late --class=millrace "
                 "--rule=b.example/=web:80"),
            0);
  EXPECT_TRUE(wait_for([&] { return find(k8s::Kind::ingress, "late") != nullptr; })) << problems();
  EXPECT_TRUE(wait_for([&] { return problems().empty(); })) << problems();
}

TEST_F(ClusterSourceTest, C5_WhatEtcdHasForgottenIsListedAnew) {
  open();
  ASSERT_TRUE(wait_for([&] { return source_->has_synced(); })) << problems();
  const uint64_t lists = source_->counts().lists;
  ASSERT_EQ(apply(web), 0);
  // The server restarts with an etcd that has forgotten every version that we know.
  ASSERT_EQ(shell(setting("MILLRACE_TEST_RESTART") + " compact"), 0);
  EXPECT_TRUE(wait_for([&] { return source_->counts().gone > 0; })) << problems();
  EXPECT_TRUE(wait_for([&] { return source_->counts().lists > lists; }));
  EXPECT_TRUE(wait_for([&] { return find(k8s::Kind::ingress, "web") != nullptr; })) << problems();
  EXPECT_TRUE(wait_for([&] { return problems().empty(); })) << problems();
}

TEST_F(ClusterSourceTest, ManyPagesAreOneList) {
  std::string many;
  for (int i = 0; i < 1'203; ++i) {
    many += "---\napiVersion: v1\nkind: Service\nmetadata: {name: s" + std::to_string(i) +
            "}\nspec: {clusterIP: None, ports: [{port: 80}]}\n";
  }
  ASSERT_EQ(kube("-n " + name_space_ + " create -f -", many), 0);
  Api* api = nullptr;
  open();
  api = api_.get();
  // The pages alone, as a server without lists at the head of a watch gets them.
  Reflector reflector({k8s::Kind::service, name_space_, ""}, 1);
  reflector.lists_by_pages();
  int requests = 0;
  const Instant end = MonotonicClock().now() + Duration::seconds(20);
  while (!reflector.has_synced() && MonotonicClock().now() < end) {
    const Instant now = MonotonicClock().now();
    if (const auto request = reflector.start(now)) {
      ++requests;
      api->call({"GET", request->target, "", ""}, [&](const ApiAnswer& answer, Instant) {
        ASSERT_TRUE(answer.ok()) << answer.reason();
        reflector.head(
            answer.http_status,
            answer.encoding == Encoding::json ? "application/json" : protobuf_content_type,
            std::nullopt, now);
        reflector.body(answer.body, now, &store_);
        reflector.end(std::nullopt, now, &store_);
      });
    }
    pollfd ready{api->fd(), POLLIN, 0};
    poll(&ready, 1, 20);
    api->turn(MonotonicClock().now());
  }
  EXPECT_TRUE(reflector.has_synced());
  EXPECT_EQ(requests, 3);
  EXPECT_EQ(store_.size(), 1'203u);
}

}  // namespace
}  // namespace millrace::cluster

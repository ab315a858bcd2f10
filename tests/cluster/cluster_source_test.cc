// ClusterSource against a real API server. tests/cluster/run starts one and says where it is.
#include "controlplane/cluster/cluster_source.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
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

  // `kubeconfig`: empty for the administrator's.
  void open(ClusterOptions options = {}, const std::string& kubeconfig = "") {
    auto credentials = Credentials::from_kubeconfig(
        kubeconfig.empty() ? setting("MILLRACE_TEST_KUBECONFIG") : kubeconfig, "");
    ASSERT_TRUE(credentials.ok()) << credentials.error();
    auto api = Api::create(std::move(*credentials));
    ASSERT_TRUE(api.ok()) << api.error();
    source_.reset();
    api_ = std::move(*api);
    source_ = std::make_unique<ClusterSource>(api_.get(), options, 1);
  }

  // What a shell command prints.
  static std::string output_of(const std::string& command) {
    std::string text;
    FILE* pipe = popen(command.c_str(), "r");
    char buffer[4096];
    for (size_t count; pipe != nullptr && (count = fread(buffer, 1, sizeof buffer, pipe)) > 0;) {
      text.append(buffer, count);
    }
    if (pipe != nullptr) pclose(pipe);
    return text;
  }
  // Connections of this process to the server.
  static int connections() {
    return std::atoi(
        output_of("ss -Htnp state established | grep -c 'pid=" + std::to_string(getpid()) + ",'")
            .c_str());
  }
  std::string token(const std::string& account, const std::string& lasts) {
    std::string text = output_of(setting("MILLRACE_TEST_KUBECTL") + " -n " + name_space_ +
                                 " create token " + account + " --duration " + lasts);
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
  }
  // Of a ServiceAccount of the test's namespace whose token lies in a file.
  std::string kubeconfig_with_token_file(const std::string& token_file) {
    const std::string admin = output_of("cat " + setting("MILLRACE_TEST_KUBECONFIG"));
    const std::string server = admin.substr(
        admin.find("https://"), admin.find('"', admin.find("https://")) - admin.find("https://"));
    const std::string folder = setting("MILLRACE_TEST_SERVER");
    const std::string file = folder + "/" + name_space_ + ".kubeconfig";
    std::ofstream(file) << "clusters: [{name: c, cluster: {server: \"" << server
                        << "\", certificate-authority: certificates/apiserver.crt}}]\n"
                        << "users: [{name: u, user: {tokenFile: " << token_file << "}}]\n"
                        << "contexts: [{name: x, context: {cluster: c, user: u}}]\n"
                        << "current-context: x\n";
    return file;
  }
  // A file of deploy/manifests/ingress, said of the test's namespace and the account
  // "millrace-controlplane" there.
  std::string rights(const std::string& file) {
    std::ifstream stream(setting("MILLRACE_TEST_MANIFESTS") + "/" + file);
    std::string text{std::istreambuf_iterator<char>(stream), {}};
    for (size_t at; (at = text.find("namespace: shop")) != std::string::npos;) {
      text.replace(at, 15, "namespace: " + name_space_);
    }
    for (size_t at; (at = text.find("namespace: millrace}")) != std::string::npos;) {
      text.replace(at, 20, "namespace: " + name_space_ + "}");
    }
    for (size_t at; (at = text.find("controlplane-shop")) != std::string::npos;) {
      text.replace(at, 17, "controlplane");
    }
    return text;
  }

  // Turns the source until `done`, for ten seconds at most.
  bool wait_for(const std::function<bool()>& done, int seconds = 10) {
    const Instant end = MonotonicClock().now() + Duration::seconds(seconds);
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
  const auto ingress = object->body.as<k8s::Ingress>();
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
  const auto slice = find(k8s::Kind::endpoint_slice, "web-1")->body.as<k8s::EndpointSlice>();
  EXPECT_EQ(slice.endpoints(0).addresses(0), "10.1.2.3");
  EXPECT_TRUE(slice.endpoints(0).conditions().ready());

  ASSERT_EQ(kube("-n " + name_space_ +
                 " create ingress late --class=millrace "
                 "--rule=b.example/=web:80"),
            0);
  EXPECT_TRUE(wait_for([&] { return find(k8s::Kind::ingress, "late") != nullptr; }));
  ASSERT_EQ(kube("-n " + name_space_ + " delete ingress web --wait=false"), 0);
  EXPECT_TRUE(wait_for([&] { return find(k8s::Kind::ingress, "web") == nullptr; }));
  ASSERT_EQ(kube("-n " + name_space_ + " label service web colour=blue"), 0);
  EXPECT_TRUE(wait_for([&] {
    return find(k8s::Kind::service, "web")->body.metadata().labels().contains("colour");
  }));
  EXPECT_EQ(source_->counts().lists, 4u) << "one a kind, and neither Node nor Namespace";
}

TEST_F(ClusterSourceTest, C11_NodesAndNamespacesAreWatchedByThoseWhoNeedThem) {
  ClusterOptions options;
  options.watches_nodes = true;
  options.watches_namespaces = true;
  open(options);
  ASSERT_TRUE(wait_for([&] { return source_->has_synced(); })) << problems();
  EXPECT_EQ(source_->counts().lists, 6u);
  EXPECT_NE(store_.find({k8s::Kind::name_space, "", name_space_}), nullptr);
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
  EXPECT_EQ(source_->why_unknown(name_space_, "a-tls"), "");
  const uint64_t news = source_->secrets_news();
  EXPECT_TRUE(wait_for([&] { return !source_->why_unknown(name_space_, "a-tls"); })) << problems();
  EXPECT_EQ(source_->secrets_news(), news + 1);
  EXPECT_EQ(find(k8s::Kind::secret, "a-tls"), nullptr) << "it is known that there is none";
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
  const auto secret = find(k8s::Kind::secret, "a-tls")->body.as<k8s::Secret>();
  EXPECT_EQ(secret.type(), "kubernetes.io/tls");
  EXPECT_TRUE(secret.data().at("tls.crt").starts_with("-----BEGIN CERTIFICATE"));
  EXPECT_EQ(secret.data().at("tls.key"), "");
  EXPECT_EQ(secret.key_state(), k8s::Secret::KEY_MATCHES);
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

TEST_F(ClusterSourceTest, AllWatchesShareOneConnectionOfHttp2) {
  open();
  ASSERT_TRUE(wait_for([&] { return source_->has_synced(); })) << problems();
  EXPECT_EQ(connections(), 1);
  // 150 Secrets by name: beyond the streams of one connection, and far below one each.
  ClusterOptions options;
  options.watch_secrets = true;
  open(options);
  ASSERT_TRUE(wait_for([&] { return source_->has_synced(); })) << problems();
  std::set<std::pair<std::string, std::string>> names;
  for (int i = 0; i < 150; ++i) names.emplace(name_space_, "s" + std::to_string(i));
  source_->watch_secrets(names, &store_);
  EXPECT_TRUE(wait_for([&] { return source_->counts().watches >= 154; })) << problems();
  wait_for([] { return false; }, 3);
  EXPECT_EQ(problems(), "");
  EXPECT_GE(connections(), 1);
  EXPECT_LE(connections(), 1 + static_cast<int>(secret_starts_max));
  std::printf("watches=%llu connections=%d\n",
              static_cast<unsigned long long>(source_->counts().watches), connections());
  source_->watch_secrets({}, &store_);
  ASSERT_EQ(kube("-n " + name_space_ + " create service clusterip after --tcp=80:80"), 0);
  EXPECT_TRUE(wait_for([&] { return find(k8s::Kind::service, "after") != nullptr; }))
      << "streams that were canceled cost the others nothing";
  EXPECT_EQ(source_->counts().failures, 0u);
}

TEST_F(ClusterSourceTest, C12_ATokenThatRunsOutIsReplacedWithoutARestart) {
  ASSERT_EQ(kube("-n " + name_space_ + " create serviceaccount millrace-controlplane"), 0);
  ASSERT_EQ(kube("apply -f -", rights("rbac-of-a-namespace.yaml")), 0);
  const std::string file = setting("MILLRACE_TEST_SERVER") + "/" + name_space_ + ".token";
  std::ofstream(file) << token("millrace-controlplane", "10m");
  ClusterOptions options;
  options.namespaces = {name_space_};
  options.watch_seconds = 2;
  open(options, kubeconfig_with_token_file(file));
  ASSERT_TRUE(wait_for([&] { return source_->has_synced(); })) << problems();
  EXPECT_EQ(problems(), "") << "these rights suffice";
  // The account is made anew: every token of before is of nobody.
  ASSERT_EQ(kube("-n " + name_space_ + " delete serviceaccount millrace-controlplane"), 0);
  ASSERT_EQ(kube("-n " + name_space_ + " create serviceaccount millrace-controlplane"), 0);
  EXPECT_TRUE(wait_for([&] { return problems().find("HTTP 401") != std::string::npos; }, 30))
      << problems();
  std::ofstream(file) << token("millrace-controlplane", "10m");
  EXPECT_TRUE(wait_for([&] { return problems().empty(); }, 40)) << problems();
  ASSERT_EQ(apply(web), 0);
  EXPECT_TRUE(wait_for([&] { return find(k8s::Kind::ingress, "web") != nullptr; }));
}

TEST_F(ClusterSourceTest, C11_SecretsUnderTheRightsOfOneNamespace) {
  ASSERT_EQ(kube("-n " + name_space_ + " create serviceaccount millrace-controlplane"), 0);
  ASSERT_EQ(kube("apply -f -", rights("rbac-of-a-namespace.yaml")), 0);
  ASSERT_EQ(kube("apply -f -", rights("secrets-of-a-namespace.yaml")), 0);
  for (const char* name : {"shop-tls", "other"}) {
    ASSERT_EQ(kube("-n " + name_space_ + " create secret generic " + name +
                   " --type=kubernetes.io/tls --from-literal=tls.key=k --from-literal=tls.crt=c"),
              0);
  }
  const std::string file = setting("MILLRACE_TEST_SERVER") + "/" + name_space_ + ".token";
  std::ofstream(file) << token("millrace-controlplane", "10m");
  ClusterOptions options;
  options.namespaces = {name_space_};
  options.watch_secrets = true;
  open(options, kubeconfig_with_token_file(file));
  source_->watch_secrets({{name_space_, "shop-tls"}, {name_space_, "other"}}, &store_);
  EXPECT_TRUE(wait_for([&] { return find(k8s::Kind::secret, "shop-tls") != nullptr; }));
  EXPECT_TRUE(wait_for([&] { return problems().find("/other: HTTP 403") != std::string::npos; }))
      << problems();
  EXPECT_EQ(find(k8s::Kind::secret, "other"), nullptr);
  EXPECT_NE(source_->why_unknown(name_space_, "other")->find("forbidden"), std::string::npos);
  EXPECT_TRUE(wait_for([&] { return source_->has_synced(); }))
      << "a Secret that may not be read holds back nothing";
}

TEST_F(ClusterSourceTest, EveryWayOfWritingIsFollowed) {
  open();
  ASSERT_TRUE(wait_for([&] { return source_->has_synced(); })) << problems();
  const auto rule = [](const std::string& host) {
    return "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: w}\nspec: {rules: "
           "[{host: " +
           host +
           ", http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: "
           "{number: 80}}}}]}}]}\n";
  };
  const auto becomes = [&](const std::string& host, const std::string& manager) {
    return wait_for([&] {
      const k8s::Object* object = find(k8s::Kind::ingress, "w");
      return object != nullptr && object->field_manager == manager &&
             object->body.as<k8s::Ingress>().spec().rules(0).host() == host;
    });
  };
  const std::string in = "-n " + name_space_ + " ";
  ASSERT_EQ(kube(in + "apply --server-side -f -", rule("a.example")), 0);
  EXPECT_TRUE(becomes("a.example", "kubectl"));
  EXPECT_NE(
      kube(in + "apply --server-side --field-manager other -f - 2>/dev/null", rule("b.example")), 0)
      << "a conflict of managers changes nothing";
  ASSERT_EQ(kube(in + "apply --server-side --force-conflicts --field-manager other -f -",
                 rule("b.example")),
            0);
  EXPECT_TRUE(becomes("b.example", "other"));
  ASSERT_EQ(kube(in + "replace -f -", rule("c.example")), 0);
  EXPECT_TRUE(becomes("c.example", "kubectl-replace"));
  ASSERT_EQ(shell("EDITOR='sed -i s/c.example/d.example/' " + setting("MILLRACE_TEST_KUBECTL") +
                  ' ' + in + "edit ingress w >/dev/null"),
            0);
  EXPECT_TRUE(becomes("d.example", "kubectl-edit"));
  ASSERT_EQ(kube(in + "replace --force -f - 2>/dev/null", rule("e.example")), 0);
  EXPECT_TRUE(becomes("e.example", "kubectl-replace"));
  EXPECT_EQ(problems(), "");
}

TEST_F(ClusterSourceTest, TenThousandIngresses) {
  constexpr int ingress_count = 10'000;
  const std::string folder = ::testing::TempDir() + "/many-" + name_space_;
  ASSERT_EQ(shell("mkdir -p " + folder), 0);
  // Four at a time: one kubectl creates a few hundred a second.
  std::string all;
  for (int part = 0; part < 4; ++part) {
    const std::string file = folder + "/" + std::to_string(part) + ".yaml";
    std::ofstream stream(file);
    for (int i = part; i < ingress_count; i += 4) {
      stream
          << "---\n{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: i" << i
          << "}, spec: {ingressClassName: millrace, rules: [{host: h" << i
          << ".example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, "
             "port: {number: 80}}}}]}}]}}\n";
    }
    all += setting("MILLRACE_TEST_KUBECTL") + " -n " + name_space_ + " create -f " + file +
           " >/dev/null & ";
  }
  ASSERT_EQ(shell(all + "wait"), 0);
  const Instant began = MonotonicClock().now();
  open();
  ASSERT_TRUE(wait_for([&] { return source_->has_synced(); }, 60)) << problems();
  const Duration took = MonotonicClock().now() - began;
  EXPECT_EQ(std::count_if(store_.objects().begin(), store_.objects().end(),
                          [&](const auto& one) {
                            return one.first.kind == k8s::Kind::ingress &&
                                   one.first.name_space == name_space_;
                          }),
            ingress_count);
  std::printf("ingresses=%d from_start_to_synced_ms=%lld\n", ingress_count,
              static_cast<long long>(took.count_ms()));
  EXPECT_LT(took, Duration::seconds(20));
  shell("rm -rf " + folder);
  kube("delete ingress -n " + name_space_ + " --all --wait=false");
}

}  // namespace
}  // namespace millrace::cluster

// The program as a whole: its options, its exit codes, a folder that changes under it, a data plane
// that takes its tables, and its own sudden death.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>

#include "base/time.h"
#include "base/unique_fd.h"
#include "shm/channel.h"
#include "shm/snapshot_store.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::string app(const std::string& name, int endpoint) {
  return "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: " + name +
         "}\nspec:\n  rules:\n  - host: " + name +
         ".example\n    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: " +
         name +
         ", port: {number: 80}}}}]}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: " + name +
         "}\nspec: {ports: [{port: 80}]}\n---\napiVersion: discovery.k8s.io/v1\nkind: " +
         "EndpointSlice\nmetadata: {name: " + name +
         "-1, labels: {kubernetes.io/service-name: " + name +
         "}}\naddressType: IPv4\nports: [{port: 8080}]\nendpoints: [{addresses: [10.0.0." +
         std::to_string(endpoint) + "]}]\n";
}

class ControlPlaneTest : public ::testing::Test {
 protected:
  ControlPlaneTest() : cell_(1) {
    char name[] = "/tmp/millrace-control-XXXXXX";
    root_ = mkdtemp(name);
    manifests_ = root_ / "manifests";
    fs::create_directory(manifests_);
    socket_ = (root_ / "socket").string();
  }
  ~ControlPlaneTest() override {
    if (pid_ > 0) stop(SIGKILL);
    fs::remove_all(root_);
  }

  void write(const std::string& name, const std::string& text) {
    std::ofstream(manifests_ / name) << text;
  }

  void start(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), MILLRACE_CONTROLPLANE);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    const std::string out = root_ / "out";
    const std::string err = root_ / "err";
    pid_ = fork();
    if (pid_ == 0) {
      const int out_fd = open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      const int err_fd = open(err.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
      dup2(out_fd, 1);
      dup2(err_fd, 2);
      execv(argv[0], argv.data());
      _exit(127);
    }
  }
  void start_on_folder() { start({"--manifests", manifests_, "--socket", socket_}); }

  int wait_for_exit() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  int stop(int signal) {
    kill(pid_, signal);
    return wait_for_exit();
  }
  int run(const std::vector<std::string>& arguments) {
    fs::remove(root_ / "err");
    start(arguments);
    return wait_for_exit();
  }
  std::string out() { return read_file(root_ / "out"); }
  std::string err() { return read_file(root_ / "err"); }

  void listen() {
    auto server = shm::ChannelServer::listen(socket_, {}, cell_);
    ASSERT_TRUE(server.ok()) << server.error();
    server_ = std::move(*server);
  }
  const shm::SnapshotView& view() { return *cell_.current().view; }

  // The control plane's answer, head and body; empty when nobody answers within a second.
  std::string ask(const std::string& method, const std::string& target) {
    const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, (root_ / "controlplane.sock").c_str());
    if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return "";
    const std::string request = method + ' ' + target +
                                " HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
                                "Connection: close\r\n\r\n";
    if (send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return "";
    std::string answer;
    char buffer[4096];
    for (pollfd ready{fd.get(), POLLIN, 0}; poll(&ready, 1, 1'000) == 1;) {
      const ssize_t count = recv(fd.get(), buffer, sizeof buffer, 0);
      if (count <= 0) break;
      answer.append(buffer, static_cast<size_t>(count));
    }
    return answer;
  }

  // Plays the data plane until `done`, at most ten seconds.
  bool serve_until(const std::function<bool()>& done) {
    const Instant end = MonotonicClock().now() + Duration::seconds(10);
    while (MonotonicClock().now() < end) {
      if (done()) return true;
      pollfd ready{server_ ? server_->fd() : -1, POLLIN, 0};
      poll(&ready, 1, 10);
      if (server_) server_->on_readable();
    }
    return done();
  }
  bool serve_until_said(const std::string& text) {
    const bool said = serve_until([&] { return err().find(text) != std::string::npos; });
    if (!said) ADD_FAILURE() << "not in the log: " << text << "\n" << err();
    return said;
  }

  fs::path root_;
  fs::path manifests_;
  std::string socket_;
  pid_t pid_ = -1;
  shm::SnapshotCell cell_;
  std::unique_ptr<shm::ChannelServer> server_;
};

TEST_F(ControlPlaneTest, MistakesAreOneLineAndExitCode2) {
  const std::string by_labels = root_ / "policy.yaml";
  std::ofstream(by_labels) << "owners: [{name: teams, hosts: ['*.example'], namespaceSelector: "
                              "{matchLabels: {tier: tenants}}}]\n";
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"--manifests", manifests_, "--wrong"}, "--wrong"},
      {{"--wrong"}, "--wrong"},
      {{}, "one of --manifests DIR, --kubeconfig FILE and --in-cluster is required"},
      {{"--manifests", "/tmp", "--in-cluster"}, "exclude one another"},
      {{"--in-cluster"}, "not in a pod: KUBERNETES_SERVICE_HOST"},
      {{"--kubeconfig", "/none"}, "/none: No such file or directory"},
      {{"--kubeconfig", "/none", "--publish-service", "web"}, "is not NAMESPACE/NAME"},
      {{"--in-cluster", "--watch-namespace", "No Name"}, "is no name of Kubernetes"},
      {{"--manifests", manifests_, "--tls-secrets"}, "no Secret is read from a folder"},
      {{"--in-cluster", "--watch-namespace", "shop", "--status-from-nodes"},
       "nodes belong to no namespace"},
      {{"--in-cluster", "--watch-namespace", "shop", "--publish-service", "edge/lb"},
       "\"edge\" is not watched"},
      {{"--in-cluster", "--watch-namespace", "shop", "--policy", by_labels},
       "a namespaceSelector needs the labels of all namespaces"},
      {{"--in-cluster", "--watch-namespace", "shop", "--publish-service", "shop/lb"},
       "not in a pod"},
      {{"--manifests", manifests_, "--log-level", "loud"}, "--log-level"},
      {{"--manifests", manifests_, "--log-format", "xml"}, "--log-format"},
      {{"--manifests", manifests_, "--external-names", "--dns-server", "dns.example"},
       "--dns-server: \"dns.example\" is no ADDRESS:PORT"},
      {{"--manifests", manifests_, "--dns-server", "10.0.0.2:53"},
       "--dns-server: nothing is asked for without --external-names"},
      {{"--manifests", root_ / "nowhere"}, (root_ / "nowhere").string() + ": No such file"},
      {{"--manifests", root_ / "nowhere", "--once"}, "No such file"},
      {{"--manifests", "/dev/null"}, "/dev/null: Not a directory"},
  };
  for (const auto& [arguments, wanted] : cases) {
    EXPECT_EQ(run(arguments), 2) << wanted;
    const std::string said = err();
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
    EXPECT_TRUE(said.starts_with("millrace-controlplane: ")) << said;
    EXPECT_NE(said.find(wanted), std::string::npos) << said;
  }
  EXPECT_EQ(run({"--help"}), 0);
  EXPECT_NE(out().find("--manifests DIR"), std::string::npos);
  EXPECT_NE(out().find("--external-names"), std::string::npos);
}

TEST_F(ControlPlaneTest, OncePrintsTheTableAndTheProblems) {
  write("a.yaml", app("a", 1));
  EXPECT_EQ(run({"--manifests", manifests_, "--once"}), 0) << err();
  EXPECT_EQ(out(),
            "host a.example\n  Prefix \"/\" -> default/a:80  (Ingress default/a rule 0)\n"
            "service default/a:80\n  10.0.0.1:8080\n"
            "1 Ingress, 1 host, 1 route, 1 service port, 1 endpoint\n");
  write("b.yaml", "kind: [\n");
  EXPECT_EQ(run({"--manifests", manifests_, "--once"}), 1);
  EXPECT_NE(out().find("error: b.yaml:"), std::string::npos) << out();
  EXPECT_NE(out().find("host a.example"), std::string::npos);
}

TEST_F(ControlPlaneTest, OnceAsksNobodyForAnExternalName) {
  std::string text = app("a", 1);
  text.replace(text.find("{ports: [{port: 80}]}"), 21,
               "{type: ExternalName, externalName: a.example}");
  write("a.yaml", text);
  EXPECT_EQ(run({"--manifests", manifests_, "--once"}), 1);
  EXPECT_NE(out().find("which is not served (see --external-names)"), std::string::npos) << out();
  // Nobody listens there: it would take seconds to find that out.
  EXPECT_EQ(run({"--manifests", manifests_, "--once", "--external-names", "--dns-server",
                 "192.0.2.1:53"}),
            0);
  EXPECT_NE(out().find("note: a.yaml:1: Ingress default/a: backend default/a:80: DNS has not been "
                       "asked for \"a.example\""),
            std::string::npos)
      << out();
}

TEST_F(ControlPlaneTest, EditsReachTheDataPlane) {
  listen();
  write("a.yaml", app("a", 1));
  start_on_folder();
  ASSERT_TRUE(serve_until([&] { return view().version() == 1; })) << err();
  EXPECT_EQ(view().root().host_count, 1u);
  write("b.yaml", app("b", 2));
  ASSERT_TRUE(serve_until([&] { return view().version() == 2; })) << err();
  EXPECT_EQ(view().root().host_count, 2u);
  fs::create_directory(manifests_ / "team");
  fs::rename(manifests_ / "b.yaml", manifests_ / "team/b.yaml");
  fs::remove(manifests_ / "a.yaml");
  ASSERT_TRUE(serve_until([&] { return view().root().host_count == 1; })) << err();
  write("team/c.yaml", app("c", 3));
  ASSERT_TRUE(serve_until([&] { return view().root().host_count == 2; })) << err();
  EXPECT_EQ(stop(SIGTERM), 0);
  EXPECT_NE(err().find("ending on SIGTERM"), std::string::npos) << err();
}

TEST_F(ControlPlaneTest, ABrokenEditIsSaidOnceKeepsItsObjectsAndHoldsUpNobody) {
  listen();
  write("a.yaml", app("a", 1));
  start_on_folder();
  ASSERT_TRUE(serve_until([&] { return view().version() == 1; })) << err();
  write("a.yaml", app("a", 1) + "---\n{{{\n");
  ASSERT_TRUE(serve_until_said("this document is not valid YAML"));
  write("a.yaml", "{{{\n");
  write("b.yaml", app("b", 2));
  ASSERT_TRUE(serve_until([&] { return view().version() == 2; })) << err();
  EXPECT_EQ(view().root().host_count, 2u) << err();
  EXPECT_TRUE(serve_until_said("kept as last read: ")) << err();
  write("a.yaml", app("a", 1));
  ASSERT_TRUE(serve_until_said("solved: a.yaml"));
  EXPECT_EQ(view().version(), 2u) << "the mended file says what was kept";
}

TEST_F(ControlPlaneTest, ABurstOfEditsIsOneTable) {
  listen();
  write("a.yaml", app("a", 1));
  start_on_folder();
  ASSERT_TRUE(serve_until([&] { return view().version() == 1; })) << err();
  for (int i = 2; i <= 100; ++i) write("a.yaml", app("a", i));
  ASSERT_TRUE(serve_until([&] {
    return view().root().endpoint_count == 1 &&
           view().endpoints(1)[0].address == Ipv4Address::from_octets(10, 0, 0, 100).host_order();
  })) << err();
  EXPECT_LE(view().version(), 3u);
}

TEST_F(ControlPlaneTest, C1NothingIsPublishedFromAnEmptyFolder) {
  listen();
  start_on_folder();
  ASSERT_TRUE(serve_until_said("holds no objects; nothing is published"));
  ASSERT_TRUE(serve_until_said("connected to the data plane"));
  EXPECT_EQ(server_->accepted_count(), 0u);
  write("a.yaml", app("a", 1));
  ASSERT_TRUE(serve_until([&] { return view().version() == 1; })) << err();
}

TEST_F(ControlPlaneTest, C1AVanishedFolderKeepsTheTable) {
  listen();
  write("a.yaml", app("a", 1));
  start_on_folder();
  ASSERT_TRUE(serve_until([&] { return view().version() == 1; })) << err();
  fs::rename(manifests_, root_ / "away");
  ASSERT_TRUE(serve_until_said("the table stays as it is until the folder is back"));
  fs::rename(root_ / "away", manifests_);
  ASSERT_TRUE(serve_until_said("is back"));
  write("b.yaml", app("b", 1));
  ASSERT_TRUE(serve_until([&] { return view().version() == 2; })) << err();
  EXPECT_EQ(view().root().host_count, 2u);
}

TEST_F(ControlPlaneTest, C4FilesThatVanishTogetherAreKeptUntilSighup) {
  listen();
  for (const char* name : {"a", "b", "c"}) write(std::string(name) + ".yaml", app(name, 1));
  start_on_folder();
  ASSERT_TRUE(serve_until([&] { return view().root().host_count == 3; })) << err();
  for (const char* name : {"a", "b", "c"}) fs::remove(manifests_ / (std::string(name) + ".yaml"));
  ASSERT_TRUE(serve_until_said("3 manifest files of 3 disappeared"));
  EXPECT_EQ(view().version(), 1u);
  kill(pid_, SIGHUP);
  ASSERT_TRUE(serve_until([&] { return view().version() == 2; })) << err();
  EXPECT_EQ(view().root().host_count, 0u);
}

TEST_F(ControlPlaneTest, ADataPlaneThatComesLaterOrAgainGetsTheTable) {
  write("a.yaml", app("a", 1));
  start_on_folder();
  ASSERT_TRUE(serve_until_said("the data plane is not there"));
  listen();
  ASSERT_TRUE(serve_until([&] { return view().version() == 1; })) << err();
  server_.reset();
  ASSERT_TRUE(serve_until_said("the data plane is gone"));
  shm::SnapshotCell fresh(1);
  auto server = shm::ChannelServer::listen(socket_, {}, fresh);
  ASSERT_TRUE(server.ok()) << server.error();
  server_ = std::move(*server);
  EXPECT_TRUE(serve_until([&] { return fresh.current().view->version() == 1; })) << err();
  server_.reset();
}

TEST_F(ControlPlaneTest, KilledAtAnyMomentItGoesOnWhereItWas) {
  listen();
  write("a.yaml", app("a", 1));
  uint64_t last = 0;
  for (int life = 0; life < 12; ++life) {
    write("a.yaml", app("a", life + 1));
    start_on_folder();
    // Sooner and sooner after its start: before, inside and after a publish.
    const Instant end = MonotonicClock().now() + Duration::milliseconds(2 + 6 * (life % 6));
    serve_until([&] { return MonotonicClock().now() >= end; });
    EXPECT_EQ(stop(SIGKILL), 128 + SIGKILL);
    serve_until([&] { return server_->connection_count() == 0; });
    EXPECT_GE(view().version(), last);
    last = view().version();
  }
  // Something new: the last life may have published what it was killed over.
  write("a.yaml", app("a", 13));
  start_on_folder();
  ASSERT_TRUE(serve_until([&] {
    return view().version() > last && view().endpoints(1).size() == 1 &&
           view().endpoints(1)[0].address == Ipv4Address::from_octets(10, 0, 0, 13).host_order();
  })) << err();
}

// ---- the API, and what outlives the process
// -------------------------------------------------------

TEST_F(ControlPlaneTest, VersionsCausesAndPinsOutliveKillsAndNothingIsSentAgain) {
  listen();
  write("a.yaml", app("a", 1));
  start_on_folder();
  ASSERT_TRUE(serve_until([&] { return view().version() == 1; })) << err();
  write("a.yaml", app("a", 2));
  ASSERT_TRUE(serve_until([&] { return view().version() == 2; })) << err();
  for (int life = 0; life < 3; ++life) {
    EXPECT_EQ(stop(SIGKILL), 128 + SIGKILL);
    serve_until([&] { return server_->connection_count() == 0; });
    start_on_folder();
    ASSERT_TRUE(serve_until([&] { return server_->connection_count() == 1; })) << err();
    ASSERT_TRUE(serve_until([&] { return ask("GET", "/readyz").starts_with("HTTP/1.1 200"); }));
  }
  EXPECT_EQ(server_->accepted_count(), 2u) << "the data plane had it: " << err();
  const std::string history = ask("GET", "/v1/history");
  EXPECT_NE(history.find("\"number\":2,\"previous\":1"), std::string::npos) << history;
  EXPECT_NE(history.find("\"kind\":\"EndpointSlice\",\"name_space\":\"default\",\"name\":\"a-1\","
                         "\"change\":\"updated\""),
            std::string::npos)
      << history;
  write("b.yaml", app("b", 1));
  ASSERT_TRUE(serve_until([&] { return view().version() == 3; })) << err();
  EXPECT_NE(ask("POST", "/v1/rollback?version=2").find("are pinned"), std::string::npos);
  ASSERT_TRUE(serve_until([&] { return view().version() == 4; })) << err();
  EXPECT_EQ(view().root().host_count, 1u);
  EXPECT_EQ(stop(SIGKILL), 128 + SIGKILL);
  serve_until([&] { return server_->connection_count() == 0; });
  start_on_folder();
  ASSERT_TRUE(serve_until([&] { return ask("GET", "/readyz").starts_with("HTTP/1.1 200"); }));
  EXPECT_EQ(view().version(), 4u);
  EXPECT_EQ(view().root().host_count, 1u) << "still pinned";
  EXPECT_NE(ask("POST", "/v1/release").find("released"), std::string::npos);
  ASSERT_TRUE(serve_until([&] { return view().version() == 5; })) << err();
  EXPECT_EQ(view().root().host_count, 2u);
}

TEST_F(ControlPlaneTest, ALostHistoryGoesOnBehindTheDataPlanesVersion) {
  listen();
  write("a.yaml", app("a", 1));
  start_on_folder();
  ASSERT_TRUE(serve_until([&] { return view().version() == 1; })) << err();
  write("a.yaml", app("a", 2));
  ASSERT_TRUE(serve_until([&] { return view().version() == 2; })) << err();
  stop(SIGKILL);
  fs::remove_all(root_ / "controlplane");
  write("a.yaml", app("a", 3));
  serve_until([&] { return server_->connection_count() == 0; });
  start_on_folder();
  ASSERT_TRUE(serve_until([&] { return view().version() == 3; })) << err();
  EXPECT_NE(ask("GET", "/v1/version?number=3").find("\"number\":3"), std::string::npos)
      << "one number for both: " << ask("GET", "/v1/history");
}

TEST_F(ControlPlaneTest, AFolderThatWasAskedForMustDoAndTheStandardOneMay) {
  write("a.yaml", app("a", 1));
  EXPECT_EQ(
      run({"--manifests", manifests_, "--socket", socket_, "--state-directory", "/proc/nothing"}),
      2);
  EXPECT_NE(err().find("--state-directory: /proc/nothing"), std::string::npos) << err();
  EXPECT_EQ(run({"--manifests", manifests_, "--socket", socket_, "--metrics-address", "here"}), 2);
  EXPECT_NE(err().find("--metrics-address: \"here\" is not an address"), std::string::npos);
  fs::remove_all(root_ / "controlplane");
  std::ofstream(root_ / "controlplane") << "a file where the folder should be";
  EXPECT_EQ(run({"--manifests", manifests_, "--socket", socket_}), 2);
  EXPECT_NE(err().find("--state-directory: " + (root_ / "controlplane").string()),
            std::string::npos)
      << "what is there may hold a pin: " << err();
  start({"--manifests", manifests_, "--socket", "/proc/nothing/socket"});
  serve_until_said("history, pins and freezes end with this process");
  serve_until_said("new table, version 1");
}

}  // namespace
}  // namespace millrace

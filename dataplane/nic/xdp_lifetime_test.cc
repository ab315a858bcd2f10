// Life and death of a process that owns an XDP program and its sockets: kill -9, restart, pause, a
// second instance, an orderly stop. Throughout, the node's own address on the same interface must
// answer. The process is this binary itself, started again as `--engine`.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/nic/port_test_engine.h"
#include "dataplane/nic/xdp_interface.h"
#include "dataplane/nic/xdp_port.h"
#include "dataplane/packet/frame_memory.h"
#include "tests/support/lab/namespace.h"
#include "tests/support/lab/packet_socket.h"
#include "tests/support/lab/process.h"

namespace millrace::nic {
namespace {

// Long enough for an emulated machine; how fast a restart is, is not asked here.
constexpr Duration echo_patience = Duration::seconds(5);

std::string bpf_file_system;  // of this process, set in main()

volatile std::sig_atomic_t stop_asked = 0;

struct EngineOptions {
  std::string interface = "up0";
  std::string pin_root;
  std::string privileges = "keep";  // or "drop" after the start, or "none" from the start
};

// No user, no capability, no way back: what the worker is after its start.
bool drop_privileges() {
  if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0) return false;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2]{};
  if (syscall(SYS_capset, &header, none) != 0) return false;
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

int say(const std::string& line, int code) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
  return code;
}

int run_engine(const EngineOptions& options) {
  struct sigaction on_term {};
  on_term.sa_handler = [](int) { stop_asked = 1; };
  sigaction(SIGTERM, &on_term, nullptr);
  if (options.privileges == "none" && !drop_privileges()) return say("cannot drop privileges", 3);
  bpf::RedirectOptions steering;
  steering.interface = options.interface;
  steering.pin_root = options.pin_root;
  steering.addresses = {{engine_address, false, {}}};
  Result<bpf::Redirect> redirect = bpf::Redirect::attach(steering);
  if (!redirect) return say(redirect.error(), 2);
  Result<packet::FrameMemory> memory = packet::FrameMemory::create(1024);
  if (!memory) return say(memory.error(), 2);
  auto umem = XdpUmem::create(*memory, 256, {64, 64, 64, 64});
  if (!umem) return say(umem.error(), 2);
  XdpPortOptions port_options;
  port_options.receive_frames = 256;
  auto port = XdpPort::open(port_options, **umem, *redirect);
  if (!port) return say(port.error(), 2);
  if (options.privileges == "drop" && !drop_privileges()) return say("cannot drop privileges", 3);
  say(redirect->facts().note, 0);

  packet::Arena arena((*umem)->arena_memory(), (*umem)->arena_slot_count());
  EchoEngine engine(**port, arena);
  const MonotonicClock clock;
  while (stop_asked == 0) {
    redirect->beat(clock.now());
    if (engine.turn(clock.now()) != 0) continue;
    if ((*port)->prepare_wait()) continue;
    pollfd wait{(*port)->wait_fd(), POLLIN, 0};
    poll(&wait, 1, 50);
  }
  (*port)->collect_statistics();
  const uint64_t redirected = redirect->counters()[millrace_outcome_redirected];
  redirect->stop();
  return say(engine.conserved && redirected != 0 ? "stopped" : "frames lost",
             engine.conserved ? 0 : 4);
}

// A child process that runs run_engine() in a namespace.
std::unique_ptr<lab::Process> start_engine(const lab::Namespace& inside,
                                           const EngineOptions& options) {
  return std::make_unique<lab::Process>(
      inside, std::vector<std::string>{"/proc/self/exe", "--engine", options.interface,
                                       options.pin_root, options.privileges});
}

int tcp_socket_in(const lab::Namespace& inside) {
  const lab::Namespace::Entered entered(inside);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(fd >= 0);
  return fd;
}

sockaddr_in node_service() {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(7007);
  at.sin_addr.s_addr = htonl(Ipv4Address::from_octets(10, 77, 0, 1).host_order());
  return at;
}

// The node's own traffic on the uplink, seen from the client: pings, and TCP connections to an echo
// service of the node's kernel.
class NodeTraffic {
 public:
  NodeTraffic(const lab::Namespace& node, const lab::Namespace& client)
      : listener_(tcp_socket_in(node)),
        client_(client),
        ping_(client, {"ping", "-q", "-i", "0.002", "-W", "1", "10.77.0.1"}) {
    const int yes = 1;
    setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    const sockaddr_in at = node_service();
    CHECK(bind(listener_, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0);
    CHECK(listen(listener_, 64) == 0);
    service_ = std::thread([this] { serve(); });
    prober_ = std::thread([this] { probe(); });
  }
  NodeTraffic(const NodeTraffic&) = delete;
  ~NodeTraffic() { stop(); }

  void stop() {
    if (stopped_) return;
    stopped_ = true;
    running_ = false;
    prober_.join();
    ping_.signal(SIGINT);  // so that it prints its count
    ping_output_ = ping_.rest();
    ping_.wait();
    shutdown(listener_, SHUT_RDWR);
    service_.join();
    close(listener_);
  }

  uint64_t connections = 0;
  uint64_t failed_connections = 0;
  // "5000 packets transmitted, 5000 received, ..." after stop().
  uint64_t pings_sent() const { return number_before(" packets transmitted"); }
  uint64_t pings_received() const { return number_before(" received"); }
  const std::string& ping_output() const { return ping_output_; }

 private:
  uint64_t number_before(const std::string& words) const {
    const size_t at = ping_output_.find(words);
    if (at == std::string::npos) return 0;
    size_t begin = at;
    while (begin > 0 && std::isdigit(static_cast<unsigned char>(ping_output_[begin - 1]))) --begin;
    return parse_decimal(ping_output_.substr(begin, at - begin), UINT32_MAX).value_or(0);
  }
  void serve() {
    for (int fd; (fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0; close(fd)) {
      char part[64];
      for (ssize_t count; (count = read(fd, part, sizeof part)) > 0;) {
        if (write(fd, part, static_cast<size_t>(count)) != count) break;
      }
    }
  }
  void probe() {
    while (running_) {
      const int fd = tcp_socket_in(client_);
      const timeval patience{1, 0};
      setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
      setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
      const sockaddr_in to = node_service();
      char answer[4] = {};
      const bool worked = connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0 &&
                          write(fd, "ping", 4) == 4 && recv(fd, answer, 4, MSG_WAITALL) == 4 &&
                          std::memcmp(answer, "ping", 4) == 0;
      ++connections;
      if (!worked) ++failed_connections;
      close(fd);
      usleep(2000);
    }
  }

  int listener_;
  const lab::Namespace& client_;
  lab::Process ping_;
  std::atomic<bool> running_{true};
  bool stopped_ = false;
  std::string ping_output_;
  std::thread service_;
  std::thread prober_;
};

class XdpLifetime : public testing::Test {
 protected:
  void SetUp() override {
    const std::string reason = lab::why_no_namespaces();
    if (!reason.empty()) GTEST_SKIP() << reason;
    if (bpf_file_system.empty()) GTEST_SKIP() << "cannot mount a BPF file system";
    options.pin_root = bpf_file_system + "/millrace";
    node = std::make_unique<lab::Namespace>();
    client = std::make_unique<lab::Namespace>();
    lab::join({*node, "up0", "10.77.0.1/24"}, {*client, "peer0", "10.77.0.2/24"});
    peer = std::make_unique<lab::PacketSocket>(*client, "peer0");
    const lab::Namespace::Entered entered(*node);
    node_mac = query_interface("up0")->mac;
  }
  void TearDown() override {
    if (!node) return;
    const lab::Namespace::Entered entered(*node);
    (void)bpf::Redirect::detach("up0", options.pin_root);
  }

  // Time until the engine echoes a frame, or nothing within the patience.
  std::optional<Duration> time_to_echo(Duration patience) {
    const Instant start = clock.now();
    while (!peer->receive().empty()) {
    }
    while (clock.now() - start < patience) {
      peer->send(numbered_frame(node_mac, ++number, 100));
      for (int i = 0; i < 10; ++i) {
        for (auto frame = peer->receive(); !frame.empty(); frame = peer->receive()) {
          if (from_engine(frame)) return clock.now() - start;
        }
        usleep(100);
      }
    }
    return std::nullopt;
  }
  bool program_attached() {
    const lab::Namespace::Entered entered(*node);
    uint32_t id = 0;
    return bpf_xdp_query_id(static_cast<int>(if_nametoindex("up0")), 0, &id) == 0 && id != 0;
  }
  EngineOptions options;
  std::unique_ptr<lab::Namespace> node;
  std::unique_ptr<lab::Namespace> client;
  std::unique_ptr<lab::PacketSocket> peer;
  MacAddress node_mac;
  MonotonicClock clock;
  uint64_t number = 0;
};

// A program of somebody else on the interface: passes everything.
int load_foreign_program() {
  bpf_insn code[2]{};
  code[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
  code[0].dst_reg = BPF_REG_0;
  code[0].imm = XDP_PASS;
  code[1].code = BPF_JMP | BPF_EXIT;
  return bpf_prog_load(BPF_PROG_TYPE_XDP, "somebody_else", "GPL", code, 2, nullptr);
}

TEST_F(XdpLifetime, X1_KilledAgainAndAgainTheNodeAnswersAndEachRestartTakesTheLinkOver) {
  constexpr int kills = 20;
  NodeTraffic traffic(*node, *client);
  for (int round = 0; round < kills; ++round) {
    auto engine = start_engine(*node, options);
    const std::string said = engine->line();
    EXPECT_NE(said.find(round == 0 ? "native mode, pinned" : "took over the pinned link"),
              std::string::npos)
        << said;
    const auto answered = time_to_echo(echo_patience);
    ASSERT_TRUE(answered) << "round " << round;
    usleep(30'000);
    engine->end(SIGKILL);
    EXPECT_TRUE(program_attached()) << "the pinned link went with the process";
    // At once, the dead one's queue may still be busy; later, its heartbeat is older.
    if (round % 2 == 0) usleep(30'000);
  }
  traffic.stop();
  EXPECT_GT(traffic.pings_sent(), 100U) << traffic.ping_output();
  EXPECT_EQ(traffic.pings_received(), traffic.pings_sent()) << traffic.ping_output();
  EXPECT_GT(traffic.connections, 50U);
  EXPECT_EQ(traffic.failed_connections, 0U) << "of " << traffic.connections;
}

TEST_F(XdpLifetime, X2_NodeTrafficIsUntouchedBeforeDuringAndAfterAnOrderlyRun) {
  NodeTraffic traffic(*node, *client);
  usleep(100'000);
  EXPECT_FALSE(program_attached());
  {
    auto engine = start_engine(*node, options);
    engine->line();
    ASSERT_TRUE(time_to_echo(echo_patience));
    EXPECT_TRUE(program_attached());
    usleep(200'000);
    engine->signal(SIGTERM);
    EXPECT_EQ(engine->line(), "stopped");
    EXPECT_EQ(engine->wait(), 0);
  }
  EXPECT_FALSE(program_attached());
  EXPECT_EQ(rmdir(options.pin_root.c_str()), 0) << "pins are left: " << std::strerror(errno);
  usleep(100'000);
  traffic.stop();
  EXPECT_GT(traffic.pings_sent(), 100U) << traffic.ping_output();
  EXPECT_EQ(traffic.pings_received(), traffic.pings_sent()) << traffic.ping_output();
  EXPECT_EQ(traffic.failed_connections, 0U) << "of " << traffic.connections;
}

TEST_F(XdpLifetime, X3_ASecondInstanceIsRefusedByNameAndTheFirstWorksOn) {
  auto first = start_engine(*node, options);
  first->line();
  ASSERT_TRUE(time_to_echo(echo_patience));
  auto second = start_engine(*node, options);
  const std::string said = second->line();
  EXPECT_EQ(
      said.rfind("interface up0: taken by a running data plane (XDP program \"millrace_xdp\" id ",
                 0),
      0U)
      << said;
  EXPECT_EQ(second->wait(), 2);
  // One that sees no pins meets the link itself.
  EngineOptions unpinned = options;
  unpinned.pin_root = "/nowhere/millrace";
  auto third = start_engine(*node, unpinned);
  const std::string third_said = third->line();
  EXPECT_EQ(third_said.rfind("interface up0: taken by XDP program \"millrace_xdp\" id ", 0), 0U)
      << third_said;
  EXPECT_EQ(third->wait(), 2);
  EXPECT_TRUE(time_to_echo(echo_patience));
}

TEST_F(XdpLifetime, X3_AnotherProgramOnTheInterfaceIsNamedAndKept) {
  const lab::Namespace::Entered entered(*node);
  const int index = static_cast<int>(if_nametoindex("up0"));
  const int program = load_foreign_program();
  ASSERT_GE(program, 0);
  for (const uint32_t mode : {XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE}) {
    ASSERT_EQ(bpf_xdp_attach(index, program, mode, nullptr), 0);
    auto engine = start_engine(*node, options);
    const std::string said = engine->line();
    EXPECT_EQ(said.rfind("interface up0: taken by XDP program \"somebody_else\" id ", 0), 0U)
        << said;
    EXPECT_EQ(engine->wait(), 2);
    uint32_t id = 0;
    EXPECT_EQ(bpf_xdp_query_id(index, 0, &id), 0);
    EXPECT_NE(id, 0U);
    ASSERT_EQ(bpf_xdp_detach(index, mode, nullptr), 0);
  }
  close(program);
  auto engine = start_engine(*node, options);
  EXPECT_NE(engine->line().find("native mode"), std::string::npos);
}

TEST_F(XdpLifetime, X3_DetachFreesTheInterfaceFromADeadInstance) {
  auto engine = start_engine(*node, options);
  engine->line();
  engine->end(SIGKILL);
  ASSERT_TRUE(program_attached());
  const lab::Namespace::Entered entered(*node);
  Result<bool> detached = bpf::Redirect::detach("up0", options.pin_root);
  ASSERT_TRUE(detached.ok()) << detached.error();
  EXPECT_TRUE(*detached);
  EXPECT_FALSE(program_attached());
  Result<bool> again = bpf::Redirect::detach("up0", options.pin_root);
  ASSERT_TRUE(again.ok()) << again.error();
  EXPECT_FALSE(*again);
}

TEST_F(XdpLifetime, X1_UnpinnedTheProgramLeavesWithAKilledProcess) {
  options.pin_root = "/nowhere/millrace";
  NodeTraffic traffic(*node, *client);
  auto engine = start_engine(*node, options);
  const std::string said = engine->line();
  EXPECT_NE(said.find("not pinned (no BPF file system"), std::string::npos) << said;
  ASSERT_TRUE(time_to_echo(echo_patience));
  engine->end(SIGKILL);
  const Instant killed = clock.now();
  while (program_attached() && clock.now() - killed < Duration::seconds(2)) usleep(1000);
  EXPECT_FALSE(program_attached());
  auto next = start_engine(*node, options);
  next->line();
  EXPECT_TRUE(time_to_echo(echo_patience));
  traffic.stop();
  EXPECT_EQ(traffic.pings_received(), traffic.pings_sent()) << traffic.ping_output();
  EXPECT_EQ(traffic.failed_connections, 0U);
}

TEST_F(XdpLifetime, X4_StoppedTheNodeAnswersAndContinuedTheEngineGoesOn) {
  auto engine = start_engine(*node, options);
  engine->line();
  ASSERT_TRUE(time_to_echo(echo_patience));
  NodeTraffic traffic(*node, *client);
  engine->signal(SIGSTOP);
  usleep(1'000'000);
  EXPECT_FALSE(time_to_echo(Duration::milliseconds(50)));
  engine->signal(SIGCONT);
  EXPECT_TRUE(time_to_echo(echo_patience));
  traffic.stop();
  EXPECT_EQ(traffic.pings_received(), traffic.pings_sent()) << traffic.ping_output();
  EXPECT_EQ(traffic.failed_connections, 0U);
}

TEST_F(XdpLifetime, P1_WithoutAnyPrivilegeThePortWorksAndStopsInOrder) {
  options.privileges = "drop";
  auto engine = start_engine(*node, options);
  EXPECT_NE(engine->line().find("native mode"), std::string::npos);
  std::string status;
  ASSERT_EQ(
      node->run("grep -E 'CapEff|^Uid' /proc/" + std::to_string(engine->id()) + "/status", &status),
      0);
  EXPECT_NE(status.find("CapEff:\t0000000000000000"), std::string::npos) << status;
  EXPECT_NE(status.find("65534\t65534"), std::string::npos) << status;
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(time_to_echo(echo_patience));
  engine->signal(SIGTERM);
  EXPECT_EQ(engine->line(), "stopped");
  EXPECT_EQ(engine->wait(), 0);
  EXPECT_FALSE(program_attached());
  // Its pins are dead ones, and no obstacle.
  options.privileges = "keep";
  auto next = start_engine(*node, options);
  EXPECT_NE(next->line().find("native mode, pinned"), std::string::npos);
  EXPECT_TRUE(time_to_echo(echo_patience));
}

TEST_F(XdpLifetime, P1_WithoutPrivilegeAtStartOneLineSaysSo) {
  options.privileges = "none";
  auto engine = start_engine(*node, options);
  const std::string said = engine->line();
  EXPECT_EQ(said.rfind("interface up0: ", 0), 0U) << said;
  EXPECT_NE(said.find("no privilege: needs root"), std::string::npos) << said;
  EXPECT_EQ(engine->rest(), "");
  EXPECT_EQ(engine->wait(), 2);
}

TEST_F(XdpLifetime, AMissingInterfaceIsNamed) {
  options.interface = "up9";
  auto engine = start_engine(*node, options);
  EXPECT_EQ(engine->line(), "interface up9: not found in this network namespace");
  EXPECT_EQ(engine->wait(), 2);
}

// The same interface name, and even the same index, in two namespaces.
TEST_F(XdpLifetime, X3_EqualNamesInTwoNamespacesDoNotClash) {
  const lab::Namespace other_node;
  const lab::Namespace other_client;
  lab::join({other_node, "up0", "10.77.0.1/24"}, {other_client, "peer0", "10.77.0.2/24"});
  auto first = start_engine(*node, options);
  EXPECT_NE(first->line().find("native mode, pinned"), std::string::npos);
  auto second = start_engine(other_node, options);
  EXPECT_NE(second->line().find("native mode, pinned"), std::string::npos);
  EXPECT_TRUE(time_to_echo(echo_patience));
  second->end(SIGKILL);
  EXPECT_TRUE(time_to_echo(echo_patience));
  const lab::Namespace::Entered entered(other_node);
  EXPECT_TRUE(*bpf::Redirect::detach("up0", options.pin_root));
  EXPECT_TRUE(time_to_echo(echo_patience));
}

}  // namespace

int engine_main(char** arguments) {
  return run_engine({arguments[0], arguments[1], arguments[2]});
}
void use_bpf_file_system(std::string path) {
  bpf_file_system = std::move(path);
}

}  // namespace millrace::nic

int main(int argc, char** argv) {
  if (argc == 5 && std::string(argv[1]) == "--engine") return millrace::nic::engine_main(argv + 2);
  testing::InitGoogleTest(&argc, argv);
  millrace::nic::use_bpf_file_system(millrace::lab::private_bpf_file_system());
  return RUN_ALL_TESTS();
}

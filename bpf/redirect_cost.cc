// redirect_cost [ROUNDS]: what the XDP program costs the node's other traffic. In namespaces joined
// by a veth pair, arms alternating within each round: a kernel TCP stream into the node and out of
// it, and ping's round trip; then the program's own time per frame, in the kernel's test run.
// Prints median and range of each.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "bpf/redirect_loader.h"
#include "tests/support/lab/namespace.h"

namespace millrace::bpf {
namespace {

constexpr int rounds_default = 7;
constexpr size_t write_bytes = 256 * 1024;
const Ipv4Address node_address = Ipv4Address::from_octets(10, 78, 0, 1);
const Ipv4Address client_address = Ipv4Address::from_octets(10, 78, 0, 2);
const Ipv4Address our_address = Ipv4Address::from_octets(10, 78, 0, 100);
const Ipv6Address node_address6 = *Ipv6Address::parse("2001:db8:78::1");
const Ipv6Address client_address6 = *Ipv6Address::parse("2001:db8:78::2");
const Ipv6Address our_address6 = *Ipv6Address::parse("2001:db8:78::100");

enum class Arm { nothing, bare_native, ours_native, ours_generic };
constexpr Arm arms[] = {Arm::nothing, Arm::bare_native, Arm::ours_native, Arm::ours_generic};
const char* name_of(Arm arm) {
  switch (arm) {
    case Arm::nothing: return "no program";
    case Arm::bare_native: return "bare XDP_PASS, native";
    case Arm::ours_native: return "ours, native";
    case Arm::ours_generic: return "ours, generic";
  }
  return "";
}

// A program that does nothing: what any native program costs a veth.
class BarePass {
 public:
  explicit BarePass(int interface_index) : index_(interface_index) {
    bpf_insn code[2]{};
    code[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
    code[0].imm = XDP_PASS;
    code[1].code = BPF_JMP | BPF_EXIT;
    LIBBPF_OPTS(bpf_prog_load_opts, options);
    options.prog_flags = BPF_F_XDP_HAS_FRAGS;
    const int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "bare_pass", "GPL", code, 2, &options);
    CHECK(fd >= 0 && bpf_xdp_attach(index_, fd, XDP_FLAGS_DRV_MODE, nullptr) == 0);
    close(fd);
  }
  BarePass(const BarePass&) = delete;
  BarePass& operator=(const BarePass&) = delete;
  ~BarePass() { bpf_xdp_detach(index_, XDP_FLAGS_DRV_MODE, nullptr); }

 private:
  int index_;
};

Redirect attach(AttachMode mode) {
  RedirectOptions options;
  options.interface = "up0";
  options.mode = mode;
  options.pin_root = "/nowhere/millrace";
  options.addresses = {{our_address, false, {}}, {node_address, true, {8080}}};
  options.ipv6_addresses = {{our_address6, false, {}}, {node_address6, true, {8080}}};
  Result<Redirect> redirect = Redirect::attach(options);
  if (!redirect) {
    std::fprintf(stderr, "%s\n", redirect.error().c_str());
    std::exit(2);
  }
  return std::move(*redirect);
}

sockaddr_in at(Ipv4Address address, uint16_t port) {
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port = htons(port);
  where.sin_addr.s_addr = htonl(address.host_order());
  return where;
}

int tcp_socket(const lab::Namespace& inside) {
  const lab::Namespace::Entered entered(inside);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(fd >= 0);
  return fd;
}

// Gigabits per second that one stream carries from one namespace to the other.
double stream_gbps(const lab::Namespace& from, const lab::Namespace& to, Ipv4Address to_address,
                   Duration span) {
  const int listener = tcp_socket(to);
  const int yes = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  const sockaddr_in where = at(to_address, 7001);
  CHECK(bind(listener, reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0);
  CHECK(listen(listener, 1) == 0);
  const int sender = tcp_socket(from);
  CHECK(connect(sender, reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0);
  const int receiver = accept(listener, nullptr, nullptr);
  std::thread sends([sender] {
    const std::vector<char> bytes(write_bytes);
    while (send(sender, bytes.data(), bytes.size(), MSG_NOSIGNAL) > 0) {
    }
  });
  std::vector<char> bytes(write_bytes);
  const MonotonicClock clock;
  // The first tenth is slow start.
  const Instant begin = clock.now() + span / 10;
  const Instant end = begin + span;
  uint64_t counted = 0;
  for (Instant now = clock.now(); now < end; now = clock.now()) {
    const ssize_t count = recv(receiver, bytes.data(), bytes.size(), 0);
    if (count <= 0) break;
    if (now >= begin) counted += static_cast<uint64_t>(count);
  }
  shutdown(sender, SHUT_RDWR);
  close(receiver);
  sends.join();
  close(sender);
  close(listener);
  return static_cast<double>(counted) * 8 / static_cast<double>(span.count_ns());
}

// Average round trip in microseconds, from ping's summary "min/avg/max/mdev = a/b/c/d ms".
double ping_us(const lab::Namespace& client) {
  std::string said;
  CHECK(client.run("ping -q -c 400 -i 0.002 10.78.0.1", &said) == 0);
  const size_t figures = said.find("= ");
  const size_t average = said.find('/', figures) + 1;
  return std::atof(said.c_str() + average) * 1000;
}

struct Samples {
  std::vector<double> values;
  void print(int decimals) {
    std::sort(values.begin(), values.end());
    std::printf(" | %.*f (%.*f to %.*f)", decimals, values[values.size() / 2], decimals,
                values.front(), decimals, values.back());
  }
};

struct ArmSamples {
  Samples into;
  Samples out_of;
  Samples ping;
};

void measure(Arm arm, const lab::Namespace& node, const lab::Namespace& client, ArmSamples& into) {
  const lab::Namespace::Entered entered(node);
  std::unique_ptr<BarePass> bare;
  std::optional<Redirect> ours;
  if (arm == Arm::bare_native) {
    bare = std::make_unique<BarePass>(static_cast<int>(if_nametoindex("up0")));
  }
  if (arm == Arm::ours_native) ours.emplace(attach(AttachMode::native));
  if (arm == Arm::ours_generic) ours.emplace(attach(AttachMode::generic));
  into.into.values.push_back(stream_gbps(client, node, node_address, Duration::milliseconds(800)));
  into.out_of.values.push_back(
      stream_gbps(node, client, client_address, Duration::milliseconds(800)));
  into.ping.values.push_back(ping_us(client));
}

// The kernel runs the program a million times on one frame and says how long one took.
void print_program_time(const Redirect& redirect, const char* what, std::vector<uint8_t> frame) {
  Samples samples;
  for (int i = 0; i < rounds_default; ++i) {
    LIBBPF_OPTS(bpf_test_run_opts, run);
    run.data_in = frame.data();
    run.data_size_in = static_cast<uint32_t>(frame.size());
    run.repeat = 1'000'000;
    CHECK(bpf_prog_test_run_opts(redirect.program_fd(), &run) == 0);
    samples.values.push_back(static_cast<double>(run.duration));
  }
  std::printf("| %s", what);
  samples.print(0);
  std::printf(" |\n");
}

std::vector<uint8_t> tcp_frame(Ipv4Address to, uint16_t port) {
  std::vector<uint8_t> frame(66);
  store_be16(&frame[12], 0x0800);
  frame[14] = 0x45;
  frame[23] = 6;
  to.store(&frame[30]);
  store_be16(&frame[36], port);
  return frame;
}

std::vector<uint8_t> tcp_frame(const Ipv6Address& to, uint16_t port) {
  std::vector<uint8_t> frame(74);
  store_be16(&frame[12], 0x86dd);
  frame[14] = 0x60;
  frame[20] = 6;
  to.store(&frame[38]);
  store_be16(&frame[56], port);
  return frame;
}

int run(int rounds) {
  const std::string reason = lab::why_no_namespaces();
  if (!reason.empty()) {
    std::fprintf(stderr, "redirect_cost: %s\n", reason.c_str());
    return 2;
  }
  const lab::Namespace node;
  const lab::Namespace client;
  lab::join({node, "up0", "10.78.0.1/24"}, {client, "peer0", "10.78.0.2/24"});
  ArmSamples samples[std::size(arms)];
  for (int round = 0; round < rounds; ++round) {
    for (size_t arm = 0; arm < std::size(arms); ++arm) {
      measure(arms[arm], node, client, samples[arm]);
    }
  }
  std::printf("%d rounds, median (min to max)\n", rounds);
  std::printf(
      "| on the node's interface | TCP into the node, Gbit/s | out of it, Gbit/s | ping, us |\n"
      "|---|---|---|---|\n");
  for (size_t arm = 0; arm < std::size(arms); ++arm) {
    std::printf("| %s", name_of(arms[arm]));
    samples[arm].into.print(1);
    samples[arm].out_of.print(1);
    samples[arm].ping.print(0);
    std::printf(" |\n");
  }
  const lab::Namespace::Entered entered(node);
  const Redirect redirect = attach(AttachMode::native);
  std::printf("| frame | program's own time, ns |\n|---|---|\n");
  print_program_time(redirect, "IPv4 to somebody else", tcp_frame(client_address, 80));
  print_program_time(redirect, "TCP to the node, port not ours", tcp_frame(node_address, 22));
  print_program_time(redirect, "ours, no socket", tcp_frame(our_address, 80));
  print_program_time(redirect, "IPv6 to somebody else", tcp_frame(client_address6, 80));
  print_program_time(redirect, "IPv6, TCP to the node, port not ours",
                     tcp_frame(node_address6, 22));
  print_program_time(redirect, "IPv6, ours, no socket", tcp_frame(our_address6, 80));
  return 0;
}

}  // namespace
}  // namespace millrace::bpf

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : millrace::bpf::rounds_default;
  return millrace::bpf::run(std::max(rounds, 1));
}

// The XDP program as a function: a frame in, a verdict out, in the kernel itself
// (BPF_PROG_TEST_RUN), for every kind of frame and every state of the data plane.
#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <linux/if_xdp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bpf/redirect_loader.h"
#include "tests/support/lab/namespace.h"

namespace millrace::bpf {

void PrintTo(const OutcomeText& text, std::ostream* out) {
  *out << text.name;
}

namespace {

constexpr size_t ethernet_bytes = 14;
constexpr size_t ipv4_bytes = 20;
constexpr size_t ipv6_bytes = 40;
// The kernel refuses to run an XDP program on less than an Ethernet header.
constexpr size_t test_run_bytes_min = ethernet_bytes;
// Beyond silence_drop_ns of redirect_maps.h, the longer of the program's two limits.
constexpr Duration past_every_limit = Duration::milliseconds(3100);

const Ipv4Address owned = Ipv4Address::from_octets(10, 1, 0, 100);
const Ipv4Address borrowed = Ipv4Address::from_octets(10, 1, 0, 1);
const Ipv4Address elsewhere = Ipv4Address::from_octets(10, 1, 0, 7);
const Ipv4Address peer = Ipv4Address::from_octets(192, 0, 2, 9);
const Ipv6Address owned6 = *Ipv6Address::parse("2001:db8:1::100");
const Ipv6Address borrowed6 = *Ipv6Address::parse("2001:db8:1::1");
// In the solicited-node groups of the owned and of the borrowed one.
const Ipv6Address elsewhere6 = *Ipv6Address::parse("2001:db8:2::100");
const Ipv6Address nodes_own6 = *Ipv6Address::parse("fe80::1");
const Ipv6Address peer6 = *Ipv6Address::parse("2001:db8:9::9");
const Ipv6Address unspecified6;
constexpr uint16_t listed_port = 8080;
constexpr uint8_t icmp = 1;
constexpr uint8_t tcp = 6;
constexpr uint8_t udp = 17;
constexpr uint8_t icmpv6 = 58;
constexpr uint8_t hop_by_hop = 0;
constexpr uint8_t routing = 43;
constexpr uint8_t fragment_header = 44;
constexpr uint8_t destination_options = 60;
constexpr uint8_t solicitation = 135;
constexpr uint8_t advertisement = 136;

// Builds a frame from the outside in; the payload is appended last.
class FrameText {
 public:
  static FrameText ethernet(uint16_t type) {
    FrameText frame;
    frame.bytes_ = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9};
    return frame.be16(type);
  }
  static FrameText ipv4(uint8_t protocol, Ipv4Address to, Ipv4Address from = peer) {
    return ethernet(0x0800).ipv4_header(protocol, from, to);
  }
  static FrameText arp(uint16_t operation, Ipv4Address sender, Ipv4Address target) {
    return ethernet(0x0806)
        .be16(1)
        .be16(0x0800)
        .be16(0x0604)
        .be16(operation)
        .raw({2, 0, 0, 0, 0, 9})
        .address(sender)
        .raw({0, 0, 0, 0, 0, 0})
        .address(target);
  }
  static FrameText icmp_error(uint8_t type, Ipv4Address to, uint8_t about_protocol,
                              Ipv4Address about_source, uint16_t about_port) {
    return ipv4(icmp, to)
        .raw({type, 1, 0, 0, 0, 0, 0, 0})
        .ipv4_header(about_protocol, about_source, peer)
        .ports(about_port, 40000)
        .zeros(4);
  }

  static FrameText ipv6(uint8_t next, Ipv6Address to, Ipv6Address from = peer6) {
    return ethernet(0x86dd).ipv6_header(next, from, to);
  }
  // Neighbor discovery about target, with the option that carries a link-layer address.
  static FrameText neighbor(uint8_t type, Ipv6Address from, Ipv6Address to, Ipv6Address target) {
    return ipv6(icmpv6, to, from)
        .raw({type, 0, 0, 0, 0, 0, 0, 0})
        .address(target)
        .raw({1, 1, 2, 0, 0, 0, 0, 9});
  }
  static FrameText icmpv6_error(uint8_t type, Ipv6Address to, uint8_t about_next,
                                Ipv6Address about_source, uint16_t about_port) {
    return ipv6(icmpv6, to)
        .raw({type, 0, 0, 0, 0, 0, 0, 0})
        .ipv6_header(about_next, about_source, peer6)
        .ports(about_port, 40000)
        .zeros(4);
  }

  FrameText& ipv6_header(uint8_t next, Ipv6Address from, Ipv6Address to) {
    header_at_ = bytes_.size();
    return raw({0x60, 0, 0, 0, 0, 20, next, 64}).address(from).address(to);
  }
  // A fragment header behind the innermost IPv6 header, TCP after it.
  FrameText& fragment_of_tcp(uint16_t offset_and_more) {
    return raw({tcp, 0}).be16(offset_and_more).zeros(4);
  }
  FrameText& ipv4_header(uint8_t protocol, Ipv4Address from, Ipv4Address to) {
    header_at_ = bytes_.size();
    return raw({0x45, 0, 0, 60, 0, 1, 0, 0, 64, protocol, 0, 0}).address(from).address(to);
  }
  // Of the innermost IPv4 header.
  FrameText& fragment(uint16_t flags_and_offset) {
    store_be16(&bytes_[header_at_ + 6], flags_and_offset);
    return *this;
  }
  FrameText& version_and_length(uint8_t value) {
    bytes_[header_at_] = value;
    return *this;
  }
  // Inserts no-operation options behind the innermost header; call before anything follows it.
  FrameText& options(size_t words) {
    bytes_[header_at_] = static_cast<uint8_t>(bytes_[header_at_] + words);
    return raw(std::vector<uint8_t>(words * 4, 1));
  }
  FrameText& ports(uint16_t source, uint16_t destination) { return be16(source).be16(destination); }
  FrameText& tcp_to(uint16_t port) { return ports(40000, port).zeros(16); }
  FrameText& byte_at(size_t offset, uint8_t value) {
    bytes_[offset] = value;
    return *this;
  }
  FrameText& raw(const std::vector<uint8_t>& more) {
    bytes_.insert(bytes_.end(), more.begin(), more.end());
    return *this;
  }
  FrameText& zeros(size_t count) { return raw(std::vector<uint8_t>(count)); }
  FrameText& be16(uint16_t value) {
    return raw({static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)});
  }
  FrameText& address(Ipv4Address value) {
    std::vector<uint8_t> wire(4);
    value.store(wire.data());
    return raw(wire);
  }
  FrameText& address(const Ipv6Address& value) {
    return raw({value.octets().begin(), value.octets().end()});
  }
  const std::vector<uint8_t>& bytes() const { return bytes_; }

 private:
  std::vector<uint8_t> bytes_;
  size_t header_at_ = 0;
};

// A socket that may stand in the program's map: it has a receive ring, nothing else is asked of it.
class IdleSocket {
 public:
  IdleSocket() : fd_(socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0)) {
    const uint32_t ring_size = 64;
    CHECK(fd_ >= 0 && setsockopt(fd_, SOL_XDP, XDP_RX_RING, &ring_size, sizeof ring_size) == 0);
  }
  IdleSocket(const IdleSocket&) = delete;
  ~IdleSocket() { close(fd_); }
  int fd() const { return fd_; }

 private:
  int fd_;
};

class RedirectProgram : public testing::Test {
 protected:
  void SetUp() override {
    const std::string reason = lab::why_no_namespaces();
    if (!reason.empty()) GTEST_SKIP() << reason;
    inside_ = std::make_unique<lab::Namespace>();
    entered_ = std::make_unique<lab::Namespace::Entered>(*inside_);
    lab::join({*inside_, "up0", ""}, {*inside_, "up1", ""});
    attach(OnSilence::drop);
    alive();
    steer_to_socket();
  }

  void attach(OnSilence on_silence) {
    redirect_.reset();
    RedirectOptions options;
    options.interface = "up0";
    options.on_silence = on_silence;
    options.pin_root = "/nowhere";
    options.addresses = {{owned, false, {}}, {borrowed, true, {listed_port, 443}}};
    options.ipv6_addresses = {{owned6, false, {}}, {borrowed6, true, {listed_port, 443}}};
    Result<Redirect> attached = Redirect::attach(options);
    ASSERT_TRUE(attached.ok()) << attached.error();
    redirect_ = std::make_unique<Redirect>(std::move(*attached));
  }
  void steer_to_socket() {
    socket_ = std::make_unique<IdleSocket>();
    const Status set = redirect_->set_socket(0, socket_->fd());
    ASSERT_TRUE(set.ok()) << set.error();
  }
  void alive() { redirect_->beat(MonotonicClock().now() + Duration::seconds(60)); }
  // No beat can be older than the machine. One that has just booted is let grow old enough for
  // every limit of the program; an age beyond that is cut to the machine's own.
  void silent_for(Duration age) {
    const MonotonicClock clock;
    const Duration needed = std::min(age, past_every_limit);
    while (clock.now().since_origin_ns() <= static_cast<uint64_t>(needed.count_ns())) usleep(10000);
    const Instant now = clock.now();
    const bool before_origin = static_cast<uint64_t>(age.count_ns()) > now.since_origin_ns();
    redirect_->beat(before_origin ? Instant() : now - age);
  }

  // The outcome that the program counted; its action must be the one in the outcome's name.
  OutcomeText verdict(std::vector<uint8_t> frame) {
    const RedirectCounters before = redirect_->counters();
    std::vector<uint8_t> after_run(frame.size() + 64);
    LIBBPF_OPTS(bpf_test_run_opts, run);
    run.data_in = frame.data();
    run.data_size_in = static_cast<uint32_t>(frame.size());
    run.data_out = after_run.data();
    run.data_size_out = static_cast<uint32_t>(after_run.size());
    run.repeat = 1;
    const int error = bpf_prog_test_run_opts(redirect_->program_fd(), &run);
    EXPECT_EQ(error, 0) << frame.size() << " bytes";
    const RedirectCounters after = redirect_->counters();
    std::optional<OutcomeText> counted;
    for (size_t outcome = 0; outcome < after.size(); ++outcome) {
      if (after[outcome] == before[outcome]) continue;
      EXPECT_FALSE(counted) << "two outcomes for one frame";
      EXPECT_EQ(after[outcome], before[outcome] + 1);
      counted = outcome_text(static_cast<millrace_outcome>(outcome));
    }
    if (!counted) return {"no outcome counted", ""};
    const std::string name(counted->name);
    const uint32_t expected_action = name.rfind("passed_", 0) == 0    ? XDP_PASS
                                     : name.rfind("dropped_", 0) == 0 ? XDP_DROP
                                                                      : XDP_REDIRECT;
    EXPECT_EQ(run.retval, expected_action) << name;
    after_run.resize(frame.size());
    EXPECT_EQ(after_run, frame) << "the program changed the frame";
    return *counted;
  }

  std::unique_ptr<lab::Namespace> inside_;
  std::unique_ptr<lab::Namespace::Entered> entered_;
  std::unique_ptr<IdleSocket> socket_;
  std::unique_ptr<Redirect> redirect_;
};

struct Row {
  std::string what;
  FrameText frame;
  std::string_view expected;
};

std::vector<Row> ipv4_table() {
  using F = FrameText;
  return {
      // Owned addresses: everything is ours.
      {"TCP to an owned address", F::ipv4(tcp, owned).tcp_to(80), "redirected"},
      {"TCP to any port of it", F::ipv4(tcp, owned).tcp_to(1), "redirected"},
      {"UDP to an owned address", F::ipv4(udp, owned).zeros(8), "redirected"},
      {"ping to an owned address", F::ipv4(icmp, owned).raw({8, 0, 0, 0}), "redirected"},
      {"an unknown protocol", F::ipv4(253, owned).zeros(20), "redirected"},
      {"IP options: the stack judges them", F::ipv4(tcp, owned).options(10).tcp_to(80),
       "redirected"},
      {"an IP header and nothing behind it", F::ipv4(tcp, owned), "redirected"},
      {"don't fragment is no fragment", F::ipv4(tcp, owned).fragment(0x4000).tcp_to(80),
       "redirected"},
      {"ARP request for it", F::arp(1, peer, owned), "redirected"},
      {"ARP reply to what we asked", F::arp(2, peer, owned), "redirected"},
      {"somebody else claims it", F::arp(1, owned, owned), "redirected"},
      {"ARP with padding", F::arp(1, peer, owned).zeros(18), "redirected"},

      // Borrowed addresses: listed ports and their errors only.
      {"TCP to a listed port", F::ipv4(tcp, borrowed).tcp_to(listed_port), "redirected"},
      {"TCP to the other listed port", F::ipv4(tcp, borrowed).tcp_to(443), "redirected"},
      {"listed port behind IP options", F::ipv4(tcp, borrowed).options(10).tcp_to(443),
       "redirected"},
      {"ssh to the node", F::ipv4(tcp, borrowed).tcp_to(22), "passed_not_ours"},
      {"from, not to, a listed port", F::ipv4(tcp, borrowed).ports(listed_port, 40000).zeros(16),
       "passed_not_ours"},
      {"options that look like a listed port",
       F::ipv4(tcp, borrowed).version_and_length(0x46).be16(40000).be16(listed_port).tcp_to(22),
       "passed_not_ours"},
      {"UDP to the same number", F::ipv4(udp, borrowed).ports(40000, listed_port).zeros(4),
       "passed_not_ours"},
      {"ping to the node", F::ipv4(icmp, borrowed).raw({8, 0, 0, 0, 0, 0, 0, 0}),
       "passed_not_ours"},
      {"ARP for the node", F::arp(1, peer, borrowed), "passed_not_ours"},
      {"ARP reply to the node", F::arp(2, peer, borrowed), "passed_not_ours"},
      {"listed port of an unknown address", F::ipv4(tcp, elsewhere).tcp_to(listed_port),
       "passed_not_ours"},

      // ICMP errors to a borrowed address go where the packet came from that they are about.
      {"unreachable about our connection", F::icmp_error(3, borrowed, tcp, borrowed, listed_port),
       "redirected"},
      {"time exceeded about it", F::icmp_error(11, borrowed, tcp, borrowed, listed_port),
       "redirected"},
      {"parameter problem about it", F::icmp_error(12, borrowed, tcp, borrowed, 443), "redirected"},
      {"redirect: the kernel's routes", F::icmp_error(5, borrowed, tcp, borrowed, listed_port),
       "passed_not_ours"},
      {"echo reply that looks like one", F::icmp_error(0, borrowed, tcp, borrowed, listed_port),
       "passed_not_ours"},
      {"about the node's own connection", F::icmp_error(3, borrowed, tcp, borrowed, 22),
       "passed_not_ours"},
      {"about UDP from the same number", F::icmp_error(3, borrowed, udp, borrowed, listed_port),
       "passed_not_ours"},
      {"about another address's connection",
       F::icmp_error(3, borrowed, tcp, elsewhere, listed_port), "passed_not_ours"},
      {"about a later fragment: no ports there",
       F::icmp_error(3, borrowed, tcp, borrowed, listed_port).fragment(0x0001), "passed_not_ours"},
      {"about a first fragment",
       F::icmp_error(3, borrowed, tcp, borrowed, listed_port).fragment(0x2000), "redirected"},
      {"about a packet with IP options",
       F::ipv4(icmp, borrowed)
           .raw({3, 1, 0, 0, 0, 0, 0, 0})
           .ipv4_header(tcp, borrowed, peer)
           .options(10)
           .ports(listed_port, 40000),
       "redirected"},
      {"about something that is not IPv4",
       F::icmp_error(3, borrowed, tcp, borrowed, listed_port).version_and_length(0x65),
       "passed_malformed"},
      {"any ICMP error to an owned address", F::icmp_error(3, owned, tcp, elsewhere, 1),
       "redirected"},

      // Never ours.
      {"IPv4 to somebody else", F::ipv4(tcp, elsewhere).tcp_to(80), "passed_not_ours"},
      {"IPv4 from an owned address", F::ipv4(tcp, elsewhere, owned).tcp_to(80), "passed_not_ours"},
      {"limited broadcast (DHCP)",
       F::ipv4(udp, Ipv4Address::from_octets(255, 255, 255, 255)).ports(67, 68).zeros(4),
       "passed_not_ours"},
      {"multicast", F::ipv4(udp, Ipv4Address::from_octets(224, 0, 0, 251)).zeros(8),
       "passed_not_ours"},
      {"ARP request for somebody else", F::arp(1, owned, elsewhere), "passed_not_ours"},
      {"ARP of another hardware type", F::arp(1, peer, owned).byte_at(15, 6), "passed_not_ours"},
      {"ARP of another protocol", F::arp(1, peer, owned).byte_at(16, 0x86), "passed_not_ours"},
      {"ARP with odd hardware length", F::arp(1, peer, owned).byte_at(18, 8), "passed_not_ours"},
      {"ARP with odd protocol length", F::arp(1, peer, owned).byte_at(19, 16), "passed_not_ours"},
      {"LLDP", F::ethernet(0x88cc).zeros(46), "passed_not_ours"},
      {"802.3 length instead of a type", F::ethernet(0x0026).zeros(46), "passed_not_ours"},

      // Counted as what they are.
      {"VLAN tag before our address", F::ethernet(0x8100).be16(5).be16(0x0800).zeros(46),
       "passed_vlan"},
      {"service tag", F::ethernet(0x88a8).be16(5).be16(0x8100).zeros(46), "passed_vlan"},
      {"old service tag", F::ethernet(0x9100).be16(5).be16(0x8100).zeros(46), "passed_vlan"},
      {"first fragment to us", F::ipv4(tcp, owned).fragment(0x2000).tcp_to(80), "passed_fragment"},
      {"last fragment to us", F::ipv4(udp, owned).fragment(0x00b9).zeros(30), "passed_fragment"},
      {"fragment to a borrowed address", F::ipv4(tcp, borrowed).fragment(0x2000).tcp_to(8080),
       "passed_fragment"},
      {"fragment to somebody else", F::ipv4(tcp, elsewhere).fragment(0x2000).tcp_to(80),
       "passed_not_ours"},
      {"version 6 in an IPv4 frame", F::ipv4(tcp, owned).version_and_length(0x65).tcp_to(80),
       "passed_malformed"},
      {"header length below 20", F::ipv4(tcp, owned).version_and_length(0x44).tcp_to(80),
       "passed_malformed"},
      {"header length beyond the frame", F::ipv4(tcp, borrowed).version_and_length(0x4f).zeros(8),
       "passed_malformed"},
      {"longer than a receive frame",
       F::ipv4(tcp, owned)
           .zeros(millrace_receive_frame_bytes_max + 1 - ethernet_bytes - ipv4_bytes),
       "dropped_too_long"},
      {"as long as a receive frame",
       F::ipv4(tcp, owned).zeros(millrace_receive_frame_bytes_max - ethernet_bytes - ipv4_bytes),
       "redirected"},
      {"as long, but not ours", F::ipv4(tcp, elsewhere).zeros(2000), "passed_not_ours"},
  };
}

std::vector<Row> ipv6_unicast_table() {
  using F = FrameText;
  return {
      // Owned addresses: everything is ours.
      {"TCP to an owned address", F::ipv6(tcp, owned6).tcp_to(80), "redirected"},
      {"TCP to any port of it", F::ipv6(tcp, owned6).tcp_to(1), "redirected"},
      {"UDP to it", F::ipv6(udp, owned6).zeros(8), "redirected"},
      {"ping to it", F::ipv6(icmpv6, owned6).raw({128, 0, 0, 0}), "redirected"},
      {"Packet Too Big to it", F::icmpv6_error(2, owned6, tcp, elsewhere6, 1), "redirected"},
      {"an unknown next header", F::ipv6(253, owned6).zeros(20), "redirected"},
      {"no next header", F::ipv6(59, owned6), "redirected"},
      {"hop-by-hop options: the stack judges them",
       F::ipv6(hop_by_hop, owned6).raw({tcp, 0, 1, 4, 0, 0, 0, 0}).tcp_to(80), "redirected"},
      {"a header and nothing behind it", F::ipv6(tcp, owned6), "redirected"},
      {"an atomic fragment is a whole packet",
       F::ipv6(fragment_header, owned6).fragment_of_tcp(0).tcp_to(80), "redirected"},
      {"reserved bits are no fragment",
       F::ipv6(fragment_header, owned6).fragment_of_tcp(0x0006).tcp_to(80), "redirected"},
      {"solicited advertisement to an owned address",
       F::neighbor(advertisement, peer6, owned6, peer6), "redirected"},
      {"probe of an owned address", F::neighbor(solicitation, peer6, owned6, owned6), "redirected"},
      {"from link-local to it", F::ipv6(tcp, owned6, nodes_own6).tcp_to(80), "redirected"},

      // Borrowed addresses: listed ports and their errors only.
      {"TCP to a listed port", F::ipv6(tcp, borrowed6).tcp_to(listed_port), "redirected"},
      {"TCP to the other listed port", F::ipv6(tcp, borrowed6).tcp_to(443), "redirected"},
      {"ssh to the node", F::ipv6(tcp, borrowed6).tcp_to(22), "passed_not_ours"},
      {"from, not to, a listed port", F::ipv6(tcp, borrowed6).ports(listed_port, 40000).zeros(16),
       "passed_not_ours"},
      {"UDP to the same number", F::ipv6(udp, borrowed6).ports(40000, listed_port).zeros(4),
       "passed_not_ours"},
      {"ping to the node", F::ipv6(icmpv6, borrowed6).raw({128, 0, 0, 0, 0, 0, 0, 0}),
       "passed_not_ours"},
      {"probe of the node", F::neighbor(solicitation, peer6, borrowed6, borrowed6),
       "passed_not_ours"},
      {"advertisement to the node", F::neighbor(advertisement, peer6, borrowed6, peer6),
       "passed_not_ours"},
      {"no next header to it", F::ipv6(59, borrowed6), "passed_not_ours"},
      {"hop-by-hop options before a listed port",
       F::ipv6(hop_by_hop, borrowed6).raw({tcp, 0, 1, 4, 0, 0, 0, 0}).tcp_to(listed_port),
       "passed_ipv6_extension"},
      {"a routing header", F::ipv6(routing, borrowed6).zeros(8).tcp_to(listed_port),
       "passed_ipv6_extension"},
      {"destination options", F::ipv6(destination_options, borrowed6).zeros(8).tcp_to(22),
       "passed_ipv6_extension"},
      {"a listed port of an unknown address", F::ipv6(tcp, elsewhere6).tcp_to(listed_port),
       "passed_not_ours"},

      {"unreachable about our connection",
       F::icmpv6_error(1, borrowed6, tcp, borrowed6, listed_port), "redirected"},
      {"Packet Too Big about it", F::icmpv6_error(2, borrowed6, tcp, borrowed6, listed_port),
       "redirected"},
      {"time exceeded about it", F::icmpv6_error(3, borrowed6, tcp, borrowed6, 443), "redirected"},
      {"parameter problem about it", F::icmpv6_error(4, borrowed6, tcp, borrowed6, listed_port),
       "redirected"},
      {"type 0 about it", F::icmpv6_error(0, borrowed6, tcp, borrowed6, listed_port),
       "passed_not_ours"},
      {"type 5 about it", F::icmpv6_error(5, borrowed6, tcp, borrowed6, listed_port),
       "passed_not_ours"},
      {"redirect: the kernel's routes", F::icmpv6_error(137, borrowed6, tcp, borrowed6, 443),
       "passed_not_ours"},
      {"about the node's own connection", F::icmpv6_error(2, borrowed6, tcp, borrowed6, 22),
       "passed_not_ours"},
      {"about UDP from the same number", F::icmpv6_error(1, borrowed6, udp, borrowed6, listed_port),
       "passed_not_ours"},
      {"about another address's connection",
       F::icmpv6_error(2, borrowed6, tcp, elsewhere6, listed_port), "passed_not_ours"},
      {"about an owned address's, sent to the node",
       F::icmpv6_error(2, borrowed6, tcp, owned6, listed_port), "passed_not_ours"},
      {"about a fragment of the node's",
       F::icmpv6_error(2, borrowed6, fragment_header, borrowed6, listed_port), "passed_not_ours"},
      {"about something that is not IPv6",
       F::icmpv6_error(2, borrowed6, tcp, borrowed6, listed_port).version_and_length(0x45),
       "passed_malformed"},

      // Never ours.
      {"IPv6 to somebody else", F::ipv6(tcp, elsewhere6).tcp_to(80), "passed_not_ours"},
      {"from an owned address", F::ipv6(tcp, elsewhere6, owned6).tcp_to(80), "passed_not_ours"},
      {"to the node's link-local address", F::ipv6(tcp, nodes_own6).tcp_to(listed_port),
       "passed_not_ours"},

      // Counted as what they are.
      {"first fragment to us", F::ipv6(fragment_header, owned6).fragment_of_tcp(1).tcp_to(80),
       "passed_fragment"},
      {"last fragment to us", F::ipv6(fragment_header, owned6).fragment_of_tcp(0x05a8).zeros(30),
       "passed_fragment"},
      {"fragment to a borrowed address",
       F::ipv6(fragment_header, borrowed6).fragment_of_tcp(1).tcp_to(8080), "passed_fragment"},
      {"fragment to somebody else",
       F::ipv6(fragment_header, elsewhere6).fragment_of_tcp(1).tcp_to(80), "passed_not_ours"},
      {"version 4 in an IPv6 frame", F::ipv6(tcp, owned6).version_and_length(0x45).tcp_to(80),
       "passed_malformed"},
      {"nothing but zeros", F::ethernet(0x86dd).zeros(40), "passed_malformed"},
      {"longer than a receive frame",
       F::ipv6(tcp, owned6)
           .zeros(millrace_receive_frame_bytes_max + 1 - ethernet_bytes - ipv6_bytes),
       "dropped_too_long"},
  };
}

std::vector<Row> ipv6_multicast_table() {
  using F = FrameText;
  const Ipv6Address all_nodes = Ipv6Address::all_nodes();
  const Ipv6Address group = owned6.solicited_node();
  return {
      {"solicitation for an owned address", F::neighbor(solicitation, peer6, group, owned6),
       "redirected"},
      {"duplicate address detection of it", F::neighbor(solicitation, unspecified6, group, owned6),
       "redirected"},
      {"for another address of the same group", F::neighbor(solicitation, peer6, group, elsewhere6),
       "passed_not_ours"},
      {"solicitation for the node",
       F::neighbor(solicitation, peer6, borrowed6.solicited_node(), borrowed6), "passed_not_ours"},
      {"solicitation for the node's link-local address",
       F::neighbor(solicitation, peer6, nodes_own6.solicited_node(), nodes_own6),
       "passed_not_ours"},
      {"somebody answers our duplicate address detection",
       F::neighbor(advertisement, owned6, all_nodes, owned6), "redirected"},
      {"somebody announces himself", F::neighbor(advertisement, peer6, all_nodes, peer6),
       "passed_not_ours"},
      {"router advertisement", F::ipv6(icmpv6, all_nodes, nodes_own6).raw({134, 0}).zeros(14),
       "passed_not_ours"},
      {"one that names an owned address where a target would be",
       F::neighbor(134, nodes_own6, all_nodes, owned6), "passed_not_ours"},
      {"multicast listener query, as it is sent behind hop-by-hop options",
       F::ipv6(hop_by_hop, all_nodes, nodes_own6)
           .raw({icmpv6, 0, 5, 2, 0, 0, 1, 0})
           .raw({130, 0})
           .zeros(26),
       "passed_not_ours"},
      {"echo request to all nodes", F::ipv6(icmpv6, all_nodes).raw({128, 0}).zeros(22),
       "passed_not_ours"},
      {"UDP to a group", F::ipv6(udp, group).zeros(30), "passed_not_ours"},
      {"TCP to a group", F::ipv6(tcp, group).tcp_to(80), "passed_not_ours"},
  };
}

std::vector<Row> steering_table() {
  std::vector<Row> all = ipv4_table();
  for (Row& row : ipv6_unicast_table())
    all.push_back({"IPv6: " + row.what, row.frame, row.expected});
  for (Row& row : ipv6_multicast_table()) {
    all.push_back({"IPv6 multicast: " + row.what, row.frame, row.expected});
  }
  return all;
}

TEST_F(RedirectProgram, X2_SteersEveryKindOfFrame) {
  for (const Row& row : steering_table()) {
    EXPECT_EQ(verdict(row.frame.bytes()).name, row.expected) << row.what;
  }
}

// A frame cut anywhere is either too short to tell, or judged as the whole one. It never becomes
// ours by being cut.
TEST_F(RedirectProgram, TruncatedAtEveryLengthIsNeverMistaken) {
  for (const Row& row : steering_table()) {
    const std::vector<uint8_t>& whole = row.frame.bytes();
    if (row.expected == "dropped_too_long") continue;
    for (size_t length = test_run_bytes_min; length < std::min<size_t>(whole.size(), 120);
         ++length) {
      const std::vector<uint8_t> cut(whole.begin(), whole.begin() + static_cast<long>(length));
      const std::string_view got = verdict(cut).name;
      EXPECT_TRUE(got == row.expected || got == "passed_malformed")
          << row.what << " cut to " << length << " gave " << got;
    }
  }
}

// A header of TCP with these flags, to the port.
FrameText tcp_flags(FrameText frame, uint16_t port, uint8_t flags) {
  return frame.ports(40000, port).zeros(8).raw({0x50, flags, 0, 0, 0, 0, 0, 0});
}

constexpr uint8_t fin = 0x01, syn = 0x02, rst = 0x04, push = 0x08, ack = 0x10;

TEST_F(RedirectProgram, T9_AWorkerThatIsBehindIsGivenNoNewConnections) {
  using F = FrameText;
  const std::vector<std::pair<const char*, F>> ways = {
      {"owned", tcp_flags(F::ipv4(tcp, owned), 80, syn)},
      {"owned, behind IP options", tcp_flags(F::ipv4(tcp, owned).options(10), 80, syn)},
      {"borrowed", tcp_flags(F::ipv4(tcp, borrowed), listed_port, syn)},
      {"owned, IPv6", tcp_flags(F::ipv6(tcp, owned6), 80, syn)},
      {"borrowed, IPv6", tcp_flags(F::ipv6(tcp, borrowed6), listed_port, syn)},
      {"with ECN", tcp_flags(F::ipv4(tcp, owned), 80, syn | 0xc0)},
  };
  QueueProgress progress = redirect_->hold_openings_back(0, 3);
  for (const auto& [what, frame] : ways) {
    progress.took(2);
    EXPECT_EQ(verdict(frame.bytes()).name, "redirected") << what << ", 2 are waiting";
    EXPECT_EQ(verdict(frame.bytes()).name, "dropped_backlog") << what << ", and one since";
    progress.took(3);
    EXPECT_EQ(verdict(frame.bytes()).name, "dropped_backlog") << what << ", 3 are waiting";
    progress.took(0);
    EXPECT_EQ(verdict(frame.bytes()).name, "redirected") << what << ", none is waiting";
  }
}

TEST_F(RedirectProgram, T9_AWorkerThatDoesNotComeToItsRingIsBehindAfterSoManyFrames) {
  const FrameText opening = tcp_flags(FrameText::ipv4(tcp, owned), 80, syn);
  QueueProgress progress = redirect_->hold_openings_back(0, 100);
  for (int frame = 0; frame < 100; ++frame) {
    ASSERT_EQ(verdict(opening.bytes()).name, "redirected") << frame;
  }
  EXPECT_EQ(verdict(opening.bytes()).name, "dropped_backlog");
  // Dropped frames are not among those that wait.
  progress.took(99);
  EXPECT_EQ(verdict(opening.bytes()).name, "redirected");
  redirect_->hold_openings_back(0, 0);
  EXPECT_EQ(verdict(opening.bytes()).name, "redirected") << "nobody is held back";
}

// A burst of other frames, as when all connections of a site are closed at once, is not the work of
// those who open one: they wait in it as the rest does.
TEST_F(RedirectProgram, T9_FewOpeningsAreGivenToAWorkerThatIsBehind) {
  using F = FrameText;
  const std::vector<uint8_t> opening = tcp_flags(F::ipv4(tcp, owned), 80, syn).bytes();
  const std::vector<uint8_t> closing = tcp_flags(F::ipv4(tcp, owned), 80, fin | ack).bytes();
  constexpr uint32_t most = 10 * millrace_owed_by_opening;
  QueueProgress progress = redirect_->hold_openings_back(0, most);
  progress.took(most);
  const auto given_of = [&](int openings) {
    int given = 0;
    for (int i = 0; i < openings; ++i) given += verdict(opening).name == "redirected";
    return given;
  };
  EXPECT_EQ(given_of(20), 10);
  const auto given_after = [&](uint32_t others) {
    for (uint32_t i = 0; i < others; ++i) EXPECT_EQ(verdict(closing).name, "redirected");
    return given_of(5);
  };
  EXPECT_EQ(given_after(millrace_owed_by_opening - 1), 0);
  EXPECT_EQ(given_after(1), 1);
  EXPECT_EQ(given_after(3 * millrace_owed_by_opening), 3);
  // Of a flood while the worker kept up four times as many frames as may wait are remembered, which
  // is three times as many until one is given again.
  progress.took(0);
  for (uint32_t i = 0; i < 100 * most; ++i) {
    ASSERT_EQ(verdict(opening).name, "redirected");
    if (i % 10 == 0) progress.took(0);
  }
  progress.took(most);
  EXPECT_EQ(given_after(3 * most), 0);
  EXPECT_EQ(given_after(millrace_owed_by_opening), 1);
}

TEST_F(RedirectProgram, T9_WhatIsThereAlreadyIsGivenToAWorkerThatIsBehind) {
  using F = FrameText;
  const uint8_t answers[] = {ack, syn | ack, push | ack, fin | ack, rst, rst | ack, 0, fin};
  QueueProgress progress = redirect_->hold_openings_back(0, 1);
  progress.took(5);
  for (const uint8_t flags : answers) {
    EXPECT_EQ(verdict(tcp_flags(F::ipv4(tcp, owned), 80, flags).bytes()).name, "redirected");
    EXPECT_EQ(verdict(tcp_flags(F::ipv6(tcp, owned6), 80, flags).bytes()).name, "redirected");
    EXPECT_EQ(verdict(tcp_flags(F::ipv4(tcp, borrowed), listed_port, flags).bytes()).name,
              "redirected");
  }
  for (const Row& row : steering_table()) {
    // Behind an IPv6 header that no connection has there may be a SYN.
    const std::vector<uint8_t>& frame = row.frame.bytes();
    const bool hidden = row.expected == "redirected" && load_be16(&frame[12]) == 0x86dd &&
                        frame[20] != tcp && frame[20] != icmpv6;
    EXPECT_EQ(verdict(frame).name, hidden ? "dropped_backlog" : row.expected) << row.what;
  }
  // The node's own connections are not ours to hold back.
  EXPECT_EQ(verdict(tcp_flags(F::ipv4(tcp, borrowed), 22, syn).bytes()).name, "passed_not_ours");
}

struct Shortest {
  const char* what;
  FrameText frame;
  size_t bytes;  // the first length at which the frame is ours
};

TEST_F(RedirectProgram, IsOursFromTheByteOnThatDecides) {
  using F = FrameText;
  const std::vector<Shortest> rows = {
      {"owned: the IP header", F::ipv4(tcp, owned).tcp_to(80), 14 + 20},
      {"ARP: the target address", F::arp(1, peer, owned), 14 + 28},
      {"borrowed: both ports", F::ipv4(tcp, borrowed).tcp_to(listed_port), 14 + 20 + 4},
      {"borrowed with options", F::ipv4(tcp, borrowed).options(10).tcp_to(listed_port),
       14 + 60 + 4},
      {"ICMP error: the embedded ports", F::icmp_error(3, borrowed, tcp, borrowed, listed_port),
       14 + 20 + 8 + 20 + 4},
      {"owned: the IPv6 header", F::ipv6(tcp, owned6).tcp_to(80), 14 + 40},
      {"owned: the fragment header", F::ipv6(fragment_header, owned6).fragment_of_tcp(0).tcp_to(80),
       14 + 40 + 8},
      {"neighbor discovery: the target",
       F::neighbor(solicitation, peer6, owned6.solicited_node(), owned6), 14 + 40 + 24},
      {"borrowed IPv6: both ports", F::ipv6(tcp, borrowed6).tcp_to(listed_port), 14 + 40 + 4},
      {"ICMPv6 error: the embedded ports",
       F::icmpv6_error(2, borrowed6, tcp, borrowed6, listed_port), 14 + 40 + 8 + 40 + 4},
  };
  for (const Shortest& row : rows) {
    const std::vector<uint8_t>& whole = row.frame.bytes();
    for (size_t length = test_run_bytes_min; length <= whole.size(); ++length) {
      const std::vector<uint8_t> cut(whole.begin(), whole.begin() + static_cast<long>(length));
      EXPECT_EQ(verdict(cut).name, length >= row.bytes ? "redirected" : "passed_malformed")
          << row.what << " at " << length;
    }
  }
}

struct SilenceRow {
  const char* what;
  Duration age;
  std::string_view expected_drop;  // with on_silence: drop
  std::string_view expected_pass;  // with on_silence: pass
};

const std::vector<SilenceRow> silence_table = {
    {"just beaten", Duration::milliseconds(0), "redirected", "redirected"},
    {"within the limit", Duration::milliseconds(250), "redirected", "redirected"},
    {"past the limit", Duration::milliseconds(350), "dropped_silent", "dropped_silent"},
    {"a pause of two seconds", Duration::milliseconds(2000), "dropped_silent", "dropped_silent"},
    {"just below three seconds", Duration::milliseconds(2900), "dropped_silent", "dropped_silent"},
    {"past three seconds", past_every_limit, "dropped_silent", "passed_silent"},
    {"silent for a day", Duration::seconds(86400), "dropped_silent", "passed_silent"},
};

TEST_F(RedirectProgram, X4_AgeOfTheHeartbeatDecidesAboutOurFramesOnly) {
  const std::vector<Row> table = steering_table();
  for (const OnSilence on_silence : {OnSilence::drop, OnSilence::pass}) {
    attach(on_silence);
    steer_to_socket();
    for (const SilenceRow& silence : silence_table) {
      for (const Row& row : table) {
        if (row.expected == "dropped_too_long") continue;
        const bool is_ours = row.expected == "redirected";
        const std::string_view expected = !is_ours                        ? row.expected
                                          : on_silence == OnSilence::drop ? silence.expected_drop
                                                                          : silence.expected_pass;
        silent_for(silence.age);
        EXPECT_EQ(verdict(row.frame.bytes()).name, expected) << row.what << ", " << silence.what;
      }
    }
  }
}

TEST_F(RedirectProgram, X4_ABeatAheadOfTheProgramsClockIsFresh) {
  redirect_->beat(MonotonicClock().now() + Duration::seconds(1));
  EXPECT_EQ(verdict(FrameText::ipv4(tcp, owned).tcp_to(80).bytes()).name, "redirected");
}

// A killed process takes its socket along at once, its last beat stays fresh for 300 ms.
TEST_F(RedirectProgram, X1_T53_WithoutASocketOurFramesWaitAndOtherFramesPass) {
  socket_.reset();
  EXPECT_EQ(verdict(FrameText::ipv4(tcp, owned).tcp_to(80).bytes()).name, "dropped_no_socket");
  EXPECT_EQ(verdict(FrameText::arp(1, peer, owned).bytes()).name, "dropped_no_socket");
  EXPECT_EQ(verdict(FrameText::ipv6(tcp, owned6).tcp_to(80).bytes()).name, "dropped_no_socket");
  EXPECT_EQ(verdict(FrameText::ipv6(tcp, borrowed6).tcp_to(22).bytes()).name, "passed_not_ours");
  EXPECT_EQ(verdict(FrameText::ipv4(tcp, borrowed).tcp_to(8080).bytes()).name, "dropped_no_socket");
  EXPECT_EQ(verdict(FrameText::ipv4(tcp, borrowed).tcp_to(22).bytes()).name, "passed_not_ours");
  EXPECT_EQ(verdict(FrameText::arp(1, peer, borrowed).bytes()).name, "passed_not_ours");
  steer_to_socket();
  EXPECT_EQ(verdict(FrameText::ipv4(tcp, owned).tcp_to(80).bytes()).name, "redirected");
}

TEST(RedirectOutcomes, EveryOutcomeHasANameThatStartsWithItsActionAndASentence) {
  for (int i = 0; i < millrace_outcome_count; ++i) {
    const OutcomeText text = outcome_text(static_cast<millrace_outcome>(i));
    EXPECT_TRUE(text.name == "redirected" || text.name.rfind("passed_", 0) == 0 ||
                text.name.rfind("dropped_", 0) == 0)
        << text.name;
    EXPECT_EQ(text.sentence.back(), '.') << text.name;
  }
}

}  // namespace
}  // namespace millrace::bpf

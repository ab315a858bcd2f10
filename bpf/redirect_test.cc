// The XDP program as a function: a frame in, a verdict out, in the kernel itself
// (BPF_PROG_TEST_RUN), for every kind of frame and every state of the data plane.
#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <linux/if_xdp.h>
#include <sys/socket.h>
#include <unistd.h>

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
// The kernel refuses to run an XDP program on less than an Ethernet header.
constexpr size_t test_run_bytes_min = ethernet_bytes;

const Ipv4Address owned = Ipv4Address::from_octets(10, 1, 0, 100);
const Ipv4Address borrowed = Ipv4Address::from_octets(10, 1, 0, 1);
const Ipv4Address elsewhere = Ipv4Address::from_octets(10, 1, 0, 7);
const Ipv4Address peer = Ipv4Address::from_octets(192, 0, 2, 9);
constexpr uint16_t listed_port = 8080;
constexpr uint8_t icmp = 1;
constexpr uint8_t tcp = 6;
constexpr uint8_t udp = 17;

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
  // Never before the clock's origin: a machine may have booted a moment ago.
  void silent_for(Duration age) {
    const Instant now = MonotonicClock().now();
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
  const char* what;
  FrameText frame;
  std::string_view expected;
};

std::vector<Row> steering_table() {
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
      {"IPv6", F::ethernet(0x86dd).zeros(40), "passed_ipv6"},
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
    {"past three seconds", Duration::milliseconds(3100), "dropped_silent", "passed_silent"},
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
TEST_F(RedirectProgram, X1_WithoutASocketOurFramesWaitAndOtherFramesPass) {
  socket_.reset();
  EXPECT_EQ(verdict(FrameText::ipv4(tcp, owned).tcp_to(80).bytes()).name, "dropped_no_socket");
  EXPECT_EQ(verdict(FrameText::arp(1, peer, owned).bytes()).name, "dropped_no_socket");
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

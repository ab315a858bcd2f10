#include "dataplane/nic/xdp_port.h"

#include <gtest/gtest.h>
#include <sys/poll.h>

#include <array>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/packet/arena.h"
#include "dataplane/packet/frame_memory.h"
#include "tests/support/lab/namespace.h"
#include "tests/support/lab/packet_socket.h"

namespace millrace::nic {
namespace {

using packet::Arena;
using packet::Frame;
using packet::FrameMemory;
using packet::SlotIndex;
using packet::TransmitFrame;

constexpr uint32_t ipv4_at = 14;
constexpr uint32_t sequence_at = 34;  // behind Ethernet and IPv4
constexpr uint32_t frame_bytes_min = 60;

const Ipv4Address engine_address = Ipv4Address::from_octets(10, 77, 0, 100);
// Not configured anywhere: the peer's kernel stays silent about frames to it.
const Ipv4Address peer_address = Ipv4Address::from_octets(10, 77, 0, 9);

// A frame from the raw peer to the engine whose every byte follows from its number.
std::vector<uint8_t> numbered_frame(const MacAddress& to, uint64_t number, size_t length) {
  std::vector<uint8_t> frame(length);
  std::copy(to.octets.begin(), to.octets.end(), frame.begin());
  frame[6] = 0x02;
  frame[11] = 0x09;
  store_be16(&frame[12], 0x0800);
  frame[ipv4_at] = 0x45;
  store_be16(&frame[ipv4_at + 2], static_cast<uint16_t>(length - ipv4_at));
  frame[ipv4_at + 8] = 64;
  frame[ipv4_at + 9] = 253;  // RFC 3692: for experiments
  peer_address.store(&frame[ipv4_at + 12]);
  engine_address.store(&frame[ipv4_at + 16]);
  store_be32(&frame[sequence_at], static_cast<uint32_t>(number >> 32));
  store_be32(&frame[sequence_at + 4], static_cast<uint32_t>(number));
  uint64_t state = number * 0x9e3779b97f4a7c15U + 1;
  for (size_t i = sequence_at + 8; i < length; ++i) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    frame[i] = static_cast<uint8_t>(state >> 56);
  }
  return frame;
}

void swap_ends(uint8_t* frame) {
  std::swap_ranges(frame, frame + 6, frame + 6);
  std::swap_ranges(frame + ipv4_at + 12, frame + ipv4_at + 16, frame + ipv4_at + 16);
}

bool from_engine(const std::vector<uint8_t>& frame) {
  return frame.size() >= frame_bytes_min && load_be16(&frame[12]) == 0x0800 &&
         Ipv4Address::load(&frame[ipv4_at + 12]) == engine_address;
}

size_t length_of(uint64_t number) {
  return frame_bytes_min + number * 7919 % (1514 - 60 + 1);
}

// The engine's side: port, arena and the smallest possible worker.
class EchoEngine {
 public:
  EchoEngine(XdpPort& port, XdpUmem& umem)
      : port_(port), arena_(umem.arena_memory(), umem.arena_slot_count()) {}

  // One turn; the number of frames echoed. Frames that are not the raw peer's are only counted.
  size_t turn(Instant now) {
    std::array<Frame, burst_frames_max> frames{};
    std::array<TransmitFrame, burst_frames_max> out{};
    const size_t wanted =
        std::min<size_t>({frames.size(), arena_.free_count(), port_.transmit_room()});
    const size_t count = port_.receive({frames.data(), wanted}, now);
    size_t echoed = 0;
    for (size_t i = 0; i < count; ++i) {
      const Frame& frame = frames[i];
      if (frame.length < frame_bytes_min || load_be16(frame.data + 12) != 0x0800) {
        ++others;
        continue;
      }
      const SlotIndex slot = arena_.acquire();
      std::memcpy(arena_.slot_data(slot) + 64, frame.data, frame.length);
      swap_ends(arena_.slot_data(slot) + 64);
      arena_.mark_in_port(slot);
      arena_.drop(slot);
      out[echoed++] = TransmitFrame{slot, 64, frame.length};
    }
    conserved = conserved && port_.frames_conserved();
    port_.release({frames.data(), count});
    reclaim();
    port_.transmit({out.data(), echoed}, now);
    conserved = conserved && port_.frames_conserved();
    port_.flush();
    conserved = conserved && port_.frames_conserved();
    return echoed;
  }
  void reclaim() {
    std::array<SlotIndex, burst_frames_max> done{};
    const size_t count = port_.reclaim(done);
    for (size_t i = 0; i < count; ++i) arena_.mark_sent(done[i]);
  }

  bool all_slots_free() const { return arena_.free_count() == arena_.capacity(); }

  uint64_t others = 0;
  bool conserved = true;

 private:
  XdpPort& port_;
  Arena arena_;
};

class XdpPortTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string reason = lab::why_no_namespaces();
    if (!reason.empty()) GTEST_SKIP() << reason;
    node = std::make_unique<lab::Namespace>();
    client = std::make_unique<lab::Namespace>();
    lab::join({*node, "up0", "10.77.0.1/24"}, {*client, "peer0", "10.77.0.2/24"});
  }
  Result<bpf::Redirect> attach(const std::string& interface, bpf::AttachMode mode,
                               Ipv4Address address = engine_address) {
    bpf::RedirectOptions options;
    options.interface = interface;
    options.mode = mode;
    options.pin_root = "/nowhere";
    options.addresses.push_back({address, false, {}});
    return bpf::Redirect::attach(options);
  }

  std::unique_ptr<lab::Namespace> node;
  std::unique_ptr<lab::Namespace> client;
  MonotonicClock clock;
};

struct EchoCase {
  const char* name;
  bpf::AttachMode mode;
  uint32_t ring_size;
};

class XdpPortEcho : public XdpPortTest, public testing::WithParamInterface<EchoCase> {};

// Rings of 64 make every ring wrap and fill all the time: a lost kick or a lost frame stops the
// echo.
TEST_P(XdpPortEcho, X6_EveryFrameComesBackIntactAndEveryBufferIsAccountedFor) {
  constexpr uint64_t total = 100'000;
  constexpr uint64_t in_flight_max = 48;  // below the smallest ring
  const lab::Namespace::Entered entered(*node);
  Result<bpf::Redirect> redirect = attach("up0", GetParam().mode);
  ASSERT_TRUE(redirect.ok()) << redirect.error();
  EXPECT_EQ(redirect->facts().native, GetParam().mode == bpf::AttachMode::native);
  Result<FrameMemory> memory = FrameMemory::create(1024);
  ASSERT_TRUE(memory.ok()) << memory.error();
  const uint32_t ring = GetParam().ring_size;
  auto umem = XdpUmem::create(*memory, 256, {ring, ring, ring, ring});
  ASSERT_TRUE(umem.ok()) << umem.error();
  XdpPortOptions options;
  options.receive_frames = 256;
  auto port = XdpPort::open(options, **umem, *redirect);
  ASSERT_TRUE(port.ok()) << port.error();
  lab::PacketSocket peer(*client, "peer0");
  EchoEngine engine(**port, **umem);

  std::vector<bool> seen(total);
  uint64_t sent = 0;
  uint64_t came_back = 0;
  uint64_t wrong = 0;
  Instant progress = clock.now();
  while (came_back < total && clock.now() - progress < Duration::seconds(2)) {
    redirect->beat(clock.now());
    while (sent < total && sent - came_back < in_flight_max &&
           peer.send(numbered_frame((*port)->facts().mac, sent, length_of(sent)))) {
      ++sent;
    }
    engine.turn(clock.now());
    ASSERT_TRUE(engine.conserved) << "after " << came_back;
    for (auto frame = peer.receive(); !frame.empty(); frame = peer.receive()) {
      if (!from_engine(frame)) continue;
      progress = clock.now();
      swap_ends(frame.data());
      const uint64_t number =
          uint64_t{load_be32(&frame[sequence_at])} << 32 | load_be32(&frame[sequence_at + 4]);
      ASSERT_LT(number, total);
      ASSERT_FALSE(seen[number]) << "twice: " << number;
      seen[number] = true;
      ++came_back;
      if (frame != numbered_frame((*port)->facts().mac, number, length_of(number))) ++wrong;
    }
  }
  (*port)->collect_statistics();
  EXPECT_EQ(came_back, total) << "sent " << sent << ", dropped by the kernel "
                              << (*port)->counters().receive_dropped_frames;
  EXPECT_EQ(wrong, 0U);
  for (int i = 0; i < 100 && !engine.all_slots_free(); ++i) engine.turn(clock.now());
  EXPECT_TRUE(engine.all_slots_free());
  EXPECT_EQ((*port)->counters().transmitted_frames, total);
  EXPECT_EQ((*port)->counters().receive_dropped_frames, 0U);
  EXPECT_EQ((*port)->counters().received_frames, total + engine.others);
  EXPECT_EQ(redirect->counters()[millrace_outcome_redirected], (*port)->counters().received_frames);
}

INSTANTIATE_TEST_SUITE_P(Rings, XdpPortEcho,
                         testing::Values(EchoCase{"Native64", bpf::AttachMode::native, 64},
                                         EchoCase{"Native2048", bpf::AttachMode::native, 2048},
                                         EchoCase{"Generic64", bpf::AttachMode::generic, 64}),
                         [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace millrace::nic

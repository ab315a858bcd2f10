#include "dataplane/nic/xdp_port.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/nic/port_test_engine.h"
#include "dataplane/packet/frame_memory.h"
#include "tests/support/lab/namespace.h"
#include "tests/support/lab/packet_socket.h"

namespace millrace::nic {
namespace {

using packet::FrameMemory;

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

  // An uplink with all that belongs to it, in the namespace of the node.
  struct Uplink {
    std::unique_ptr<bpf::Redirect> redirect;
    std::unique_ptr<XdpPort> port;
  };
  Uplink open_uplink(const std::string& interface, bpf::AttachMode mode, uint32_t receive_frames) {
    Uplink uplink;
    Result<bpf::Redirect> redirect = attach(interface, mode);
    if (!redirect) ADD_FAILURE() << redirect.error();
    if (!redirect) return uplink;
    uplink.redirect = std::make_unique<bpf::Redirect>(std::move(*redirect));
    XdpPortOptions options;
    options.receive_frames = receive_frames;
    auto port = XdpPort::open(options, *umem, *uplink.redirect);
    if (!port) ADD_FAILURE() << port.error();
    if (port) uplink.port = std::move(*port);
    uplink.redirect->beat(clock.now());
    return uplink;
  }
  void make_memory(uint32_t frames, uint32_t receive_frames, uint32_t ring_size) {
    Result<FrameMemory> mapped = FrameMemory::create(frames);
    ASSERT_TRUE(mapped.ok()) << mapped.error();
    memory = std::make_unique<FrameMemory>(std::move(*mapped));
    auto registered =
        XdpUmem::create(*memory, receive_frames, {ring_size, ring_size, ring_size, ring_size});
    ASSERT_TRUE(registered.ok()) << registered.error();
    umem = std::move(*registered);
    arena = std::make_unique<packet::Arena>(umem->arena_memory(), umem->arena_slot_count());
  }
  bool all_slots_free() const { return arena->free_count() == arena->capacity(); }

  std::unique_ptr<FrameMemory> memory;
  std::unique_ptr<XdpUmem> umem;
  std::unique_ptr<packet::Arena> arena;
  std::unique_ptr<lab::Namespace> node;
  std::unique_ptr<lab::Namespace> client;
  MonotonicClock clock;
};

// What a raw peer sent and what came back of it.
class EchoCheck {
 public:
  EchoCheck(lab::PacketSocket& peer, const MacAddress& engine_mac, uint64_t total)
      : peer_(peer), mac_(engine_mac), seen_(total) {}

  bool done() const { return came_back == seen_.size(); }
  void send(uint64_t in_flight_max) {
    while (sent < seen_.size() && sent - came_back < in_flight_max &&
           peer_.send(numbered_frame(mac_, sent, length_of(sent)))) {
      ++sent;
    }
  }
  // True if anything came.
  bool receive() {
    bool any = false;
    for (auto frame = peer_.receive(); !frame.empty(); frame = peer_.receive()) {
      if (!from_engine(frame)) continue;
      any = true;
      swap_ends(frame.data());
      const uint64_t number =
          uint64_t{load_be32(&frame[sequence_at])} << 32 | load_be32(&frame[sequence_at + 4]);
      if (number >= seen_.size() || seen_[number] ||
          frame != numbered_frame(mac_, number, length_of(number))) {
        ++wrong;
        continue;
      }
      seen_[number] = true;
      ++came_back;
    }
    return any;
  }

  uint64_t sent = 0;
  uint64_t came_back = 0;
  uint64_t wrong = 0;

 private:
  lab::PacketSocket& peer_;
  MacAddress mac_;
  std::vector<bool> seen_;
};

constexpr uint64_t in_flight_max = 48;  // below the smallest ring

struct EchoCase {
  const char* name;
  bpf::AttachMode mode;
  uint32_t ring_size;
};

class XdpPortEcho : public XdpPortTest, public testing::WithParamInterface<EchoCase> {};

// Rings of 64 make every ring wrap and fill all the time: a lost kick or a lost frame stops the
// echo.
TEST_P(XdpPortEcho, X6_EveryFrameComesBackIntactAndEveryBufferIsAccountedFor) {
  const uint64_t total = lab::scaled(100'000);
  const lab::Namespace::Entered entered(*node);
  make_memory(1024, 256, GetParam().ring_size);
  Uplink uplink = open_uplink("up0", GetParam().mode, 256);
  ASSERT_TRUE(uplink.port);
  EXPECT_EQ(uplink.redirect->facts().native, GetParam().mode == bpf::AttachMode::native);
  lab::PacketSocket peer(*client, "peer0");
  EchoEngine engine(*uplink.port, *arena);
  EchoCheck check(peer, uplink.port->facts().mac, total);

  Instant progress = clock.now();
  while (!check.done() && clock.now() - progress < Duration::seconds(2)) {
    uplink.redirect->beat(clock.now());
    check.send(in_flight_max);
    engine.turn(clock.now());
    ASSERT_TRUE(engine.conserved) << "after " << check.came_back;
    if (check.receive()) progress = clock.now();
  }
  uplink.port->collect_statistics();
  const PortCounters& counters = uplink.port->counters();
  EXPECT_EQ(check.came_back, total)
      << "sent " << check.sent << ", dropped by the kernel " << counters.receive_dropped_frames;
  EXPECT_EQ(check.wrong, 0U);
  for (int i = 0; i < 100 && !all_slots_free(); ++i) engine.turn(clock.now());
  EXPECT_TRUE(all_slots_free());
  EXPECT_EQ(counters.transmitted_frames, total);
  EXPECT_EQ(counters.receive_dropped_frames, 0U);
  EXPECT_EQ(counters.received_frames, total + engine.others);
  EXPECT_EQ(uplink.redirect->counters()[millrace_outcome_redirected], counters.received_frames);
}

INSTANTIATE_TEST_SUITE_P(Rings, XdpPortEcho,
                         testing::Values(EchoCase{"Native64", bpf::AttachMode::native, 64},
                                         EchoCase{"Native2048", bpf::AttachMode::native, 2048},
                                         EchoCase{"Generic64", bpf::AttachMode::generic, 64},
                                         EchoCase{"Generic2048", bpf::AttachMode::generic, 2048}),
                         [](const auto& instance) { return std::string(instance.param.name); });

TEST_F(XdpPortTest, X6_TwoPortsShareOneUmemAndOneArena) {
  const uint64_t total = lab::scaled(20'000);
  lab::join({*node, "up1", ""}, {*client, "peer1", ""});
  const lab::Namespace::Entered entered(*node);
  make_memory(1024, 512, 64);
  Uplink first = open_uplink("up0", bpf::AttachMode::native, 256);
  Uplink second = open_uplink("up1", bpf::AttachMode::native, 256);
  ASSERT_TRUE(first.port && second.port);
  EXPECT_EQ(umem->unclaimed_receive_frames(), 0U);
  lab::PacketSocket first_peer(*client, "peer0");
  lab::PacketSocket second_peer(*client, "peer1");
  EchoEngine first_engine(*first.port, *arena);
  EchoEngine second_engine(*second.port, *arena);
  EchoCheck first_check(first_peer, first.port->facts().mac, total);
  EchoCheck second_check(second_peer, second.port->facts().mac, total);

  Instant progress = clock.now();
  while (!(first_check.done() && second_check.done()) &&
         clock.now() - progress < Duration::seconds(2)) {
    first.redirect->beat(clock.now());
    second.redirect->beat(clock.now());
    first_check.send(in_flight_max);
    second_check.send(in_flight_max);
    first_engine.turn(clock.now());
    second_engine.turn(clock.now());
    ASSERT_TRUE(first_engine.conserved && second_engine.conserved);
    const bool any = first_check.receive();
    if (second_check.receive() || any) progress = clock.now();
  }
  EXPECT_EQ(first_check.came_back, total);
  EXPECT_EQ(second_check.came_back, total);
  EXPECT_EQ(first_check.wrong + second_check.wrong, 0U);
  for (int i = 0; i < 100 && !all_slots_free(); ++i) {
    first_engine.reclaim();
    second_engine.reclaim();
  }
  EXPECT_TRUE(all_slots_free());
}

// A worker that does not come round loses frames at the rings, counts them, and then goes on.
TEST_F(XdpPortTest, X6_OverrunIsCountedAndNothingLeaks) {
  const lab::Namespace::Entered entered(*node);
  make_memory(512, 128, 64);
  Uplink uplink = open_uplink("up0", bpf::AttachMode::native, 128);
  ASSERT_TRUE(uplink.port);
  lab::PacketSocket peer(*client, "peer0");
  EchoEngine engine(*uplink.port, *arena);
  for (int round = 0; round < 50; ++round) {
    uplink.redirect->beat(clock.now());
    for (uint64_t i = 0; i < 500; ++i) {
      peer.send(numbered_frame(uplink.port->facts().mac, i, length_of(i)));
    }
    for (int turn = 0; turn < 20; ++turn) engine.turn(clock.now());
    ASSERT_TRUE(engine.conserved) << "round " << round;
  }
  uplink.port->collect_statistics();
  const PortCounters& counters = uplink.port->counters();
  EXPECT_GT(counters.receive_dropped_frames, 1000U);
  EXPECT_GT(counters.received_frames, 1000U);
  EchoCheck check(peer, uplink.port->facts().mac, 1000);
  while (!peer.receive().empty()) {
  }
  const Instant start = clock.now();
  while (!check.done() && clock.now() - start < Duration::seconds(5)) {
    uplink.redirect->beat(clock.now());
    check.send(in_flight_max);
    engine.turn(clock.now());
    check.receive();
  }
  EXPECT_TRUE(check.done()) << check.came_back;
}

// A numbered frame that says it is TCP, with these flags.
std::vector<uint8_t> tcp_frame(const MacAddress& to, uint64_t number, uint8_t flags) {
  std::vector<uint8_t> frame = numbered_frame(to, number, frame_bytes_min);
  frame[ipv4_at + 9] = 6;
  frame[ipv4_at + 20 + 13] = flags;
  return frame;
}

// What a flood fills is half of the ring: the frames of connections that there are find room, and
// none is lost.
TEST_F(XdpPortTest, T9_AFloodOfSynsLeavesRoomForTheConnectionsThereAre) {
  constexpr uint8_t syn = 0x02, ack = 0x10;
  const lab::Namespace::Entered entered(*node);
  make_memory(512, 128, 128);
  Uplink uplink = open_uplink("up0", bpf::AttachMode::native, 128);
  ASSERT_TRUE(uplink.port);
  lab::PacketSocket peer(*client, "peer0");
  uplink.redirect->beat(clock.now() + Duration::seconds(5));
  for (uint64_t round = 1; round <= 3; ++round) {
    for (uint64_t i = 0; i < 200; ++i) {
      ASSERT_TRUE(peer.send(tcp_frame(uplink.port->facts().mac, i, syn)));
      if (i % 5 != 0) continue;
      ASSERT_TRUE(peer.send(tcp_frame(uplink.port->facts().mac, i, ack)));
    }
    uint64_t syns = 0, acks = 0;
    for (int i = 0; i < 1000 && acks < 40; ++i, usleep(1000)) {
      std::array<packet::Frame, burst_frames_max> frames{};
      const size_t count = uplink.port->receive(frames, clock.now());
      for (size_t k = 0; k < count; ++k) {
        ++(frames[k].data[ipv4_at + 20 + 13] == syn ? syns : acks);
      }
      uplink.port->release({frames.data(), count});
    }
    // The acknowledgments that came before the ring was half full count with it.
    EXPECT_EQ(acks, 40U);
    EXPECT_EQ(syns, 53U);
    EXPECT_EQ(uplink.redirect->counters()[millrace_outcome_dropped_backlog], round * (200 - 53));
  }
  uplink.port->collect_statistics();
  EXPECT_EQ(uplink.port->counters().receive_dropped_frames, 0U);
}

TEST_F(XdpPortTest, AQuarterOfTheReceiveFramesIsNeverLent) {
  const lab::Namespace::Entered entered(*node);
  make_memory(256, 64, 64);
  Uplink uplink = open_uplink("up0", bpf::AttachMode::native, 64);
  ASSERT_TRUE(uplink.port);
  lab::PacketSocket peer(*client, "peer0");
  for (uint64_t i = 0; i < 60; ++i) peer.send(numbered_frame(uplink.port->facts().mac, i, 100));
  std::vector<packet::Frame> lent;
  for (int i = 0; i < 100; ++i) {
    std::array<packet::Frame, burst_frames_max> frames{};
    const size_t count = uplink.port->receive(frames, clock.now());
    lent.insert(lent.end(), frames.begin(), frames.begin() + count);
    usleep(100);
  }
  EXPECT_EQ(lent.size(), 48U);
  EXPECT_TRUE(uplink.port->frames_conserved());
  uplink.port->release(lent);
  EXPECT_TRUE(uplink.port->frames_conserved());
  // A frame given back twice would be in two places.
  EXPECT_DEATH(uplink.port->release({lent.data(), 1}), "invariant");
}

// A full transmit ring, more than the kernel sends in one call: every frame leaves, kick by kick.
TEST_F(XdpPortTest, X6_AFullTransmitRingLeavesCompletely) {
  const lab::Namespace::Entered entered(*node);
  make_memory(4096, 64, 2048);
  Uplink uplink = open_uplink("up0", bpf::AttachMode::native, 64);
  ASSERT_TRUE(uplink.port);
  lab::PacketSocket peer(*client, "peer0");
  ASSERT_EQ(uplink.port->transmit_room(), 2048U);
  for (uint64_t number = 0; number < 2048; ++number) {
    const packet::SlotIndex slot = arena->acquire();
    std::vector<uint8_t> frame = numbered_frame({}, number, length_of(number));
    swap_ends(frame.data());
    std::memcpy(arena->slot_data(slot), frame.data(), frame.size());
    arena->mark_in_port(slot);
    arena->drop(slot);
    const packet::TransmitFrame out{slot, 0, static_cast<uint16_t>(frame.size())};
    uplink.port->transmit({&out, 1}, clock.now());
  }
  EXPECT_EQ(uplink.port->transmit_room(), 0U);
  EXPECT_TRUE(uplink.port->frames_conserved());
  EchoEngine engine(*uplink.port, *arena);
  uint64_t arrived = 0;
  uplink.port->flush();
  // The worker may not sleep while the port says that a kick is owed.
  for (int turn = 0; turn < 1000 && uplink.port->prepare_wait(); ++turn) {
    uplink.port->flush();
    engine.reclaim();
  }
  for (int i = 0; i < 100 && arrived < 2048; ++i, usleep(1000)) {
    for (auto frame = peer.receive(); !frame.empty(); frame = peer.receive()) {
      arrived += from_engine(frame) ? 1 : 0;
    }
    engine.reclaim();
  }
  EXPECT_EQ(arrived, 2048U) << uplink.port->counters().kicks << " kicks";
  for (int i = 0; i < 100 && !all_slots_free(); ++i) engine.reclaim();
  EXPECT_TRUE(all_slots_free());
  EXPECT_EQ(uplink.port->transmit_room(), 2048U);
}

TEST_F(XdpPortTest, ALinkThatIsDownKeepsTheFramesAndDoesNotKeepTheWorkerAwake) {
  const lab::Namespace::Entered entered(*node);
  make_memory(256, 64, 64);
  Uplink uplink = open_uplink("up0", bpf::AttachMode::native, 64);
  ASSERT_TRUE(uplink.port);
  EchoEngine engine(*uplink.port, *arena);
  node->must("ip link set up0 down");
  const packet::SlotIndex slot = arena->acquire();
  std::vector<uint8_t> frame = numbered_frame({}, 1, 100);
  swap_ends(frame.data());
  std::memcpy(arena->slot_data(slot), frame.data(), frame.size());
  arena->mark_in_port(slot);
  arena->drop(slot);
  const packet::TransmitFrame out{slot, 0, 100};
  uplink.port->transmit({&out, 1}, clock.now());
  EXPECT_FALSE(uplink.port->prepare_wait());
  EXPECT_GT(uplink.port->failed_kicks(), 0U);
  EXPECT_TRUE(uplink.port->frames_conserved());
  node->must("ip link set up0 up");
  for (int i = 0; i < 2000 && !all_slots_free(); ++i, usleep(1000)) {
    uplink.port->flush();
    engine.reclaim();
  }
  EXPECT_TRUE(all_slots_free());
}

TEST_F(XdpPortTest, FramesLongerThanAReceiveFrameAreDroppedAndCounted) {
  node->must("ip link set up0 mtu 9000");
  client->must("ip link set peer0 mtu 9000");
  for (const bpf::AttachMode mode : {bpf::AttachMode::native, bpf::AttachMode::generic}) {
    const lab::Namespace::Entered entered(*node);
    make_memory(256, 64, 64);
    Uplink uplink = open_uplink("up0", mode, 64);
    ASSERT_TRUE(uplink.port);
    EXPECT_EQ(uplink.port->facts().mtu, 1778);
    lab::PacketSocket peer(*client, "peer0");
    const std::array<size_t, 6> lengths = {1792, 1793, 2048, 4000, 8999, 1792};
    for (const size_t length : lengths) {
      peer.send(numbered_frame(uplink.port->facts().mac, length, length));
    }
    std::vector<size_t> received;
    for (int i = 0; i < 50; ++i, usleep(1000)) {
      std::array<packet::Frame, burst_frames_max> frames{};
      const size_t count = uplink.port->receive(frames, clock.now());
      for (size_t k = 0; k < count; ++k) {
        if (load_be16(frames[k].data + 12) == 0x0800) received.push_back(frames[k].length);
      }
      uplink.port->release({frames.data(), count});
    }
    EXPECT_EQ(received, (std::vector<size_t>{1792, 1792}));
    EXPECT_EQ(uplink.redirect->counters()[millrace_outcome_dropped_too_long], 4U);
    EXPECT_TRUE(uplink.port->frames_conserved());
    uplink.port.reset();
    umem.reset();
  }
}

TEST_F(XdpPortTest, TheKernelsPingsAndOurArpGoWhereTheyBelong) {
  const lab::Namespace::Entered entered(*node);
  make_memory(256, 64, 64);
  Uplink uplink = open_uplink("up0", bpf::AttachMode::native, 64);
  ASSERT_TRUE(uplink.port);
  std::string said;
  EXPECT_EQ(client->run("ping -q -c 5 -i 0.01 10.77.0.1", &said), 0) << said;
  bpf::RedirectCounters before = uplink.redirect->counters();
  EXPECT_GE(before[millrace_outcome_passed_not_ours], 5U);
  EXPECT_EQ(before[millrace_outcome_redirected], 0U);
  // Nobody answers ARP for our address here: the requests come to us, and no kernel frame does.
  uplink.redirect->beat(clock.now() + Duration::seconds(2));
  EXPECT_NE(client->run("ping -q -c 1 -W 1 10.77.0.100", &said), 0) << said;
  // The client may still be asking: what is received lies between what was counted before and
  // after.
  const size_t asked_before = uplink.redirect->counters()[millrace_outcome_redirected];
  EXPECT_GE(asked_before, 1U);
  std::array<packet::Frame, burst_frames_max> frames{};
  const size_t count = uplink.port->receive(frames, clock.now());
  EXPECT_GE(count, asked_before);
  EXPECT_LE(count, uplink.redirect->counters()[millrace_outcome_redirected]);
  for (size_t i = 0; i < count; ++i) EXPECT_EQ(load_be16(frames[i].data + 12), 0x0806);
  uplink.port->release({frames.data(), count});
}

TEST_F(XdpPortTest, X2_TaggedFramesAndFragmentsOnTheWireAreTheKernels) {
  const lab::Namespace::Entered entered(*node);
  make_memory(256, 64, 64);
  Uplink uplink = open_uplink("up0", bpf::AttachMode::native, 64);
  ASSERT_TRUE(uplink.port);
  lab::PacketSocket peer(*client, "peer0");
  std::vector<uint8_t> tagged = numbered_frame(uplink.port->facts().mac, 1, 100);
  const std::vector<uint8_t> tag = {0x81, 0x00, 0x00, 0x05};
  tagged.insert(tagged.begin() + 12, tag.begin(), tag.end());
  ASSERT_TRUE(peer.send(tagged));
  std::vector<uint8_t> fragment = numbered_frame(uplink.port->facts().mac, 2, 100);
  store_be16(&fragment[ipv4_at + 6], 0x2000);
  ASSERT_TRUE(peer.send(fragment));
  ASSERT_TRUE(peer.send(numbered_frame(uplink.port->facts().mac, 3, 100)));
  std::array<packet::Frame, burst_frames_max> frames{};
  size_t count = 0;
  for (int i = 0; i < 1000 && count == 0; ++i, usleep(1000)) {
    count = uplink.port->receive(frames, clock.now());
  }
  ASSERT_EQ(count, 1U);
  EXPECT_EQ(load_be32(frames[0].data + sequence_at + 4), 3U);
  EXPECT_EQ(uplink.redirect->counters()[millrace_outcome_passed_vlan], 1U);
  EXPECT_EQ(uplink.redirect->counters()[millrace_outcome_passed_fragment], 1U);
  uplink.port->release({frames.data(), count});
}

TEST_F(XdpPortTest, X6_WaitsForAPredecessorsQueueAndSaysSoWhenItStays) {
  const lab::Namespace::Entered entered(*node);
  make_memory(256, 64, 64);
  Result<bpf::Redirect> redirect = attach("up0", bpf::AttachMode::native);
  ASSERT_TRUE(redirect.ok()) << redirect.error();
  Result<FrameMemory> other_memory = FrameMemory::create(256);
  auto other_umem = XdpUmem::create(*other_memory, 64, {64, 64, 64, 64});
  ASSERT_TRUE(other_umem.ok());
  XdpPortOptions options;
  options.receive_frames = 64;
  auto predecessor = XdpPort::open(options, **other_umem, *redirect);
  ASSERT_TRUE(predecessor.ok());
  {
    make_memory(256, 64, 64);
    auto refused = XdpPort::open(options, *umem, *redirect);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error(), "interface up0 queue 0: another AF_XDP socket is bound to it");
  }
  make_memory(256, 64, 64);
  std::thread leaves([&predecessor] {
    usleep(150'000);
    (*predecessor).reset();
  });
  auto successor = XdpPort::open(options, *umem, *redirect);
  leaves.join();
  ASSERT_TRUE(successor.ok()) << successor.error();
  lab::PacketSocket peer(*client, "peer0");
  EchoEngine engine(**successor, *arena);
  EchoCheck check(peer, (*successor)->facts().mac, 1000);
  const Instant start = clock.now();
  while (!check.done() && clock.now() - start < Duration::seconds(5)) {
    redirect->beat(clock.now());
    check.send(in_flight_max);
    engine.turn(clock.now());
    check.receive();
  }
  EXPECT_EQ(check.came_back, 1000U);
}

TEST_F(XdpPortTest, FactsComeFromTheInterface) {
  const lab::Namespace::Entered entered(*node);
  node->must("ip link set up0 address 02:00:00:00:00:77 mtu 1400");
  make_memory(256, 128, 64);
  Uplink uplink = open_uplink("up0", bpf::AttachMode::automatic, 64);
  ASSERT_TRUE(uplink.port);
  EXPECT_EQ(to_text(uplink.port->facts().mac), "02:00:00:00:00:77");
  EXPECT_EQ(uplink.port->facts().mtu, 1400);
  EXPECT_EQ(uplink.port->facts().name, "up0");
  EXPECT_EQ(uplink.port->facts().checksum_mode, ChecksumMode::verify_or_partial);
  EXPECT_TRUE(uplink.redirect->facts().native);
  EXPECT_FALSE(uplink.port->zero_copy());

  XdpPortOptions options;
  options.queue = 1;
  options.receive_frames = 64;
  auto missing = XdpPort::open(options, *umem, *uplink.redirect);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error(), "interface up0 queue 1: does not exist, the interface has 1");
  options.queue = 0;
  options.receive_frames = 65;
  auto too_many = XdpPort::open(options, *umem, *uplink.redirect);
  ASSERT_FALSE(too_many.ok());
  EXPECT_EQ(too_many.error(), "interface up0 queue 0: wants 65 receive frames, 64 are left");
}

TEST(XdpUmemTest, RefusesWhatCannotBe) {
  Result<FrameMemory> memory = FrameMemory::create(64);
  ASSERT_TRUE(memory.ok());
  auto odd = XdpUmem::create(*memory, 32, {64, 64, 100, 64});
  ASSERT_FALSE(odd.ok());
  EXPECT_EQ(odd.error(), "ring size 100: must be a power of two from 64 to 16384");
  auto large = XdpUmem::create(*memory, 65, {64, 64, 64, 64});
  ASSERT_FALSE(large.ok());
  EXPECT_EQ(large.error(), "packet memory: 65 receive frames do not fit in 64");
}

}  // namespace
}  // namespace millrace::nic

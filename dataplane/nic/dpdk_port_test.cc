// Two processes over a memif: this one, and itself in another part (a peer), each with DPDK of its
// own. DPDK starts once a process, so all tests here share one environment.
#include "dataplane/nic/dpdk_port.h"

#include <gtest/gtest.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/nic/port_test_engine.h"
#include "dataplane/packet/frame_memory.h"
#include "tests/support/lab/namespace.h"

namespace millrace::nic {
namespace {

constexpr uint32_t slot_count = 4096;
constexpr uint32_t ring_frames = 256;
constexpr uint32_t receive_frames = 1024;
const MacAddress here_mac = {{0x02, 0, 0, 0, 0, 0x01}};
const MacAddress there_mac = {{0x02, 0, 0, 0, 0, 0x02}};

template <class T>
T must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "dpdk_port_test: %s\n", result.error().c_str());
    std::_Exit(3);
  }
  return std::move(*result);
}

DpdkEnvironment& environment() {
  static const std::unique_ptr<DpdkEnvironment> started =
      must(DpdkEnvironment::create({dpdk_memory_mib(2, receive_frames), false, {}}));
  return *started;
}

// A port with an arena of its own.
struct End {
  std::unique_ptr<packet::FrameMemory> memory;
  std::unique_ptr<packet::Arena> arena;
  std::unique_ptr<DpdkPort> port;

  bool all_slots_free() const { return arena->free_count() == arena->capacity(); }
};

Result<End> try_open(const decltype(DpdkPortOptions::device)& device,
                     std::optional<MacAddress> mac) {
  End end;
  end.memory = std::make_unique<packet::FrameMemory>(must(packet::FrameMemory::create(slot_count)));
  end.arena = std::make_unique<packet::Arena>(end.memory->data(), slot_count);
  DpdkPortOptions options;
  options.device = device;
  options.mac = mac;
  options.receive_frames = receive_frames;
  options.arena_memory = end.memory->data();
  options.arena_slot_count = slot_count;
  auto port = DpdkPort::open(options, environment());
  if (!port) return Error{port.error()};
  end.port = std::move(*port);
  return end;
}

Memif memif(const std::string& socket, MemifRole role) {
  return Memif{socket, role, 7, ring_frames, {}};
}

bool wait_for_link(DpdkPort& port, bool up, Duration most = Duration::seconds(10)) {
  const MonotonicClock clock;
  const Instant began = clock.now();
  while (port.link_up() != up && clock.now() - began < most) {
    // A worker that does nothing but look: what lets the gate close.
    std::array<packet::Frame, 1> none;
    port.release({none.data(), port.receive({none.data(), 0}, began)});
    usleep(1000);
  }
  return port.link_up() == up;
}

// ---- the peer's parts, in the other process ----------------------------------------------------

// Turns every frame around until the link goes. Exit code 0: everything it had was accounted for.
int echo(End& end) {
  EchoEngine engine(*end.port, *end.arena);
  while (end.port->link_up()) engine.turn(Instant{});
  engine.turn(Instant{});
  for (int i = 0; i < 64; ++i) engine.reclaim();
  return engine.conserved && end.all_slots_free() ? 0 : 1;
}

// Is connected and never looks at its ring.
int deaf(End& end) {
  while (end.port->link_up()) usleep(1000);
  return 0;
}

// One frame that is too long for one slot's text, and one that is still good.
int send_too_long(End& end) {
  const packet::SlotIndex slot = end.arena->acquire();
  const auto good = numbered_frame(here_mac, 1, 100);
  std::memcpy(end.arena->slot_data(slot), good.data(), good.size());
  const std::array<packet::TransmitFrame, 3> frames = {
      packet::TransmitFrame{slot, 0, dpdk_frame_bytes_max + 1},
      packet::TransmitFrame{slot, 0, packet::slot_bytes}, packet::TransmitFrame{slot, 0, 100}};
  end.port->transmit(frames, Instant{});
  end.port->flush();
  return deaf(end);
}

// The same by DPDK's own means: a packet of two buffers, longer than one of the receiver's.
int send_in_parts(const std::string& socket) {
  const std::string arguments =
      "net_memif99,role=client,socket-abstract=no,bsize=4096,rsize=8,id=7,socket=" + socket;
  environment();
  while (access(socket.c_str(), F_OK) != 0) usleep(1000);
  End end = must(try_open(VirtualDevice{arguments}, {}));
  uint16_t id = 0;
  if (rte_eth_dev_get_port_by_name("net_memif99", &id) != 0) return 4;
  rte_mempool* pool = rte_pktmbuf_pool_create("parts", 64, 0, 0, 4096, 0);
  if (pool == nullptr) return 4;
  while (!end.port->link_up()) usleep(1000);
  for (const uint16_t bytes : std::array<uint16_t, 3>{1600, 1500, 100}) {
    rte_mbuf* head = rte_pktmbuf_alloc(pool);
    const auto good = numbered_frame(here_mac, 2, 100);
    std::memcpy(rte_pktmbuf_append(head, bytes), good.data(), good.size());
    if (bytes > 100) {
      rte_mbuf* tail = rte_pktmbuf_alloc(pool);
      std::memset(rte_pktmbuf_append(tail, bytes), 0, bytes);
      rte_pktmbuf_chain(head, tail);
    }
    if (rte_eth_tx_burst(id, 0, &head, 1) != 1) return 5;
  }
  return deaf(end);
}

// Sends as fast as it can until it is killed.
int flood(End& end) {
  EchoEngine engine(*end.port, *end.arena);
  for (;;) {
    std::array<packet::TransmitFrame, burst_frames_max> out;
    size_t count = 0;
    while (count < std::min(out.size(), end.port->transmit_room())) {
      const packet::SlotIndex slot = end.arena->acquire();
      if (slot == packet::slot_none) break;
      end.arena->mark_in_port(slot);
      end.arena->drop(slot);
      out[count++] = {slot, 0, 1000};
    }
    end.port->transmit({out.data(), count}, Instant{});
    engine.turn(Instant{});
  }
}

int play(const std::string& part, const std::string& socket, const std::string& role) {
  if (part == "parts") return send_in_parts(socket);
  End end = must(
      try_open(memif(socket, role == "server" ? MemifRole::server : MemifRole::client), there_mac));
  if (!wait_for_link(*end.port, true)) return 2;
  if (part == "echo") return echo(end);
  if (part == "deaf") return deaf(end);
  if (part == "too_long") return send_too_long(end);
  if (part == "flood") return flood(end);
  return 9;
}

// ---- this process ------------------------------------------------------------------------------

class Peer {
 public:
  Peer(const char* part, const std::string& socket, const char* role) : id_(fork()) {
    if (id_ != 0) return;
    execl("/proc/self/exe", "dpdk_port_test", "--peer", part, socket.c_str(), role, nullptr);
    _exit(127);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  ~Peer() {
    if (id_ > 0) end(SIGKILL);
  }
  int end(int signal_number) {
    kill(id_, signal_number);
    return wait();
  }
  int wait() {
    int status = 0;
    waitpid(id_, &status, 0);
    id_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t id_;
};

class DpdkPortTest : public ::testing::Test {
 protected:
  DpdkPortTest() {
    std::string name = (std::filesystem::temp_directory_path() / "millrace-dpdk-XXXXXX").string();
    folder = mkdtemp(name.data());
    socket = folder + "/memif";
  }
  ~DpdkPortTest() override { std::filesystem::remove_all(folder); }

  std::string folder;
  std::string socket;
  MonotonicClock clock;
};

// Sends numbered frames through one end and checks what comes back.
class Conversation {
 public:
  Conversation(End& end, uint64_t total) : end_(end), seen_(total) {}
  bool done() const { return came_back == seen_.size(); }
  void turn(Instant now) {
    receive(now);
    send(now);
    conserved = conserved && end_.port->frames_conserved();
  }
  void reclaim() {
    std::array<packet::SlotIndex, burst_frames_max> slots;
    for (size_t count = slots.size(); count == slots.size();) {
      count = end_.port->reclaim(slots);
      for (size_t i = 0; i < count; ++i) end_.arena->mark_sent(slots[i]);
    }
  }

  uint64_t in_flight_max = 192;  // below the smallest ring
  uint64_t sent = 0;
  uint64_t came_back = 0;
  uint64_t wrong = 0;
  size_t largest_burst = 0;
  bool conserved = true;

 private:
  void send(Instant now) {
    std::array<packet::TransmitFrame, burst_frames_max> out;
    size_t count = 0;
    while (count < out.size() && sent < seen_.size() && sent - came_back < in_flight_max &&
           count < end_.port->transmit_room()) {
      const packet::SlotIndex slot = end_.arena->acquire();
      if (slot == packet::slot_none) break;
      const auto frame = numbered_frame(there_mac, sent, length_of(sent));
      const auto offset = static_cast<uint16_t>(sent % 128);
      std::memcpy(end_.arena->slot_data(slot) + offset, frame.data(), frame.size());
      end_.arena->mark_in_port(slot);
      end_.arena->drop(slot);
      out[count++] = {slot, offset, static_cast<uint16_t>(frame.size())};
      ++sent;
    }
    end_.port->transmit({out.data(), count}, now);
    end_.port->flush();
    reclaim();
  }
  void receive(Instant now) {
    std::array<packet::Frame, burst_frames_max> frames;
    const size_t count = end_.port->receive(frames, now);
    largest_burst = std::max(largest_burst, count);
    for (const packet::Frame& lent : std::span(frames.data(), count)) check(lent);
    conserved = conserved && end_.port->frames_conserved();
    end_.port->release({frames.data(), count});
  }
  void check(const packet::Frame& lent) {
    std::vector<uint8_t> frame(lent.data, lent.data + lent.length);
    if (frame.size() < frame_bytes_min) return void(++wrong);
    swap_ends(frame.data());
    const uint64_t number =
        uint64_t{load_be32(&frame[sequence_at])} << 32 | load_be32(&frame[sequence_at + 4]);
    if (number >= seen_.size() || seen_[number] ||
        frame != numbered_frame(there_mac, number, length_of(number))) {
      return void(++wrong);
    }
    seen_[number] = true;
    ++came_back;
  }

  End& end_;
  std::vector<bool> seen_;
};

class DpdkPortEcho : public DpdkPortTest, public ::testing::WithParamInterface<MemifRole> {};

TEST_P(DpdkPortEcho, X7_EveryFrameComesBackIntactAndEveryBufferIsAccountedFor) {
  const uint64_t total = lab::scaled(50'000);
  Peer peer("echo", socket, GetParam() == MemifRole::server ? "client" : "server");
  End end = must(try_open(memif(socket, GetParam()), here_mac));
  EXPECT_EQ(end.port->facts().mac, here_mac);
  EXPECT_EQ(end.port->facts().mtu, 1500);
  EXPECT_EQ(end.port->wait_fd(), -1);
  ASSERT_TRUE(wait_for_link(*end.port, true));
  EXPECT_EQ(end.port->link_ups(), 1U);

  Conversation conversation(end, total);
  Instant progress = clock.now();
  uint64_t before = 0;
  while (!conversation.done() && clock.now() - progress < Duration::seconds(5)) {
    conversation.turn(clock.now());
    ASSERT_TRUE(conversation.conserved) << "after " << conversation.came_back;
    if (conversation.came_back != before) progress = clock.now();
    before = conversation.came_back;
  }
  EXPECT_EQ(conversation.came_back, total) << "sent " << conversation.sent;
  EXPECT_EQ(conversation.wrong, 0U);
  EXPECT_EQ(conversation.largest_burst, burst_frames_max);
  EXPECT_TRUE(end.all_slots_free());
  end.port->collect_statistics();
  const PortCounters& counters = end.port->counters();
  EXPECT_EQ(counters.received_frames, total);
  EXPECT_EQ(counters.transmitted_frames, total);
  EXPECT_EQ(counters.received_bytes, counters.transmitted_bytes);
  EXPECT_EQ(counters.receive_dropped_frames + counters.transmit_dropped_frames, 0U);
  end.port.reset();
  EXPECT_EQ(peer.wait(), 0);
}

INSTANTIATE_TEST_SUITE_P(Roles, DpdkPortEcho,
                         ::testing::Values(MemifRole::server, MemifRole::client),
                         [](const auto& instance) {
                           return std::string(instance.param == MemifRole::server ? "Server"
                                                                                  : "Client");
                         });

TEST_F(DpdkPortTest, X7_AFarEndThatDoesNotReadHoldsSlotsBackAndNothingIsLost) {
  Peer peer("deaf", socket, "server");
  End end = must(try_open(memif(socket, MemifRole::client), here_mac));
  ASSERT_TRUE(wait_for_link(*end.port, true));
  const size_t room = end.port->transmit_room();
  Conversation conversation(end, 100'000);
  conversation.in_flight_max = 100'000;
  for (int turn = 0; turn < 1000; ++turn) conversation.turn(clock.now());
  // The ring is full, and so is the port's own; the slots in it are still the port's.
  EXPECT_TRUE(conversation.conserved);
  EXPECT_EQ(end.port->transmit_room(), 0U);
  EXPECT_EQ(conversation.sent, ring_frames + room);
  EXPECT_EQ(end.port->counters().transmitted_frames, ring_frames);
  EXPECT_EQ(end.port->counters().transmit_dropped_frames, 0U);
  EXPECT_EQ(end.arena->capacity() - end.arena->free_count(), room);
  EXPECT_FALSE(end.port->prepare_wait());

  // It goes: what waited for it is dropped, counted and given back.
  peer.end(SIGKILL);
  ASSERT_TRUE(wait_for_link(*end.port, false));
  end.port->flush();
  conversation.reclaim();
  EXPECT_TRUE(end.all_slots_free());
  EXPECT_EQ(end.port->counters().transmit_dropped_frames, room);
  EXPECT_EQ(end.port->transmit_room(), room);
  EXPECT_TRUE(end.port->frames_conserved());
}

TEST_F(DpdkPortTest, X7_WhatIsSentWithoutAFarEndIsDroppedAndCounted) {
  End end = must(try_open(memif(socket, MemifRole::server), here_mac));
  EXPECT_FALSE(end.port->link_up());
  Conversation conversation(end, 10'000);
  conversation.in_flight_max = 10'000;
  while (conversation.sent < 10'000) conversation.turn(clock.now());
  EXPECT_TRUE(end.all_slots_free());
  EXPECT_EQ(end.port->counters().transmit_dropped_frames, 10'000U);
  EXPECT_EQ(end.port->counters().transmitted_frames, 0U);
  EXPECT_TRUE(conversation.conserved);
}

class DpdkPortRestart : public DpdkPortTest, public ::testing::WithParamInterface<MemifRole> {};

// At full speed in both directions, killed at any moment: the rings are unmapped while the worker
// is in them, if anything lets that happen.
TEST_P(DpdkPortRestart, X7_TheFarEndIsKilledAndComesAgain) {
  const uint64_t rounds = 12;
  End end = must(try_open(memif(socket, GetParam()), here_mac));
  EchoEngine engine(*end.port, *end.arena);
  const char* peer_role = GetParam() == MemifRole::server ? "client" : "server";
  for (uint64_t round = 1; round <= rounds; ++round) {
    Peer peer("flood", socket, peer_role);
    ASSERT_TRUE(wait_for_link(*end.port, true)) << "round " << round;
    EXPECT_EQ(end.port->link_ups(), round);
    const uint64_t received_before = end.port->counters().received_frames;
    const uint64_t enough = received_before + 2000 + round * 97;
    const Instant began = clock.now();
    while (end.port->counters().received_frames < enough &&
           clock.now() - began < Duration::seconds(10)) {
      engine.turn(clock.now());
    }
    EXPECT_GE(end.port->counters().received_frames, enough) << "round " << round;
    // Nothing but bursts from here on: most of the time is spent in the rings.
    std::thread killer([&] { peer.end(SIGKILL); });
    std::array<packet::Frame, burst_frames_max> frames;
    while (end.port->link_up() && clock.now() - began < Duration::seconds(20)) {
      for (int turn = 0; turn < 1000; ++turn) {
        end.port->release({frames.data(), end.port->receive(frames, began)});
      }
    }
    killer.join();
    EXPECT_FALSE(end.port->link_up());
    for (int i = 0; i < 100; ++i) engine.turn(clock.now());
    EXPECT_TRUE(engine.conserved);
    EXPECT_TRUE(end.all_slots_free());
  }
}

INSTANTIATE_TEST_SUITE_P(Roles, DpdkPortRestart,
                         ::testing::Values(MemifRole::server, MemifRole::client),
                         [](const auto& instance) {
                           return std::string(instance.param == MemifRole::server ? "Server"
                                                                                  : "Client");
                         });

class DpdkPortBadFrames : public DpdkPortTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(DpdkPortBadFrames, X7_AreDroppedAndCountedAndTheNextOneIsTaken) {
  End end = must(try_open(memif(socket, MemifRole::server), here_mac));
  Peer peer(GetParam(), socket, "client");
  ASSERT_TRUE(wait_for_link(*end.port, true));
  std::array<packet::Frame, burst_frames_max> frames;
  size_t count = 0;
  const Instant began = clock.now();
  while (count == 0 && clock.now() - began < Duration::seconds(5)) {
    count = end.port->receive(frames, clock.now());
  }
  ASSERT_EQ(count, 1U);
  EXPECT_EQ(frames[0].length, 100);
  EXPECT_FALSE(frames[0].checksum_verified);
  end.port->release({frames.data(), count});
  EXPECT_EQ(end.port->counters().receive_dropped_frames, 2U);
  end.port->collect_statistics();
  EXPECT_EQ(end.port->counters().receive_dropped_frames, 2U);
  EXPECT_EQ(end.port->counters().received_frames, 1U);
  EXPECT_TRUE(end.port->frames_conserved());
}

INSTANTIATE_TEST_SUITE_P(Kinds, DpdkPortBadFrames, ::testing::Values("too_long", "parts"),
                         [](const auto& instance) { return std::string(instance.param); });

TEST_F(DpdkPortTest, X7_LendsAtMostThreeQuartersOfItsFrames) {
  End end = must(try_open(memif(socket, MemifRole::server), here_mac));
  Peer peer("flood", socket, "client");
  ASSERT_TRUE(wait_for_link(*end.port, true));
  std::vector<packet::Frame> held;
  std::array<packet::Frame, burst_frames_max> frames;
  const Instant began = clock.now();
  while (held.size() < receive_frames * 3 / 4 && clock.now() - began < Duration::seconds(5)) {
    const size_t count = end.port->receive(frames, clock.now());
    held.insert(held.end(), frames.begin(), frames.begin() + static_cast<ptrdiff_t>(count));
  }
  EXPECT_EQ(held.size(), receive_frames * 3 / 4);
  usleep(20'000);
  EXPECT_EQ(end.port->receive(frames, clock.now()), 0U);
  EXPECT_TRUE(end.port->frames_conserved());
  end.port->release(held);
  EXPECT_TRUE(end.port->frames_conserved());
  EXPECT_GT(end.port->receive(frames, clock.now()), 0U);
}

TEST_F(DpdkPortTest, X7_TheSocketFileOfADeadProcessIsReplacedAndALiveOnesIsNot) {
  {
    Peer peer("echo", socket, "server");
    for (int i = 0; i < 500 && !std::filesystem::exists(socket); ++i) usleep(10'000);
    usleep(100'000);
    const auto taken = try_open(memif(socket, MemifRole::server), here_mac);
    ASSERT_FALSE(taken.ok());
    EXPECT_NE(taken.error().find(socket + ": another process listens there"), std::string::npos)
        << taken.error();
    peer.end(SIGKILL);
  }
  EXPECT_TRUE(std::filesystem::exists(socket));
  const auto end = try_open(memif(socket, MemifRole::server), here_mac);
  EXPECT_TRUE(end.ok()) << end.error();
  EXPECT_EQ(std::filesystem::status(socket).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_F(DpdkPortTest, X7_MistakesAreOneLine) {
  const auto error = [&](const decltype(DpdkPortOptions::device)& device) {
    const auto end = try_open(device, here_mac);
    return end.ok() ? std::string() : end.error();
  };
  EXPECT_EQ(error(Memif{folder + "/none/memif", MemifRole::server, 0, 256, {}}),
            "memif socket " + folder + "/none/memif: No such file or directory");
  EXPECT_NE(error(Memif{folder + "/a,b", MemifRole::server, 0, 256, {}}).find("no comma"),
            std::string::npos);
  EXPECT_NE(error(Memif{folder + "/a", MemifRole::server, 0, 100, {}}).find("power of two"),
            std::string::npos);
  EXPECT_NE(error(VirtualDevice{"net_nothing0"}).find("net_nothing0: cannot be made"),
            std::string::npos);
  EXPECT_NE(
      error(PciDevice{"0000:ff:1f.7"}).find("0000:ff:1f.7: is no network device that DPDK knows"),
      std::string::npos);
  for (const std::string& line :
       {error(VirtualDevice{"net_nothing0"}), error(PciDevice{"0000:ff:1f.7"})}) {
    EXPECT_EQ(line.find('\n'), std::string::npos) << line;
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder));
}

// A device of another kind, without a far end: it takes everything and gives frames for ever.
TEST_F(DpdkPortTest, X7_AnyVirtualDeviceOfDpdkIsAPort) {
  End end = must(try_open(VirtualDevice{"net_null0,size=64"}, here_mac));
  EXPECT_EQ(end.port->facts().mac, here_mac);
  EXPECT_TRUE(end.port->link_up());
  EchoEngine engine(*end.port, *end.arena);
  for (int turn = 0; turn < 1000; ++turn) engine.turn(clock.now());
  for (int i = 0; i < 64; ++i) engine.reclaim();
  EXPECT_EQ(end.port->counters().received_frames, 64'000U);
  EXPECT_TRUE(engine.conserved);
  EXPECT_TRUE(end.all_slots_free());
}

TEST_F(DpdkPortTest, X7_NeitherThreadsNorAffinityNorFilesOfDpdkAreLeftOver) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  ASSERT_EQ(sched_getaffinity(0, sizeof cpus, &cpus), 0);
  const int before = CPU_COUNT(&cpus);
  environment();
  ASSERT_EQ(sched_getaffinity(0, sizeof cpus, &cpus), 0);
  EXPECT_EQ(CPU_COUNT(&cpus), before);
  EXPECT_FALSE(std::filesystem::exists("/var/run/dpdk/millrace-" + std::to_string(getpid())));
  bool registered = false;
  std::thread worker([&] { registered = environment().register_thread().ok(); });
  worker.join();
  EXPECT_TRUE(registered);
}

}  // namespace

int play_peer(char** words) {
  return play(words[2], words[3], words[4]);
}

}  // namespace millrace::nic

int main(int argc, char** argv) {
  if (argc == 5 && std::strcmp(argv[1], "--peer") == 0) return millrace::nic::play_peer(argv);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

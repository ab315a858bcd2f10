#include "dataplane/nic/memif_gate.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

namespace millrace::nic {
namespace {

constexpr uint16_t type_hello = 2;
constexpr uint16_t type_ring = 5;
constexpr uint16_t type_connected = 7;
constexpr uint16_t type_disconnect = 8;
constexpr int soon_ms = 2'000;
constexpr int a_while_ms = 50;

using Bytes = std::array<uint8_t, 128>;

Bytes message(uint16_t type) {
  Bytes bytes{};
  std::memcpy(bytes.data(), &type, sizeof type);
  bytes[127] = 0x5a;
  return bytes;
}

// One side's socket. What it reads is a message, nothing within the time, or the end.
class Side {
 public:
  Side() = default;
  explicit Side(int fd) : fd_(fd) {}
  static Side connected_to(const std::string& path) {
    Side side(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path.c_str());
    if (connect(side.fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      side.fd_.reset();
    return side;
  }
  static Side listening_on(const std::string& path) {
    Side side(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path.c_str());
    EXPECT_EQ(bind(side.fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(side.fd_.get(), 1), 0);
    return side;
  }
  Side accept_soon() {
    return readable_within(soon_ms) ? Side(accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC))
                                    : Side();
  }
  explicit operator bool() const { return static_cast<bool>(fd_); }
  void close() { fd_.reset(); }
  bool say(uint16_t type, int descriptor = -1) {
    Bytes bytes = message(type);
    return say(bytes.data(), bytes.size(), descriptor);
  }
  bool say(void* bytes, size_t count, int descriptor = -1) {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    iovec part{bytes, count};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (descriptor >= 0) {
      header.msg_control = control.data();
      header.msg_controllen = control.size();
      cmsghdr* entry = CMSG_FIRSTHDR(&header);
      *entry = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
      std::memcpy(CMSG_DATA(entry), &descriptor, sizeof descriptor);
    }
    return sendmsg(fd_.get(), &header, MSG_NOSIGNAL) == static_cast<ssize_t>(count);
  }
  bool readable_within(int milliseconds) {
    pollfd fd{fd_.get(), POLLIN, 0};
    return poll(&fd, 1, milliseconds) > 0;
  }
  // The type of the next message, whole as it was sent; 0: the end; -1: nothing came.
  int hears(UniqueFd* descriptor = nullptr) {
    if (!readable_within(soon_ms)) return -1;
    Bytes bytes{};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    iovec part{bytes.data(), bytes.size()};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    const ssize_t got = recvmsg(fd_.get(), &header, MSG_CMSG_CLOEXEC);
    if (got <= 0) return 0;
    uint16_t type = 0;
    std::memcpy(&type, bytes.data(), sizeof type);
    EXPECT_EQ(bytes, message(type));
    const cmsghdr* entry = CMSG_FIRSTHDR(&header);
    if (descriptor != nullptr && entry != nullptr) {
      int passed;
      std::memcpy(&passed, CMSG_DATA(entry), sizeof passed);
      *descriptor = UniqueFd(passed);
    }
    return type;
  }

 private:
  UniqueFd fd_;
};

// Stands for DPDK's driver: what the gate asks of it is only remembered.
class FakeDriver : public MemifGate::Driver {
 public:
  bool connect() override {
    if (!refuses) near = Side::connected_to(socket);
    ++connects;
    return static_cast<bool>(near);
  }
  void disconnect() override { ++disconnects; }
  bool connected() const override { return is_connected; }

  std::string socket;
  Side near;
  std::atomic<bool> refuses{false};
  std::atomic<bool> is_connected{false};
  std::atomic<int> connects{0};
  std::atomic<int> disconnects{0};
};

class MemifGateTest : public ::testing::Test {
 protected:
  MemifGateTest() {
    std::string name = (std::filesystem::temp_directory_path() / "millrace-gate-XXXXXX").string();
    folder = mkdtemp(name.data());
    socket = folder + "/memif";
  }
  ~MemifGateTest() override {
    gate.reset();
    EXPECT_FALSE(std::filesystem::exists(socket + ".client.3"));
    std::filesystem::remove_all(folder);
  }
  void make(MemifRole role) {
    auto made = MemifGate::create(socket, role, 3, std::nullopt);
    ASSERT_TRUE(made.ok()) << made.error();
    gate = std::move(*made);
    driver.socket = gate->driver_socket();
  }
  // The worker's look until the door is as wanted.
  bool door_becomes(bool open) {
    for (int i = 0; i < soon_ms && gate->is_open() != open; ++i) usleep(1000);
    return gate->is_open() == open;
  }
  bool eventually(const auto& condition) {
    for (int i = 0; i < soon_ms && !condition(); ++i) usleep(1000);
    return condition();
  }

  std::string folder;
  std::string socket;
  FakeDriver driver;
  std::unique_ptr<MemifGate> gate;
};

// A server: the gate listens for the far end, the driver listens for the gate.
class MemifGateServer : public MemifGateTest {
 protected:
  void SetUp() override {
    make(MemifRole::server);
    inner = Side::listening_on(driver.socket);
    ASSERT_TRUE(gate->start(driver).ok());
  }
  void connect() {
    far = Side::connected_to(socket);
    ASSERT_TRUE(far);
    near = inner.accept_soon();
    ASSERT_TRUE(near);
  }
  void shake_hands() {
    connect();
    ASSERT_TRUE(near.say(type_hello));
    EXPECT_EQ(far.hears(), type_hello);
    driver.is_connected = true;
    ASSERT_TRUE(near.say(type_connected));
    EXPECT_EQ(far.hears(), type_connected);
    ASSERT_TRUE(door_becomes(true));
  }
  Side inner;
  Side far;
  Side near;
};

TEST_F(MemifGateServer, X7_PassesTheHandshakeOnWithItsDescriptors) {
  connect();
  const UniqueFd event(eventfd(0, EFD_CLOEXEC));
  ASSERT_TRUE(far.say(type_ring, event.get()));
  UniqueFd passed;
  EXPECT_EQ(near.hears(&passed), type_ring);
  ASSERT_TRUE(passed);
  const uint64_t seven = 7;
  uint64_t read_back = 0;
  ASSERT_EQ(write(passed.get(), &seven, sizeof seven), ssize_t{sizeof seven});
  ASSERT_EQ(read(event.get(), &read_back, sizeof read_back), ssize_t{sizeof read_back});
  EXPECT_EQ(read_back, 7U);
  EXPECT_FALSE(gate->is_open());
}

TEST_F(MemifGateServer, X7_OpensOnlyWhenTheDriverHasItsRings) {
  connect();
  ASSERT_TRUE(near.say(type_connected));
  EXPECT_EQ(far.hears(), type_connected);
  usleep(a_while_ms * 1000);
  EXPECT_FALSE(gate->is_open());
  driver.is_connected = true;
  EXPECT_TRUE(door_becomes(true));
  EXPECT_EQ(gate->openings(), 1U);
}

// The reason for the gate: the driver unmaps its rings when it hears of the end, so it must not
// hear of it before the worker has looked and knows.
TEST_F(MemifGateServer, X7_TheDriverHearsOfTheEndOnlyWhenTheWorkerKnows) {
  shake_hands();
  far.close();
  EXPECT_FALSE(near.readable_within(a_while_ms));
  EXPECT_FALSE(gate->seems_open());
  EXPECT_FALSE(gate->is_open());
  EXPECT_EQ(near.hears(), 0);
}

TEST_F(MemifGateServer, X7_AGoodbyeAndAnyOtherWordOnAnOpenLinkEndIt) {
  for (const uint16_t type : {type_disconnect, type_ring}) {
    shake_hands();
    ASSERT_TRUE(far.say(type));
    EXPECT_FALSE(near.readable_within(a_while_ms));
    EXPECT_TRUE(door_becomes(false));
    EXPECT_EQ(near.hears(), 0);
    driver.is_connected = false;
    EXPECT_EQ(far.hears(), 0);
  }
  EXPECT_EQ(gate->openings(), 2U);
}

TEST_F(MemifGateServer, X7_TakesNoNextFarEndWhileTheDriverStillHasRings) {
  shake_hands();
  far.close();
  EXPECT_TRUE(door_becomes(false));
  EXPECT_EQ(near.hears(), 0);
  far = Side::connected_to(socket);
  EXPECT_FALSE(inner.readable_within(a_while_ms));
  driver.is_connected = false;
  near = inner.accept_soon();
  EXPECT_TRUE(near);
}

TEST_F(MemifGateServer, X7_WhatIsNoMessageEndsTheHandshake) {
  connect();
  std::array<uint8_t, 10> stump{};
  ASSERT_TRUE(far.say(stump.data(), stump.size()));
  EXPECT_EQ(near.hears(), 0);
  EXPECT_EQ(far.hears(), 0);
  shake_hands();
}

TEST_F(MemifGateServer, X7_AFarEndThatSaysNothingIsLetGo) {
  connect();
  EXPECT_FALSE(far.readable_within(500));
  EXPECT_TRUE(far.readable_within(8'000));
  EXPECT_EQ(far.hears(), 0);
}

TEST_F(MemifGateServer, X7_StopsWhateverItWaitsFor) {
  shake_hands();
  far.close();  // and the worker never looks
  usleep(a_while_ms * 1000);
  gate->stop();
  EXPECT_FALSE(gate->is_open());
  EXPECT_FALSE(near.readable_within(a_while_ms)) << "the driver's side stays until it is closed";
  gate.reset();
  EXPECT_EQ(near.hears(), 0);
  EXPECT_FALSE(std::filesystem::exists(socket));
}

// A client: the gate connects to the far end, again and again, then has the driver connect to it.
TEST_F(MemifGateTest, X7_AClientComesAgain) {
  make(MemifRole::client);
  ASSERT_TRUE(gate->start(driver).ok());
  usleep(a_while_ms * 1000);
  EXPECT_EQ(driver.connects, 0);
  Side far_listener = Side::listening_on(socket);
  for (int round = 1; round <= 3; ++round) {
    Side far = far_listener.accept_soon();
    ASSERT_TRUE(far);
    ASSERT_TRUE(far.say(type_hello));
    ASSERT_TRUE(eventually([&] { return driver.connects == round; }));
    EXPECT_EQ(driver.near.hears(), type_hello);
    ASSERT_TRUE(far.say(type_connected));
    EXPECT_EQ(driver.near.hears(), type_connected);
    EXPECT_FALSE(gate->is_open());
    driver.is_connected = true;
    ASSERT_TRUE(door_becomes(true));
    far.close();
    EXPECT_TRUE(door_becomes(false));
    EXPECT_EQ(driver.near.hears(), 0);
    ASSERT_TRUE(eventually([&] { return driver.disconnects == round; }));
    driver.is_connected = false;
  }
  EXPECT_EQ(gate->openings(), 3U);
}

TEST_F(MemifGateTest, X7_AClientWhoseDriverRefusesTriesAgain) {
  make(MemifRole::client);
  driver.refuses = true;
  Side far_listener = Side::listening_on(socket);
  ASSERT_TRUE(gate->start(driver).ok());
  Side far = far_listener.accept_soon();
  ASSERT_TRUE(far);
  EXPECT_EQ(far.hears(), 0);
  driver.refuses = false;
  far = far_listener.accept_soon();
  EXPECT_TRUE(far);
}

TEST_F(MemifGateTest, X7_OnlyOneListensAndADeadOnesSocketIsReplaced) {
  make(MemifRole::server);
  const auto second = MemifGate::create(socket, MemifRole::server, 3, std::nullopt);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error(), "memif socket " + socket + ": another process listens there");
  EXPECT_TRUE(std::filesystem::exists(socket)) << "the first one's is left alone";
  gate.reset();
  Side::listening_on(socket).close();
  EXPECT_TRUE(std::filesystem::exists(socket));
  make(MemifRole::server);
  std::ofstream(folder + "/file") << "a file";
  const auto wrong = MemifGate::create(folder + "/file", MemifRole::server, 3, std::nullopt);
  ASSERT_FALSE(wrong.ok());
  EXPECT_TRUE(std::filesystem::is_regular_file(folder + "/file")) << wrong.error();
}

}  // namespace
}  // namespace millrace::nic

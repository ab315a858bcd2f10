// T49: which port an active open leaves from (RFC 6056).
#include <algorithm>
#include <array>
#include <set>

#include "dataplane/tcp/tcp_harness.h"

namespace millrace::tcp {
namespace {

constexpr uint16_t port_min = 32'768;
constexpr uint16_t port_max = 60'999;
constexpr uint32_t port_count = port_max - port_min + 1;

class EphemeralPortTest : public TcpHarness {
 protected:
  static Limits limits() {
    Limits limits = small_limits();
    limits.connections = port_count + 1'000;
    limits.transfers = limits.connections;
    limits.time_wait = 1'024;
    return limits;
  }
  EphemeralPortTest() : TcpHarness(limits()) {}

  uint16_t connect_from() {
    const ConnId id = tcp_.connect(local_.address, remote_, 0, now_);
    if (!id) return 0;
    open_.push_back(id);
    return tcp_.local(id).port;
  }

  std::vector<ConnId> open_;
};

// Whoever is off the path must not know the next port from those before it.
TEST_F(EphemeralPortTest, T49_PortsAreSpreadAndInNoOrder) {
  std::set<uint16_t> ports;
  std::set<int> steps;
  std::array<int, 8> eighths{};
  uint16_t before = 0;
  for (int i = 0; i < 400; ++i) {
    const uint16_t port = connect_from();
    ASSERT_GE(port, port_min);
    ASSERT_LE(port, port_max);
    ASSERT_TRUE(ports.insert(port).second) << "a tuple in use: " << port;
    steps.insert(port - before);
    ++eighths[(port - port_min) * 8 / port_count];
    before = port;
  }
  EXPECT_GE(steps.size(), 390U);
  for (const int count : eighths) EXPECT_GE(count, 25);  // 50 are expected, of 400
}

// Another process, another order.
TEST(EphemeralPorts, T49_TheOrderIsDrawnAnewForEachProcess) {
  struct Stack : TcpHarness {
    void TestBody() override {}
    explicit Stack(uint64_t seed) {
      Limits limits = small_limits();
      other_ = std::make_unique<Tcp>(limits, Keys{{3, 4}, {5, 6}, seed}, arena_, output_, counters_,
                                     now_);
    }
    uint16_t port() {
      return other_->local(other_->connect(local_.address, remote_, 0, now_)).port;
    }
    std::unique_ptr<Tcp> other_;
  };
  Stack first(7);
  Stack second(8);
  int same = 0;
  for (int i = 0; i < 20; ++i) same += first.port() == second.port() ? 1 : 0;
  EXPECT_LE(same, 1);
}

// The last ones are hard to find by chance; with none left it is an answer, not a loop. Other
// tuples do not suffer from it.
TEST_F(EphemeralPortTest, T49_WhenAllPortsAreTakenItIsAnAnswer) {
  std::set<uint16_t> ports;
  for (uint32_t tries = 0; ports.size() < port_count && tries < 40 * port_count; ++tries) {
    const uint16_t port = connect_from();
    if (port != 0) {
      ASSERT_TRUE(ports.insert(port).second);
    }
  }
  EXPECT_EQ(ports.size(), port_count);
  const uint64_t refused = counters_[Counter::tcp_connect_no_port];
  EXPECT_EQ(connect_from(), 0);
  EXPECT_EQ(counters_[Counter::tcp_connect_no_port], refused + 1);
  EXPECT_EQ(tcp_.connection_count(), port_count);

  ++remote_.port;
  EXPECT_NE(connect_from(), 0);
}

}  // namespace
}  // namespace millrace::tcp

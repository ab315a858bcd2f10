// What a connection limit costs, by the sizes that the data plane gives its tables.
#include <gtest/gtest.h>

#include "dataplane/nic/sim_port.h"
#include "dataplane/packet/frame_memory.h"
#include "dataplane/worker.h"

namespace millrace {
namespace {

class WorkerMemoryTest : public testing::Test {
 protected:
  size_t octets_of(uint32_t connections) {
    WorkerOptions options;
    size_tables(options, connections);
    const Worker worker(options, {&port_}, arena_, cell_, Instant::from_ns(1));
    return worker.memory_bytes();
  }

  Result<packet::FrameMemory> frames_ = packet::FrameMemory::create(256);
  packet::Arena arena_{frames_->data(), 256};
  nic::SimSwitch switch_{1};
  nic::Port& port_ = switch_.add_port({"port", {{2, 0, 0, 0, 0, 1}}, 1500}, arena_);
  shm::SnapshotCell cell_{1};
};

// All tables together, those for the busy too. With fewer connections these weigh more on each: 615
// octets at 100,000, of which 180 are the connection's own.
TEST_F(WorkerMemoryTest, OneOfAMillionConnectionsCosts256OctetsAtMost) {
  for (const uint32_t connections : {1'048'576U, 2'097'152U, 4'000'000U}) {
    EXPECT_LE(octets_of(connections) / connections, 256U) << connections;
  }
}

TEST_F(WorkerMemoryTest, OneMoreIdleConnectionCosts192OctetsAtMost) {
  // The tables for the busy are equally large.
  EXPECT_LE((octets_of(1'048'576) - octets_of(524'288)) / 524'288, 192U);
}

TEST_F(WorkerMemoryTest, AMillionConnectionsFitBelow400Megabytes) {
  EXPECT_LT(octets_of(1'100'000), 400'000'000U);
}

}  // namespace
}  // namespace millrace

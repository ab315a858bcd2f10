#include "dataplane/nic/pcap_port.h"

#include <filesystem>
#include <fstream>

#include "dataplane/nic/sim_port.h"
#include "dataplane/nic/sim_test_station.h"

namespace millrace::nic {
namespace {

constexpr Instant start = Instant::from_ns(3'000'000'123);

uint32_t load_u32(const std::string& file, size_t at) {
  uint32_t value = 0;
  EXPECT_LE(at + sizeof value, file.size());
  std::memcpy(&value, file.data() + at, sizeof value);
  return value;
}

class PcapPortTest : public ::testing::Test {
 protected:
  PcapPortTest() : path_(::testing::TempDir() + "millrace_pcap_port_test.pcap") {}
  ~PcapPortTest() override { std::filesystem::remove(path_); }

  std::string contents() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  std::string path_;
  Station left_;
  Station right_;
  SimLink link_{station_facts(1), left_.arena, station_facts(2), right_.arena, 1};
};

TEST_F(PcapPortTest, WritesBothDirectionsWithNanoseconds) {
  {
    auto created = PcapPort::create(link_.a(), left_.arena, path_);
    ASSERT_TRUE(created.ok());
    PcapPort& port = **created;
    left_.send(port, station_mac(2), 0x01020304, start, 60);
    EXPECT_EQ(right_.receive(link_.b(), start), std::vector<uint32_t>{0x01020304});
    right_.send(link_.b(), station_mac(1), 7, start, 1'514);
    const Instant later = start + Duration::seconds(2);
    EXPECT_EQ(left_.receive(port, later), std::vector<uint32_t>{7});
    EXPECT_EQ(left_.reclaim(port), 1U);
    EXPECT_EQ(port.written_frames(), 2U);
    EXPECT_TRUE(port.frames_conserved());
    EXPECT_EQ(port.facts().mac, station_mac(1));
    EXPECT_EQ(port.counters().transmitted_frames, 1U);
  }
  const std::string file = contents();
  ASSERT_EQ(file.size(), 24U + 16 + 60 + 16 + 1'514);
  EXPECT_EQ(load_u32(file, 0), 0xa1b23c4dU);
  EXPECT_EQ(load_u32(file, 4), 0x00040002U);  // version 2.4
  EXPECT_EQ(load_u32(file, 20), 1U);
  EXPECT_EQ(load_u32(file, 24), 3U);
  EXPECT_EQ(load_u32(file, 28), 123U);
  EXPECT_EQ(load_u32(file, 32), 60U);
  EXPECT_EQ(load_u32(file, 36), 60U);
  EXPECT_EQ(file.substr(40 + 14, 4), std::string("\x01\x02\x03\x04"));
  EXPECT_EQ(load_u32(file, 100), 5U);
  EXPECT_EQ(load_u32(file, 108), 1'514U);
}

TEST_F(PcapPortTest, AFullFileStopsAtAWholeRecordAndFramesGoOn) {
  constexpr uint64_t bytes_max = 24 + 2 * (16 + 60) + 50;
  {
    auto created = PcapPort::create(link_.a(), left_.arena, path_, bytes_max);
    ASSERT_TRUE(created.ok());
    PcapPort& port = **created;
    for (uint32_t i = 0; i < 5; ++i) left_.send(port, station_mac(2), i, start);
    EXPECT_EQ(port.written_frames(), 2U);
    EXPECT_EQ(port.unwritten_frames(), 3U);
    EXPECT_EQ(right_.receive(link_.b(), start).size(), 5U);
  }
  EXPECT_EQ(contents().size(), 24U + 2 * (16 + 60));
}

TEST_F(PcapPortTest, APathThatCannotBeWrittenIsAnErrorThatNamesIt) {
  const auto created = PcapPort::create(link_.a(), left_.arena, "/nonexistent/x.pcap");
  ASSERT_FALSE(created.ok());
  EXPECT_EQ(created.error(), "capture file /nonexistent/x.pcap: No such file or directory");
}

}  // namespace
}  // namespace millrace::nic

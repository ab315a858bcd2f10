#include "shm/listing_client.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstring>
#include <functional>
#include <string>
#include <vector>

namespace millrace::shm {
namespace {

// A message of three records in a table of a hundred places.
ListingMessage good_message() {
  ListingMessage message{};
  message.header = {};
  message.header.kind = static_cast<uint16_t>(ListingKind::records);
  message.header.count = 3;
  message.header.capacity = 100;
  message.header.next = 100;
  message.header.connections = 3;
  for (uint32_t i = 0; i < 3; ++i) {
    message.records[i].place = 10 * i;
    message.records[i].state = static_cast<uint8_t>(ConnectionState::established);
  }
  return message;
}

class ListingClientTest : public ::testing::Test {
 protected:
  ListingClientTest() {
    int ends[2];
    CHECK(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    client_ = std::make_unique<ListingClient>(UniqueFd(ends[0]));
    peer_ = UniqueFd(ends[1]);
  }
  void send(const ListingMessage& message, size_t size) {
    ASSERT_EQ(::send(peer_.get(), &message, size, 0), static_cast<ssize_t>(size));
  }
  Result<ListingTotals> list() {
    return client_->list([this](const ConnectionRecord& record) { taken_.push_back(record); });
  }

  std::unique_ptr<ListingClient> client_;
  UniqueFd peer_;
  std::vector<ConnectionRecord> taken_;
};

TEST_F(ListingClientTest, AGoodListingIsTakenWhole) {
  ListingMessage message = good_message();
  message.header.next = 40;
  send(message, message.bytes());
  for (uint32_t i = 0; i < 3; ++i) message.records[i].place = 40 + 20 * i - (i == 2 ? 1 : 0);
  message.header.next = 100;
  message.header.time_wait = 7;
  send(message, message.bytes());
  const auto totals = list();
  ASSERT_TRUE(totals.ok()) << totals.error();
  EXPECT_EQ(taken_.size(), 6U);
  EXPECT_EQ(totals->time_wait, 7U);
}

struct Lie {
  const char* name;
  std::function<void(ListingMessage&, size_t&)> tell;
  const char* fault;
};

TEST_F(ListingClientTest, ADataPlaneThatLiesIsRefused) {
  const std::vector<Lie> lies = {
      {"magic", [](auto& m, auto&) { m.header.magic ^= 1; }, "another protocol"},
      {"revision", [](auto& m, auto&) { ++m.header.abi; }, "another revision"},
      {"kind", [](auto& m, auto&) { m.header.kind = 9; }, "kind is unknown"},
      {"busy", [](auto& m, auto&) { m.header.kind = 3; }, "too many readers"},
      {"short", [](auto&, size_t& size) { size = 31; }, "shorter than its header"},
      {"cut", [](auto&, size_t& size) { size -= 1; }, "size is not that of its records"},
      {"long", [](auto&, size_t& size) { size += 1; }, "size is not that of its records"},
      {"fewer records", [](auto& m, auto&) { m.header.count = 4; }, "size is not that"},
      {"huge count", [](auto& m, auto&) { m.header.count = UINT32_MAX; }, "size is not that"},
      {"no places", [](auto& m, auto&) { m.header.capacity = 0; }, "capacity is out of bounds"},
      {"too many places", [](auto& m, auto&) { m.header.capacity = listing_capacity_max + 1; },
       "capacity is out of bounds"},
      {"does not go on", [](auto& m, auto&) { m.header.next = 0; }, "does not go on"},
      {"beyond the end", [](auto& m, auto&) { m.header.next = 101; }, "does not go on"},
      {"order", [](auto& m, auto&) { m.records[1].place = 50; }, "place is out of order"},
      {"twice", [](auto& m, auto&) { m.records[1].place = 0; }, "place is out of order"},
      {"place beyond next", [](auto& m, auto&) { m.records[2].place = 100; }, "out of order"},
      {"state", [](auto& m, auto&) { m.records[0].state = 10; }, "state is unknown"},
  };
  for (const Lie& lie : lies) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    client_ = std::make_unique<ListingClient>(UniqueFd(ends[0]));
    peer_ = UniqueFd(ends[1]);
    ListingMessage message = good_message();
    size_t size = message.bytes();
    lie.tell(message, size);
    send(message, size);
    taken_.clear();
    const auto totals = list();
    ASSERT_FALSE(totals.ok()) << lie.name;
    EXPECT_NE(totals.error().find(lie.fault), std::string::npos) << lie.name << totals.error();
    EXPECT_TRUE(taken_.empty()) << lie.name;
  }
}

TEST_F(ListingClientTest, AMessageLargerThanAnyIsRefused) {
  ListingMessage message = good_message();
  message.header.count = listing_records_max;
  message.header.capacity = message.header.next = listing_records_max;
  for (uint32_t i = 0; i < listing_records_max; ++i) message.records[i].place = i;
  std::vector<uint8_t> octets(sizeof message + 1, 0);
  std::memcpy(octets.data(), &message, sizeof message);
  ASSERT_EQ(::send(peer_.get(), octets.data(), octets.size(), 0),
            static_cast<ssize_t>(octets.size()));
  EXPECT_FALSE(list().ok());
  EXPECT_TRUE(taken_.empty());
}

TEST_F(ListingClientTest, ATableThatChangesItsSizeIsRefused) {
  ListingMessage message = good_message();
  message.header.next = 40;
  send(message, message.bytes());
  message.header.count = 0;
  message.header.capacity = message.header.next = 200;
  send(message, message.bytes());
  EXPECT_FALSE(list().ok());
}

TEST_F(ListingClientTest, AnEndInTheMiddleIsAnErrorAndWhatCameWasWhole) {
  ListingMessage message = good_message();
  message.header.next = 40;
  send(message, message.bytes());
  ASSERT_EQ(::shutdown(peer_.get(), SHUT_WR), 0);
  const auto totals = list();
  ASSERT_FALSE(totals.ok());
  EXPECT_NE(totals.error().find("broke off"), std::string::npos);
  EXPECT_EQ(taken_.size(), 3U);
}

TEST(ListingClientConnect, NobodyThereIsOneLine) {
  const auto client = ListingClient::connect("/nowhere/operator.sock");
  ASSERT_FALSE(client.ok());
  EXPECT_EQ(client.error(), "/nowhere/operator.sock: No such file or directory");
}

}  // namespace
}  // namespace millrace::shm

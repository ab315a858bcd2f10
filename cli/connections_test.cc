#include "cli/connections.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstdlib>
#include <memory>
#include <vector>

namespace millrace::cli {
namespace {

// A data plane with these round trips, one connection each; it dies in the middle if asked to.
class ConnectionsTest : public ::testing::Test {
 protected:
  std::string print(const std::vector<uint32_t>& round_trips, const ConnectionsOptions& options,
                    bool dies = false) {
    int ends[2];
    CHECK(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    shm::ListingClient client{UniqueFd(ends[0])};
    const UniqueFd peer(ends[1]);
    const auto message = std::make_unique<shm::ListingMessage>();
    message->header.kind = static_cast<uint16_t>(shm::ListingKind::records);
    message->header.count = static_cast<uint32_t>(round_trips.size());
    message->header.capacity = 1'000;
    message->header.next = dies ? 900 : 1'000;
    for (uint32_t i = 0; i < round_trips.size(); ++i) {
      shm::ConnectionRecord& record = message->records[i];
      record = {};
      record.place = i;
      record.remote_port = static_cast<uint16_t>(i + 1);
      record.state = static_cast<uint8_t>(shm::ConnectionState::established);
      record.round_trip_us = round_trips[i];
      record.retransmits = 100 - i;
      record.send_queue = i % 2;
      record.receive_queue = i;
    }
    CHECK(::send(peer.get(), message.get(), message->bytes(), 0) > 0);
    ::shutdown(peer.get(), SHUT_WR);

    char* text = nullptr;
    size_t size = 0;
    std::FILE* out = ::open_memstream(&text, &size);
    complete_ = print_listing(client, options, out, &fault_);
    std::fclose(out);
    const std::string printed(text, size);
    std::free(text);
    return printed;
  }

  // The peers' ports, which are the places and one, in the order of the rows.
  static std::vector<int> ports(const std::string& json) {
    std::vector<int> found;
    const std::string key = "\"remote_port\": ";
    for (size_t at = json.find(key); at != std::string::npos; at = json.find(key, at + 1)) {
      found.push_back(std::atoi(json.c_str() + at + key.size()));
    }
    return found;
  }

  ConnectionsOptions json() {
    ConnectionsOptions options;
    options.json = true;
    return options;
  }

  bool complete_ = false;
  std::string fault_;
};

TEST_F(ConnectionsTest, RowsComeInTheTablesOrder) {
  EXPECT_EQ(ports(print({5, 9, 7}, json())), (std::vector<int>{1, 2, 3}));
  EXPECT_TRUE(complete_);
}

TEST_F(ConnectionsTest, SortedTheGreatestComesFirstAndEqualsAsTheyStand) {
  ConnectionsOptions options = json();
  options.sort = SortKey::round_trip;
  EXPECT_EQ(ports(print({5, 9, 7, 9}, options)), (std::vector<int>{2, 4, 3, 1}));
  options.sort = SortKey::retransmits;
  EXPECT_EQ(ports(print({5, 9, 7}, options)), (std::vector<int>{1, 2, 3}));
  options.sort = SortKey::queue;
  EXPECT_EQ(ports(print({5, 9, 7}, options)), (std::vector<int>{2, 3, 1}));
}

TEST_F(ConnectionsTest, TheLimitIsOfRowsAndTheSummaryStillCountsAll) {
  ConnectionsOptions options = json();
  options.limit = 2;
  std::string text = print({5, 9, 7, 8}, options);
  EXPECT_EQ(ports(text), (std::vector<int>{1, 2}));
  EXPECT_NE(text.find("\"matched\": 4"), std::string::npos);
  options.sort = SortKey::round_trip;
  text = print({5, 9, 7, 8}, options);
  EXPECT_EQ(ports(text), (std::vector<int>{2, 4}));
  EXPECT_NE(text.find("\"matched\": 4"), std::string::npos);
  options.limit = 0;
  EXPECT_TRUE(ports(print({5, 9}, options)).empty());
}

TEST_F(ConnectionsTest, AFilterTakesRowsAway) {
  ConnectionsOptions options = json();
  options.filter.remote = *parse_end(":2");
  const std::string text = print({5, 9, 7}, options);
  EXPECT_EQ(ports(text), (std::vector<int>{2}));
  EXPECT_NE(text.find("\"listed\": 3, \"matched\": 1"), std::string::npos);
}

TEST_F(ConnectionsTest, AListingThatBreaksOffSaysSo) {
  const std::string text = print({5, 9, 7}, json(), true);
  EXPECT_FALSE(complete_);
  EXPECT_EQ(ports(text).size(), 3U);
  EXPECT_NE(text.find("\"complete\": false"), std::string::npos);
  EXPECT_NE(fault_.find("broke off"), std::string::npos);
}

}  // namespace
}  // namespace millrace::cli

#include "dataplane/housekeeping_listing.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "dataplane/tcp/tcp_harness.h"
#include "shm/listing_client.h"

namespace millrace::tcp {
namespace {

class ListingServerTest : public TcpHarness {
 protected:
  static constexpr uint32_t connections =
      4'000;  // eight batches: more than a socket's buffer holds

  ListingServerTest() : TcpHarness(limits(), 64) {
    char folder[] = "/tmp/millrace-listing-XXXXXX";
    folder_ = ::mkdtemp(folder);
    path_ = folder_ + "/operator.sock";
    auto server = ListingServer::listen(path_, {}, batch_);
    CHECK(server.ok());
    server_ = std::move(*server);
    for (uint32_t i = 0; i < connections; ++i) {
      CHECK(tcp_.connect(local_.address, {remote_.address, 80}, 0, now_));
    }
  }
  ~ListingServerTest() override {
    server_.reset();
    ::rmdir(folder_.c_str());
  }

  static Limits limits() {
    Limits limits = small_limits();
    limits.connections = 4'096;
    return limits;
  }

  // One round of housekeeping, and as many turns of the worker as a batch can take.
  void round() {
    server_->turn(now_);
    for (int i = 0; i < 32; ++i) batch_.turn(tcp_, now_);
  }
  void rounds(int count) {
    for (int i = 0; i < count; ++i) round();
  }

  UniqueFd connected() {
    UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const auto address = shm::unix_address(path_);
    CHECK(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) ==
          0);
    return socket;
  }
  static shm::ListingHeader request() {
    shm::ListingHeader header;
    header.kind = static_cast<uint16_t>(shm::ListingKind::request);
    return header;
  }
  UniqueFd asking() {
    UniqueFd socket = connected();
    const shm::ListingHeader header = request();
    CHECK(::send(socket.get(), &header, sizeof header, 0) == sizeof header);
    return socket;
  }

  // Takes what waits; false when the connection has ended.
  struct Taken {
    uint32_t records = 0;
    uint32_t messages = 0;
    bool ended = false;  // the listing is whole
    bool closed = false;
  };
  void take(const UniqueFd& socket, Taken& taken) {
    for (;;) {
      const ssize_t size = ::recv(socket.get(), &message_, sizeof message_, 0);
      if (size < 0 && errno == EAGAIN) return;
      taken.closed = size <= 0;
      if (taken.closed) return;
      ++taken.messages;
      taken.records += message_.header.count;
      taken.ended = message_.header.next == message_.header.capacity;
    }
  }

  std::string folder_;
  std::string path_;
  ConnectionBatch batch_{0};
  std::unique_ptr<ListingServer> server_;
  shm::ListingMessage message_;
};

TEST_F(ListingServerTest, AClientGetsEveryConnection) {
  uint32_t records = 0;
  Result<shm::ListingTotals> totals = Error{"not asked"};
  std::atomic<bool> done{false};
  std::thread reader([&] {
    auto client = shm::ListingClient::connect(path_);
    CHECK(client.ok());
    totals = (*client)->list([&](const shm::ConnectionRecord&) { ++records; });
    done = true;
  });
  while (!done) round();
  reader.join();
  ASSERT_TRUE(totals.ok()) << totals.error();
  EXPECT_EQ(records, connections);
  EXPECT_EQ(totals->connections, connections);
  EXPECT_EQ(totals->capacity, 4'096U);
}

// As in the program: the worker on a thread of its own, and nothing between the two but the batch.
TEST_F(ListingServerTest, TheWorkerAndHousekeepingNeedNoLock) {
  std::atomic<bool> stop{false};
  std::thread worker([&] {
    while (!stop) {
      batch_.turn(tcp_, now_);
      std::this_thread::yield();
    }
  });
  const UniqueFd first = asking();
  const UniqueFd second = asking();
  Taken of_first;
  Taken of_second;
  while (!(of_first.ended && of_second.ended)) {
    server_->turn(now_);
    take(first, of_first);
    take(second, of_second);
    std::this_thread::yield();
  }
  stop = true;
  worker.join();
  EXPECT_EQ(of_first.records, connections);
  EXPECT_EQ(of_second.records, connections);
}

TEST_F(ListingServerTest, TheSocketIsItsUsersAlone) {
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
}

TEST_F(ListingServerTest, NothingIsAskedOfTheWorkerUnlessAReaderAsks) {
  const UniqueFd silent = connected();
  rounds(10);
  EXPECT_EQ(server_->reader_count(), 1U);
  EXPECT_TRUE(batch_.is_idle());
}

TEST_F(ListingServerTest, TwoReadersAreServedInTurn) {
  const UniqueFd first = asking();
  const UniqueFd second = asking();
  Taken of_first;
  Taken of_second;
  for (int i = 0; i < 100 && !(of_first.ended && of_second.ended); ++i) {
    round();
    take(first, of_first);
    take(second, of_second);
    EXPECT_LE(std::max(of_first.messages, of_second.messages),
              std::min(of_first.messages, of_second.messages) + 1);
  }
  EXPECT_EQ(of_first.records, connections);
  EXPECT_EQ(of_second.records, connections);
}

TEST_F(ListingServerTest, AReaderThatTakesNothingHoldsNobodyUpAndIsClosed) {
  const UniqueFd stalled = asking();
  rounds(30);
  EXPECT_TRUE(batch_.is_idle());  // its buffer is full: nothing more is asked for it
  const UniqueFd other = asking();
  Taken of_other;
  for (int i = 0; i < 100 && !of_other.ended; ++i) {
    round();
    take(other, of_other);
  }
  EXPECT_EQ(of_other.records, connections);
  EXPECT_EQ(server_->closed_count(ListingClose::stalled), 0U);
  now_ = now_ + ListingServer::stall_max;
  rounds(2);
  EXPECT_EQ(server_->closed_count(ListingClose::stalled), 2U);  // the other one asks nothing more
  EXPECT_EQ(server_->reader_count(), 0U);
}

TEST_F(ListingServerTest, ASlowReaderGetsEverythingInTheEnd) {
  const UniqueFd slow = asking();
  rounds(30);
  Taken taken;
  for (int i = 0; i < 100 && !taken.ended; ++i) {
    now_ = now_ + Duration::seconds(4);
    take(slow, taken);
    rounds(3);
  }
  EXPECT_TRUE(taken.ended);
  EXPECT_EQ(taken.records, connections);
}

TEST_F(ListingServerTest, AReaderThatDiesInTheMiddleLeavesNothing) {
  {
    const UniqueFd dying = asking();
    round();
    round();
    EXPECT_FALSE(batch_.is_idle());
  }
  // Its number is free again, and what was asked for it must not go to whoever has it now.
  const UniqueFd next = asking();
  Taken taken;
  for (int i = 0; i < 100 && !taken.ended; ++i) {
    round();
    take(next, taken);
  }
  EXPECT_EQ(taken.records, connections);
  EXPECT_EQ(server_->closed_count(ListingClose::reader_gone), 1U);
  EXPECT_EQ(server_->reader_count(), 1U);
}

TEST_F(ListingServerTest, OneReaderTooManyIsTold) {
  std::vector<UniqueFd> readers;
  for (uint32_t i = 0; i < ListingServer::readers_max; ++i) readers.push_back(connected());
  round();
  const UniqueFd late = connected();
  round();
  ASSERT_EQ(::recv(late.get(), &message_, sizeof message_, 0),
            static_cast<ssize_t>(sizeof(shm::ListingHeader)));
  EXPECT_STREQ(shm::listing_fault(message_, sizeof(shm::ListingHeader), 0, 0),
               "it has too many readers");
  EXPECT_EQ(server_->closed_count(ListingClose::too_many), 1U);
}

TEST_F(ListingServerTest, WhatIsNoRequestClosesItsConnection) {
  std::vector<std::vector<uint8_t>> wrong;
  const shm::ListingHeader good = request();
  const auto add = [&](auto change) {
    shm::ListingHeader header = good;
    change(header);
    wrong.emplace_back(sizeof header);
    std::memcpy(wrong.back().data(), &header, sizeof header);
  };
  add([](auto& header) { header.magic ^= 1; });
  add([](auto& header) { ++header.abi; });
  add([](auto& header) { header.kind = 2; });
  add([](auto&) {});
  wrong.back().pop_back();
  add([](auto&) {});
  wrong.back().push_back(0);
  for (const auto& bytes : wrong) {
    const UniqueFd reader = connected();
    ASSERT_EQ(::send(reader.get(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
    rounds(2);
    Taken taken;
    take(reader, taken);
    EXPECT_TRUE(taken.closed);
    EXPECT_EQ(taken.messages, 0U);
  }
  EXPECT_EQ(server_->closed_count(ListingClose::wrong_request), wrong.size());
}

TEST_F(ListingServerTest, ASecondRequestBeforeTheFirstIsAnsweredClosesTheConnection) {
  const UniqueFd reader = asking();
  round();
  const shm::ListingHeader again = request();
  ::send(reader.get(), &again, sizeof again, 0);
  rounds(2);
  EXPECT_EQ(server_->closed_count(ListingClose::wrong_request), 1U);
}

TEST_F(ListingServerTest, AReaderMayAskAgainWhenItHasEverything) {
  const UniqueFd reader = asking();
  for (int listing = 0; listing < 3; ++listing) {
    Taken taken;
    for (int i = 0; i < 100 && !taken.ended; ++i) {
      round();
      take(reader, taken);
    }
    EXPECT_EQ(taken.records, connections);
    const shm::ListingHeader again = request();
    ::send(reader.get(), &again, sizeof again, 0);
  }
}

}  // namespace
}  // namespace millrace::tcp

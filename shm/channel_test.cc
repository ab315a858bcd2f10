#include "shm/channel.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "shm/channel_message.h"
#include "shm/snapshot_test_support.h"
#include "shm/stats_page.h"

namespace millrace::shm {
namespace {

using testing::realistic_builder;

class ChannelTest : public ::testing::Test {
 protected:
  ChannelTest() : cell_(1) {
    char folder[] = "/tmp/millrace-channel-XXXXXX";
    folder_ = ::mkdtemp(folder);
    path_ = folder_ + "/data.sock";
    auto server = ChannelServer::listen(path_, {}, cell_);
    CHECK(server.ok());
    server_ = std::move(*server);
  }
  ~ChannelTest() override {
    server_.reset();
    ::unlink(path_.c_str());
    ::rmdir(folder_.c_str());
  }

  // Lets both ends run until nothing moves any more.
  std::vector<ChannelEvent> run(ChannelClient& client) {
    std::vector<ChannelEvent> events;
    for (int i = 0; i < 20; ++i) {
      for (PublishOutcome& outcome : server_->on_readable()) outcomes_.push_back(outcome);
      for (ChannelEvent& event : client.on_readable()) events.push_back(std::move(event));
    }
    return events;
  }
  std::unique_ptr<ChannelClient> connected() {
    auto client = ChannelClient::connect(path_);
    CHECK(client.ok());
    const auto events = run(**client);
    CHECK(events.size() == 1 && events[0].kind == ChannelEvent::Kind::hello);
    return std::move(*client);
  }
  // One request's answer.
  ChannelEvent publish(ChannelClient& client, const BuiltSnapshot& built) {
    CHECK(client.publish(built).ok());
    auto events = run(client);
    CHECK(events.size() == 1);
    return std::move(events[0]);
  }
  uint64_t current_version() { return cell_.current().view->version(); }

  std::string folder_;
  std::string path_;
  SnapshotCell cell_;
  std::unique_ptr<ChannelServer> server_;
  std::vector<PublishOutcome> outcomes_;
};

BuiltSnapshot built_version(uint64_t version, SnapshotShape shape = {}) {
  auto built = realistic_builder(shape).build(version);
  CHECK(built.ok());
  return std::move(*built);
}

TEST_F(ChannelTest, HelloNamesAbiVersionAndSegments) {
  const auto client = connected();
  ASSERT_TRUE(client->hello().has_value());
  EXPECT_EQ(client->hello()->abi_min, snapshot_abi_min);
  EXPECT_EQ(client->hello()->abi_max, snapshot_abi_max);
  EXPECT_EQ(client->hello()->epoch, cell_.epoch());
  EXPECT_EQ(client->hello()->version, 0U);
  EXPECT_EQ(client->hello()->segment_ids.size(), 2U);
  EXPECT_TRUE(client->ready());
}

TEST_F(ChannelTest, PublishIsInstalledAndAnswered) {
  const auto client = connected();
  const ChannelEvent answer = publish(*client, built_version(7));
  EXPECT_EQ(answer.kind, ChannelEvent::Kind::accepted) << answer.message;
  EXPECT_EQ(answer.version, 7U);
  EXPECT_EQ(answer.epoch, cell_.epoch());
  EXPECT_EQ(current_version(), 7U);
  EXPECT_EQ(server_->accepted_count(), 1U);
  ASSERT_EQ(outcomes_.size(), 1U);
  EXPECT_TRUE(outcomes_[0].accepted);
  testing::walk(*cell_.current().view);
}

// The second publish changes the version only: no segment crosses again, and both share its memory.
TEST_F(ChannelTest, OnlyChangedSegmentsAreSent) {
  const auto client = connected();
  ASSERT_EQ(publish(*client, built_version(1)).kind, ChannelEvent::Kind::accepted);
  const SegmentMemory before = cell_.window().front()->segments()[0];
  ASSERT_EQ(publish(*client, built_version(2)).kind, ChannelEvent::Kind::accepted);
  EXPECT_EQ(cell_.window().front()->segments()[0], before);
  EXPECT_EQ(current_version(), 2U);
}

TEST_F(ChannelTest, ManySegmentsTravelInSeveralParts) {
  SnapshotShape shape;
  shape.routes_segment_count = segments_per_kind_max;
  shape.service_slot_shift = 0;
  const auto client = connected();
  const ChannelEvent answer = publish(*client, built_version(3, shape));
  EXPECT_EQ(answer.kind, ChannelEvent::Kind::accepted) << answer.message;
  EXPECT_EQ(cell_.current().view->routes_segment_count(), segments_per_kind_max);
}

TEST_F(ChannelTest, S2ARefusedSnapshotLeavesTheLastGoodOne) {
  const auto client = connected();
  ASSERT_EQ(publish(*client, built_version(1)).kind, ChannelEvent::Kind::accepted);
  BuiltSnapshot broken = built_version(2);
  broken.root[offsetof(RootHeader, checksum)] ^= 1;
  const ChannelEvent answer = publish(*client, broken);
  EXPECT_EQ(answer.kind, ChannelEvent::Kind::refused);
  EXPECT_EQ(answer.message, "snapshot refused: root: checksum does not match");
  EXPECT_EQ(current_version(), 1U);
  EXPECT_EQ(server_->refused_count(), 1U);
  EXPECT_EQ(publish(*client, built_version(3)).kind, ChannelEvent::Kind::accepted)
      << "the connection lives on";
  EXPECT_EQ(current_version(), 3U);
}

TEST_F(ChannelTest, S4RollbackGoesToAKeptVersionOnly) {
  const auto client = connected();
  for (uint64_t version : {1U, 2U}) publish(*client, built_version(version));
  const uint64_t epoch = cell_.epoch();
  ASSERT_TRUE(client->rollback(1).ok());
  auto events = run(*client);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].kind, ChannelEvent::Kind::accepted);
  EXPECT_EQ(events[0].version, 1U);
  EXPECT_EQ(events[0].epoch, epoch + 1);
  ASSERT_TRUE(client->rollback(77).ok());
  events = run(*client);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].kind, ChannelEvent::Kind::refused);
  EXPECT_NE(events[0].message.find("version 77 is not kept"), std::string::npos);
}

TEST_F(ChannelTest, WhatAnOperatorChoseIsToldAndARollbackIsSuchAChoice) {
  const auto client = connected();
  EXPECT_TRUE(client->hello()->knows_deliberate);
  ASSERT_TRUE(client->publish(built_version(1)).ok());
  run(*client);
  SnapshotShape many;
  many.routes_segment_count = segments_per_kind_max;
  ASSERT_TRUE(client->publish(built_version(2, many), true).ok());
  run(*client);
  ASSERT_TRUE(client->publish(built_version(3)).ok());
  run(*client);
  ASSERT_TRUE(client->rollback(1).ok());
  run(*client);
  std::vector<bool> deliberate;
  for (const PublishOutcome& outcome : outcomes_) {
    EXPECT_TRUE(outcome.accepted) << outcome.refusal;
    deliberate.push_back(outcome.is_deliberate);
  }
  EXPECT_EQ(deliberate, (std::vector<bool>{false, true, false, true}));
}

TEST_F(ChannelTest, OfTwoRequestsInOneGoEachOutcomeHasItsOwnTable) {
  std::vector<std::shared_ptr<const TrafficMap>> maps;
  cell_.set_traffic_maps([&](const SnapshotView&) {
    maps.push_back(std::make_shared<const TrafficMap>());
    return maps.back();
  });
  const auto one = connected();
  const auto other = connected();
  ASSERT_TRUE(one->publish(built_version(1), true).ok());
  ASSERT_TRUE(other->publish(built_version(2)).ok());
  const std::vector<PublishOutcome> outcomes = server_->on_readable();
  ASSERT_EQ(outcomes.size(), 2U);
  ASSERT_EQ(maps.size(), 2U);
  for (size_t i = 0; i < outcomes.size(); ++i) {
    ASSERT_NE(outcomes[i].snapshot, nullptr);
    EXPECT_EQ(outcomes[i].is_deliberate, outcomes[i].snapshot->version() == 1U);
    EXPECT_EQ(outcomes[i].traffic, maps[i]);
  }
  EXPECT_NE(outcomes[0].snapshot, outcomes[1].snapshot);
  EXPECT_EQ(outcomes[1].snapshot->version(), current_version());
}

TEST_F(ChannelTest, OneRequestAtATime) {
  const auto client = connected();
  ASSERT_TRUE(client->publish(built_version(1)).ok());
  EXPECT_FALSE(client->publish(built_version(2)).ok());
  EXPECT_FALSE(client->ready());
  run(*client);
  EXPECT_TRUE(client->ready());
}

TEST_F(ChannelTest, FdsPollReadable) {
  const auto client = connected();
  pollfd idle{server_->fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&idle, 1, 0), 0);
  ASSERT_TRUE(client->rollback(0).ok());
  EXPECT_EQ(::poll(&idle, 1, 1000), 1);
  server_->on_readable();
  pollfd answer{client->fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&answer, 1, 1000), 1);
}

TEST_F(ChannelTest, TheStatsPageComesWithTheHello) {
  const std::string_view names[] = {"requests"};
  const auto page = StatsPage::create(names, 1);
  ASSERT_TRUE(page.ok());
  (*page)->add(0, 0, 5);
  server_.reset();
  auto server = ChannelServer::listen(path_, {}, cell_, (*page)->fd());
  ASSERT_TRUE(server.ok()) << server.error();
  server_ = std::move(*server);
  auto client = ChannelClient::connect(path_);
  ASSERT_TRUE(client.ok());
  const auto events = run(**client);
  ASSERT_EQ(events.size(), 1U);
  const auto reader = StatsReader::map(events[0].stats_page.get());
  ASSERT_TRUE(reader.ok()) << reader.error();
  EXPECT_EQ((*reader)->read().counters[0].sum, 5U);
}

// ---- S1 and hostile peers ----

UniqueFd raw_connection(const std::string& path) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  CHECK(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  return socket;
}

void send_raw(const UniqueFd& socket, const std::vector<uint8_t>& bytes) {
  CHECK(::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
        static_cast<ssize_t>(bytes.size()));
}

std::vector<uint8_t> raw(const MessageHeader& header, size_t body_bytes) {
  std::vector<uint8_t> bytes(sizeof header + body_bytes);
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

MessageHeader header_of(MessageKind kind, uint32_t body_bytes, uint32_t fds = 0) {
  return {channel_magic, static_cast<uint16_t>(channel_protocol), static_cast<uint16_t>(kind),
          body_bytes, fds};
}

Message part_message(uint32_t part, uint32_t part_count, const std::vector<uint64_t>& ids,
                     size_t fd_count) {
  const PublishBody body{part, part_count, static_cast<uint32_t>(ids.size()), 0};
  Message message = make_message(MessageKind::publish, body, ids);
  for (size_t i = 0; i < fd_count; ++i) message.fds.push_back(UniqueFd(::dup(0)));
  return message;
}

TEST_F(ChannelTest, S2HostileMessagesCloseTheirConnectionAndAreCounted) {
  const auto good = connected();
  ASSERT_EQ(publish(*good, built_version(1)).kind, ChannelEvent::Kind::accepted);
  using Act = std::function<void(const UniqueFd&)>;
  const std::vector<std::pair<ChannelClose, Act>> attacks = {
      {ChannelClose::wrong_size,
       [](const UniqueFd& s) {
         send_raw(s, {1, 2, 3});
       }},
      {ChannelClose::wrong_size,
       [](const UniqueFd& s) { send_raw(s, raw(header_of(MessageKind::rollback, 8), 4)); }},
      {ChannelClose::wrong_size,
       [](const UniqueFd& s) { send_raw(s, raw(header_of(MessageKind::rollback, 9), 9)); }},
      {ChannelClose::wrong_size,
       [](const UniqueFd& s) { send_raw(s, std::vector<uint8_t>(message_bytes_max + 100)); }},
      {ChannelClose::wrong_magic,
       [](const UniqueFd& s) { send_raw(s, std::vector<uint8_t>(64, 0xff)); }},
      {ChannelClose::wrong_kind,
       [](const UniqueFd& s) { send_raw(s, raw(header_of(static_cast<MessageKind>(99), 0), 0)); }},
      {ChannelClose::wrong_kind,
       [](const UniqueFd& s) { send_raw(s, raw(header_of(MessageKind::accepted, 24), 24)); }},
      {ChannelClose::wrong_descriptors,
       [](const UniqueFd& s) { send_raw(s, raw(header_of(MessageKind::rollback, 8, 1), 8)); }},
      {ChannelClose::wrong_descriptors,
       [](const UniqueFd& s) {
         send_message(s.get(), part_message(0, 1, {1, 2}, 2));
       }},
      {ChannelClose::wrong_descriptors,
       [](const UniqueFd& s) {
         Message message = part_message(0, 1, {}, 1);
         message.kind = MessageKind::rollback;
         message.body.resize(8);
         send_message(s.get(), message);
       }},
      {ChannelClose::wrong_count,
       [](const UniqueFd& s) { send_message(s.get(), part_message(0, 1000, {}, 1)); }},
      {ChannelClose::wrong_count,
       [](const UniqueFd& s) {
         send_message(s.get(), part_message(0, 1, std::vector<uint64_t>(100), 1));
       }},
      {ChannelClose::wrong_order,
       [](const UniqueFd& s) { send_message(s.get(), part_message(1, 2, {}, 0)); }},
      {ChannelClose::wrong_order,
       [](const UniqueFd& s) {
         send_message(s.get(), part_message(0, 3, {}, 1));
         send_message(s.get(), part_message(2, 3, {}, 0));
       }},
      {ChannelClose::wrong_order,
       [](const UniqueFd& s) {
         send_message(s.get(), part_message(0, 2, {}, 1));
         Message message;
         message.kind = MessageKind::rollback;
         message.body.resize(8);
         send_message(s.get(), message);
       }},
  };
  for (size_t i = 0; i < attacks.size(); ++i) {
    const uint64_t before = server_->closed_count(attacks[i].first);
    const UniqueFd socket = raw_connection(path_);
    server_->on_readable();
    attacks[i].second(socket);
    server_->on_readable();
    EXPECT_EQ(server_->closed_count(attacks[i].first), before + 1)
        << "attack " << i << ": " << to_text(attacks[i].first);
    EXPECT_EQ(server_->connection_count(), 1U);
  }
  EXPECT_EQ(current_version(), 1U);
  EXPECT_EQ(publish(*good, built_version(2)).kind, ChannelEvent::Kind::accepted);
}

TEST_F(ChannelTest, S2DescriptorsOfEveryKindAreRefusedNotTrusted) {
  const UniqueFd socket = raw_connection(path_);
  server_->on_readable();
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  const UniqueFd other_end(pipe_ends[1]);
  Message message = part_message(0, 1, {}, 0);
  message.fds.emplace_back(pipe_ends[0]);
  send_message(socket.get(), message);
  const auto outcomes = server_->on_readable();
  ASSERT_EQ(outcomes.size(), 1U);
  EXPECT_NE(outcomes[0].refusal.find("not a memory file"), std::string::npos);
  EXPECT_EQ(current_version(), 0U);
}

TEST_F(ChannelTest, S1APublisherThatDiesHalfWayChangesNothing) {
  {
    const UniqueFd socket = raw_connection(path_);
    server_->on_readable();
    const BuiltSnapshot built = built_version(5);
    auto root = seal_into_memfd(built.root, "root");
    ASSERT_TRUE(root.ok());
    Message message = part_message(0, 2, {}, 0);
    message.fds.push_back(std::move(*root));
    send_message(socket.get(), message);
    EXPECT_TRUE(server_->on_readable().empty());
  }
  EXPECT_TRUE(server_->on_readable().empty());
  EXPECT_EQ(server_->closed_count(ChannelClose::peer_gone), 1U);
  EXPECT_EQ(server_->connection_count(), 0U);
  EXPECT_EQ(current_version(), 0U);
}

TEST_F(ChannelTest, ASegmentNeitherSentNorHeldIsNamed) {
  const UniqueFd socket = raw_connection(path_);
  server_->on_readable();
  auto root = seal_into_memfd(built_version(5).root, "root");
  Message message = part_message(0, 1, {}, 0);
  message.fds.push_back(std::move(*root));
  send_message(socket.get(), message);
  const auto outcomes = server_->on_readable();
  ASSERT_EQ(outcomes.size(), 1U);
  EXPECT_EQ(outcomes[0].refusal, "snapshot refused: root: segment 0: neither sent nor held");
}

TEST_F(ChannelTest, ConnectionsAreBounded) {
  std::vector<UniqueFd> sockets;
  for (uint32_t i = 0; i < channel_connections_max + 3; ++i) {
    sockets.push_back(raw_connection(path_));
    server_->on_readable();
  }
  EXPECT_EQ(server_->connection_count(), channel_connections_max);
  EXPECT_EQ(server_->closed_count(ChannelClose::too_many_connections), 3U);
}

TEST_F(ChannelTest, APeerThatReadsNoAnswersIsClosed) {
  const UniqueFd socket = raw_connection(path_);
  const auto rollback = raw(header_of(MessageKind::rollback, 8), 8);
  for (int i = 0; i < 10'000; ++i) {
    if (::send(socket.get(), rollback.data(), rollback.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
        errno == EPIPE) {
      break;
    }
    server_->on_readable();
  }
  EXPECT_EQ(server_->closed_count(ChannelClose::answer_overflow), 1U);
  EXPECT_EQ(server_->connection_count(), 0U);
}

TEST_F(ChannelTest, S6AnAbiOutsideTheRangeIsNotEvenSent) {
  server_.reset();
  // A data plane of another generation, played by hand.
  UniqueFd listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path_.data(), path_.size());
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  constexpr uint32_t ours = snapshot_abi;
  for (const auto& [low, high] :
       {std::pair<uint32_t, uint32_t>{0, 0}, {ours - 1, ours - 1}, {ours + 1, ours + 2}}) {
    auto client = ChannelClient::connect(path_);
    ASSERT_TRUE(client.ok());
    UniqueFd peer(::accept(listener.get(), nullptr, nullptr));
    const HelloBody hello{low, high, 2, 0, 0, 0};
    ASSERT_EQ(send_message(peer.get(), make_message(MessageKind::hello, hello, {})),
              SendResult::sent);
    ASSERT_EQ((*client)->on_readable().size(), 1U);
    const Status status = (*client)->publish(built_version(1));
    ASSERT_FALSE(status.ok());
    EXPECT_NE(status.error().find("its table stays as it is"), std::string::npos);
  }
}

TEST_F(ChannelTest, TheClientNoticesADeadDataPlane) {
  const auto client = connected();
  server_.reset();
  const auto events = client->on_readable();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].kind, ChannelEvent::Kind::closed);
  EXPECT_FALSE(client->publish(built_version(1)).ok());
  EXPECT_FALSE(ChannelClient::connect(path_).ok());
}

// ---- the socket file ----

TEST_F(ChannelTest, ALivingListenerIsNotReplaced) {
  const auto second = ChannelServer::listen(path_, {}, cell_);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error(), "another process listens on socket " + path_);
  connected();
}

TEST_F(ChannelTest, AStaleSocketIsReplaced) {
  server_.reset();
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const auto server = ChannelServer::listen(path_, {}, cell_);
    ::_exit(server.ok() ? 0 : 1);  // no destructor: as if killed
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  struct stat info {};
  ASSERT_EQ(::lstat(path_.c_str(), &info), 0) << "the dead process left its socket";
  auto server = ChannelServer::listen(path_, {}, cell_);
  ASSERT_TRUE(server.ok()) << server.error();
  server_ = std::move(*server);
  connected();
}

TEST_F(ChannelTest, AnotherFileIsNotReplaced) {
  server_.reset();
  const UniqueFd file(::open(path_.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  EXPECT_FALSE(ChannelServer::listen(path_, {}, cell_).ok());
  EXPECT_FALSE(ChannelServer::listen("", {}, cell_).ok());
  EXPECT_FALSE(ChannelServer::listen("/" + std::string(200, 'x'), {}, cell_).ok());
}

TEST_F(ChannelTest, TheSocketIsForItsUserOnlyAndGoesWithTheServer) {
  struct stat info {};
  ASSERT_EQ(::lstat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  server_.reset();
  EXPECT_NE(::lstat(path_.c_str(), &info), 0);
}

TEST_F(ChannelTest, AnotherUserIsTurnedAwayByCredentials) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  ASSERT_EQ(::chmod(folder_.c_str(), 0755), 0);
  ASSERT_EQ(::chmod(path_.c_str(), 0666), 0) << "file rights would stop it before";
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (::setuid(65534) != 0) ::_exit(2);
    const UniqueFd socket = raw_connection(path_);
    char byte;
    ::_exit(::recv(socket.get(), &byte, 1, 0) == 0 ? 0 : 1);  // closed without a hello
  }
  pollfd waiting{server_->fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&waiting, 1, 5000), 1);
  server_->on_readable();
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(server_->closed_count(ChannelClose::wrong_uid), 1U);
}

}  // namespace
}  // namespace millrace::shm

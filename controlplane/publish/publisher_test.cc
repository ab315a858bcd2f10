#include "controlplane/publish/publisher.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>

#include <filesystem>

#include "controlplane/manifests/file.h"
#include "controlplane/model/build.h"
#include "shm/snapshot_store.h"

namespace millrace::publish {
namespace {

namespace fs = std::filesystem;

constexpr Instant start = Instant::from_ns(1'000'000'000'000);

// A table of one host whose service has `endpoints` endpoints.
model::Model table(const std::string& host, int endpoints = 1) {
  model::Model model;
  model::Host one;
  one.name = host;
  const model::ServiceKey key{"s", "web", "80"};
  one.routes.push_back({model::PathType::prefix, "/", key, {"s", "a", 0, 0}});
  model.hosts.push_back(one);
  model::Service service{key, {}};
  for (int i = 1; i <= endpoints; ++i) {
    service.endpoints.push_back({Ipv4Address::from_octets(10, 0, 0, static_cast<uint8_t>(i)), 80});
  }
  model.services.push_back(service);
  return model;
}

// The data plane's end, as housekeeping has it.
struct DataPlane {
  explicit DataPlane(const std::string& path) : cell(1) {
    auto listening = shm::ChannelServer::listen(path, {}, cell);
    if (listening)
      server = std::move(*listening);
    else
      ADD_FAILURE() << listening.error();
  }
  shm::SnapshotCell cell;
  std::unique_ptr<shm::ChannelServer> server;
  std::vector<shm::PublishOutcome> outcomes;
  uint64_t version() const { return cell.current().view->version(); }
};

class PublisherTest : public ::testing::Test {
 protected:
  PublisherTest() {
    char name[] = "/tmp/millrace-publish-XXXXXX";
    root_ = mkdtemp(name);
    path_ = (root_ / "socket").string();
  }
  ~PublisherTest() override { fs::remove_all(root_); }

  // Lets both ends act until nothing more happens.
  void settle(Publisher& publisher, DataPlane* data_plane) {
    for (int quiet = 0; quiet < 3;) {
      publisher.turn(now_);
      pollfd ready[2] = {
          {publisher.fd(), static_cast<short>(publisher.wants_write() ? POLLIN | POLLOUT : POLLIN),
           0},
          {data_plane != nullptr ? data_plane->server->fd() : -1, POLLIN, 0}};
      quiet = poll(ready, 2, 10) == 0 ? quiet + 1 : 0;
      if ((ready[1].revents & POLLIN) != 0) {
        for (auto& outcome : data_plane->server->on_readable()) {
          data_plane->outcomes.push_back(std::move(outcome));
        }
      }
      if ((ready[0].revents & POLLOUT) != 0) publisher.on_writable(now_);
      if ((ready[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) publisher.on_readable(now_);
    }
    for (const Event& event : publisher.take_events()) {
      log_ += std::string(k8s::to_text(event.severity)) + ": " + event.sentence + '\n';
    }
  }

  fs::path root_;
  std::string path_;
  Instant now_ = start;
  std::string log_;
};

TEST_F(PublisherTest, PublishesWhatChangedAndNothingElse) {
  DataPlane data_plane(path_);
  Publisher publisher(path_, {}, 1);
  settle(publisher, &data_plane);
  EXPECT_EQ(data_plane.server->accepted_count(), 0u) << "nothing was wanted yet";
  ASSERT_TRUE(publisher.want(table("a.example")).ok());
  settle(publisher, &data_plane);
  EXPECT_EQ(data_plane.version(), 1u);
  EXPECT_EQ(publisher.applied_version(), 1u);
  ASSERT_TRUE(publisher.want(table("a.example")).ok());
  settle(publisher, &data_plane);
  EXPECT_EQ(data_plane.server->accepted_count(), 1u) << "an identical table is not published";
  ASSERT_TRUE(publisher.want(table("a.example", 2)).ok());
  settle(publisher, &data_plane);
  EXPECT_EQ(data_plane.version(), 2u);
  EXPECT_EQ(data_plane.server->accepted_count(), 2u);
  EXPECT_EQ(data_plane.cell.current().view->root().endpoint_count, 2u);
  EXPECT_NE(log_.find("note: the data plane took version 2 as epoch 4\n"), std::string::npos)
      << log_;
}

TEST_F(PublisherTest, OnlyTheLastOfManyWishesArrives) {
  Publisher publisher(path_, {}, 1);
  for (int i = 1; i <= 5; ++i) ASSERT_TRUE(publisher.want(table("a.example", i)).ok());
  DataPlane data_plane(path_);
  settle(publisher, &data_plane);
  EXPECT_EQ(data_plane.server->accepted_count(), 1u);
  EXPECT_EQ(data_plane.cell.current().view->root().endpoint_count, 5u);
}

TEST_F(PublisherTest, ARestartedDataPlaneGetsTheTableAgain) {
  Publisher publisher(path_, {}, 1);
  ASSERT_TRUE(publisher.want(table("a.example")).ok());
  {
    DataPlane data_plane(path_);
    settle(publisher, &data_plane);
    EXPECT_EQ(data_plane.version(), 1u);
  }
  settle(publisher, nullptr);
  EXPECT_FALSE(publisher.is_connected());
  EXPECT_NE(log_.find("warning: the data plane is gone: "), std::string::npos) << log_;
  DataPlane data_plane(path_);
  now_ = publisher.due();
  settle(publisher, &data_plane);
  EXPECT_EQ(data_plane.version(), 1u);
  EXPECT_EQ(data_plane.cell.current().view->root().host_count, 1u);
}

TEST_F(PublisherTest, ADataPlaneThatKeptTheTableIsLeftAlone) {
  DataPlane data_plane(path_);
  Publisher publisher(path_, {}, 1);
  ASSERT_TRUE(publisher.want(table("a.example")).ok());
  settle(publisher, &data_plane);
  // The connection breaks, the table stays: as after the restart from a last good file.
  data_plane.server.reset();
  settle(publisher, nullptr);
  auto listening = shm::ChannelServer::listen(path_, {}, data_plane.cell);
  ASSERT_TRUE(listening.ok()) << listening.error();
  data_plane.server = std::move(*listening);
  now_ = publisher.due();
  settle(publisher, &data_plane);
  EXPECT_TRUE(publisher.is_connected());
  EXPECT_EQ(data_plane.server->accepted_count(), 0u);
  EXPECT_EQ(data_plane.version(), 1u);
}

TEST_F(PublisherTest, WhoResumesTheSameTableSendsNothingWhetherTheHelloComesBeforeOrAfter) {
  DataPlane data_plane(path_);
  Publisher first(path_, {}, 1);
  ASSERT_TRUE(first.want(table("a.example", 2)).ok());
  ASSERT_TRUE(first.want(table("b.example", 2)).ok());
  settle(first, &data_plane);
  const uint64_t version = data_plane.version();
  const compile::SlotTable slots = first.wanted_slots();
  for (const bool hello_first : {true, false}) {
    Publisher next(path_, {}, 2);
    next.resume(version, table("b.example", 2), slots);
    if (hello_first) settle(next, &data_plane);
    ASSERT_TRUE(next.want(table("b.example", 2)).ok());
    settle(next, &data_plane);
    EXPECT_EQ(next.wanted_version(), version);
    EXPECT_TRUE(next.data_plane_has_wanted());
    EXPECT_EQ(data_plane.server->accepted_count(), 1u) << hello_first;
    ASSERT_TRUE(next.want(table("c.example", 2)).ok());
    EXPECT_EQ(next.wanted_version(), version + 1);
  }
}

TEST_F(PublisherTest, AKilledControlPlaneGoesOnFromTheDataPlanesVersion) {
  DataPlane data_plane(path_);
  for (uint64_t life = 1; life <= 4; ++life) {
    Publisher publisher(path_, {}, life);
    ASSERT_TRUE(publisher.want(table("a.example", static_cast<int>(life))).ok());
    settle(publisher, &data_plane);
    EXPECT_EQ(data_plane.version(), life);
  }
  EXPECT_EQ(data_plane.cell.current().view->root().endpoint_count, 4u);
}

TEST_F(PublisherTest, ANamesakeOfOurVersionIsReplaced) {
  // Two control planes both at version 1, with different tables: the number alone proves nothing.
  DataPlane data_plane(path_);
  Publisher mine(path_, {}, 1);
  ASSERT_TRUE(mine.want(table("mine.example")).ok());
  {
    Publisher other(path_, {}, 2);
    ASSERT_TRUE(other.want(table("other.example")).ok());
    settle(other, &data_plane);
    EXPECT_EQ(data_plane.version(), 1u);
  }
  settle(mine, &data_plane);
  EXPECT_EQ(data_plane.version(), 2u);
  const shm::RoutesSegment& routes = data_plane.cell.current().view->routes_segment(0);
  EXPECT_EQ(routes.name(routes.hosts[0]), "mine.example");
}

TEST_F(PublisherTest, ComesBackWithGrowingJitteredPausesAndSaysItOnce) {
  Publisher publisher(path_, {}, 7);
  int64_t last_ms = 0;
  for (int i = 0; i < 12; ++i) {
    publisher.turn(now_);
    EXPECT_FALSE(publisher.is_connected());
    const Duration pause = publisher.due() - now_;
    const Duration most =
        std::min(reconnect_first * (int64_t{1} << std::min(i, 10)), reconnect_last);
    EXPECT_LE(pause, most);
    EXPECT_GE(pause, most / 2);
    last_ms = pause.count_ms();
    now_ = publisher.due();
  }
  EXPECT_GE(last_ms, 1'000);
  settle(publisher, nullptr);
  EXPECT_EQ(log_, "warning: the data plane is not there: " +
                      log_.substr(std::string("warning: the data plane is not there: ").size()));
  EXPECT_EQ(std::count(log_.begin(), log_.end(), '\n'), 1);
}

TEST_F(PublisherTest, ARefusedTableLeavesTheOldOneAndIsTriedAgain) {
  DataPlane data_plane(path_);
  data_plane.cell.enter(0);  // a worker that hangs: after some installs no more are taken
  Publisher publisher(path_, {}, 1);
  int wishes = 0;
  while (data_plane.server->refused_count() == 0 && wishes < 50) {
    ASSERT_TRUE(publisher.want(table("a.example", ++wishes)).ok());
    settle(publisher, &data_plane);
  }
  ASSERT_EQ(data_plane.server->refused_count(), 1u);
  const uint64_t kept = data_plane.version();
  EXPECT_EQ(publisher.applied_version(), kept);
  EXPECT_NE(log_.find("error: the data plane refused version " + std::to_string(kept + 1) + ": "),
            std::string::npos)
      << log_;
  EXPECT_TRUE(log_.ends_with("; the data plane keeps version " + std::to_string(kept) + "\n"));
  log_.clear();
  now_ = publisher.due();
  settle(publisher, &data_plane);
  EXPECT_EQ(data_plane.server->refused_count(), 2u);
  EXPECT_EQ(log_, "") << "the same refusal is said once";
  data_plane.cell.leave(0);
  now_ = publisher.due();
  settle(publisher, &data_plane);
  EXPECT_EQ(data_plane.version(), kept + 1);
}

TEST_F(PublisherTest, AnOperatorsChoiceIsToldWithTheTable) {
  DataPlane data_plane(path_);
  Publisher publisher(path_, {}, 1);
  ASSERT_TRUE(publisher.want(table("a.example")).ok());
  settle(publisher, &data_plane);
  publisher.set_deliberate(true);
  publisher.want_anew();
  settle(publisher, &data_plane);
  EXPECT_EQ(publisher.taken_version(), 2u);
  publisher.set_deliberate(false);
  ASSERT_TRUE(publisher.want(table("b.example")).ok());
  settle(publisher, &data_plane);
  std::vector<bool> deliberate;
  for (const auto& outcome : data_plane.outcomes) deliberate.push_back(outcome.is_deliberate);
  EXPECT_EQ(deliberate, (std::vector<bool>{false, true, false}));
}

TEST_F(PublisherTest, WhatTheDataPlaneWentBackFromGoesOutAgainUnderANewNumber) {
  DataPlane data_plane(path_);
  Publisher publisher(path_, {}, 1);
  ASSERT_TRUE(publisher.want(table("a.example")).ok());
  settle(publisher, &data_plane);
  const auto before = data_plane.cell.window().front();
  ASSERT_TRUE(publisher.want(table("b.example")).ok());
  settle(publisher, &data_plane);
  ASSERT_TRUE(data_plane.cell.install(before).ok());  // as its guard does it
  publisher.went_back(1);
  publisher.want_anew();
  EXPECT_FALSE(publisher.data_plane_has_wanted());
  settle(publisher, &data_plane);
  EXPECT_EQ(data_plane.version(), 3u);
  EXPECT_TRUE(publisher.data_plane_has_wanted());
}

TEST_F(PublisherTest, ASilentDataPlaneIsGivenUp) {
  DataPlane data_plane(path_);
  Publisher publisher(path_, {}, 1);
  publisher.turn(now_);
  ASSERT_TRUE(publisher.is_connected());
  EXPECT_EQ(publisher.due(), now_ + answer_time_max);
  now_ = publisher.due();
  publisher.turn(now_);  // it never read its listener, so no hello came
  EXPECT_FALSE(publisher.is_connected());
}

}  // namespace
}  // namespace millrace::publish

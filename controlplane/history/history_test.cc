#include "controlplane/history/history.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "controlplane/history/model_message.h"

namespace millrace::history {
namespace {

namespace fs = std::filesystem;

// A table of `hosts` hosts; the service of host i has an endpoint that `revision` decides.
model::Model table(int hosts, int revision) {
  model::Model model;
  for (int i = 0; i < hosts; ++i) {
    char name[32];
    std::snprintf(name, sizeof name, "h%04d", i);
    model::ServiceKey key{"shop", name, "80"};
    if (i % 3 == 0) key.policy.sticky_cookie = "session";
    model::Host host;
    host.name = std::string(name) + ".example";
    host.routes.push_back({model::PathType::prefix, "/", key, {"shop", name, 0, 0}});
    host.shadowed.push_back(
        {{model::PathType::exact, "/x", std::nullopt, {"shop", "late", 2, 1}}, 0});
    model.hosts.push_back(host);
    const int octet = i == 0 ? revision % 200 : 7;
    model.services.push_back(
        {key,
         {{Ipv4Address::from_octets(10, 0, static_cast<uint8_t>(revision / 200),
                                    static_cast<uint8_t>(octet)),
           8080}}});
  }
  model.cluster_default = model::Route{model::PathType::prefix, "", std::nullopt, {"d", "d", 0, 0}};
  return model;
}

class HistoryTest : public ::testing::Test {
 protected:
  HistoryTest() {
    char name[] = "/tmp/millrace-history-XXXXXX";
    root_ = mkdtemp(name);
  }
  ~HistoryTest() override { fs::remove_all(root_); }

  std::unique_ptr<History> open(const Limits& limits = {}) {
    auto history = History::open(root_, limits);
    EXPECT_TRUE(history.ok()) << (history.ok() ? "" : history.error());
    return history.ok() ? std::move(*history) : nullptr;
  }

  // Versions from..to, version v being table(hosts, v). `quiet`: there is time to begin files.
  static void append(History& history, int from, int to, int hosts = 3, bool quiet = true) {
    for (int v = from; v <= to; ++v) {
      const model::Model before = v == 1 ? model::Model() : table(hosts, v - 1);
      const model::Model after = table(hosts, v);
      record::Version version;
      version.set_number(v);
      version.set_content_hash(ContentHash(after).text());
      version.add_causes()->set_name("c" + std::to_string(v));
      const compile::SlotTable slots = compile::SlotTable().next(after.services);
      history.append(version, model::difference(before, after), after, slots);
      if (quiet && history.wants_file()) history.begin_file(after, slots);
    }
  }
  static void expect_all(const History& history, int from, int to, int hosts = 3) {
    ASSERT_EQ(history.size(), static_cast<size_t>(to - from + 1));
    for (int v = from; v <= to; ++v) {
      const auto model = history.model_at(static_cast<uint64_t>(v));
      ASSERT_TRUE(model.ok()) << v << ": " << model.error();
      EXPECT_EQ(*model, table(hosts, v)) << v;
    }
  }
  std::vector<fs::path> logs() {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(root_)) {
      if (entry.path().extension() == ".log") found.push_back(entry.path());
    }
    std::sort(found.begin(), found.end());
    return found;
  }

  fs::path root_;
};

TEST_F(HistoryTest, EveryVersionComesBackAfterARestart) {
  {
    auto history = open();
    EXPECT_EQ(history->newest_number(), 0u);
    append(*history, 1, 300);
    expect_all(*history, 1, 300);
  }
  auto history = open();
  EXPECT_TRUE(history->take_complaints().empty());
  expect_all(*history, 1, 300);
  EXPECT_EQ(logs().size(), 3u) << "a keyframe every 128 versions";
  EXPECT_EQ(history->find(17)->causes(0).name(), "c17");
  EXPECT_EQ(history->find(17)->previous(), 16);
  EXPECT_EQ(*history->change_of(17), model::difference(table(3, 16), table(3, 17)));
  append(*history, 301, 302);
  expect_all(*history, 1, 302);
  const auto newest = history->newest_table();
  ASSERT_TRUE(newest);
  EXPECT_EQ(newest->number, 302u);
  EXPECT_EQ(newest->model, table(3, 302));
  EXPECT_EQ(newest->slots.size(), 3u);
}

TEST_F(HistoryTest, InMemoryItIsTheSame) {
  auto history = History::in_memory({});
  append(*history, 1, 200);
  expect_all(*history, 1, 200);
  record::Hold hold;
  hold.set_pinned_version(3);
  ASSERT_TRUE(history->write_hold(hold).ok());
  EXPECT_EQ(history->read_hold()->pinned_version(), 3);
}

TEST_F(HistoryTest, CutAtAnyByteTheVersionsBeforeAreThereAndItGoesOn) {
  { append(*open(), 1, 3, 1); }
  ASSERT_EQ(logs().size(), 1u);
  const fs::path log = logs().front();
  const auto whole = fs::file_size(log);
  for (auto length = whole; length-- > 0;) {
    fs::resize_file(log, length);
    auto history = open();
    const auto left = static_cast<int>(history->size());
    EXPECT_LT(left, 3);
    if (left > 0) expect_all(*history, 1, left, 1);
    // Every seventh place also goes on from there.
    if (length % 7 != 0) continue;
    append(*history, left + 1, 3, 1);
    history.reset();
    expect_all(*open(), 1, 3, 1);
    length = std::min<uint64_t>(length, fs::file_size(logs().front()));
    if (logs().size() > 1 || fs::file_size(log) < length) break;
  }
}

TEST_F(HistoryTest, ADamagedRecordCostsItselfAndWhatNoKeyframeReaches) {
  { append(*open(), 1, 250); }
  ASSERT_EQ(logs().size(), 2u);
  // The middle of the first file: versions behind it are reached from the second one's keyframe.
  {
    std::fstream file(logs().front(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(fs::file_size(logs().front()) / 2));
    file << "damage";
  }
  auto history = open();
  const auto complaints = history->take_complaints();
  ASSERT_EQ(complaints.size(), 1u);
  EXPECT_NE(complaints[0].find("are damaged and left out"), std::string::npos) << complaints[0];
  ASSERT_GE(history->size(), 248u);  // a damage at a border may cost two
  int missing = 0;
  for (int v = 1; v <= 250; ++v) {
    if (history->find(static_cast<uint64_t>(v)) == nullptr) {
      ++missing;
      continue;
    }
    const auto model = history->model_at(static_cast<uint64_t>(v));
    ASSERT_TRUE(model.ok()) << v << ": " << model.error();
    EXPECT_EQ(*model, table(3, v));
  }
  EXPECT_GE(missing, 1);
}

TEST_F(HistoryTest, ADamagedKeyframeOfTheOnlyFileLeavesCausesAndSaysSo) {
  { append(*open(), 1, 5); }
  {
    std::fstream file(logs().front(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(40);
    file << "damage";
  }
  auto history = open();
  EXPECT_EQ(history->size(), 4u);
  EXPECT_FALSE(history->find(3)->restorable());
  EXPECT_FALSE(history->model_at(3).ok());
  EXPECT_TRUE(history->change_of(3).ok());
  EXPECT_FALSE(history->newest_table());
  append(*history, 6, 7);
  EXPECT_EQ(history->model_at(5).ok(), true) << "backwards from the new keyframe";
  EXPECT_EQ(*history->model_at(3), table(3, 3));
}

TEST_F(HistoryTest, AFileIsBegunWithAVersionThatStandsInTheOneBeforeToo) {
  {
    auto history = open();
    append(*history, 1, 128, 3, false);
    EXPECT_TRUE(history->wants_file());
    const model::Model newest = table(3, 128);
    history->renumber(130);
    history->begin_file(newest, compile::SlotTable().next(newest.services));
    EXPECT_FALSE(history->wants_file());
    EXPECT_EQ(logs().size(), 2u);
    EXPECT_EQ(history->size(), 128u);
    EXPECT_EQ(*history->model_at(130), newest);
    EXPECT_EQ(history->find(128)->number(), 130);
    EXPECT_EQ(history->find(130)->previous(), 127);
    EXPECT_EQ(*history->change_of(130), model::difference(table(3, 127), newest));
  }
  auto history = open();
  EXPECT_TRUE(history->take_complaints().empty());
  EXPECT_EQ(history->size(), 128u);
  EXPECT_EQ(history->find(128)->number(), 130);
  EXPECT_EQ(*history->model_at(130), table(3, 128));
  EXPECT_EQ(*history->model_at(5), table(3, 5));
  // Without the first file's records the version is still whole.
  history.reset();
  fs::remove(logs().front());
  EXPECT_EQ(*open()->model_at(128), table(3, 128));
}

TEST_F(HistoryTest, WithoutTimeAFileGrowsToItsBoundAndNoFurther) {
  auto history = open();
  append(*history, 1, 500, 1, false);
  EXPECT_EQ(logs().size(), 1u) << "half of versions_max";
  append(*history, 501, 501, 1, false);
  EXPECT_EQ(logs().size(), 2u);
  expect_all(*history, 1, 501, 1);
}

TEST_F(HistoryTest, AFileThatCannotBeBegunLeavesTheOneBefore) {
  auto history = open();
  append(*history, 1, 128, 1, false);
  fs::remove_all(root_);  // nothing can be made in it
  history->begin_file(table(1, 128), compile::SlotTable().next(table(1, 128).services));
  EXPECT_EQ(history->take_complaints().size(), 1u);
  EXPECT_EQ(history->size(), 128u);
  EXPECT_EQ(*history->model_at(128), table(1, 128)) << "by the descriptor that is open";
  EXPECT_TRUE(history->wants_file());
}

TEST_F(HistoryTest, BoundsHold) {
  Limits limits;
  limits.versions_max = 200;
  auto history = open(limits);
  append(*history, 1, 1'000, 1);
  EXPECT_LE(history->size(), 200u);
  EXPECT_EQ(history->newest_number(), 1'000u);
  EXPECT_TRUE(history->model_at(1'000).ok());
  EXPECT_FALSE(history->model_at(1).ok());
  history.reset();
  limits.bytes_max = 100'000;
  history = open(limits);
  for (int v = 1'001; v <= 1'400; ++v) append(*history, v, v, 100);
  EXPECT_LE(logs().size(), 2u);
}

TEST_F(HistoryTest, AnotherNumberIsFoundUnderBoth) {
  {
    auto history = open();
    append(*history, 1, 2);
    history->renumber(58);
    EXPECT_EQ(history->newest_number(), 58u);
  }
  auto history = open();
  EXPECT_EQ(history->newest_number(), 58u);
  EXPECT_EQ(history->find(2), history->find(58));
  record::Version version;
  version.set_number(59);
  version.set_content_hash(ContentHash(table(3, 3)).text());
  history->append(version, model::difference(table(3, 2), table(3, 3)), table(3, 3), {});
  EXPECT_TRUE(history->model_at(58).ok());
  EXPECT_TRUE(history->model_at(59).ok()) << "the chain goes over the new number";
}

TEST_F(HistoryTest, AFolderIsForOneOnly) {
  auto history = open();
  const auto second = History::open(root_, {});
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.error().find("in use by another control plane"), std::string::npos);
  EXPECT_FALSE(History::open("/proc/nothing", {}).ok());
}

TEST_F(HistoryTest, AFullDiskIsSaidOnceAndOverWhenThereIsRoomAgain) {
  auto history = open();
  append(*history, 1, 3);
  rlimit old_limit{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{10, old_limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  append(*history, 4, 4);
  append(*history, 5, 100);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old_limit), 0);
  EXPECT_EQ(logs().size(), 1u) << "no file for each version that found no room";
  EXPECT_EQ(history->take_complaints().size(), 1u);
  EXPECT_FALSE(history->is_writing());
  append(*history, 101, 101);
  EXPECT_TRUE(history->is_writing());
  history.reset();
  history = open();
  EXPECT_EQ(*history->model_at(3), table(3, 3));
  EXPECT_EQ(*history->model_at(101), table(3, 101));
}

TEST_F(HistoryTest, AFileWhoseFolderCannotBeSyncedStaysForNobody) {
  auto history = open();
  append(*history, 1, 127);  // behind the next one a file is begun
  ASSERT_EQ(logs().size(), 1u);
  rlimit old_limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &old_limit), 0);
  const int free_fd = ::dup(STDERR_FILENO);
  ASSERT_GE(free_fd, 0);
  ::close(free_fd);
  // Room for the file, and for nobody who opens the folder.
  const rlimit small{static_cast<rlim_t>(free_fd) + 1, old_limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &small), 0);
  append(*history, 128, 131);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &old_limit), 0);
  const std::vector<std::string> complaints = history->take_complaints();
  ASSERT_EQ(complaints.size(), 1u);
  EXPECT_NE(complaints[0].find("cannot be synced"), std::string::npos) << complaints[0];
  EXPECT_EQ(logs().size(), 1u);
  append(*history, 132, 132);
  EXPECT_EQ(logs().size(), 2u);
  history.reset();
  history = open();
  EXPECT_EQ(*history->model_at(128), table(3, 128));
  EXPECT_EQ(*history->model_at(132), table(3, 132));
}

TEST_F(HistoryTest, KilledAtAnyMomentNothingThatWasWrittenIsLost) {
  int next = 1;
  for (int life = 0; life < 20; ++life) {
    int reached[2];
    ASSERT_EQ(pipe(reached), 0);
    const pid_t child = fork();
    if (child == 0) {
      auto history = History::open(root_, {});
      for (int v = static_cast<int>((*history)->newest_number()) + 1;; ++v) {
        append(**history, v, v);
        if (write(reached[1], &v, sizeof v) < 0) _exit(1);
      }
    }
    usleep(static_cast<useconds_t>(3'000 + life * 700));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    close(reached[1]);
    int last = next - 1;
    for (int v = 0; read(reached[0], &v, sizeof v) == sizeof v;) last = v;
    close(reached[0]);
    auto history = open();
    EXPECT_GE(history->newest_number(), static_cast<uint64_t>(last));
    next = static_cast<int>(history->newest_number()) + 1;
    if (next > 1) {
      EXPECT_EQ(history->newest_table()->model, table(3, next - 1));
    }
  }
  EXPECT_GT(next, 20);
}

TEST_F(HistoryTest, TheHashIsOfTheContentAlone) {
  const model::Model model = table(5, 1);
  ContentHash moved(table(4, 9));
  moved.apply(model::difference(table(4, 9), model));
  EXPECT_EQ(moved, ContentHash(model)) << "whatever the way";
  EXPECT_NE(ContentHash(table(5, 2)), ContentHash(model));
  EXPECT_EQ(ContentHash(model).text(),
            ContentHash(*from_message(to_message(model, nullptr))).text());
  model::Model other = model;
  other.hosts[0].routes[0].source.path_index = 1;
  EXPECT_NE(ContentHash(other), ContentHash(model));
}

}  // namespace
}  // namespace millrace::history

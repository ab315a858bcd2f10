#include "dataplane/housekeeping_saving.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "shm/last_good.h"
#include "shm/snapshot_test_support.h"

namespace millrace {
namespace {

class LastGoodSaverTest : public ::testing::Test {
 protected:
  LastGoodSaverTest() {
    char name[] = "/tmp/millrace_saver_XXXXXX";
    folder_ = mkdtemp(name);
    path_ = folder_ + "/last_good";
  }
  ~LastGoodSaverTest() override { std::filesystem::remove_all(folder_); }

  static std::shared_ptr<const shm::Snapshot> table(uint64_t version) {
    return shm::testing::open_builder(shm::testing::realistic_builder(), version);
  }
  // 0: there is none.
  uint64_t version_in_file() const {
    const auto loaded = shm::load_last_good(path_);
    return loaded.ok() ? (*loaded)->version() : 0;
  }
  static bool comes_true(const std::function<bool()>& what) {
    const MonotonicClock clock;
    const Instant end = clock.now() + Duration::seconds(10);
    while (!what()) {
      if (clock.now() > end) return false;
      usleep(1'000);
    }
    return true;
  }

  std::string folder_;
  std::string path_;
};

TEST_F(LastGoodSaverTest, C2TheFirstTableIsSavedAtOnce) {
  const auto made = LastGoodSaver::create(path_, Duration::seconds(3'600));
  ASSERT_TRUE(made.ok()) << made.error();
  LastGoodSaver& saver = **made;
  saver.want(table(1));
  EXPECT_TRUE(comes_true([&] { return version_in_file() == 1; }));
}

TEST_F(LastGoodSaverTest, C2OfManyTablesTheNewestIsSavedOnceAnInterval) {
  const auto made = LastGoodSaver::create(path_, Duration::milliseconds(300));
  ASSERT_TRUE(made.ok()) << made.error();
  LastGoodSaver& saver = **made;
  const MonotonicClock clock;
  const Instant begun = clock.now();
  for (uint64_t version = 1; version <= 100; ++version) saver.want(table(version));
  EXPECT_TRUE(comes_true([&] { return version_in_file() == 100; }));
  const int64_t intervals = (clock.now() - begun).count_ms() / 300;
  EXPECT_LE(saver.saved_count(), static_cast<uint64_t>(intervals) + 1);
}

TEST_F(LastGoodSaverTest, C2AnOrderlyStopSavesWhatIsStillWanted) {
  const auto made = LastGoodSaver::create(path_, Duration::seconds(3'600));
  ASSERT_TRUE(made.ok()) << made.error();
  LastGoodSaver& saver = **made;
  saver.want(table(1));
  ASSERT_TRUE(comes_true([&] { return saver.saved_count() == 1; }));
  saver.want(table(2));
  saver.want(table(3));
  saver.stop();
  EXPECT_EQ(version_in_file(), 3U);
  EXPECT_EQ(saver.saved_count(), 2U);
}

TEST_F(LastGoodSaverTest, AStopWithoutATableSavesNothing) {
  const auto made = LastGoodSaver::create(path_, Duration::seconds(3'600));
  ASSERT_TRUE(made.ok()) << made.error();
  LastGoodSaver& saver = **made;
  saver.stop();
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(LastGoodSaverTest, AFailureIsSaidOnceAndTheNextTableIsTriedAgain) {
  const std::string folder = folder_ + "/later";
  const auto made = LastGoodSaver::create(folder + "/last_good", Duration::milliseconds(1));
  ASSERT_TRUE(made.ok()) << made.error();
  LastGoodSaver& saver = **made;
  saver.want(table(1));
  std::string error;
  ASSERT_TRUE(comes_true([&] { return !(error = saver.take_error()).empty(); }));
  EXPECT_NE(error.find(folder), std::string::npos) << error;
  EXPECT_EQ(saver.take_error(), "");
  std::filesystem::create_directory(folder);
  saver.want(table(2));
  EXPECT_TRUE(comes_true([&] { return saver.saved_count() == 1; }));
  const auto loaded = shm::load_last_good(folder + "/last_good");
  ASSERT_TRUE(loaded.ok()) << loaded.error();
  EXPECT_EQ((*loaded)->version(), 2U);
}

TEST_F(LastGoodSaverTest, C2WhatCouldNotBeSavedIsTriedAgainAndItsErrorSaidOnce) {
  const std::string folder = folder_ + "/later";
  const auto made = LastGoodSaver::create(folder + "/last_good", Duration::milliseconds(1),
                                          Duration::milliseconds(20));
  ASSERT_TRUE(made.ok()) << made.error();
  LastGoodSaver& saver = **made;
  saver.want(table(1));
  ASSERT_TRUE(comes_true([&] { return !saver.take_error().empty(); }));
  usleep(200'000);  // several tries
  EXPECT_EQ(saver.take_error(), "");
  std::filesystem::create_directory(folder);
  EXPECT_TRUE(comes_true([&] { return saver.saved_count() == 1; }));
  const auto loaded = shm::load_last_good(folder + "/last_good");
  ASSERT_TRUE(loaded.ok()) << loaded.error();
  EXPECT_EQ((*loaded)->version(), 1U);
  usleep(100'000);
  EXPECT_EQ(saver.saved_count(), 1U);
  // The same error of a time later is news.
  std::filesystem::remove_all(folder);
  saver.want(table(2));
  EXPECT_TRUE(comes_true([&] { return !saver.take_error().empty(); }));
}

TEST_F(LastGoodSaverTest, AStopDoesNotWaitForWhatFailed) {
  const std::string folder = folder_ + "/later";
  const auto made = LastGoodSaver::create(folder + "/last_good", Duration::milliseconds(1),
                                          Duration::seconds(3'600));
  ASSERT_TRUE(made.ok()) << made.error();
  LastGoodSaver& saver = **made;
  saver.want(table(1));
  ASSERT_TRUE(comes_true([&] { return !saver.take_error().empty(); }));
  std::filesystem::create_directory(folder);
  saver.stop();
  EXPECT_EQ(saver.saved_count(), 0U);
  EXPECT_TRUE(std::filesystem::is_empty(folder));
}

TEST_F(LastGoodSaverTest, WithoutRoomForAThreadItSaysSo) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    // The limit is not root's.
    if (getuid() == 0 && setuid(65'534) != 0) _exit(3);
    const rlimit none{0, 0};
    if (setrlimit(RLIMIT_NPROC, &none) != 0) _exit(4);
    const auto made = LastGoodSaver::create(path_);
    _exit(!made.ok() && made.error().find("no thread") == 0 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

}  // namespace
}  // namespace millrace

#include "controlplane/manifests/folder_watch.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "controlplane/manifests/folder.h"

namespace millrace::manifests {
namespace {

namespace fs = std::filesystem;

constexpr Instant start = Instant::from_ns(1'000'000'000);
constexpr Duration ms(int64_t count) {
  return Duration::milliseconds(count);
}

TEST(HoldOff, LooksAfterQuiet) {
  HoldOff hold_off;
  EXPECT_EQ(hold_off.due(), Instant::never());
  hold_off.changed(start);
  EXPECT_EQ(hold_off.due(), start + ms(75));
  hold_off.changed(start + ms(50));
  EXPECT_EQ(hold_off.due(), start + ms(125));
  hold_off.looked();
  EXPECT_EQ(hold_off.due(), Instant::never());
}

TEST(HoldOff, NeverWaitsLongerThanItsMaximum) {
  HoldOff hold_off;
  for (int at = 0; at < 490; at += 10) hold_off.changed(start + ms(at));
  EXPECT_EQ(hold_off.due(), start + ms(500));
}

class FolderWatchTest : public ::testing::Test {
 protected:
  FolderWatchTest() {
    char name[] = "/tmp/millrace-watch-XXXXXX";
    root_ = mkdtemp(name);
    fs::create_directory(root_ / "sub");
    auto watch = FolderWatch::create(root_.string());
    watch_ = std::make_unique<FolderWatch>(std::move(watch).value());
    watch_->rewatch({"", "sub"}, now_);
    watch_->take_changes(now_);
  }
  ~FolderWatchTest() override { fs::remove_all(root_); }

  void write(const std::string& name) { std::ofstream(root_ / name) << "x"; }

  // What has changed by now. Waits for the kernel only as long as it has something to say.
  FolderWatch::Changes changes() {
    pollfd ready{watch_->fd(), POLLIN, 0};
    poll(&ready, 1, 100);
    watch_->read_events(now_);
    pending_ = watch_->due(now_) != Instant::never();
    return watch_->take_changes(now_);
  }

  fs::path root_;
  std::unique_ptr<FolderWatch> watch_;
  Instant now_ = start;
  bool pending_ = false;
};

TEST_F(FolderWatchTest, TellsOfFilesAnywhere) {
  write("a.yaml");
  EXPECT_EQ(changes().touched, (std::set<std::string>{"a.yaml"}));
  write("sub/b.json");
  fs::rename(root_ / "a.yaml", root_ / "sub/c.yml");
  EXPECT_EQ(changes().touched, (std::set<std::string>{"a.yaml", "sub/b.json", "sub/c.yml"}));
  fs::remove(root_ / "sub/c.yml");
  EXPECT_EQ(changes().touched, (std::set<std::string>{"sub/c.yml"}));
  EXPECT_TRUE(pending_);
  changes();
  EXPECT_FALSE(pending_);
}

TEST_F(FolderWatchTest, IgnoresEditorsTemporaryFiles) {
  write(".a.yaml.swp");
  EXPECT_TRUE(changes().touched.empty());
  EXPECT_FALSE(pending_);
  write("..data");  // how a ConfigMap changes
  changes();
  EXPECT_TRUE(pending_);
}

TEST_F(FolderWatchTest, ANewDirectoryIsWatchedFromItsFirstLook) {
  fs::create_directory(root_ / "new");
  changes();
  EXPECT_TRUE(pending_);
  watch_->rewatch({"", "sub", "new"}, now_);
  EXPECT_NE(watch_->due(now_), Instant::never()) << "what came before the watch needs a look";
  changes();
  write("new/a.yaml");
  EXPECT_EQ(changes().touched, (std::set<std::string>{"new/a.yaml"}));
}

TEST_F(FolderWatchTest, AMovedDirectoryIsFollowed) {
  fs::rename(root_ / "sub", root_ / "moved");
  changes();
  EXPECT_TRUE(pending_);
  watch_->rewatch({"", "moved"}, now_);
  changes();
  write("moved/a.yaml");
  EXPECT_EQ(changes().touched, (std::set<std::string>{"moved/a.yaml"}));
}

TEST_F(FolderWatchTest, AFileIsBusyUntilItsWriterClosesIt) {
  const int fd = open((root_ / "a.yaml").c_str(), O_WRONLY | O_CREAT, 0644);
  ASSERT_EQ(::write(fd, "x", 1), 1);
  EXPECT_EQ(changes().busy, (std::set<std::string>{"a.yaml"}));
  EXPECT_EQ(watch_->due(now_), now_ + busy_time_max);
  close(fd);
  const FolderWatch::Changes after = changes();
  EXPECT_TRUE(after.busy.empty());
  EXPECT_EQ(after.touched, (std::set<std::string>{"a.yaml"}));
}

TEST_F(FolderWatchTest, AFileThatWasFinishedCanBeReadAhead) {
  const int fd = open((root_ / "a.yaml").c_str(), O_WRONLY | O_CREAT, 0644);
  ASSERT_EQ(::write(fd, "x", 1), 1);
  watch_->read_events(now_);
  EXPECT_TRUE(watch_->take_finished().empty()) << "its writer is at it";
  close(fd);
  write("b.new");
  fs::rename(root_ / "b.new", root_ / "sub/b.yaml");
  write("c.yaml");
  fs::remove(root_ / "c.yaml");
  watch_->read_events(now_);
  EXPECT_EQ(watch_->take_finished(), (std::set<std::string>{"a.yaml", "sub/b.yaml"}));
  watch_->was_read("a.yaml");
  EXPECT_EQ(changes().touched, (std::set<std::string>{"c.yaml", "sub/b.yaml"}));
}

TEST_F(FolderWatchTest, AWriterThatNeverClosesIsNotWaitedForLong) {
  const int fd = open((root_ / "a.yaml").c_str(), O_WRONLY | O_CREAT, 0644);
  ASSERT_EQ(::write(fd, "x", 1), 1);
  EXPECT_EQ(changes().busy.size(), 1u);
  now_ = now_ + busy_time_max;
  EXPECT_EQ(watch_->due(now_), now_);
  const FolderWatch::Changes after = watch_->take_changes(now_);
  EXPECT_TRUE(after.busy.empty());
  EXPECT_EQ(after.touched, (std::set<std::string>{"a.yaml"}));
  EXPECT_EQ(watch_->due(now_), Instant::never());
  close(fd);
}

TEST_F(FolderWatchTest, LooksForAFolderThatIsGoneUntilItComesBack) {
  fs::remove_all(root_);
  changes();
  EXPECT_FALSE(watch_->has_folder());
  EXPECT_EQ(watch_->due(now_), now_ + lost_folder_retry);
  now_ = now_ + lost_folder_retry;
  watch_->rewatch({""}, now_);
  EXPECT_FALSE(watch_->has_folder());
  EXPECT_EQ(watch_->due(now_), now_ + lost_folder_retry);
  fs::create_directory(root_);
  watch_->rewatch({""}, now_);
  EXPECT_TRUE(watch_->has_folder());
  changes();
  write("a.yaml");
  EXPECT_EQ(changes().touched, (std::set<std::string>{"a.yaml"}));
}

}  // namespace
}  // namespace millrace::manifests

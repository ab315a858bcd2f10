// The file behind the access log, and the log's turns: rotation, slow readers, full disks.
#include "dataplane/access_log/access_log_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "dataplane/access_log/access_log.h"
#include "dataplane/access_log/exchange_notes.h"

namespace millrace::access_log {
namespace {

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

int64_t line_count(const std::string& text) {
  return std::count(text.begin(), text.end(), '\n');
}

class AccessLogFileTest : public testing::Test {
 protected:
  AccessLogFileTest() {
    std::string name = (std::filesystem::temp_directory_path() / "millrace-log-XXXXXX").string();
    folder = mkdtemp(name.data());
    path = folder + "/access.log";
  }
  ~AccessLogFileTest() override { std::filesystem::remove_all(folder); }
  AccessLogFile open() {
    auto file = AccessLogFile::open(path);
    EXPECT_TRUE(file.ok()) << file.error();
    return std::move(*file);
  }

  std::string folder;
  std::string path;
};

TEST_F(AccessLogFileTest, AppendsToWhatIsThereAndOthersMayNotRead) {
  AccessLogFile file = open();
  file.buffer() += "one\ntwo\n";
  EXPECT_EQ(contents(path), "");
  file.flush();
  EXPECT_EQ(contents(path), "one\ntwo\n");
  EXPECT_EQ(file.lines_written(), 2U);
  struct stat facts {};
  ASSERT_EQ(stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & S_IRWXO, 0U);
  AccessLogFile again = open();
  again.buffer() += "three\n";
  again.flush();
  EXPECT_EQ(contents(path), "one\ntwo\nthree\n");
}

TEST_F(AccessLogFileTest, MistakesAreOneLine) {
  const auto missing = AccessLogFile::open(folder + "/nowhere/access.log");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error(),
            "access log: " + folder + "/nowhere/access.log: No such file or directory");
  const auto is_folder = AccessLogFile::open(folder);
  ASSERT_FALSE(is_folder.ok());
  const auto device = AccessLogFile::open("/dev/null");
  ASSERT_FALSE(device.ok());
  EXPECT_EQ(device.error(), "access log: /dev/null: is no regular file");
}

TEST_F(AccessLogFileTest, ARenamedOrRemovedFileIsMadeAnew) {
  AccessLogFile file = open();
  file.buffer() += "first\n";
  file.flush();
  EXPECT_TRUE(file.look().ok());
  std::filesystem::rename(path, path + ".1");
  file.buffer() += "second\n";
  EXPECT_TRUE(file.look().ok()) << "what waits goes to the file it was meant for";
  file.buffer() += "third\n";
  file.flush();
  EXPECT_EQ(contents(path + ".1"), "first\nsecond\n");
  EXPECT_EQ(contents(path), "third\n");
  std::filesystem::remove(path);
  EXPECT_TRUE(file.look().ok());
  file.buffer() += "fourth\n";
  file.flush();
  EXPECT_EQ(contents(path), "fourth\n");
}

TEST_F(AccessLogFileTest, AFolderThatIsGoneIsSaidAndTheOldFileGoesOn) {
  AccessLogFile file = open();
  std::filesystem::rename(folder, folder + "-moved");
  const Status looked = file.look();
  ASSERT_FALSE(looked.ok());
  EXPECT_NE(looked.error().find(path), std::string::npos);
  file.buffer() += "still\n";
  file.flush();
  EXPECT_EQ(contents(folder + "-moved/access.log"), "still\n");
  std::filesystem::rename(folder + "-moved", folder);
  EXPECT_TRUE(file.look().ok());
}

// A file that may not grow stands for a full disk: whole lines are lost and counted, and the line
// that it broke off in gets its rest when there is room again.
TEST_F(AccessLogFileTest, AFullDiskLosesWholeLines) {
  signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  AccessLogFile file = open();
  const rlimit small{10, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  file.buffer() += "one\ntwo\nthree\nfour\n";  // ten octets end in "three"
  file.flush();
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_FALSE(file.last_error().empty());
  EXPECT_EQ(file.lines_written(), 2U);
  EXPECT_EQ(file.lines_lost(), 1U) << "four; three is under way";
  file.buffer() += "five\n";
  file.flush();
  EXPECT_EQ(contents(path), "one\ntwo\nthree\nfive\n");
  EXPECT_EQ(file.lines_written(), 4U);
  EXPECT_TRUE(file.last_error().empty());
}

TEST_F(AccessLogFileTest, APipeThatNobodyReadsIsNeverWaitedFor) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const UniqueFd reader(ends[0]);
  const int kept = dup(STDOUT_FILENO);
  dup2(ends[1], STDOUT_FILENO);
  auto opened = AccessLogFile::open("stdout");
  dup2(kept, STDOUT_FILENO);
  close(kept);
  close(ends[1]);
  ASSERT_TRUE(opened.ok()) << opened.error();
  AccessLogFile file = std::move(*opened);
  const std::string line(999, 'x');
  while (file.has_room()) file.buffer() += line + "\n";
  file.flush();  // a pipe takes 64 KiB
  while (file.has_room()) file.buffer() += line + "\n";
  file.flush();
  EXPECT_FALSE(file.has_room()) << "what the pipe does not take waits";
  EXPECT_EQ(file.lines_lost(), 0U);
  EXPECT_TRUE(file.look().ok());
  std::string read_text;
  std::string part(1 << 16, '\0');
  fcntl(reader.get(), F_SETFL, O_NONBLOCK);
  for (int i = 0; i < 100; ++i) {
    const ssize_t got = read(reader.get(), part.data(), part.size());
    if (got > 0) read_text.append(part.data(), static_cast<size_t>(got));
    file.flush();
  }
  EXPECT_EQ(line_count(read_text), static_cast<int64_t>(file.lines_written()));
  EXPECT_GE(file.lines_written(), 130U);
  EXPECT_EQ(read_text.size(), file.lines_written() * (line.size() + 1));
}

TEST_F(AccessLogFileTest, ATurnWritesWhatTheWorkerHasPushed) {
  RecordRing ring(1U << 16);
  ExchangeNotes notes(&ring, 1);
  AccessLog log(ring, open(), Format::combined);
  EXPECT_FALSE(log.turn(0));
  uint64_t pushed = 0;
  const Instant now = Instant::from_ns(1);
  for (int round = 0; round < 50; ++round) {
    for (int i = 0; i < 100; ++i) {
      notes.begin(0, "10.0.0.1", 1, nullptr, now, now);
      if (notes.end(0, 0, 0, false, now)) ++pushed;
    }
    EXPECT_TRUE(log.turn(0));
    EXPECT_FALSE(log.turn(0)) << "nothing more was there";
  }
  EXPECT_EQ(pushed, 5'000U);
  EXPECT_EQ(log.lines_written(), pushed);
  EXPECT_EQ(line_count(contents(path)), 5'000);
  EXPECT_EQ(log.once_a_second(), "");
  std::filesystem::rename(folder, folder + "-moved");
  EXPECT_NE(log.once_a_second(), "");
  EXPECT_EQ(log.once_a_second(), "") << "said once";
  std::filesystem::rename(folder + "-moved", folder);
  notes.begin(0, "10.0.0.1", 1, nullptr, now, now);
  notes.end(0, 0, 0, false, now);
  log.finish(0);
  EXPECT_EQ(log.lines_written(), pushed + 1);
}

}  // namespace
}  // namespace millrace::access_log

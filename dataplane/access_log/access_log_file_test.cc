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
#include <optional>
#include <sstream>
#include <string>
#include <thread>

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

TEST_F(AccessLogFileTest, ItsOwnerIsTheOneThatWillWriteToIt) {
  if (getuid() != 0) GTEST_SKIP() << "only root gives files away";
  constexpr uint32_t nobody = 65'534;
  ASSERT_TRUE(AccessLogFile::open(path, nobody).ok());
  struct stat facts {};
  ASSERT_EQ(stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_uid, nobody);
  EXPECT_EQ(facts.st_gid, nobody);
  // One that was there belongs to whoever made it.
  ASSERT_EQ(chown(path.c_str(), 0, 0), 0);
  ASSERT_TRUE(AccessLogFile::open(path, nobody).ok());
  ASSERT_EQ(stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_uid, 0U);
}

TEST_F(AccessLogFileTest, ANamedPipeIsRefusedAndNeverWaitedFor) {
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_FALSE(AccessLogFile::open(path).ok()) << "nobody reads it";
  const UniqueFd reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK));
  EXPECT_FALSE(AccessLogFile::open(path).ok()) << "somebody does";
  std::filesystem::remove(path);
  AccessLogFile file = open();
  std::filesystem::remove(path);
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_FALSE(file.look().ok());
}

// Whoever gathers a container's logs reads when it likes; every line is whole.
TEST_F(AccessLogFileTest, StandardOutputWaitsForItsReader) {
  for (const bool without_waiting : {false, true}) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const UniqueFd reader(ends[0]);
    if (without_waiting) fcntl(ends[1], F_SETFL, O_NONBLOCK);
    const int kept = dup(STDOUT_FILENO);
    dup2(ends[1], STDOUT_FILENO);
    std::optional<Result<AccessLogFile>> file = AccessLogFile::open("stdout");
    dup2(kept, STDOUT_FILENO);
    close(kept);
    close(ends[1]);
    ASSERT_TRUE(file->ok()) << file->error();
    constexpr int lines = 500;
    std::thread writer([&] {
      const std::string line(999, 'x');
      for (int i = 0; i < lines; ++i) (*file)->buffer() += line + "\n";
      (*file)->flush();  // a pipe takes 64 KiB
      EXPECT_EQ((*file)->lines_written(), uint64_t{lines});
      EXPECT_TRUE((*file)->look().ok());
      file.reset();
    });
    std::string read_text;
    std::string part(10'000, '\0');
    for (ssize_t got = 1; got > 0;) {
      usleep(1'000);
      got = read(reader.get(), part.data(), part.size());
      if (got > 0) read_text.append(part.data(), static_cast<size_t>(got));
    }
    writer.join();
    EXPECT_EQ(read_text.size(), lines * 1'000U);
    EXPECT_EQ(line_count(read_text), lines);
  }
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
      notes.begin(0, {"10.0.0.1", "", 1, ""}, nullptr, now, now);
      if (notes.end(0, 0, 0, false, now)) ++pushed;
    }
    EXPECT_FALSE(log.turn(0)) << "everything fits into one buffer";
  }
  EXPECT_EQ(pushed, 5'000U);
  EXPECT_EQ(log.lines_written(), pushed);
  EXPECT_EQ(line_count(contents(path)), 5'000);
  EXPECT_EQ(log.once_a_second(), "");
  std::filesystem::rename(folder, folder + "-moved");
  EXPECT_NE(log.once_a_second(), "");
  EXPECT_EQ(log.once_a_second(), "") << "said once";
  std::filesystem::rename(folder + "-moved", folder);
}

}  // namespace
}  // namespace millrace::access_log

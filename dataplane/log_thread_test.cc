#include "dataplane/log_thread.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "dataplane/access_log/exchange_notes.h"

namespace millrace {
namespace {

class LogThreadTest : public ::testing::Test {
 protected:
  LogThreadTest() {
    std::string name = (std::filesystem::temp_directory_path() / "millrace-log-XXXXXX").string();
    folder = mkdtemp(name.data());
    config.file = folder + "/access.log";
    config.ring_kib = 64;
  }
  ~LogThreadTest() override { std::filesystem::remove_all(folder); }

  std::unique_ptr<LogThread> create() {
    auto made = LogThread::create(config, std::nullopt);
    EXPECT_TRUE(made.ok()) << made.error();
    return std::move(*made);
  }
  // False: the ring was full.
  static bool push(access_log::ExchangeNotes& notes) {
    const Instant now = MonotonicClock().now();
    notes.begin(0, {"10.0.0.1", "", 1, ""}, nullptr, now, now);
    return notes.end(0, 0, 0, false, now);
  }
  int64_t lines() const {
    std::ifstream file(config.file);
    std::ostringstream text;
    text << file.rdbuf();
    const std::string all = text.str();
    return std::count(all.begin(), all.end(), '\n');
  }

  std::string folder;
  AccessLogConfig config;
};

TEST_F(LogThreadTest, WritesSoonAndTheRestAtTheEnd) {
  const std::unique_ptr<LogThread> log = create();
  access_log::ExchangeNotes notes(&log->ring(), 1);
  log->start();
  ASSERT_TRUE(push(notes));
  for (int ms = 0; ms < 2'000 && lines() < 1; ++ms) usleep(1'000);
  EXPECT_EQ(lines(), 1);
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(push(notes));
  EXPECT_TRUE(log->stop(Duration::seconds(5)));
  EXPECT_EQ(lines(), 51);
  EXPECT_EQ(log->lines_written(), 51U);
  EXPECT_EQ(log->lines_lost(), 0U);
  EXPECT_TRUE(log->stop(Duration())) << "it has stopped already";
}

// Twenty rings' worth, as fast as it goes.
TEST_F(LogThreadTest, WhatIsPushedIsWrittenOrWasRefused) {
  const std::unique_ptr<LogThread> log = create();
  access_log::ExchangeNotes notes(&log->ring(), 1);
  log->start();
  uint64_t pushed = 0;
  for (int i = 0; i < 10'000; ++i) pushed += push(notes) ? 1 : 0;
  EXPECT_TRUE(log->stop(Duration::seconds(5)));
  EXPECT_EQ(log->lines_written(), pushed);
  EXPECT_EQ(lines(), static_cast<int64_t>(pushed));
}

TEST_F(LogThreadTest, AFileThatDoesNotTakeAnythingHoldsNobodyUp) {
  signal(SIGPIPE, SIG_IGN);  // the thread is left behind, and its reader goes
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const UniqueFd reader(ends[0]);
  const int kept = dup(STDOUT_FILENO);
  dup2(ends[1], STDOUT_FILENO);
  config.file = "stdout";
  std::unique_ptr<LogThread> log = create();
  dup2(kept, STDOUT_FILENO);
  close(kept);
  close(ends[1]);
  access_log::ExchangeNotes notes(&log->ring(), 1);
  log->start();
  int refused = 0;
  for (int i = 0; i < 20'000 && refused == 0; ++i) {
    if (!push(notes)) ++refused;
    if (i % 100 == 0) usleep(1'000);
  }
  EXPECT_EQ(refused, 1) << "pipe and ring are full, and the worker has gone on";
  const Instant before = MonotonicClock().now();
  EXPECT_FALSE(log->stop(Duration::milliseconds(50)));
  log.reset();
  EXPECT_LT(MonotonicClock().now() - before, Duration::seconds(1));
}

TEST_F(LogThreadTest, AFileThatCannotBeMadeIsOneLine) {
  config.file = folder + "/nowhere/access.log";
  const auto made = LogThread::create(config, std::nullopt);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error(),
            "access log: " + folder + "/nowhere/access.log: No such file or directory");
}

TEST_F(LogThreadTest, OneThatWasNeverStartedStops) {
  EXPECT_TRUE(create()->stop(Duration::seconds(1)));
}

}  // namespace
}  // namespace millrace

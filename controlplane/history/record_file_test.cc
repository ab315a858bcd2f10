#include "controlplane/history/record_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace millrace::history {
namespace {

namespace fs = std::filesystem;

class RecordFileTest : public ::testing::Test {
 protected:
  RecordFileTest() {
    char name[] = "/tmp/millrace-records-XXXXXX";
    root_ = mkdtemp(name);
    open();
  }
  ~RecordFileTest() override { fs::remove_all(root_); }

  void open() {
    fd_ = UniqueFd(::open((root_ / "log").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_TRUE(fd_);
  }
  void append(const std::string& content) {
    const auto place = append_record(fd_.get(), end_, content);
    ASSERT_TRUE(place.ok()) << place.error();
    end_ = place->end();
  }
  std::vector<std::string> contents() {
    const auto scan = scan_records(fd_.get());
    EXPECT_TRUE(scan.ok());
    std::vector<std::string> found;
    for (const RecordPlace& place : scan->records) {
      const auto content = read_record(fd_.get(), place);
      EXPECT_TRUE(content.ok()) << content.error();
      found.push_back(*content);
    }
    damage_ = scan->damage.size();
    return found;
  }
  void flip(uint64_t offset) {
    char byte = 0;
    ASSERT_EQ(::pread(fd_.get(), &byte, 1, static_cast<off_t>(offset)), 1);
    byte = static_cast<char>(byte ^ 0x40);
    ASSERT_EQ(::pwrite(fd_.get(), &byte, 1, static_cast<off_t>(offset)), 1);
  }

  fs::path root_;
  UniqueFd fd_;
  uint64_t end_ = 0;
  size_t damage_ = 0;
};

using Contents = std::vector<std::string>;

TEST_F(RecordFileTest, WhatIsWrittenIsRead) {
  EXPECT_EQ(contents(), Contents{});
  append("one");
  append("");
  append(std::string(100'000, 'x') + "MLHR");
  EXPECT_EQ(contents(), (Contents{"one", "", std::string(100'000, 'x') + "MLHR"}));
  EXPECT_EQ(damage_, 0u);
}

TEST_F(RecordFileTest, CutAnywhereTheRecordsBeforeTheCutAreThere) {
  append("first");
  const uint64_t second = end_;
  append("second");
  for (uint64_t length = end_ - 1; length > second; --length) {
    ASSERT_EQ(::ftruncate(fd_.get(), static_cast<off_t>(length)), 0);
    EXPECT_EQ(contents(), Contents{"first"}) << length;
    EXPECT_EQ(damage_, 1u) << length;
  }
  ASSERT_EQ(::ftruncate(fd_.get(), static_cast<off_t>(second)), 0);
  EXPECT_EQ(contents(), Contents{"first"});
  EXPECT_EQ(damage_, 0u);
}

TEST_F(RecordFileTest, AWrongBitAnywhereCostsItsRecordAndNoOther) {
  append("first");
  const uint64_t from = end_;
  append("second with a MLHR inside");
  const uint64_t to = end_;
  append("third");
  for (uint64_t offset = from; offset < to; ++offset) {
    flip(offset);
    EXPECT_EQ(contents(), (Contents{"first", "third"})) << offset;
    EXPECT_EQ(damage_, 1u) << offset;
    flip(offset);
  }
  EXPECT_EQ(contents().size(), 3u);
}

TEST_F(RecordFileTest, AReplacedFileIsTheOldOneOrTheNewOne) {
  EXPECT_EQ(*read_file(root_, "hold"), "");
  ASSERT_TRUE(replace_file(root_, "hold", "old").ok());
  EXPECT_EQ(*read_file(root_, "hold"), "old");
  // Killed before the rename: half a file beside it.
  std::ofstream(root_ / "hold.tmp") << "ML";
  EXPECT_EQ(*read_file(root_, "hold"), "old");
  ASSERT_TRUE(replace_file(root_, "hold", "new").ok());
  EXPECT_EQ(*read_file(root_, "hold"), "new");
  EXPECT_FALSE(fs::exists(root_ / "hold.tmp"));
  std::ofstream(root_ / "hold", std::ios::app) << "x";
  EXPECT_FALSE(read_file(root_, "hold").ok());
  EXPECT_FALSE(replace_file(root_ / "nowhere", "hold", "new").ok());
}

}  // namespace
}  // namespace millrace::history

#include "shm/last_good.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "shm/snapshot_test_support.h"

namespace millrace::shm {
namespace {

using testing::open_builder;
using testing::realistic_builder;

class LastGood : public ::testing::Test {
 protected:
  LastGood() {
    char folder[] = "/tmp/millrace-last-good-XXXXXX";
    folder_ = ::mkdtemp(folder);
    path_ = folder_ + "/last_good";
  }
  ~LastGood() override {
    ::unlink(path_.c_str());
    ::rmdir(folder_.c_str());
  }
  std::vector<char> contents() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // In place: file systems flush a file that was emptied and written again.
  void put(const std::vector<char>& bytes) const {
    const UniqueFd file(::open(path_.c_str(), O_WRONLY | O_CLOEXEC));
    CHECK(::pwrite(file.get(), bytes.data(), bytes.size(), 0) ==
          static_cast<ssize_t>(bytes.size()));
    CHECK(::ftruncate(file.get(), static_cast<off_t>(bytes.size())) == 0);
  }
  std::string folder_;
  std::string path_;
};

TEST_F(LastGood, RoundTrip) {
  const auto snapshot = open_builder(realistic_builder(), 17);
  const Status saved = save_last_good(path_, *snapshot);
  ASSERT_TRUE(saved.ok()) << saved.error();
  const auto loaded = load_last_good(path_);
  ASSERT_TRUE(loaded.ok()) << loaded.error();
  EXPECT_EQ((*loaded)->version(), 17U);
  EXPECT_EQ(testing::walk((*loaded)->view()), testing::walk(snapshot->view()));
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  EXPECT_NE(::stat((path_ + ".tmp").c_str(), &info), 0) << "nothing is left beside it";
}

TEST_F(LastGood, ManySegmentsRoundTrip) {
  SnapshotShape shape;
  shape.routes_segment_count = 8;
  shape.service_slot_shift = 1;
  const auto snapshot = open_builder(realistic_builder(shape), 18);
  ASSERT_TRUE(save_last_good(path_, *snapshot).ok());
  const auto loaded = load_last_good(path_);
  ASSERT_TRUE(loaded.ok()) << loaded.error();
  EXPECT_EQ(testing::walk((*loaded)->view()), testing::walk(snapshot->view()));
}

TEST_F(LastGood, C2ANewOneReplacesTheOldOneAndAHalfWrittenOneHarmsNothing) {
  ASSERT_TRUE(save_last_good(path_, *open_builder(realistic_builder(), 1)).ok());
  {
    std::ofstream half(path_ + ".tmp");
    half << "a writer died here";
  }
  EXPECT_EQ((*load_last_good(path_))->version(), 1U);
  ASSERT_TRUE(save_last_good(path_, *open_builder(realistic_builder(), 2)).ok());
  EXPECT_EQ((*load_last_good(path_))->version(), 2U);
}

TEST_F(LastGood, S2AnyFlippedByteIsRefusedWithASentence) {
  ASSERT_TRUE(save_last_good(path_, *open_builder(realistic_builder(), 1)).ok());
  std::vector<char> bytes = contents();
  for (size_t at = 0; at < bytes.size(); ++at) {
    bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
    put(bytes);
    const auto loaded = load_last_good(path_);
    ASSERT_FALSE(loaded.ok()) << "byte " << at;
    ASSERT_EQ(loaded.error().rfind("last good snapshot " + path_ + ": ", 0), 0U);
    bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
  }
}

TEST_F(LastGood, S2AnyOtherLengthIsRefused) {
  ASSERT_TRUE(save_last_good(path_, *open_builder(realistic_builder(), 1)).ok());
  const std::vector<char> bytes = contents();
  for (size_t size = 0; size < bytes.size() + 16; ++size) {
    if (size == bytes.size()) continue;
    std::vector<char> changed = bytes;
    changed.resize(size);
    put(changed);
    ASSERT_FALSE(load_last_good(path_).ok()) << size;
  }
}

TEST_F(LastGood, WhatTheEnvironmentRefusesIsOneLine) {
  EXPECT_EQ(load_last_good(path_).error(),
            "last good snapshot: cannot open " + path_ + ": No such file or directory");
  EXPECT_FALSE(load_last_good(folder_).ok());
  const Status saved =
      save_last_good(folder_ + "/missing/last_good", *open_builder(realistic_builder(), 1));
  ASSERT_FALSE(saved.ok());
  EXPECT_NE(saved.error().find("cannot create"), std::string::npos);
}

// Nobody redirects our writing by a link that waits under the temporary name.
TEST_F(LastGood, ALinkUnderTheTemporaryNameIsNotFollowed) {
  ASSERT_TRUE(save_last_good(path_, *open_builder(realistic_builder(), 1)).ok());
  ASSERT_EQ(::symlink("/dev/null", (path_ + ".tmp").c_str()), 0);
  EXPECT_FALSE(save_last_good(path_, *open_builder(realistic_builder(), 2)).ok());
  EXPECT_EQ((*load_last_good(path_))->version(), 1U);
  ::unlink((path_ + ".tmp").c_str());
}

}  // namespace
}  // namespace millrace::shm

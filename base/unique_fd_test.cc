#include "base/unique_fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace millrace {
namespace {

bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0;
}

TEST(UniqueFd, ClosesOnceAndMoves) {
  UniqueFd first(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int number = first.get();
  ASSERT_TRUE(is_open(number));
  UniqueFd second = std::move(first);
  EXPECT_FALSE(first);  // NOLINT: the moved-from state is what is tested
  EXPECT_TRUE(is_open(number));
  second = UniqueFd();
  EXPECT_FALSE(is_open(number));
}

TEST(UniqueFd, ReleaseLeavesItOpen) {
  UniqueFd owner(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int number = owner.release();
  EXPECT_FALSE(owner);
  EXPECT_TRUE(is_open(number));
  ::close(number);
}

}  // namespace
}  // namespace millrace

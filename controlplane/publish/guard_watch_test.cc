#include "controlplane/publish/guard_watch.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <array>
#include <atomic>
#include <string>
#include <string_view>
#include <thread>

#include "base/unique_fd.h"

namespace millrace::publish {
namespace {

constexpr std::array<std::string_view, 4> names = {"guard_bad_version", "guard_back_to_version",
                                                   "guard_acts", "guard_warnings"};

class GuardWatchTest : public ::testing::Test {
 protected:
  GuardWatchTest() { page_ = make(names); }
  static std::unique_ptr<shm::StatsPage> make(std::span<const std::string_view> cells) {
    auto page = shm::StatsPage::create(cells, 1);
    CHECK(page.ok());
    return std::move(*page);
  }
  // As dataplane/housekeeping.cc does it.
  void act(uint64_t bad, uint64_t back_to, uint64_t number) {
    page_->set(0, 0, bad);
    page_->set(0, 1, back_to);
    page_->set_guard_reason("a.example fails");
    page_->set_last_error("a refusal that came behind it");
    page_->set(0, 2, number);
  }
  std::optional<GuardAct> look() {
    now_ = now_ + guard_look_interval;
    return watch_.look(page_->fd(), now_);
  }

  std::unique_ptr<shm::StatsPage> page_;
  GuardWatch watch_;
  Instant now_ = Instant::from_ns(1'000'000'000);
};

TEST_F(GuardWatchTest, EachActOnce) {
  EXPECT_FALSE(look());
  act(7, 6, 1);
  page_->set_applied(3, 6);
  const auto first = look();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->bad_version, 7u);
  EXPECT_EQ(first->back_to_version, 6u);
  EXPECT_EQ(first->sentence, "a.example fails");
  EXPECT_FALSE(look());
  act(9, 8, 2);
  page_->set_applied(4, 8);
  EXPECT_TRUE(look());
}

// The reader goes through the page while it is written: what belongs to an act is never older.
TEST_F(GuardWatchTest, AnActNeverComesWithWhatBelongsToTheOneBefore) {
  std::jthread writer([&](const std::stop_token& stop) {
    for (uint64_t number = 1; !stop.stop_requested(); ++number) {
      page_->set_guard_reason(std::to_string(number));
      page_->set(0, 0, number);
      page_->set(0, 1, number);
      std::atomic_thread_fence(std::memory_order_release);
      page_->set(0, 2, number);
    }
  });
  for (int seen = 0; seen < 2'000;) {
    const auto act = look();
    if (!act) continue;
    ++seen;
    ASSERT_GE(act->bad_version, act->number);
    ASSERT_GE(act->back_to_version, act->number);
    if (!act->sentence.empty()) {  // or it was written over and over while it was read
      ASSERT_GE(std::stoull(act->sentence), act->number);
    }
  }
}

TEST_F(GuardWatchTest, APageThatCannotBeReadIsSaidOnce) {
  const UniqueFd other(memfd_create("other", MFD_CLOEXEC));
  EXPECT_FALSE(watch_.look(other.get(), now_));
  const auto refusal = watch_.take_refusal();
  ASSERT_TRUE(refusal);
  EXPECT_NE(refusal->find("stats page refused"), std::string::npos) << *refusal;
  EXPECT_FALSE(watch_.look(other.get(), now_ + guard_look_interval));
  EXPECT_FALSE(watch_.take_refusal());
}

TEST_F(GuardWatchTest, WhatSomebodyHasPublishedSinceAnActBeforeOurTimeIsKnownToThem) {
  act(7, 6, 1);
  page_->set_applied(4, 8);
  EXPECT_FALSE(look());
}

TEST_F(GuardWatchTest, AnActUnderOurEyesCountsWhateverHasArrivedBehindIt) {
  EXPECT_FALSE(look());
  act(7, 6, 1);
  page_->set_applied(4, 8);  // a table of ours that was on its way
  EXPECT_TRUE(look());
}

TEST_F(GuardWatchTest, NoPublishSlipsBetweenTwoLooks) {
  EXPECT_FALSE(watch_.look(page_->fd(), now_));
  act(7, 6, 1);
  EXPECT_TRUE(watch_.look(page_->fd(), now_));
}

TEST_F(GuardWatchTest, ADataPlaneThatHasNoGuardAndNoDataPlane) {
  page_ = make(std::span<const std::string_view>(names).first(2));
  EXPECT_FALSE(look());
  EXPECT_FALSE(watch_.look(-1, now_));
  EXPECT_EQ(watch_.due(), Instant::never());
}

}  // namespace
}  // namespace millrace::publish

#include "shm/stats_page.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <thread>

namespace millrace::shm {
namespace {

constexpr std::string_view names[] = {"requests_received", "requests_refused"};

std::unique_ptr<StatsPage> page_of(uint32_t workers) {
  auto page = StatsPage::create(names, workers);
  CHECK(page.ok());
  return std::move(*page);
}

TEST(StatsPage, RoundTrip) {
  const auto page = page_of(2);
  page->add(0, 0, 3);
  page->add(0, 0, 4);
  page->add(1, 0, 10);
  page->set(1, 1, 99);
  page->set_applied(5, 41);
  page->set_guard_reason("a.example fails");
  page->set_last_error("snapshot refused:\nroot");
  const auto reader = StatsReader::map(page->fd());
  ASSERT_TRUE(reader.ok()) << reader.error();
  const StatsReading reading = (*reader)->read();
  EXPECT_EQ(reading.pid, static_cast<uint32_t>(::getpid()));
  EXPECT_GT(reading.start_time_unix_ns, 1'500'000'000U * uint64_t{1'000'000'000});
  EXPECT_EQ(reading.applied_epoch, 5U);
  EXPECT_EQ(reading.applied_version, 41U);
  EXPECT_EQ(reading.last_error, "snapshot refused:?root");
  EXPECT_EQ(reading.guard_reason, "a.example fails");
  ASSERT_EQ(reading.counters.size(), 2U);
  EXPECT_EQ(reading.counters[0].name, "requests_received");
  EXPECT_EQ(reading.counters[0].per_worker, (std::vector<uint64_t>{7, 10}));
  EXPECT_EQ(reading.counters[0].sum, 17U);
  EXPECT_EQ(reading.counters[1].sum, 99U);
}

TEST(StatsPage, LongErrorsAreCut) {
  const auto page = page_of(1);
  page->set_last_error(std::string(1000, 'x'));
  const auto reader = StatsReader::map(page->fd());
  EXPECT_EQ((*reader)->read().last_error, std::string(stats_error_bytes_max - 1, 'x'));
}

TEST(StatsPage, S3ItsReadersCannotWriteOrShrinkIt) {
  const auto page = page_of(1);
  EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, page->fd(), 0), MAP_FAILED);
  EXPECT_LT(::pwrite(page->fd(), "x", 1, 0), 0);
  EXPECT_NE(::ftruncate(page->fd(), 0), 0);
  page->add(0, 0, 1);  // its own mapping still does
}

// A page made by hand, as a hostile data plane could hand it over.
class HostilePage {
 public:
  HostilePage(size_t size, int seals, const std::function<void(StatsHeader&)>& change) {
    fd_ = UniqueFd(::memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    CHECK(::ftruncate(fd_.get(), static_cast<off_t>(size)) == 0);
    if (size >= sizeof(StatsHeader)) {
      void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
      CHECK(memory != MAP_FAILED);
      auto* header = static_cast<StatsHeader*>(memory);
      header->magic = stats_magic;
      header->abi = stats_abi;
      header->worker_count = 1;
      header->counter_count = 1;
      std::memset(static_cast<uint8_t*>(memory) + sizeof(StatsHeader), 'n', stats_name_bytes_max);
      change(*header);
      ::munmap(memory, size);
    }
    CHECK(::fcntl(fd_.get(), F_ADD_SEALS, seals) == 0);
  }
  int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
};

TEST(StatsReader, S3HostilePagesAreRefusedOrOnlyLie) {
  constexpr size_t right = sizeof(StatsHeader) + sizeof(StatsBlock);
  const auto keep = [](StatsHeader&) {};
  const auto maps = [](const HostilePage& page) { return StatsReader::map(page.fd()).ok(); };
  EXPECT_TRUE(maps({right, F_SEAL_SHRINK, keep}));
  EXPECT_FALSE(maps({right, 0, keep})) << "it could shrink under its reader";
  EXPECT_FALSE(maps({right - 8, F_SEAL_SHRINK, keep}));
  EXPECT_FALSE(maps({8, F_SEAL_SHRINK, keep}));
  EXPECT_FALSE(maps({right + sizeof(StatsBlock), F_SEAL_SHRINK, keep}));
  EXPECT_FALSE(maps({right, F_SEAL_SHRINK, [](StatsHeader& h) { h.magic = 1; }}));
  EXPECT_FALSE(maps({right, F_SEAL_SHRINK, [](StatsHeader& h) { h.abi = stats_abi + 1; }}));
  EXPECT_FALSE(maps({right, F_SEAL_SHRINK, [](StatsHeader& h) { h.worker_count = 0; }}));
  EXPECT_FALSE(maps({right, F_SEAL_SHRINK, [](StatsHeader& h) { h.worker_count = 0xffffffff; }}));
  EXPECT_FALSE(maps({right, F_SEAL_SHRINK, [](StatsHeader& h) { h.counter_count = 513; }}));
  EXPECT_FALSE(StatsReader::map(-1).ok());
  const HostilePage unterminated(right, F_SEAL_SHRINK, [](StatsHeader& header) {
    header.last_error.sequence = 1;  // "being written", for ever
  });
  const auto reader = StatsReader::map(unterminated.fd());
  ASSERT_TRUE(reader.ok());
  const StatsReading reading = (*reader)->read();
  EXPECT_EQ(reading.counters[0].name, std::string(stats_name_bytes_max, 'n'));
  EXPECT_EQ(reading.last_error, "");
}

TEST(StatsPage, ReadersNeverSeeHalfAnError) {
  const auto page = page_of(1);
  const auto reader = StatsReader::map(page->fd());
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (uint64_t i = 0; !stop.load(std::memory_order_relaxed); ++i) {
      page->set_last_error(std::string(200, i % 2 == 0 ? 'a' : 'b'));
      page->add(0, 0, 1);
    }
  });
  for (int i = 0; i < 2000; ++i) {
    const StatsReading reading = (*reader)->read();
    const std::string& text = reading.last_error;
    EXPECT_EQ(text.find_first_not_of(text.empty() ? 'a' : text[0]), std::string::npos) << text;
  }
  stop.store(true);
  writer.join();
}

}  // namespace
}  // namespace millrace::shm

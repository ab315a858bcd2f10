#include "shm/traffic_page.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <random>
#include <thread>

#include "base/check.h"

namespace millrace::shm {
namespace {

std::unique_ptr<TrafficPage> page_of(uint32_t rows, uint32_t workers = 1) {
  auto page = TrafficPage::create(rows, workers);
  CHECK(page.ok());
  return std::move(*page);
}

constexpr uint32_t own = traffic_rows_fixed;  // the first row that is given to anybody

TrafficReading row_of(const TrafficPage& page, uint32_t row) {
  const auto reader = TrafficReader::map(page.fd());
  CHECK(reader.ok());
  for (const TrafficReading& reading : (*reader)->read()) {
    if (reading.row == row) return reading;
  }
  return {};
}

TrafficExchange exchange_of(uint16_t status, uint64_t time_us) {
  TrafficExchange exchange;
  exchange.status = status;
  exchange.time_us = time_us;
  return exchange;
}

TEST(TrafficPage, BucketsFollowOneAnotherWithoutAGap) {
  EXPECT_EQ(traffic_bucket(0), 0U);
  EXPECT_EQ(traffic_bucket(63), 0U);
  uint64_t begin = 0;
  for (uint32_t bucket = 0; bucket + 1 < traffic_bucket_count; ++bucket) {
    const uint64_t end = traffic_bucket_end_us(bucket);
    ASSERT_GT(end, begin);
    EXPECT_EQ(traffic_bucket(begin), bucket);
    EXPECT_EQ(traffic_bucket(end - 1), bucket);
    if (bucket > 0) {
      EXPECT_LE(end * 4, begin * 5);
    }
    begin = end;
  }
  EXPECT_EQ(begin, uint64_t{1} << 26);
  EXPECT_EQ(traffic_bucket(begin), traffic_bucket_count - 1);
  EXPECT_EQ(traffic_bucket(UINT64_MAX), traffic_bucket_count - 1);
  EXPECT_EQ(traffic_bucket_end_us(traffic_bucket_count - 1), UINT64_MAX);
}

TEST(TrafficPage, WhatIsCountedIsRead) {
  const auto page = page_of(own + 7, 2);
  const uint32_t generation = page->name_row(own + 2, TrafficKind::route, "shop/web a.example/");
  TrafficWriter first = page->writer(0);
  TrafficWriter second = page->writer(1);
  TrafficExchange exchange = exchange_of(200, 100);
  exchange.request_octets = 7;
  exchange.response_octets = 1'000;
  exchange.retries = 2;
  first.count({own + 2, generation}, traffic_row_other_routes, exchange);
  exchange.status = 502;
  exchange.is_ours = true;
  exchange.is_broken_off = true;
  second.count({own + 2, generation}, traffic_row_other_routes, exchange);
  exchange = {};
  exchange.has_time = false;
  second.count({own + 2, generation}, traffic_row_other_routes, exchange);
  const TrafficReading row = row_of(*page, own + 2);
  EXPECT_EQ(row.name, "shop/web a.example/");
  EXPECT_EQ(row.kind, TrafficKind::route);
  EXPECT_EQ(row.answers, (std::array<uint64_t, 6>{1, 0, 1, 0, 0, 1}));
  EXPECT_EQ(row.requests(), 3U);
  EXPECT_EQ(row.ours, 1U);
  EXPECT_EQ(row.broken_off, 1U);
  EXPECT_EQ(row.retries, 4U);
  EXPECT_EQ(row.request_octets, 14U);
  EXPECT_EQ(row.response_octets, 2'000U);
  EXPECT_EQ(row.times_count(), 2U);
  EXPECT_EQ(row.time_us_sum, 200U);
}

TEST(TrafficPage, QuantilesAreEndsOfBuckets) {
  const auto page = page_of(own + 1);
  const uint32_t generation = page->name_row(own, TrafficKind::service, "s");
  EXPECT_EQ(row_of(*page, own).quantile_us(0.5), 0U);
  TrafficWriter writer = page->writer(0);
  for (int i = 0; i < 98; ++i) writer.count({own, generation}, 2, exchange_of(200, 1'000));
  writer.count({own, generation}, 2, exchange_of(200, 50'000));
  writer.count({own, generation}, 2, exchange_of(200, 100'000'000));
  const TrafficReading row = row_of(*page, own);
  EXPECT_EQ(row.quantile_us(0.5), 1'024U);
  EXPECT_EQ(row.quantile_us(0.98), 1'024U);
  EXPECT_EQ(row.quantile_us(0.99), 57'344U);
  EXPECT_EQ(row.quantile_us(1), UINT64_MAX);
  TrafficReading since = row;
  since.subtract(row);
  EXPECT_EQ(since.requests(), 0U);
  EXPECT_EQ(since.times_count(), 0U);
}

TEST(TrafficPage, EachClassOfStatusHasItsTimes) {
  const auto page = page_of(own);
  TrafficWriter writer = page->writer(0);
  for (const int status : {0, 101, 200, 204, 304, 404, 429, 503}) {
    writer.count_class(exchange_of(static_cast<uint16_t>(status), 1'000));
  }
  const std::array<std::pair<const char*, uint64_t>, 6> wanted{
      {{"unanswered", 1}, {"1xx", 1}, {"2xx", 2}, {"3xx", 1}, {"4xx", 2}, {"5xx", 1}}};
  for (uint32_t i = 0; i < wanted.size(); ++i) {
    const TrafficReading row = row_of(*page, traffic_row_unanswered + i);
    EXPECT_EQ(row.name, wanted[i].first);
    EXPECT_EQ(row.kind, TrafficKind::status_class);
    EXPECT_EQ(row.requests(), wanted[i].second) << row.name;
    EXPECT_EQ(row.answers[i], wanted[i].second) << row.name;
    EXPECT_EQ(row.times[traffic_bucket(1'000)], wanted[i].second) << row.name;
  }
}

TEST(TrafficPage, ARowThatIsGivenAwayBeginsAnew) {
  const auto page = page_of(own + 7);
  TrafficWriter writer = page->writer(0);
  const uint32_t old = page->name_row(own + 1, TrafficKind::route, "old");
  writer.count({own + 1, old}, traffic_row_other_routes, exchange_of(200, 10));
  const uint32_t next = page->name_row(own + 1, TrafficKind::route, "new");
  EXPECT_GT(next, old);
  // Nothing of the old route's is the new one's, also before the worker has counted.
  EXPECT_EQ(row_of(*page, own + 1).requests(), 0U);
  writer.count({own + 1, old}, traffic_row_other_routes, exchange_of(301, 10));
  EXPECT_EQ(row_of(*page, own + 1).requests(), 0U);
  writer.count({own + 1, next}, traffic_row_other_routes, exchange_of(404, 10));
  // An exchange that began under the old route's name ends after it: with the others.
  writer.count({own + 1, old}, traffic_row_other_routes, exchange_of(500, 10));
  EXPECT_EQ(row_of(*page, own + 1).name, "new");
  EXPECT_EQ(row_of(*page, own + 1).answers, (std::array<uint64_t, 6>{0, 0, 0, 0, 1, 0}));
  EXPECT_EQ(row_of(*page, traffic_row_other_routes).answers,
            (std::array<uint64_t, 6>{0, 0, 0, 1, 0, 1}));
}

TEST(TrafficPage, LongNamesAreCutAndControlOctetsShown) {
  const auto page = page_of(own + 2);
  page->name_row(own, TrafficKind::route, std::string(1'000, 'x'));
  page->name_row(own + 1, TrafficKind::route, "a\x1b[31m\xff");
  EXPECT_EQ(row_of(*page, own).name, std::string(traffic_name_bytes_max - 4, 'x') + "...");
  EXPECT_EQ(row_of(*page, own + 1).name, "a?[31m?");
}

TEST(TrafficPage, S3ItsReadersCannotWriteOrShrinkIt) {
  const auto page = page_of(own + 1);
  EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, page->fd(), 0), MAP_FAILED);
  EXPECT_LT(::pwrite(page->fd(), "x", 1, 0), 0);
  EXPECT_NE(::ftruncate(page->fd(), 0), 0);
}

TEST(TrafficPage, S1AReaderBelievesNothing) {
  // Sealed files of the right size with anything in them, and of wrong sizes.
  std::mt19937_64 random(7);
  for (int round = 0; round < 300; ++round) {
    const UniqueFd fd(::memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    const size_t rows = traffic_rows_fixed + random() % 8;
    size_t size = sizeof(TrafficHeader) + rows * (sizeof(TrafficName) + sizeof(TrafficValues));
    if (round % 5 == 0) size -= 1 + random() % 700;
    std::string bytes(size, '\0');
    for (char& octet : bytes) octet = static_cast<char>(random());
    TrafficHeader header{};
    header.magic = traffic_magic;
    header.abi = traffic_abi;
    header.row_count =
        round % 3 == 0 ? static_cast<uint32_t>(random()) : static_cast<uint32_t>(rows);
    header.worker_count = round % 7 == 0 ? static_cast<uint32_t>(random()) : 1;
    std::memcpy(bytes.data(), &header, sizeof header);
    for (size_t row = 0; row < rows && round % 2 == 0; ++row) {  // names that hold
      char* name = bytes.data() + sizeof header + row * sizeof(TrafficName);
      const uint32_t words[2] = {2, 1 + static_cast<uint32_t>(row % 3)};
      if (name + sizeof words <= bytes.data() + size) std::memcpy(name, words, sizeof words);
    }
    ASSERT_EQ(::write(fd.get(), bytes.data(), size), static_cast<ssize_t>(size));
    const bool sealed = round % 11 != 0;
    if (sealed) {
      ASSERT_EQ(::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK), 0);
    }
    const auto reader = TrafficReader::map(fd.get());
    const bool fits = round % 5 != 0 && header.row_count == rows && header.worker_count == 1;
    EXPECT_EQ(reader.ok(), sealed && fits) << round;
    if (!reader.ok()) continue;
    for (const TrafficReading& row : (*reader)->read()) {
      EXPECT_LE(row.name.size(), size_t{traffic_name_bytes_max});
      for (const char c : row.name) EXPECT_TRUE(c >= ' ' && c < 0x7f);
      row.quantile_us(0.5);
    }
  }
}

// A worker counts while rows are given to one name after the other: what a reader sees under a name
// was counted for it.
TEST(TrafficPage, CountsAndNamesAgreeWhileBothMove) {
  const auto page = page_of(own + 1);
  std::atomic<uint32_t> generation{page->name_row(own, TrafficKind::route, "0")};
  std::atomic<bool> stop{false};
  std::thread worker([&] {
    TrafficWriter writer = page->writer(0);
    while (!stop.load(std::memory_order_relaxed)) {
      const uint32_t now = generation.load(std::memory_order_acquire);
      TrafficExchange exchange = exchange_of(200, 10);
      exchange.response_octets = now;  // always the same of one generation
      writer.count({own, now}, traffic_row_other_routes, exchange);
    }
  });
  const auto reader = TrafficReader::map(page->fd());
  uint64_t seen = 0;
  while (row_of(*page, own).requests() == 0) std::this_thread::yield();
  for (uint32_t i = 1; i <= 2'000; ++i) {
    generation.store(page->name_row(own, TrafficKind::route, std::to_string(i)),
                     std::memory_order_release);
    for (int look = 0; look < 5; ++look) {
      for (const TrafficReading& row : (*reader)->read()) {
        if (row.row != own) continue;
        EXPECT_EQ(row.name, std::to_string(row.generation / 2 - 1));
        EXPECT_EQ(row.response_octets % row.generation, 0U);
        seen += row.requests();
      }
    }
  }
  stop = true;
  worker.join();
  EXPECT_GT(seen, 0U);
}

}  // namespace
}  // namespace millrace::shm

#include "cli/traffic.h"

#include <gtest/gtest.h>

namespace millrace::cli {
namespace {

using shm::TrafficKind;
using shm::TrafficReading;

TrafficReading row_of(TrafficKind kind, uint32_t number, const std::string& name, uint64_t ok,
                      uint64_t failed, uint64_t time_us) {
  TrafficReading row;
  row.kind = kind;
  row.row = number;
  row.generation = 2;
  row.name = name;
  row.answers[2] = ok;
  row.answers[5] = failed;
  row.times[shm::traffic_bucket(time_us)] = ok + failed;
  return row;
}

std::vector<TrafficReading> rows() {
  return {row_of(TrafficKind::route, 0, "(no route)", 0, 0, 1),
          row_of(TrafficKind::route, 3, "a/b c.example/", 10, 0, 200'000),
          row_of(TrafficKind::route, 4, "a/b \"d\\", 30, 4, 1'000),
          row_of(TrafficKind::service, 8, "a/s:http", 7, 1, 90),
          row_of(TrafficKind::status_class, 5, "2xx", 40, 0, 3'000)};
}

std::string line_of(const std::string& text, const std::string& what) {
  const size_t at = text.find(what);
  return at == std::string::npos ? "" : text.substr(at, text.find('\n', at) - at);
}

TEST(Traffic, TheTableHasWhatWasAskedTheMostAskedFirst) {
  const std::string text = traffic_text(rows(), {});
  EXPECT_LT(text.find("\"d\\"), text.find("c.example"));
  EXPECT_EQ(text.find("(no route)"), std::string::npos);
  EXPECT_NE(text.find("SERVICE"), std::string::npos);
  EXPECT_NE(line_of(text, "a/b c.example/").find("229.4 ms"), std::string::npos) << text;
  EXPECT_NE(line_of(text, "a/s:http").find("96 us"), std::string::npos) << text;
  EXPECT_LT(text.find("SERVICE"), text.find("STATUS"));
  EXPECT_NE(line_of(text, "2xx").find("3.1 ms"), std::string::npos) << text;
}

TEST(Traffic, OrderLimitAndKind) {
  TrafficOptions options;
  options.sort = TrafficSort::p99;
  options.limit = 1;
  options.services = options.statuses = false;
  std::string text = traffic_text(rows(), options);
  EXPECT_NE(text.find("c.example"), std::string::npos);
  EXPECT_EQ(text.find("\"d\\"), std::string::npos);
  EXPECT_EQ(text.find("SERVICE"), std::string::npos);
  options.sort = TrafficSort::errors;
  text = traffic_text(rows(), options);
  EXPECT_NE(text.find("\"d\\"), std::string::npos);
  options = {};
  options.all = true;
  EXPECT_NE(traffic_text(rows(), options).find("(no route)"), std::string::npos);
}

TEST(Traffic, JsonIsOneObject) {
  TrafficOptions options;
  options.json = true;
  options.limit = 1;
  const std::string text = traffic_text(rows(), options);
  EXPECT_EQ(text.rfind(
                "{\"over_seconds\":0,\"routes\":[\n{\"name\":\"a/b \\\"d\\\\\",\"requests\":34", 0),
            0U)
      << text;
  EXPECT_NE(text.find("\"p99_us\":1024"), std::string::npos) << text;
  EXPECT_NE(text.find("\"times_us\":[[1024,34]]"), std::string::npos) << text;
  EXPECT_NE(text.find("\"services\":[\n{\"name\":\"a/s:http\""), std::string::npos) << text;
  EXPECT_NE(text.find("],\"statuses\":[\n{\"name\":\"2xx\",\"requests\":40"), std::string::npos);
  EXPECT_EQ(text.substr(text.size() - 3), "]}\n");
}

TEST(Traffic, WhatHasComeBetweenTwoReadings) {
  auto later = rows();
  later[1].answers[2] += 5;
  later[2].generation = 4;  // given to another route meanwhile
  later[2].answers[2] = 3;
  const auto between = traffic_between(rows(), later);
  EXPECT_EQ(between[1].requests(), 5U);
  EXPECT_EQ(between[1].times_count(), 0U);
  EXPECT_EQ(between[2].answers[2], 3U);
  EXPECT_EQ(between[3].requests(), 0U);
  TrafficOptions options;
  options.over_seconds = 2;
  EXPECT_NE(line_of(traffic_text(between, options), "a/b c.example/").find(" 2.5 "),
            std::string::npos);
}

}  // namespace
}  // namespace millrace::cli

#include "controlplane/log/structured_log.h"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>

namespace millrace::log {
namespace {

class StructuredLogTest : public ::testing::Test {
 protected:
  StructuredLogTest() : before_(spdlog::default_logger()) {}
  ~StructuredLogTest() override { spdlog::set_default_logger(before_); }

  void begin_with(Format format) {
    auto logger = std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_st>(out_));
    logger->set_formatter(make_formatter(format));
    spdlog::set_default_logger(logger);
  }
  std::string taken() {
    std::string text = out_.str();
    out_.str("");
    return text;
  }

  std::shared_ptr<spdlog::logger> before_;
  std::ostringstream out_;
};

TEST_F(StructuredLogTest, TextIsTheSentenceAlone) {
  begin_with(Format::text);
  line(spdlog::level::info, "new table {}, version 7", {{"version", int64_t{7}}});
  EXPECT_TRUE(std::regex_match(
      taken(),
      std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info new table \{\}, version 7\n)")));
}

TEST_F(StructuredLogTest, JsonHasTheFieldsBesideTheSentence) {
  begin_with(Format::json);
  line(spdlog::level::warn, "it took long",
       {{"version", int64_t{7}}, {"seconds", 0.25}, {"object", "Ingress shop/cart"}});
  const std::string text = taken();
  EXPECT_TRUE(text.ends_with("\n"));
  const auto parsed = nlohmann::ordered_json::parse(text);
  EXPECT_TRUE(std::regex_match(parsed["time"].get<std::string>(),
                               std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)")));
  EXPECT_EQ(parsed["level"], "warning");
  EXPECT_EQ(parsed["message"], "it took long");
  EXPECT_EQ(parsed["version"], 7);
  EXPECT_EQ(parsed["seconds"], 0.25);
  EXPECT_EQ(parsed["object"], "Ingress shop/cart");
  EXPECT_EQ(parsed.size(), 6U);
  // The next line has none of them.
  spdlog::error("plain");
  EXPECT_EQ(nlohmann::ordered_json::parse(taken()).size(), 3U);
}

TEST_F(StructuredLogTest, WhateverASentenceHoldsOneLineOfJsonComesOut) {
  begin_with(Format::json);
  const std::string sentences[] = {"a \"quote\", a \\ and a\nnew line", std::string("a\0b", 3),
                                   "\xff\xfe not UTF-8 \xc3", "\x1b[31m red",
                                   std::string(100'000, 'x')};
  for (const std::string& sentence : sentences) {
    line(spdlog::level::info, sentence, {{"object", sentence}});
    const std::string text = taken();
    ASSERT_EQ(text.find('\n'), text.size() - 1);
    const auto parsed = nlohmann::ordered_json::parse(text);
    EXPECT_FALSE(parsed["message"].get<std::string>().empty());
    EXPECT_EQ(parsed["message"], parsed["object"]);
  }
}

}  // namespace
}  // namespace millrace::log

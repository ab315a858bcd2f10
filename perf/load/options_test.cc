#include "perf/load/options.h"

#include <gtest/gtest.h>

#include <sstream>

namespace millrace::load {
namespace {

Result<Options> parsed(const std::string& line) {
  std::istringstream words(line);
  std::vector<std::string> all;
  for (std::string word; words >> word;) all.push_back(word);
  return parse_options(all);
}

// What is refused; empty when it is taken.
std::string refusal(const std::string& line) {
  const auto options = parsed(line);
  return options.ok() ? "" : options.error();
}

const std::string framed_client =
    "--port xdp:eth0 --client --client-address 10.0.0.1/24 --target 10.0.0.2:80 ";
const std::string kernel_client = "--port kernel --client --target 10.0.0.2:80 ";

TEST(LoadOptions, EachMistakeIsRefusedByItsName) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "--port is missing"},
      {"word", "\"word\" is not an option"},
      {"--nope 1", "there is no option --nope"},
      {"--port", "--port needs a value"},
      {"--client=1", "--client takes no value"},
      {"--port kernel --port kernel", "--port is there twice"},
      {"--port xdp", "--port xdp: must be"},
      {"--port xdp:eth0:64", "--port xdp:eth0:64: must be"},
      {"--port memif:/s:peer", "--port memif:/s:peer: must be"},
      {"--port kernel", "a role is missing"},
      {"--port kernel --client", "--client needs --target"},
      {"--port kernel --backend", "needs --listen"},
      {"--port xdp:eth0 --client --target 10.0.0.2:80", "--client needs --client-address"},
      {"--port xdp:eth0 --backend", "--backend needs --backend-address"},
      {"--port xdp:eth0 --reflect --backend --backend-address 10.0.0.3", "--reflect goes with no"},
      {framed_client + "--connections 0", "--connections 0: must be a number from 1"},
      {framed_client + "--connections 1000001", "--connections 1000001"},
      {framed_client + "--connections 70000", "--client-address-count"},
      {framed_client + "--connections 1000000 --idle-connections 1000000",
       "connections of all kinds"},
      {framed_client + "--schedule poisson", "--schedule poisson: must be"},
      {framed_client + "--schedule constant:0", "must be a number"},
      {framed_client + "--lifetime long", "--lifetime long: must be keepalive or request"},
      {framed_client + "--request-head huge", "must be small or browser or large or forwarded"},
      {framed_client + "--host-pattern a%u", "host pattern"},
      {framed_client + "--host-count 1000001", "no room"},
      {framed_client + "--path x", "path \"x\""},
      {framed_client + "--timeout nan", "--timeout nan"},
      {framed_client + "--duration 0", "--duration 0"},
      {framed_client + "--gateway-mac 1:2", "--gateway-mac 1:2: must be a MAC address"},
      {framed_client + "--when-idle nap", "--when-idle nap: must be spin or yield or sleep"},
      {"--port xdp:eth0 --backend --backend-address 10.0.0.3 --backend-port 65535 "
       "--backend-port-count 2",
       "--backend-port-count"},
  };
  for (const auto& [line, expected] : cases) {
    EXPECT_NE(refusal(line).find(expected), std::string::npos) << line << " => " << refusal(line);
  }
}

TEST(LoadOptions, WhatAKindOfPortWouldDoWithoutIsRefused) {
  for (const char* option :
       {"--gateway 10.0.0.9", "--gateway-mac 02:00:00:00:00:01", "--backend-address 10.0.0.3",
        "--backend-port 81", "--no-timestamps", "--trust-checksums", "--packet-memory-mib 64",
        "--xdp-mode generic", "--reflect", "--reflect-address 10.0.0.4"}) {
    EXPECT_NE(refusal(kernel_client + option).find("needs a port that carries frames"),
              std::string::npos)
        << option << " => " << refusal(kernel_client + option);
  }
  EXPECT_NE(refusal(framed_client + "--listen 10.0.0.1:80").find("--listen needs --port kernel"),
            std::string::npos);
  EXPECT_NE(
      refusal("--port memif:/s --reflect --xdp-mode native").find("--xdp-mode needs --port xdp"),
      std::string::npos);
  EXPECT_EQ(refusal("--port xdp:eth0 --reflect --xdp-mode native"), "");
  EXPECT_EQ(refusal("--port kernel --backend --listen 10.0.0.1:80 --backend-port-count 4"), "");
}

TEST(LoadOptions, ValuesArriveWhereTheyAreMeant) {
  auto options = parsed(
      framed_client +
      "--backend --backend-address 10.0.0.3 --backend-port 81 --connections 7 --idle-connections 8 "
      "--client-address-count 2 "
      "--slow-clients 9 --schedule poisson:250.5 --lifetime request --request-head forwarded "
      "--response-bytes 300 --seed 5 --cpu 1 --when-idle yield --warmup 0 --duration 0.5 --json - "
      "--control --no-timestamps --trust-checksums --packet-memory-mib 64 --host-count 3 "
      "--timeout 0.5 --connect-rate 77 --gateway 10.0.0.9");
  ASSERT_TRUE(options.ok()) << options.error();
  const Options& o = *options;
  ASSERT_TRUE(o.station.client && o.station.backend && o.station.request && o.station.response);
  const ClientOptions& client = *o.station.client;
  EXPECT_EQ(client.connections, 7U);
  EXPECT_EQ(client.idle_connections, 8U);
  EXPECT_EQ(client.slow_clients, 9U);
  EXPECT_EQ(client.pace, Pace::poisson);
  EXPECT_DOUBLE_EQ(client.rate_per_second, 250.5);
  EXPECT_EQ(client.lifetime, Lifetime::request);
  EXPECT_EQ(client.seed, 5U);
  EXPECT_EQ(client.host_count, 3U);
  EXPECT_EQ(client.response_timeout_ms, 500U);
  EXPECT_EQ(client.connects_per_second_max, 77U);
  EXPECT_FALSE(client.timestamps);
  EXPECT_FALSE(o.station.backend->timestamps);
  EXPECT_FALSE(o.station.verify_checksums);
  EXPECT_EQ(o.station.backend->first_port, 81U);
  EXPECT_EQ(o.station.expectation.body_bytes, 300U);
  EXPECT_EQ(o.request.head, RequestHead::forwarded);
  EXPECT_EQ(o.station.request->bytes(), 400U);
  EXPECT_TRUE(o.station.gateway.has_value());
  EXPECT_EQ(o.port.memory_mib, 64U);
  EXPECT_EQ(o.cpu, 1U);
  EXPECT_EQ(o.when_idle, WhenIdle::yield);
  EXPECT_EQ(o.warmup_seconds, 0);
  EXPECT_DOUBLE_EQ(o.duration_seconds, 0.5);
  EXPECT_EQ(o.json_path, "");
  EXPECT_TRUE(o.control);
  EXPECT_EQ(o.addresses.size(), 3U);
}

TEST(LoadOptions, HelpNamesEveryOptionAndNeedsNoOther) {
  EXPECT_EQ(refusal("--help"), "");
  for (const char* name : {"--port", "--request-head", "--xdp-mode", "--control", "--seed"}) {
    EXPECT_NE(usage().find(name), std::string::npos) << name;
  }
  EXPECT_EQ(usage().find("--pipeline"), std::string::npos);
}

}  // namespace
}  // namespace millrace::load

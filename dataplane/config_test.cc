#include "dataplane/config.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

constexpr const char* good = R"(
ports:
  - name: uplink
    interface: eth1
    mode: native
    checksum: verify
    on_silence: pass
    addresses:
      - {address: 10.20.0.100/24, kind: owned}
      - {address: 10.20.0.1/24, kind: borrowed, tcp_ports: [8080]}
  - name: kernel
    interface: mr-k1
    addresses: [{address: 10.20.9.2/30, kind: owned}]
routes:
  - {destination: 10.244.0.0/16, port: kernel, via: 10.20.9.1}
listeners:
  - {address: 10.20.0.100, port: 80}
  - {address: 10.20.0.1, port: 8080}
limits: {connections: 1000, packet_memory_mib: 32, request_body_bytes: 1048576}
worker: {cpu: 1}
user: 65534
)";

TEST(Config, ReadsEveryKey) {
  const auto config = parse_config(good, "dp.yaml");
  ASSERT_TRUE(config.ok()) << config.error();
  EXPECT_EQ(config->ports.size(), 2U);
  EXPECT_EQ(config->ports[0].mode, XdpMode::native);
  EXPECT_EQ(config->ports[0].checksum, packet::ChecksumMode::verify);
  EXPECT_EQ(config->ports[0].on_silence, OnSilence::pass);
  EXPECT_TRUE(config->ports[0].addresses[1].borrowed);
  EXPECT_FALSE(config->ports[1].checksum.has_value());
  EXPECT_EQ(config->routes[0].via, Ipv4Address::from_octets(10, 20, 9, 1));
  EXPECT_EQ(config->listeners[1].text(), "10.20.0.1:8080");
  EXPECT_EQ(config->limits.connections, 1000U);
  EXPECT_EQ(config->limits.request_body_bytes, 1'048'576U);
  EXPECT_EQ(config->cpu, 1U);
  EXPECT_EQ(config->user, 65534U);
}

struct BadConfig {
  const char* replace;
  const char* with;
  const char* message;
};

class ConfigMistake : public ::testing::TestWithParam<BadConfig> {};

TEST_P(ConfigMistake, IsNamedWithItsLine) {
  std::string text = good;
  const size_t at = text.find(GetParam().replace);
  ASSERT_NE(at, std::string::npos);
  text.replace(at, std::string(GetParam().replace).size(), GetParam().with);
  const auto config = parse_config(text, "dp.yaml");
  ASSERT_FALSE(config.ok());
  EXPECT_EQ(config.error(), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    All, ConfigMistake,
    ::testing::Values(
        BadConfig{"mode: native", "mode: fast",
                  "dp.yaml:5: port uplink: mode must be one of auto, native, generic"},
        BadConfig{"    interface: eth1\n", "", "dp.yaml:3: port uplink needs \"interface\""},
        BadConfig{"interface: eth1", "interfaces: eth1",
                  "dp.yaml:4: a port has no key \"interfaces\""},
        BadConfig{"10.20.0.100/24", "10.20.0.100",
                  "dp.yaml:9: an address of port uplink must be a unicast address with its prefix, "
                  "like 10.0.0.5/24"},
        BadConfig{", tcp_ports: [8080]", "",
                  "dp.yaml:10: an address of port uplink is borrowed and names no tcp_ports"},
        BadConfig{"port: kernel", "port: kernal",
                  "dp.yaml:2: route 10.244.0.0/16 names port \"kernal\", which is not configured"},
        BadConfig{"address: 10.20.0.1, port: 8080", "address: 10.20.0.1, port: 81",
                  "dp.yaml:2: listener 10.20.0.1:81 is on no owned address and on no borrowed "
                  "address and port"},
        BadConfig{"10.20.0.100/24", "10.20.0.255/24",
                  "dp.yaml:9: an address of port uplink: 10.20.0.255/24 is no host's address"},
        BadConfig{"10.20.0.100/24", "127.0.0.1/8",
                  "dp.yaml:9: an address of port uplink: 127.0.0.1/8 is no host's address"},
        BadConfig{"interface: eth1", "interface: \"eth 1\"",
                  "dp.yaml:4: port uplink: interface has a character that no name has"},
        BadConfig{"interface: mr-k1", "interface: eth1", "dp.yaml:2: two ports use interface eth1"},
        BadConfig{"{address: 10.20.9.2/30, kind: owned}",
                  "{address: 10.20.9.2/30, kind: borrowed, tcp_ports: [81]}",
                  "dp.yaml:2: route 10.244.0.0/16 leads to port kernel, which has no owned address "
                  "to send from"},
        BadConfig{"routes:\n", "routes:\n  - {destination: 10.244.7.0/16, port: uplink}\n",
                  "dp.yaml:2: two routes lead to 10.244.0.0/16"},
        BadConfig{"connections: 1000", "connections: -1",
                  "dp.yaml:19: limits: connections must be a number from 64 to 4000000"},
        BadConfig{"worker: {cpu: 1}", "worker: {cpu: 1",
                  "dp.yaml:21: not readable as YAML: end of map flow not found"}));

TEST(Config, EmptyFileAndMissingFileAreErrors) {
  EXPECT_EQ(parse_config("", "dp.yaml").error(), "dp.yaml: the file is empty");
  EXPECT_EQ(read_config("/nonexistent/dp.yaml").error(),
            "/nonexistent/dp.yaml: No such file or directory");
}

}  // namespace
}  // namespace millrace

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
  - {address: 10.20.0.1, port: 8080, proxy_protocol: true}
limits: {connections: 1000, packet_memory_mib: 32, request_body_bytes: 1048576, request_body_rate: 50, traffic_rows: 100, connections_per_client: 200, requests_per_client: 300}
worker: {cpu: 1}
user: 65534
timeouts: {connect_seconds: 3, tunnel_idle_seconds: 604800, drain_seconds: 0}
paths: {encoded_slash: pass}
upgrades: [websocket, SPDY/3.1]
access_log: {file: /var/log/millrace/access.log, format: combined, ring_kib: 1024}
forwarding: {trusted_proxies: [10.9.0.0/16, 10.8.0.1, "2001:db8::/32"], request_id: false, forwarded: true, loop_detection: false}
upstream: {balance: least_requests, requests_per_endpoint: 100, ejection_failures: 0, ejection_seconds: 30}
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
  EXPECT_EQ(config->limits.request_body_rate, 50U);
  EXPECT_EQ(config->limits.traffic_rows, 100U);
  EXPECT_EQ(config->limits.connections_per_client, 200U);
  EXPECT_EQ(config->limits.requests_per_client, 300U);
  EXPECT_TRUE(config->paths.passes_encoded_slash);
  EXPECT_EQ(config->upgrades, (std::vector<std::string>{"websocket", "spdy/3.1"}));
  EXPECT_EQ(config->timeouts.connect_seconds, 3U);
  EXPECT_EQ(config->timeouts.tunnel_idle_seconds, 604'800U);
  EXPECT_EQ(config->timeouts.linger_seconds, std::nullopt);
  EXPECT_EQ(config->timeouts.drain_seconds, 0U);
  EXPECT_EQ(config->upstream.balance, Balance::least_requests);
  EXPECT_EQ(config->upstream.requests_per_endpoint, 100U);
  EXPECT_EQ(config->upstream.ejection_failures, 0U);
  EXPECT_EQ(config->upstream.ejection_seconds, 30U);
  ASSERT_EQ(config->forwarding.trusted_ipv4.size(), 2U);
  EXPECT_EQ(config->forwarding.trusted_ipv4[0].text(), "10.9.0.0/16");
  EXPECT_EQ(config->forwarding.trusted_ipv4[1].text(), "10.8.0.1/32");
  ASSERT_EQ(config->forwarding.trusted_ipv6.size(), 1U);
  EXPECT_FALSE(config->forwarding.request_id);
  EXPECT_TRUE(config->forwarding.forwarded);
  EXPECT_FALSE(config->forwarding.loop_detection);
  ASSERT_EQ(config->proxy_protocol_listeners.size(), 1U);
  EXPECT_EQ(config->proxy_protocol_listeners[0].address, "10.20.0.1");
  EXPECT_EQ(config->proxy_protocol_listeners[0].port, 8080);
  ASSERT_TRUE(config->access_log.has_value());
  EXPECT_EQ(config->access_log->file, "/var/log/millrace/access.log");
  EXPECT_EQ(config->access_log->format, AccessLogFormat::combined);
  EXPECT_EQ(config->access_log->ring_kib, 1024U);
  EXPECT_EQ(config->cpu, 1U);
  EXPECT_EQ(config->user, 65534U);
}

constexpr const char* good_dpdk = R"(
ports:
  - name: fast
    driver: dpdk
    dpdk: {kind: memif, socket: /run/m/fast, role: client, id: 3, ring_frames: 2048,
           mac: "02:00:00:00:00:07", mtu: 1400}
    checksum: trust
    capture: /tmp/fast.pcap
    addresses: [{address: 10.20.0.100/24, kind: owned}]
  - name: card
    driver: dpdk
    dpdk: {kind: pci, device: "0000:03:00.0"}
    addresses: [{address: 10.20.1.100/24, kind: owned}]
  - name: test
    driver: dpdk
    dpdk: {kind: vdev, device: "net_pcap0,iface=eth2"}
    addresses: [{address: 10.20.2.100/24, kind: owned}]
  - name: uplink
    driver: xdp
    interface: eth1
    addresses: [{address: 10.20.3.100/24, kind: owned}]
listeners: [{address: 10.20.0.100, port: 80}]
worker: {idle: spin}
dpdk: {huge_pages: true, memory_mib: 256}
)";

TEST(Config, ReadsEveryKeyOfDpdk) {
  const auto config = parse_config(good_dpdk, "dp.yaml");
  ASSERT_TRUE(config.ok()) << config.error();
  ASSERT_TRUE(config->ports[0].dpdk && config->ports[1].dpdk && config->ports[2].dpdk);
  const DpdkPortConfig& memif = *config->ports[0].dpdk;
  EXPECT_EQ(memif.kind, DpdkKind::memif);
  EXPECT_EQ(memif.socket, "/run/m/fast");
  EXPECT_EQ(memif.role, DpdkRole::client);
  EXPECT_EQ(memif.id, 3U);
  EXPECT_EQ(memif.ring_frames, 2048U);
  EXPECT_EQ(to_text(*memif.mac), "02:00:00:00:00:07");
  EXPECT_EQ(memif.mtu, 1400);
  EXPECT_EQ(config->ports[0].checksum, packet::ChecksumMode::trust);
  EXPECT_EQ(config->ports[1].dpdk->kind, DpdkKind::pci);
  EXPECT_EQ(config->ports[1].dpdk->device, "0000:03:00.0");
  EXPECT_EQ(config->ports[1].dpdk->mtu, 1500);
  EXPECT_EQ(config->ports[2].dpdk->kind, DpdkKind::vdev);
  EXPECT_EQ(config->ports[2].dpdk->device, "net_pcap0,iface=eth2");
  EXPECT_FALSE(config->ports[3].dpdk.has_value());
  EXPECT_EQ(config->idle, Idle::spin);
  EXPECT_TRUE(config->dpdk.huge_pages);
  EXPECT_EQ(config->dpdk.memory_mib, 256U);
  const auto without = parse_config(good, "dp.yaml");
  EXPECT_EQ(without->idle, Idle::sleep);
  EXPECT_FALSE(without->dpdk.memory_mib.has_value());
}

struct BadConfig {
  const char* replace;
  const char* with;
  const char* message;
};

void expect_mistake(std::string text, const BadConfig& bad) {
  const size_t at = text.find(bad.replace);
  ASSERT_NE(at, std::string::npos);
  text.replace(at, std::string(bad.replace).size(), bad.with);
  const auto config = parse_config(text, "dp.yaml");
  ASSERT_FALSE(config.ok());
  EXPECT_EQ(config.error(), bad.message);
}

class ConfigMistake : public ::testing::TestWithParam<BadConfig> {};

TEST_P(ConfigMistake, IsNamedWithItsLine) {
  expect_mistake(good, GetParam());
}

class DpdkConfigMistake : public ::testing::TestWithParam<BadConfig> {};

TEST_P(DpdkConfigMistake, IsNamedWithItsLine) {
  expect_mistake(good_dpdk, GetParam());
}

INSTANTIATE_TEST_SUITE_P(
    All, DpdkConfigMistake,
    ::testing::Values(
        BadConfig{"driver: dpdk", "driver: dpkd",
                  "dp.yaml:4: port fast: driver must be one of xdp, dpdk"},
        BadConfig{"    driver: dpdk\n", "",
                  "dp.yaml:4: port fast has driver xdp and so no \"dpdk\""},
        BadConfig{"    checksum: trust", "    interface: eth0",
                  "dp.yaml:7: port fast has driver dpdk and so no \"interface\""},
        BadConfig{"    checksum: trust", "    on_silence: drop",
                  "dp.yaml:7: port fast has driver dpdk and so no \"on_silence\""},
        BadConfig{"kind: memif", "kind: mmif",
                  "dp.yaml:5: port fast: dpdk: kind must be one of memif, pci, vdev"},
        BadConfig{"socket: /run/m/fast, ", "", "dp.yaml:5: port fast: dpdk needs \"socket\""},
        BadConfig{"/run/m/fast", "run/m/fast",
                  "dp.yaml:5: port fast: dpdk: socket must be an absolute path of at most 80 "
                  "characters without a comma"},
        BadConfig{"role: client, ", "", "dp.yaml:5: port fast: dpdk needs \"role\""},
        BadConfig{"2048", "2000", "dp.yaml:5: port fast: dpdk: ring_frames must be a power of two"},
        BadConfig{"2048", "32768",
                  "dp.yaml:5: port fast: dpdk: ring_frames must be a number from 64 to 16384"},
        BadConfig{"02:00:00:00:00:07", "01:00:00:00:00:07",
                  "dp.yaml:6: port fast: dpdk: mac must be one station's address, like "
                  "02:00:00:00:00:01"},
        BadConfig{"mtu: 1400", "mtu: 9000",
                  "dp.yaml:6: port fast: dpdk: mtu must be a number from 576 to 1906"},
        BadConfig{"0000:03:00.0", "03:00.0",
                  "dp.yaml:12: port card: dpdk: device must look like 0000:03:00.0"},
        BadConfig{"kind: pci, ", "kind: pci, socket: /run/a, ",
                  "dp.yaml:12: port card: dpdk has no key \"socket\""},
        BadConfig{"net_pcap0,iface=eth2", "",
                  "dp.yaml:16: port test: dpdk: device must be a "
                  "non-empty text"},
        BadConfig{"kind: owned}", "kind: borrowed, tcp_ports: [80]}",
                  "dp.yaml:9: port fast has driver dpdk: no kernel stands behind it to lend an "
                  "address"},
        BadConfig{"kind: vdev, device: \"net_pcap0,iface=eth2\"",
                  "kind: vdev, device: \"0000:03:00.0\"",
                  "dp.yaml:2: two ports use device 0000:03:00.0"},
        BadConfig{"idle: spin", "idle: never",
                  "dp.yaml:23: worker: idle must be one of sleep, spin"},
        BadConfig{"huge_pages: true", "huge_pages: 1",
                  "dp.yaml:24: dpdk: huge_pages must be one of true, false"},
        BadConfig{"memory_mib: 256", "memory_mib: 8",
                  "dp.yaml:24: dpdk: memory_mib must be a number from 16 to 65536"}));

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
        BadConfig{"connect_seconds: 3", "connect_seconds: 0",
                  "dp.yaml:22: timeouts: connect_seconds must be a number from 1 to 604800"},
        BadConfig{
            "websocket, SPDY/3.1", "h2c-14",
            "dp.yaml:24: an upgrade cannot be h2c-14: requests in it would pass the routes by"},
        BadConfig{"websocket, SPDY/3.1", "\"a b\"",
                  "dp.yaml:24: an upgrade must be a protocol's name of at most 31 characters, like "
                  "websocket"},
        BadConfig{"encoded_slash: pass", "encoded_slash: true",
                  "dp.yaml:23: paths: encoded_slash must be one of refuse, pass"},
        BadConfig{"least_requests", "random",
                  "dp.yaml:27: upstream: balance must be one of round_robin, least_requests"},
        BadConfig{"ejection_seconds: 30", "ejection_seconds: 0",
                  "dp.yaml:27: upstream: ejection_seconds must be a number from 1 to 300"},
        BadConfig{"10.9.0.0/16", "10.9.0.0/33",
                  "dp.yaml:26: a trusted proxy must be an address or a network, like 10.0.0.0/8"},
        BadConfig{"\"2001:db8::/32\"", "example.com",
                  "dp.yaml:26: a trusted proxy must be an address or a network, like 10.0.0.0/8"},
        BadConfig{"trusted_proxies: [10.9.0.0/16, 10.8.0.1, \"2001:db8::/32\"], ", "",
                  "dp.yaml:17: a listener has proxy_protocol, and forwarding: trusted_proxies "
                  "names nobody who may speak it"},
        BadConfig{"proxy_protocol: true", "proxy_protocol: v2",
                  "dp.yaml:18: a listener's proxy_protocol must be one of true, false"},
        BadConfig{"/var/log/millrace/access.log", "access.log",
                  "dp.yaml:25: access_log: file must be an absolute path, or stdout"},
        BadConfig{"file: /var/log/millrace/access.log, ", "",
                  "dp.yaml:25: access_log needs \"file\""},
        BadConfig{"format: combined", "format: clf",
                  "dp.yaml:25: access_log: format must be one of json, combined"},
        BadConfig{"ring_kib: 1024", "ring_kib: 1000",
                  "dp.yaml:25: access_log: ring_kib must be a power of two"},
        BadConfig{"ring_kib: 1024", "ring_kib: 32",
                  "dp.yaml:25: access_log: ring_kib must be a number from 64 to 262144"},
        BadConfig{"connect_seconds: 3", "read: 3", "dp.yaml:22: timeouts has no key \"read\""},
        BadConfig{"worker: {cpu: 1}", "worker: {cpu: 1",
                  "dp.yaml:21: not readable as YAML: end of map flow not found"}));

TEST(Config, EmptyFileAndMissingFileAreErrors) {
  EXPECT_EQ(parse_config("", "dp.yaml").error(), "dp.yaml: the file is empty");
  EXPECT_EQ(read_config("/nonexistent/dp.yaml").error(),
            "/nonexistent/dp.yaml: No such file or directory");
}

constexpr const char* good_ipv6 = R"(
ports:
  - name: uplink
    interface: eth1
    addresses:
      - {address: 10.20.0.100/24, kind: owned}
      - {address: "2001:db8::100/64", kind: owned}
      - {address: "2001:db8::1/64", kind: borrowed, tcp_ports: [8080]}
      - {address: "fe80::1/64", kind: owned}
  - name: kernel
    interface: mr-k1
    addresses: [{address: "fe80::1/64", kind: owned}]
routes:
  - {destination: "::/0", port: uplink, via: "fe80::fe"}
  - {destination: 0.0.0.0/0, port: uplink, via: 10.20.0.254}
listeners:
  - {address: "2001:db8::100", port: 80}
  - {address: "2001:db8::1", port: 8080}
  - {address: 10.20.0.100, port: 80}
)";

TEST(Config, ReadsIpv6NextToIpv4) {
  const auto config = parse_config(good_ipv6, "dp.yaml");
  ASSERT_TRUE(config.ok()) << config.error();
  const auto& addresses = config->ports[0].addresses;
  EXPECT_FALSE(addresses[0].ipv6.has_value());
  EXPECT_EQ(addresses[1].ipv6->text(), "2001:db8::100/64");
  EXPECT_TRUE(addresses[2].borrowed);
  EXPECT_EQ(addresses[2].tcp_ports, std::vector<uint16_t>{8080});
  ASSERT_EQ(config->routes.size(), 1U);
  ASSERT_EQ(config->ipv6_routes.size(), 1U);
  EXPECT_EQ(config->ipv6_routes[0].via->text(), "fe80::fe");
  ASSERT_EQ(config->listeners.size(), 1U);
  ASSERT_EQ(config->ipv6_listeners.size(), 2U);
  EXPECT_EQ(config->ipv6_listeners[1].text(), "[2001:db8::1]:8080");
}

class Ipv6ConfigMistake : public ::testing::TestWithParam<BadConfig> {};

TEST_P(Ipv6ConfigMistake, IsNamedWithItsLine) {
  expect_mistake(good_ipv6, GetParam());
}

INSTANTIATE_TEST_SUITE_P(
    All, Ipv6ConfigMistake,
    ::testing::Values(
        BadConfig{"2001:db8::100/64", "2001:db8::100",
                  "dp.yaml:7: an address of port uplink must be a unicast address with its "
                  "prefix, like 2001:db8::5/64"},
        BadConfig{"2001:db8::100/64", "ff02::1/64",
                  "dp.yaml:7: an address of port uplink must be a unicast address with its "
                  "prefix, like 2001:db8::5/64"},
        // Names of IPv6 hosts inside the stack come from here (RFC 1112 section 4).
        BadConfig{"10.20.0.100/24", "240.0.0.1/24",
                  "dp.yaml:6: an address of port uplink must be a unicast address with its "
                  "prefix, like 10.0.0.5/24"},
        BadConfig{
            "via: \"fe80::fe\"", "via: 10.20.0.254",
            "dp.yaml:14: a route's via must be a unicast address of the destination's family"},
        BadConfig{"via: 10.20.0.254", "via: 240.0.0.1",
                  "dp.yaml:15: a route's via must be a unicast address"},
        BadConfig{
            "\"::/0\"", "\"fe80::/64\"",
            "dp.yaml:14: a route's destination is link-local: it has no way but its own link"},
        BadConfig{"\"2001:db8::1\", port: 8080", "\"2001:db8::1\", port: 81",
                  "dp.yaml:2: listener [2001:db8::1]:81 is on no owned address and on no borrowed "
                  "address and port"},
        BadConfig{"\"2001:db8::100\", port: 80", "\"[2001:db8::100]\", port: 80",
                  "dp.yaml:17: a listener's address must be an IPv4 or IPv6 address"},
        BadConfig{"2001:db8::1/64", "2001:db8::100/64",
                  "dp.yaml:2: address 2001:db8::100 is given twice"},
        BadConfig{"0.0.0.0/0, port: uplink, via: 10.20.0.254", "10.0.0.0/8, port: kernel",
                  "dp.yaml:2: route 10.0.0.0/8 leads to port kernel, which has no owned address to "
                  "send from"}));

}  // namespace
}  // namespace millrace

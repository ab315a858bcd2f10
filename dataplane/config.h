// The data plane's configuration file: YAML, read once at start, strict (an unknown key is an
// error: a misspelt one would otherwise be silently ignored). docs/operating.md describes every
// key.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/ipv6_address.h"
#include "base/result.h"
#include "dataplane/guard/publish_guard.h"
#include "dataplane/packet/checksum_mode.h"

namespace millrace {

// Of one family: with ipv6 the address is that, and prefix means nothing.
struct AddressConfig {
  Ipv4Prefix prefix;
  std::optional<Ipv6Prefix> ipv6;
  bool borrowed = false;
  std::vector<uint16_t> tcp_ports;  // of a borrowed address: what of it is ours
};

enum class XdpMode : uint8_t { automatic, native, generic };
enum class OnSilence : uint8_t { drop, pass };

// How a port of driver dpdk is named and what it needs; what each means stands with nic::Memif,
// nic::PciDevice and nic::VirtualDevice.
enum class DpdkKind : uint8_t { memif, pci, vdev };
enum class DpdkRole : uint8_t { server, client };

struct DpdkPortConfig {
  DpdkKind kind = DpdkKind::memif;
  std::string socket;  // memif
  DpdkRole role = DpdkRole::server;
  uint32_t id = 0;
  uint32_t ring_frames = 1'024;
  std::string device;  // pci: its address; vdev: DPDK's words
  std::optional<MacAddress> mac;
  uint16_t mtu = 1'500;
};

struct PortConfig {
  std::string name;
  std::optional<DpdkPortConfig> dpdk;  // driver dpdk; absent: driver xdp, as all until addresses
  std::string interface;
  uint32_t queue = 0;
  XdpMode mode = XdpMode::automatic;
  std::optional<packet::ChecksumMode> checksum;  // absent: by driver
  OnSilence on_silence = OnSilence::drop;

  std::vector<AddressConfig> addresses;
  std::string capture;  // path of a pcap file; empty: none
};

struct RouteConfig {
  Ipv4Prefix destination;
  std::string port;
  std::optional<Ipv4Address> via;
};

struct Ipv6RouteConfig {
  Ipv6Prefix destination;
  std::string port;
  std::optional<Ipv6Address> via;
};

// What a worker does when nothing moves and a port cannot wake it.
enum class Idle : uint8_t { sleep, spin };

// For DPDK itself, when a port has driver dpdk.
struct DpdkConfig {
  bool huge_pages = false;
  std::optional<uint32_t> memory_mib;  // absent: what the ports need
};

struct LimitsConfig {
  uint32_t connections = 16'384;
  uint32_t packet_memory_mib = 64;
  uint64_t request_body_bytes = 0;   // of one request; more is answered 413; 0: no limit
  uint64_t request_body_rate = 500;  // octets a second on average; fewer are answered 408; 0: none
  uint32_t connections_per_client = 0;  // 0: no limit
  uint32_t requests_per_client = 0;     // a second; more are answered 429; 0: no limit
  // Routes and services that are counted by themselves, half of the rows each.
  uint32_t traffic_rows = 8'192;
};

// Of HTTP, in seconds; what each means stands with proxy::Timeouts. Absent: its default.
struct TimeoutsConfig {
  std::optional<uint32_t> request_head_seconds;
  std::optional<uint32_t> client_idle_seconds;
  std::optional<uint32_t> body_stall_seconds;
  std::optional<uint32_t> connect_seconds;
  std::optional<uint32_t> first_octet_seconds;
  std::optional<uint32_t> linger_seconds;
  std::optional<uint32_t> tunnel_idle_seconds;
  std::optional<uint32_t> tunnel_half_closed_seconds;
  uint32_t drain_seconds = 10;  // 0: a stop waits for nobody
};

enum class Balance : uint8_t { round_robin, least_requests };

// Of endpoints. Absent: its default.
struct UpstreamConfig {
  Balance balance = Balance::round_robin;
  std::optional<uint32_t> requests_per_endpoint;  // 0: no limit
  uint32_t ejection_failures = 5;                 // 0: none is ejected
  uint32_t ejection_seconds = 10;
};

// What is believed and told about the way that a request has come.
struct ForwardingConfig {
  std::vector<Ipv4Prefix> trusted_ipv4;
  std::vector<Ipv6Prefix> trusted_ipv6;
  bool request_id = true;
  bool forwarded = false;
  bool loop_detection = true;
};

// A listener whose connections begin with a PROXY header. address: as text, of either family.
struct ProxyProtocolListener {
  std::string address;
  uint16_t port = 0;
};

enum class AccessLogFormat : uint8_t { json, combined };

// Absent: no access log.
struct AccessLogConfig {
  std::string file;  // or "stdout"
  AccessLogFormat format = AccessLogFormat::json;
  uint32_t ring_kib = 4'096;  // what the worker may be ahead of the writing; a power of two
};

struct PathsConfig {
  bool passes_encoded_slash = false;  // %2F and %5C; else such a request is answered 400
};

struct Config {
  std::vector<PortConfig> ports;
  std::vector<RouteConfig> routes;
  std::vector<Ipv6RouteConfig> ipv6_routes;
  std::vector<SocketAddress> listeners;
  std::vector<Ipv6SocketAddress> ipv6_listeners;
  std::string socket = "/run/millrace/dataplane.sock";
  std::string state_directory = "/var/lib/millrace";
  std::optional<uint32_t> cpu;
  Idle idle = Idle::sleep;
  DpdkConfig dpdk;
  LimitsConfig limits;
  TimeoutsConfig timeouts;
  PathsConfig paths;
  UpstreamConfig upstream;
  ForwardingConfig forwarding;
  std::vector<ProxyProtocolListener> proxy_protocol_listeners;
  std::optional<AccessLogConfig> access_log;
  guard::Limits publish_guard;
  std::vector<std::string> upgrades = {"websocket"};  // lower case
  std::optional<uint32_t> user;                       // uid to run as once the ports are open
};

// Error: "FILE:LINE: what is wrong", one line.
Result<Config> parse_config(const std::string& text, const std::string& file_name);
Result<Config> read_config(const std::string& path);

}  // namespace millrace

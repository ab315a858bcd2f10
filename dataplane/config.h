// The data plane's configuration file: YAML, read once at start, strict (an unknown key is an
// error: a misspelt one would otherwise be silently ignored). docs/operating.md describes every
// key.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "dataplane/packet/checksum_mode.h"

namespace millrace {

struct AddressConfig {
  Ipv4Prefix prefix;
  bool borrowed = false;
  std::vector<uint16_t> tcp_ports;  // of a borrowed address: what of it is ours
};

enum class XdpMode : uint8_t { automatic, native, generic };
enum class OnSilence : uint8_t { drop, pass };

struct PortConfig {
  std::string name;
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

struct LimitsConfig {
  uint32_t connections = 16'384;
  uint32_t packet_memory_mib = 64;
  uint64_t request_body_bytes = 0;  // of one request; more is answered 413; 0: no limit
};

struct Config {
  std::vector<PortConfig> ports;
  std::vector<RouteConfig> routes;
  std::vector<SocketAddress> listeners;
  std::string socket = "/run/millrace/dataplane.sock";
  std::string state_directory = "/var/lib/millrace";
  std::optional<uint32_t> cpu;
  LimitsConfig limits;
  std::optional<uint32_t> user;  // uid to run as once the ports are open
};

// Error: "FILE:LINE: what is wrong", one line.
Result<Config> parse_config(const std::string& text, const std::string& file_name);
Result<Config> read_config(const std::string& path);

}  // namespace millrace

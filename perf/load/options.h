// The command line of millrace-load.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "perf/load/station.h"

namespace millrace::load {

enum class PortKind : uint8_t { xdp, memif, kernel };
enum class XdpAttach : uint8_t { automatic, native, generic };
// What a turn in which nothing moved is followed by.
enum class WhenIdle : uint8_t {
  spin,   // the next turn
  yield,  // sched_yield(): others on the core first
  sleep,  // waiting for a frame or for the next timer; yielding where that is very soon
};

struct PortOptions {
  PortKind kind = PortKind::kernel;
  // xdp
  std::string interface;
  uint32_t queue = 0;
  XdpAttach attach = XdpAttach::automatic;
  // memif
  std::string socket;
  bool is_server = false;
  uint32_t memory_mib = 32;  // packet memory
};

struct Options {
  PortOptions port;
  bool client = false;
  bool backend = false;
  bool reflect = false;

  StationOptions station;              // of a port that carries frames
  std::vector<Ipv4Address> addresses;  // ours on such a port; a reflector: whose frames it turns
  RequestOptions request;              // of the client, any port
  SocketAddress target;
  uint32_t response_bytes = 100;  // of the backend
  std::string tag = "millrace-load";
  // Kernel port: where the backend listens; ports follow one another.
  SocketAddress listen;
  uint32_t listen_port_count = 1;

  double warmup_seconds = 1;
  double duration_seconds = 10;
  std::string json_path;
  bool control = false;
  std::optional<uint32_t> cpu;
  WhenIdle when_idle = WhenIdle::spin;
  bool help = false;
};

// Error: one line that names the option.
Result<Options> parse_options(const std::vector<std::string>& words);
std::string usage();

}  // namespace millrace::load

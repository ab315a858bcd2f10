#include "dataplane/open_ports.h"

#include <spdlog/spdlog.h>

#include <ctime>
#include <string>
#include <utility>

#include "base/time.h"

namespace millrace {
namespace {

constexpr uint16_t mtu_min = 576;  // RFC 1122 section 3.3.2

bpf::RedirectOptions redirect_options(const PortConfig& port) {
  bpf::RedirectOptions options;
  options.interface = port.interface;
  switch (port.mode) {
    case XdpMode::automatic: options.mode = bpf::AttachMode::automatic; break;
    case XdpMode::native: options.mode = bpf::AttachMode::native; break;
    case XdpMode::generic: options.mode = bpf::AttachMode::generic; break;
  }
  options.on_silence =
      port.on_silence == OnSilence::pass ? bpf::OnSilence::pass : bpf::OnSilence::drop;
  for (const AddressConfig& address : port.addresses) {
    options.addresses.push_back({address.prefix.address, address.borrowed, address.tcp_ports});
  }
  return options;
}

// What to add to the monotonic clock for wall time, for the timestamps of captures.
uint64_t wall_time_of_origin_ns() {
  timespec wall{};
  clock_gettime(CLOCK_REALTIME, &wall);
  const uint64_t wall_ns =
      static_cast<uint64_t>(wall.tv_sec) * 1'000'000'000U + static_cast<uint64_t>(wall.tv_nsec);
  return wall_ns - MonotonicClock().now().since_origin_ns();
}

Result<OpenPort> open_port(const PortConfig& config, nic::XdpUmem& umem, packet::Arena& arena) {
  auto program = bpf::Redirect::attach(redirect_options(config));
  if (!program.ok()) return Error{"port " + config.name + ": " + program.error()};
  nic::XdpPortOptions options;
  options.name = config.name;
  options.queue = config.queue;
  options.receive_frames = receive_frames_per_port;
  options.checksum_mode = config.checksum;
  auto socket = nic::XdpPort::open(options, umem, *program);
  if (!socket.ok()) {
    program->stop();
    return Error{"port " + config.name + ": " + socket.error()};
  }
  if ((*socket)->facts().mtu < mtu_min) {
    program->stop();
    return Error{"port " + config.name + ": " + config.interface + ": MTU " +
                 std::to_string((*socket)->facts().mtu) + " is below the " +
                 std::to_string(mtu_min) + " that every IPv4 host accepts"};
  }
  OpenPort opened{std::move(*program), std::move(*socket), nullptr};
  if (!config.capture.empty()) {
    auto capture =
        nic::PcapPort::create(*opened.socket, arena, config.capture,
                              nic::PcapPort::file_bytes_max_default, wall_time_of_origin_ns());
    if (!capture.ok()) {
      opened.program.stop();
      return Error{"port " + config.name + ": capture: " + capture.error()};
    }
    opened.capture = std::move(*capture);
  }
  spdlog::info("port {}: {}; {}{}", config.name, opened.program.facts().note,
               opened.socket->zero_copy() ? "zero-copy" : "copy mode",
               opened.capture ? "; capturing to " + config.capture : "");
  return opened;
}

}  // namespace

Result<std::vector<OpenPort>> open_ports(const Config& config, nic::XdpUmem& umem,
                                         packet::Arena& arena) {
  std::vector<OpenPort> opened;
  for (const PortConfig& port : config.ports) {
    auto next = open_port(port, umem, arena);
    if (!next.ok()) {
      for (OpenPort& earlier : opened) earlier.program.stop();
      return Error{next.error()};
    }
    opened.push_back(std::move(*next));
  }
  return opened;
}

}  // namespace millrace

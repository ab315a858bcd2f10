#include "dataplane/open_ports.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <ctime>
#include <string>
#include <utility>

#include "base/time.h"
#include "dataplane/nic/xdp_port.h"

namespace millrace {
namespace {

constexpr uint16_t mtu_min = 576;        // RFC 1122 section 3.3.2
constexpr uint16_t ipv6_mtu_min = 1280;  // RFC 8200 section 5

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
    if (address.ipv6) {
      options.ipv6_addresses.push_back(
          {address.ipv6->address, address.borrowed, address.tcp_ports});
    } else {
      options.addresses.push_back({address.prefix.address, address.borrowed, address.tcp_ports});
    }
  }
  return options;
}

bool has_ipv6(const PortConfig& port) {
  return std::any_of(port.addresses.begin(), port.addresses.end(),
                     [](const AddressConfig& address) { return address.ipv6.has_value(); });
}

// Neighbor discovery for a borrowed address is the kernel's, and so are its groups.
std::vector<Ipv6Address> owned_ipv6_addresses(const PortConfig& port) {
  std::vector<Ipv6Address> owned;
  for (const AddressConfig& address : port.addresses) {
    if (address.ipv6 && !address.borrowed) owned.push_back(address.ipv6->address);
  }
  return owned;
}

Error failed(const PortConfig& port, const std::string& what) {
  return Error{"port " + port.name + ": " + what};
}

bool has_xdp(const Config& config) {
  return std::any_of(config.ports.begin(), config.ports.end(),
                     [](const PortConfig& port) { return !port.dpdk; });
}

uint32_t dpdk_port_count(const Config& config) {
  return static_cast<uint32_t>(
      std::count_if(config.ports.begin(), config.ports.end(),
                    [](const PortConfig& port) { return port.dpdk.has_value(); }));
}

Status check_mtu(const PortConfig& port, uint16_t mtu) {
  const bool ipv6 = has_ipv6(port);
  const uint16_t least = ipv6 ? ipv6_mtu_min : mtu_min;
  if (mtu >= least) return Ok{};
  return failed(port, "MTU " + std::to_string(mtu) + " is below the " + std::to_string(least) +
                          (ipv6 ? " that IPv6 needs" : " that every IPv4 host accepts"));
}

Result<OpenPort> open_xdp(const PortConfig& config, nic::XdpUmem& umem) {
  auto groups = SolicitedNodeGroups::join(config.interface, owned_ipv6_addresses(config));
  if (!groups.ok()) return failed(config, groups.error());
  auto program = bpf::Redirect::attach(redirect_options(config));
  if (!program.ok()) return failed(config, program.error());
  nic::XdpPortOptions options;
  options.name = config.name;
  options.queue = config.queue;
  options.receive_frames = receive_frames_per_port;
  options.checksum_mode = config.checksum;
  auto socket = nic::XdpPort::open(options, umem, *program);
  if (!socket.ok()) {
    program->stop();
    return failed(config, socket.error());
  }
  if (Status enough = check_mtu(config, (*socket)->facts().mtu); !enough) {
    program->stop();
    return Error{enough.error()};
  }
  if (!groups->note().empty()) spdlog::warn("port {}: {}", config.name, groups->note());
  spdlog::info("port {}: {}; {}", config.name, program->facts().note,
               (*socket)->zero_copy() ? "zero-copy" : "copy mode");
  return OpenPort{std::move(*program), std::move(*socket), nullptr, nullptr, std::move(*groups)};
}

nic::DpdkPortOptions dpdk_options(const PortConfig& port, std::optional<uint32_t> user) {
  const DpdkPortConfig& dpdk = *port.dpdk;
  nic::DpdkPortOptions options;
  options.name = port.name;
  switch (dpdk.kind) {
    case DpdkKind::memif:
      options.device = nic::Memif{
          dpdk.socket,
          dpdk.role == DpdkRole::server ? nic::MemifRole::server : nic::MemifRole::client, dpdk.id,
          dpdk.ring_frames, user};
      break;
    case DpdkKind::pci: options.device = nic::PciDevice{dpdk.device}; break;
    case DpdkKind::vdev: options.device = nic::VirtualDevice{dpdk.device}; break;
  }
  options.mac = dpdk.mac;
  options.mtu = dpdk.mtu;
  options.receive_frames = receive_frames_per_port;
  options.checksum_mode = port.checksum.value_or(packet::ChecksumMode::verify);
  return options;
}

Result<OpenPort> open_dpdk(const PortConfig& config, const nic::DpdkPortOptions& options,
                           nic::DpdkEnvironment& environment) {
  auto device = nic::DpdkPort::open(options, environment);
  if (!device.ok()) return failed(config, device.error());
  if (Status enough = check_mtu(config, (*device)->facts().mtu); !enough) {
    return Error{enough.error()};
  }
  spdlog::info(
      "port {}: DPDK, {}, address {}", config.name,
      config.dpdk->kind == DpdkKind::memif ? "memif " + config.dpdk->socket : config.dpdk->device,
      to_text((*device)->facts().mac));
  nic::DpdkPort* port = device->get();
  return OpenPort{std::nullopt, std::move(*device), port, nullptr, {}};
}

Status add_capture(const PortConfig& config, packet::Arena& arena, OpenPort& port) {
  if (config.capture.empty()) return Ok{};
  auto capture = nic::PcapPort::create(*port.device, arena, config.capture,
                                       nic::PcapPort::file_bytes_max_default,
                                       MonotonicClock().wall_ns_of_origin());
  if (!capture.ok()) return failed(config, "capture: " + capture.error());
  port.capture = std::move(*capture);
  spdlog::info("port {}: capturing to {}", config.name, config.capture);
  return Ok{};
}

}  // namespace

// Receive frames of the ports of driver xdp, then the arena; DPDK brings its own receive frames.
Status Ports::make_arena(const Config& config) {
  const auto xdp_ports = static_cast<uint32_t>(config.ports.size()) - dpdk_port_count(config);
  const uint32_t receive_frames = xdp_ports * receive_frames_per_port;
  if (memory_.frame_count() < receive_frames + receive_frames_per_port) {
    return Error{"limits: packet_memory_mib is too small for " + std::to_string(xdp_ports) +
                 " ports"};
  }
  arena_memory_ = memory_.data();
  arena_slot_count_ = memory_.frame_count();
  if (has_xdp(config)) {
    auto umem = nic::XdpUmem::create(memory_, receive_frames);
    if (!umem.ok()) return Error{umem.error()};
    umem_ = std::move(*umem);
    arena_memory_ = umem_->arena_memory();
    arena_slot_count_ = umem_->arena_slot_count();
  }
  arena_ = std::make_unique<packet::Arena>(arena_memory_, arena_slot_count_);
  return Ok{};
}

Status Ports::start_dpdk(const Config& config) {
  const uint32_t count = dpdk_port_count(config);
  if (count == 0) return Ok{};
  nic::DpdkEnvironmentOptions options;
  options.huge_pages = config.dpdk.huge_pages;
  options.memory_mib =
      config.dpdk.memory_mib.value_or(nic::dpdk_memory_mib(count, receive_frames_per_port));
  for (const PortConfig& port : config.ports) {
    if (port.dpdk && port.dpdk->kind == DpdkKind::pci)
      options.pci_devices.push_back(port.dpdk->device);
  }
  auto environment = nic::DpdkEnvironment::create(options);
  if (!environment.ok()) return Error{environment.error()};
  dpdk_ = std::move(*environment);
  return Ok{};
}

Status Ports::open_all(const Config& config) {
  for (const PortConfig& port : config.ports) {
    nic::DpdkPortOptions dpdk;
    if (port.dpdk) dpdk = dpdk_options(port, config.user);
    dpdk.arena_memory = arena_memory_;
    dpdk.arena_slot_count = arena_slot_count_;
    auto opened = port.dpdk ? open_dpdk(port, dpdk, *dpdk_) : open_xdp(port, *umem_);
    if (!opened.ok()) return Error{opened.error()};
    ports_.push_back(std::move(*opened));
    OpenPort& last = ports_.back();
    if (Status captured = add_capture(port, *arena_, last); !captured) return captured;
  }
  return Ok{};
}

Result<std::unique_ptr<Ports>> Ports::open(const Config& config) {
  const uint32_t frame_count = config.limits.packet_memory_mib * ((1U << 20) / packet::slot_bytes);
  auto memory = packet::FrameMemory::create(frame_count);
  if (!memory.ok()) return Error{memory.error()};
  std::unique_ptr<Ports> ports(new Ports(std::move(*memory)));
  for (const auto step : {&Ports::make_arena, &Ports::start_dpdk, &Ports::open_all}) {
    if (Status done = (*ports.*step)(config); !done) return Error{done.error()};
  }
  return ports;
}

Ports::~Ports() {
  for (bpf::Redirect* program : programs()) program->stop();
}

std::vector<nic::Port*> Ports::ports() const {
  std::vector<nic::Port*> ports;
  for (const OpenPort& port : ports_) ports.push_back(port.port());
  return ports;
}

std::vector<bpf::Redirect*> Ports::programs() {
  std::vector<bpf::Redirect*> programs;
  for (OpenPort& port : ports_) {
    if (port.program) programs.push_back(&*port.program);
  }
  return programs;
}

std::vector<nic::DpdkPort*> Ports::dpdk_ports() const {
  std::vector<nic::DpdkPort*> ports;
  for (const OpenPort& port : ports_) {
    if (port.dpdk != nullptr) ports.push_back(port.dpdk);
  }
  return ports;
}

Status Ports::register_worker_thread() {
  return dpdk_ ? dpdk_->register_thread() : Status(Ok{});
}

}  // namespace millrace

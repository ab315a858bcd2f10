// DpdkPort: one queue pair of a DPDK device (an "ethdev"). A memif to another process on this
// machine, a network card that is given to us whole, or any virtual device of DPDK.
//
// Receiving. Frames are mbufs of a pool of the port's own, as many as receive_frames; what the
// worker holds is lent from it, and a quarter always stays with the port. A packet in several
// buffers, or longer than dpdk_frame_bytes_max, is longer than anything we announce: dropped and
// counted.
//
// Transmitting. An arena slot goes to the device where it lies: the port keeps a ring of mbufs that
// it points at slots, and holds one reference to each itself. When the device has dropped its own,
// the slot is done. What the device has no room for stays in the ring for the next flush().
//
// Waiting. No device tells the worker that a frame has come: wait_fd() is -1, the worker polls.
//
// Links. While the far end of a memif is away, what is to be sent is dropped and counted; it may
// come and go as it likes (dataplane/nic/memif_gate.h). The other devices keep frames until their
// link is there.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "base/address.h"
#include "base/result.h"
#include "dataplane/nic/dpdk_environment.h"
#include "dataplane/nic/memif_gate.h"
#include "dataplane/nic/port.h"

namespace millrace::nic {

// The longest frame taken in: its text fits in one arena slot. facts().mtu never promises more.
inline constexpr uint32_t dpdk_frame_bytes_max = packet::payload_bytes_max;
inline constexpr uint16_t dpdk_mtu_max = dpdk_frame_bytes_max - 14;  // Ethernet header
inline constexpr uint16_t dpdk_mtu_min = 576;                        // RFC 1122 section 3.3.2
inline constexpr uint32_t dpdk_receive_frames_min = 512;
inline constexpr uint32_t memif_ring_frames_min = 64;
inline constexpr uint32_t memif_ring_frames_max = 16'384;

// Shared memory between two processes of this machine that trust one another: the far end's
// descriptors are believed. Both ends name the same socket and id and take different roles.
struct Memif {
  // Path of a Unix socket, at most memif_socket_bytes_max characters, in a folder that the process
  // may write to: another socket, for the driver, is made beside it.
  std::string socket;
  MemifRole role = MemifRole::server;
  uint32_t id = 0;                // a client says which of the server's links it means
  uint32_t ring_frames = 1024;    // a power of two; the client's counts
  std::optional<uint32_t> owner;  // uid that the process will have when links come and go
};
inline constexpr size_t memif_socket_bytes_max = 80;

// A network card, bound to a driver that DPDK takes (vfio-pci with an IOMMU, or the kernel's own
// for mlx5). Named in DpdkEnvironmentOptions too.
struct PciDevice {
  std::string address;  // "0000:03:00.0"
};

// DPDK's own words for a virtual device, "net_ring0" or "net_pcap0,iface=eth2": for tests and for
// people who know them.
struct VirtualDevice {
  std::string arguments;
};

struct DpdkPortOptions {
  std::string name;  // for logs and counters; the device's name when empty
  std::variant<Memif, PciDevice, VirtualDevice> device;
  std::optional<MacAddress> mac;   // default: the device's own (a memif draws one at every start)
  uint16_t mtu = 1500;             // dpdk_mtu_min to dpdk_mtu_max; the device's if that is less
  uint32_t receive_frames = 4096;  // at least dpdk_receive_frames_min
  // What is sent comes from here: the worker's arena, slot_bytes a slot, outliving the port.
  uint8_t* arena_memory = nullptr;
  uint32_t arena_slot_count = 0;
  ChecksumMode checksum_mode = ChecksumMode::verify;
};

// How much memory the EAL needs for that many ports.
uint32_t dpdk_memory_mib(uint32_t port_count, uint32_t receive_frames_per_port);

class DpdkPort : public Port {
 public:
  // Opens and starts the device; a memif's far end need not be there. Called on the thread that
  // created the environment, which outlives the port. Errors name the device: not there, taken,
  // options it refuses, memory.
  static Result<std::unique_ptr<DpdkPort>> open(const DpdkPortOptions& options,
                                                DpdkEnvironment& environment);

  // Whether frames can pass now. A memif: the far end is connected.
  virtual bool link_up() const = 0;
  // How often the link came up.
  virtual uint64_t link_ups() const = 0;
};

}  // namespace millrace::nic

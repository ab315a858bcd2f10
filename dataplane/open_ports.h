// Opens the configured ports, and the memory they share with the worker: program onto the interface
// and socket onto its queue, or DPDK and its devices; capture around it.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "bpf/redirect_loader.h"
#include "dataplane/config.h"
#include "dataplane/nic/dpdk_port.h"
#include "dataplane/nic/pcap_port.h"
#include "dataplane/nic/port.h"
#include "dataplane/nic/xdp_umem.h"
#include "dataplane/packet/arena.h"
#include "dataplane/packet/frame_memory.h"
#include "dataplane/solicited_node_groups.h"

namespace millrace {

struct OpenPort {
  std::optional<bpf::Redirect> program;  // of a port of driver xdp
  std::unique_ptr<nic::Port> device;
  nic::DpdkPort* dpdk = nullptr;           // the device, if it is of driver dpdk
  std::unique_ptr<nic::PcapPort> capture;  // around the device, if asked for
  SolicitedNodeGroups groups;              // of a port of driver xdp with owned IPv6 addresses

  nic::Port* port() const {
    if (capture) return capture.get();
    return device.get();
  }
};

inline constexpr uint32_t receive_frames_per_port = 4'096;

// Everything a worker receives from and sends to. Members are destroyed from the last to the first:
// ports before what they stand on.
class Ports {
 public:
  // All of them or none: what was attached before the one that failed is detached again. Error: the
  // port, the interface or device and what to do, one line.
  static Result<std::unique_ptr<Ports>> open(const Config& config);
  Ports(const Ports&) = delete;
  Ports& operator=(const Ports&) = delete;
  // Takes the programs off the interfaces: pinned ones would go on dropping frames for nobody.
  ~Ports();

  packet::Arena& arena() { return *arena_; }
  std::vector<nic::Port*> ports() const;
  // Of the ports of driver xdp, in the order of the configuration.
  std::vector<bpf::Redirect*> programs();
  std::vector<nic::DpdkPort*> dpdk_ports() const;
  // To be called first on the worker's thread.
  Status register_worker_thread();

 private:
  explicit Ports(packet::FrameMemory memory) : memory_(std::move(memory)) {}
  Status make_arena(const Config& config);
  Status start_dpdk(const Config& config);
  Status open_all(const Config& config);

  packet::FrameMemory memory_;
  std::unique_ptr<nic::XdpUmem> umem_;          // if a port has driver xdp
  std::unique_ptr<nic::DpdkEnvironment> dpdk_;  // if a port has driver dpdk
  std::unique_ptr<packet::Arena> arena_;
  uint8_t* arena_memory_ = nullptr;
  uint32_t arena_slot_count_ = 0;
  std::vector<OpenPort> ports_;
};

}  // namespace millrace

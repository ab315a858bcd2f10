// Opens the configured ports: program onto the interface, socket onto its queue, capture around it.
#pragma once

#include <memory>
#include <vector>

#include "base/result.h"
#include "bpf/redirect_loader.h"
#include "dataplane/config.h"
#include "dataplane/nic/pcap_port.h"
#include "dataplane/nic/xdp_port.h"
#include "dataplane/packet/arena.h"

namespace millrace {

struct OpenPort {
  bpf::Redirect program;
  std::unique_ptr<nic::XdpPort> socket;
  std::unique_ptr<nic::PcapPort> capture;  // around the socket, if asked for

  nic::Port* port() const {
    if (capture) return capture.get();
    return socket.get();
  }
};

inline constexpr uint32_t receive_frames_per_port = 4'096;

// All of them or none: what was attached before the one that failed is detached again. Error: the
// port, the interface and what to do, one line.
Result<std::vector<OpenPort>> open_ports(const Config& config, nic::XdpUmem& umem,
                                         packet::Arena& arena);

}  // namespace millrace

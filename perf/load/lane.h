// Lane: an open port with the memory behind it, of whatever kind. The one place that knows how
// ports are opened.
#pragma once

#include <memory>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "dataplane/nic/port.h"
#include "dataplane/packet/arena.h"
#include "perf/load/options.h"

namespace millrace::load {

class Lane {
 public:
  virtual ~Lane() = default;
  virtual nic::Port& port() = 0;
  virtual packet::Arena& arena() = 0;
  // "Alive", at least every 100 ms.
  virtual void beat(Instant now) = 0;
  // Brings the port's drop counts up to date; may enter the kernel.
  virtual void collect_statistics() = 0;
};

// addresses: ours. Error: what the port or the machine lacks, one line.
Result<std::unique_ptr<Lane>> open_lane(const PortOptions& options,
                                        const std::vector<Ipv4Address>& addresses);
// The kinds.
Result<std::unique_ptr<Lane>> open_xdp_lane(const PortOptions& options,
                                            const std::vector<Ipv4Address>& addresses);
Result<std::unique_ptr<Lane>> open_memif_lane(const PortOptions& options);

}  // namespace millrace::load

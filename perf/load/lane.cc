#include "perf/load/lane.h"

namespace millrace::load {

Result<std::unique_ptr<Lane>> open_lane(const PortOptions& options,
                                        const std::vector<Ipv4Address>& addresses) {
  switch (options.kind) {
    case PortKind::xdp: return open_xdp_lane(options, addresses);
    case PortKind::memif: return open_memif_lane(options);
    case PortKind::kernel: break;
  }
  return Error{"--port kernel carries no frames"};
}

}  // namespace millrace::load

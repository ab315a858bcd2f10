// The lane over memif: shared memory to another process, through the product's own DPDK port.
#include "dataplane/nic/dpdk_port.h"
#include "dataplane/packet/frame_memory.h"
#include "perf/load/lane.h"

namespace millrace::load {
namespace {

constexpr uint32_t receive_frames = 4'096;
constexpr uint32_t frames_per_mib = (1U << 20) / packet::slot_bytes;

class MemifLane final : public Lane {
 public:
  MemifLane(packet::FrameMemory memory, std::unique_ptr<nic::DpdkEnvironment> environment)
      : memory_(std::move(memory)),
        arena_(memory_.data(), memory_.frame_count()),
        environment_(std::move(environment)) {}

  Status open(const PortOptions& options) {
    nic::DpdkPortOptions port;
    port.name = options.socket;
    nic::Memif memif;
    memif.socket = options.socket;
    memif.role = options.is_server ? nic::MemifRole::server : nic::MemifRole::client;
    port.device = memif;
    port.receive_frames = receive_frames;
    port.arena_memory = memory_.data();
    port.arena_slot_count = memory_.frame_count();
    auto opened = nic::DpdkPort::open(port, *environment_);
    if (!opened.ok()) return Error{opened.error()};
    port_ = std::move(*opened);
    return Ok{};
  }

  nic::Port& port() override { return *port_; }
  packet::Arena& arena() override { return arena_; }
  void beat(Instant) override {}
  void collect_statistics() override {}

 private:
  packet::FrameMemory memory_;
  packet::Arena arena_;
  std::unique_ptr<nic::DpdkEnvironment> environment_;
  std::unique_ptr<nic::DpdkPort> port_;
};

}  // namespace

Result<std::unique_ptr<Lane>> open_memif_lane(const PortOptions& options) {
  auto memory = packet::FrameMemory::create(options.memory_mib * frames_per_mib);
  if (!memory.ok()) return Error{"packet memory: " + memory.error()};
  nic::DpdkEnvironmentOptions environment_options;
  environment_options.memory_mib = nic::dpdk_memory_mib(1, receive_frames);
  auto environment = nic::DpdkEnvironment::create(environment_options);
  if (!environment.ok()) return Error{environment.error()};
  auto lane = std::make_unique<MemifLane>(std::move(*memory), std::move(*environment));
  const Status opened = lane->open(options);
  if (!opened.ok()) return Error{opened.error()};
  return std::unique_ptr<Lane>(std::move(lane));
}

}  // namespace millrace::load

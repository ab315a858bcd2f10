// The lane over AF_XDP: the product's own XDP program and port, on one queue of an interface.
#include "bpf/redirect_loader.h"
#include "dataplane/nic/xdp_port.h"
#include "dataplane/packet/frame_memory.h"
#include "perf/load/lane.h"

namespace millrace::load {
namespace {

constexpr uint32_t receive_frames = 4'096;
constexpr uint32_t frames_per_mib = (1U << 20) / packet::slot_bytes;

bpf::RedirectOptions redirect_options(const PortOptions& options,
                                      const std::vector<Ipv4Address>& addresses) {
  bpf::RedirectOptions redirect;
  redirect.interface = options.interface;
  switch (options.attach) {
    case XdpAttach::automatic: redirect.mode = bpf::AttachMode::automatic; break;
    case XdpAttach::native: redirect.mode = bpf::AttachMode::native; break;
    case XdpAttach::generic: redirect.mode = bpf::AttachMode::generic; break;
  }
  // The program leaves with the process: nothing of a load run should stay.
  redirect.pin_root = "/nonexistent";
  for (Ipv4Address address : addresses) redirect.addresses.push_back({address, false, {}});
  return redirect;
}

class XdpLane final : public Lane {
 public:
  XdpLane(packet::FrameMemory memory, std::unique_ptr<nic::XdpUmem> umem, bpf::Redirect program,
          std::unique_ptr<nic::XdpPort> port)
      : memory_(std::move(memory)),
        umem_(std::move(umem)),
        arena_(umem_->arena_memory(), umem_->arena_slot_count()),
        program_(std::move(program)),
        port_(std::move(port)) {}
  ~XdpLane() override { program_.stop(); }

  nic::Port& port() override { return *port_; }
  packet::Arena& arena() override { return arena_; }
  void beat(Instant now) override { program_.beat(now); }
  void collect_statistics() override { port_->collect_statistics(); }

 private:
  packet::FrameMemory memory_;
  std::unique_ptr<nic::XdpUmem> umem_;
  packet::Arena arena_;
  bpf::Redirect program_;
  std::unique_ptr<nic::XdpPort> port_;
};

}  // namespace

Result<std::unique_ptr<Lane>> open_xdp_lane(const PortOptions& options,
                                            const std::vector<Ipv4Address>& addresses) {
  auto memory = packet::FrameMemory::create(options.memory_mib * frames_per_mib);
  if (!memory.ok()) return Error{"packet memory: " + memory.error()};
  auto umem = nic::XdpUmem::create(*memory, receive_frames);
  if (!umem.ok()) return Error{umem.error()};
  auto program = bpf::Redirect::attach(redirect_options(options, addresses));
  if (!program.ok()) return Error{program.error()};
  nic::XdpPortOptions port_options;
  port_options.queue = options.queue;
  port_options.receive_frames = receive_frames;
  auto port = nic::XdpPort::open(port_options, **umem, *program);
  if (!port.ok()) {
    program->stop();
    return Error{port.error()};
  }
  return std::unique_ptr<Lane>(std::make_unique<XdpLane>(std::move(*memory), std::move(*umem),
                                                         std::move(*program), std::move(*port)));
}

}  // namespace millrace::load

#include "dataplane/nic/xdp_umem.h"

#include <sys/resource.h>
#include <xdp/xsk.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "base/check.h"

namespace millrace::nic {
namespace {

constexpr uint32_t ring_size_min = 64;
constexpr uint32_t ring_size_max = 16384;

bool valid_ring_size(uint32_t size) {
  return size >= ring_size_min && size <= ring_size_max && (size & (size - 1)) == 0;
}

Error registration_error(int error) {
  std::string message = "packet memory: cannot register it for AF_XDP: ";
  if (error == EPERM) {
    message += "no privilege: needs root or CAP_NET_RAW";
  } else if (error == ENOBUFS || error == ENOMEM) {
    message += "the limit on locked memory is too low: raise LimitMEMLOCK or add CAP_IPC_LOCK";
  } else {
    message += std::strerror(error);
  }
  return Error{message};
}

}  // namespace

struct XdpUmem::Rings {
  xsk_ring_prod fill{};
  xsk_ring_cons completion{};
};

XdpUmem::XdpUmem(const packet::FrameMemory& memory, uint32_t receive_frame_count,
                 const XdpRingSizes& rings)
    : data_(memory.data()),
      frame_count_(memory.frame_count()),
      receive_frame_count_(receive_frame_count),
      rings_(rings),
      first_rings_(std::make_unique<Rings>()) {}

Result<std::unique_ptr<XdpUmem>> XdpUmem::create(const packet::FrameMemory& memory,
                                                 uint32_t receive_frame_count,
                                                 const XdpRingSizes& rings) {
  for (const uint32_t size : {rings.fill, rings.receive, rings.transmit, rings.completion}) {
    if (!valid_ring_size(size)) {
      return Error{"ring size " + std::to_string(size) + ": must be a power of two from " +
                   std::to_string(ring_size_min) + " to " + std::to_string(ring_size_max)};
    }
  }
  if (receive_frame_count > memory.frame_count()) {
    return Error{"packet memory: " + std::to_string(receive_frame_count) +
                 " receive frames do not fit in " + std::to_string(memory.frame_count())};
  }
  std::unique_ptr<XdpUmem> umem(new XdpUmem(memory, receive_frame_count, rings));
  xsk_umem_config config{};
  config.fill_size = rings.fill;
  config.comp_size = rings.completion;
  config.frame_size = packet::slot_bytes;
  const int error = xsk_umem__create(
      &umem->handle_, memory.data(), uint64_t{memory.frame_count()} * packet::slot_bytes,
      &umem->first_rings_->fill, &umem->first_rings_->completion, &config);
  if (error != 0) {
    umem->handle_ = nullptr;
    return registration_error(-error);
  }
  return umem;
}

XdpUmem::~XdpUmem() {
  if (handle_ != nullptr) CHECK(xsk_umem__delete(handle_) == 0);
}

uint32_t XdpUmem::claim_receive_frames(uint32_t count) {
  CHECK(count <= unclaimed_receive_frames());
  const uint32_t first = claimed_;
  claimed_ += count;
  return first;
}

}  // namespace millrace::nic

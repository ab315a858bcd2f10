#include "dataplane/nic/xdp_umem.h"

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

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

XdpUmem::XdpUmem(const packet::FrameMemory& memory, uint32_t receive_frame_count,
                 const XdpRingSizes& rings)
    : data_(memory.data()),
      frame_count_(memory.frame_count()),
      receive_frame_count_(receive_frame_count),
      rings_(rings),
      owner_(std::make_unique<XdpSocket>()) {}

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
  if (const int error = umem->owner_->open(); error != 0) return registration_error(error);
  umem->owner_fd_ = umem->owner_->fd();
  const uint64_t bytes = uint64_t{memory.frame_count()} * packet::slot_bytes;
  if (const int error = umem->owner_->register_memory(memory.data(), bytes, packet::slot_bytes);
      error != 0) {
    return registration_error(error);
  }
  return umem;
}

std::unique_ptr<XdpSocket> XdpUmem::take_owner() {
  return std::move(owner_);
}

uint32_t XdpUmem::claim_receive_frames(uint32_t count) {
  CHECK(count <= unclaimed_receive_frames());
  const uint32_t first = claimed_;
  claimed_ += count;
  return first;
}

}  // namespace millrace::nic

#include "dataplane/nic/xdp_socket.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

namespace millrace::nic {
namespace {

constexpr int64_t bind_wait_ms_max = 1000;
constexpr int64_t bind_pause_ms_max = 20;

void sleep_ms(int64_t milliseconds) {
  const timespec span{milliseconds / 1000, milliseconds % 1000 * 1'000'000};
  nanosleep(&span, nullptr);
}

template <class T>
int set_option(int fd, int option, const T& value) {
  return setsockopt(fd, SOL_XDP, option, &value, sizeof value) == 0 ? 0 : errno;
}

// The fields that both kinds of ring have.
template <class Ring>
void place_ring(Ring& ring, uint8_t* base, const xdp_ring_offset& offsets, uint32_t size) {
  ring.size = size;
  ring.mask = size - 1;
  ring.producer = reinterpret_cast<uint32_t*>(base + offsets.producer);
  ring.consumer = reinterpret_cast<uint32_t*>(base + offsets.consumer);
  ring.flags = reinterpret_cast<uint32_t*>(base + offsets.flags);
  ring.ring = base + offsets.desc;
  ring.cached_prod = *ring.producer;
  ring.cached_cons = *ring.consumer;
}

}  // namespace

XdpSocket::~XdpSocket() {
  for (const Mapping& mapping : mappings_) {
    if (mapping.at != nullptr) munmap(mapping.at, mapping.bytes);
  }
  if (fd_ >= 0) close(fd_);
}

int XdpSocket::open() {
  fd_ = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
  return fd_ >= 0 ? 0 : errno;
}

int XdpSocket::register_memory(void* memory, uint64_t bytes, uint32_t frame_bytes) {
  xdp_umem_reg registration{};
  registration.addr = reinterpret_cast<uint64_t>(memory);
  registration.len = bytes;
  registration.chunk_size = frame_bytes;
  return set_option(fd_, XDP_UMEM_REG, registration);
}

uint8_t* XdpSocket::map_ring(size_t index, uint64_t page_offset, size_t bytes) {
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_,
                  static_cast<off_t>(page_offset));
  if (at == MAP_FAILED) return nullptr;
  mappings_[index] = {at, bytes};
  return static_cast<uint8_t*>(at);
}

int XdpSocket::open_rings(const XdpRingSizes& sizes) {
  const struct {
    int option;
    uint32_t size;
  } rings[] = {{XDP_UMEM_FILL_RING, sizes.fill},
               {XDP_UMEM_COMPLETION_RING, sizes.completion},
               {XDP_RX_RING, sizes.receive},
               {XDP_TX_RING, sizes.transmit}};
  for (const auto& ring : rings) {
    if (const int error = set_option(fd_, ring.option, ring.size); error != 0) return error;
  }
  xdp_mmap_offsets offsets{};
  socklen_t bytes = sizeof offsets;
  if (getsockopt(fd_, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &bytes) != 0) return errno;

  uint8_t* fill_at =
      map_ring(0, XDP_UMEM_PGOFF_FILL_RING, offsets.fr.desc + sizes.fill * sizeof(uint64_t));
  uint8_t* completion_at = map_ring(1, XDP_UMEM_PGOFF_COMPLETION_RING,
                                    offsets.cr.desc + sizes.completion * sizeof(uint64_t));
  uint8_t* receive_at =
      map_ring(2, XDP_PGOFF_RX_RING, offsets.rx.desc + sizes.receive * sizeof(xdp_desc));
  uint8_t* transmit_at =
      map_ring(3, XDP_PGOFF_TX_RING, offsets.tx.desc + sizes.transmit * sizeof(xdp_desc));
  if (fill_at == nullptr || completion_at == nullptr || receive_at == nullptr ||
      transmit_at == nullptr) {
    return errno;
  }
  place_ring(fill, fill_at, offsets.fr, sizes.fill);
  place_ring(completion, completion_at, offsets.cr, sizes.completion);
  place_ring(receive, receive_at, offsets.rx, sizes.receive);
  place_ring(transmit, transmit_at, offsets.tx, sizes.transmit);
  // libxdp keeps a producer's view of the consumer one ring ahead, which saves it an addition.
  fill.cached_cons += fill.size;
  transmit.cached_cons += transmit.size;
  return 0;
}

int XdpSocket::bind(uint32_t interface_index, uint32_t queue, uint16_t flags, int umem_owner) {
  sockaddr_xdp at{};
  at.sxdp_family = AF_XDP;
  at.sxdp_ifindex = interface_index;
  at.sxdp_queue_id = queue;
  at.sxdp_flags = flags;
  // Sharers take over copy or zero-copy mode and the wake-up flag from the owner, and may name
  // none.
  if (umem_owner != fd_) {
    at.sxdp_flags = XDP_SHARED_UMEM;
    at.sxdp_shared_umem_fd = static_cast<uint32_t>(umem_owner);
  }
  int error = 0;
  for (int64_t waited_ms = 0, pause_ms = 1; waited_ms <= bind_wait_ms_max;) {
    error = ::bind(fd_, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0 ? 0 : errno;
    if (error != EBUSY) break;
    sleep_ms(pause_ms);
    waited_ms += pause_ms;
    pause_ms = std::min(pause_ms * 2, bind_pause_ms_max);
  }
  return error;
}

}  // namespace millrace::nic

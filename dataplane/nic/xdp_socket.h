// XdpSocket: an AF_XDP socket with its four rings mapped. The rings' accessors are libxdp's
// (xsk_ring_prod__*, xsk_ring_cons__*); making the socket is done here and not with
// xsk_socket__create_shared(), because libxdp 1.3 unmaps the rings of a UMEM when binding fails and
// goes on using them when it is called again, and a bind that must be tried again is what a restart
// after a kill meets.
#pragma once

#include <xdp/xsk.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace millrace::nic {

// Descriptors per ring, powers of two, 64 to 16384.
struct XdpRingSizes {
  uint32_t fill = 2048;
  uint32_t receive = 2048;
  uint32_t transmit = 2048;
  uint32_t completion = 2048;
};

class XdpSocket {
 public:
  XdpSocket() = default;
  XdpSocket(const XdpSocket&) = delete;
  XdpSocket& operator=(const XdpSocket&) = delete;
  // Unmaps the rings and closes the socket; the kernel gives the queue back a little later.
  ~XdpSocket();

  // All return 0 or the kernel's error number.
  int open();
  int register_memory(void* memory, uint64_t bytes, uint32_t frame_bytes);
  int open_rings(const XdpRingSizes& sizes);
  // umem_owner: the bound socket that registered the memory, or this one's own descriptor if it
  // did. Waits up to a second while the queue is still a killed predecessor's (EBUSY).
  int bind(uint32_t interface_index, uint32_t queue, uint16_t flags, int umem_owner);

  int fd() const { return fd_; }

  xsk_ring_prod fill{};
  xsk_ring_cons receive{};
  xsk_ring_prod transmit{};
  xsk_ring_cons completion{};

 private:
  struct Mapping {
    void* at = nullptr;
    size_t bytes = 0;
  };
  uint8_t* map_ring(size_t index, uint64_t page_offset, size_t bytes);

  int fd_ = -1;
  std::array<Mapping, 4> mappings_{};
};

}  // namespace millrace::nic

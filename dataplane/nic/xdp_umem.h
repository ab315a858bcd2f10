// XdpUmem: a worker's packet memory, registered with the kernel for AF_XDP. All AF_XDP ports of a
// worker share it.
//
//   FrameMemory | receive frames: port 0's | port 1's | ... | transmit arena's slots            |
//   frame         0                                           receive_frame_count ... frame_count
//
// A UMEM address is a byte offset into FrameMemory, so a transmit slot goes to the kernel where it
// lies.
#pragma once

#include <cstdint>
#include <memory>

#include "base/result.h"
#include "dataplane/packet/arena.h"
#include "dataplane/packet/frame_memory.h"

struct xsk_umem;

namespace millrace::nic {

// Descriptors per ring, powers of two, 64 to 16384. The same for all ports of a UMEM.
struct XdpRingSizes {
  uint32_t fill = 2048;
  uint32_t receive = 2048;
  uint32_t transmit = 2048;
  uint32_t completion = 2048;
};

class XdpUmem {
 public:
  // memory and the UMEM: memory outlives it. The first receive_frame_count frames are for
  // receiving, the rest is the arena's. Errors: no privilege, memory lock limit, what the kernel
  // refused.
  static Result<std::unique_ptr<XdpUmem>> create(const packet::FrameMemory& memory,
                                                 uint32_t receive_frame_count,
                                                 const XdpRingSizes& rings = {});
  XdpUmem(const XdpUmem&) = delete;
  XdpUmem& operator=(const XdpUmem&) = delete;
  // After all its ports.
  ~XdpUmem();

  // The part of the memory that the worker's Arena is built over.
  uint8_t* arena_memory() const { return data_ + arena_address(); }
  uint32_t arena_slot_count() const { return frame_count_ - receive_frame_count_; }
  uint64_t arena_address() const { return uint64_t{receive_frame_count_} * packet::slot_bytes; }

  // For XdpPort.
  uint8_t* data() const { return data_; }
  const XdpRingSizes& rings() const { return rings_; }
  xsk_umem* handle() const { return handle_; }
  uint32_t unclaimed_receive_frames() const { return receive_frame_count_ - claimed_; }
  // Takes count receive frames for a port and returns the first one's index.
  uint32_t claim_receive_frames(uint32_t count);

 private:
  struct Rings;
  XdpUmem(const packet::FrameMemory& memory, uint32_t receive_frame_count,
          const XdpRingSizes& rings);

  uint8_t* data_;
  uint32_t frame_count_;
  uint32_t receive_frame_count_;
  uint32_t claimed_ = 0;
  XdpRingSizes rings_;
  std::unique_ptr<Rings> first_rings_;  // libxdp hands them to the first port
  xsk_umem* handle_ = nullptr;
};

}  // namespace millrace::nic

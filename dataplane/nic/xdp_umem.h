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
#include "dataplane/nic/xdp_socket.h"
#include "dataplane/packet/arena.h"
#include "dataplane/packet/frame_memory.h"

namespace millrace::nic {

class XdpUmem {
 public:
  // memory outlives the UMEM. The first receive_frame_count frames are for
  // receiving, the rest is the arena's. Errors: no privilege, memory lock limit, what the kernel
  // refused.
  static Result<std::unique_ptr<XdpUmem>> create(const packet::FrameMemory& memory,
                                                 uint32_t receive_frame_count,
                                                 const XdpRingSizes& rings = {});
  XdpUmem(const XdpUmem&) = delete;
  XdpUmem& operator=(const XdpUmem&) = delete;

  // The part of the memory that the worker's Arena is built over.
  uint8_t* arena_memory() const { return data_ + arena_address(); }
  uint32_t arena_slot_count() const { return frame_count_ - receive_frame_count_; }
  uint64_t arena_address() const { return uint64_t{receive_frame_count_} * packet::slot_bytes; }

  // For XdpPort.
  uint8_t* data() const { return data_; }
  const XdpRingSizes& rings() const { return rings_; }
  // The first port binds the socket that registered the memory, which the kernel wants; the others
  // bring their own and name this one. Null once taken.
  std::unique_ptr<XdpSocket> take_owner();
  int owner_fd() const { return owner_fd_; }
  uint32_t unclaimed_receive_frames() const { return receive_frame_count_ - claimed_; }
  // Takes count receive frames for a port and returns the first one's index.
  uint32_t claim_receive_frames(uint32_t count);

 private:
  XdpUmem(const packet::FrameMemory& memory, uint32_t receive_frame_count,
          const XdpRingSizes& rings);

  uint8_t* data_;
  uint32_t frame_count_;
  uint32_t receive_frame_count_;
  uint32_t claimed_ = 0;
  XdpRingSizes rings_;
  std::unique_ptr<XdpSocket> owner_;
  int owner_fd_ = -1;
};

}  // namespace millrace::nic

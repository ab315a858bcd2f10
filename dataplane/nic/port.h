// Port: what every packet source and sink must be. AF_XDP, DPDK and the simulated link are peers
// behind it; capturing and fault injection are ports around a port.
//
// All calls are made by the one worker thread that owns the port, in this order within a turn:
// receive, release, reclaim, transmit, flush. Calls are a burst each, never a packet each. No call
// blocks or allocates; only flush() and receive() may enter the kernel, each at most once or twice.
//
// Ownership. receive() lends frames, release() gives every one of them back in the same turn.
// transmit() takes slots of the worker's arena: the port reads them until reclaim() returns their
// index, and nobody writes to them meanwhile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/address.h"
#include "base/time.h"
#include "dataplane/packet/arena.h"
#include "dataplane/packet/checksum_mode.h"
#include "dataplane/packet/frame.h"

namespace millrace::nic {

using packet::ChecksumMode;

struct PortFacts {
  std::string name;     // for logs and counters
  MacAddress mac;       // source address of what we send
  uint16_t mtu = 1500;  // bytes of IP packet, Ethernet header not counted
  ChecksumMode checksum_mode = ChecksumMode::verify;
};

struct PortCounters {
  uint64_t received_frames = 0;
  uint64_t received_bytes = 0;
  uint64_t transmitted_frames = 0;
  uint64_t transmitted_bytes = 0;
  uint64_t receive_dropped_frames =
      0;  // the port or the kernel had no buffer, or the frame was too long
  uint64_t transmit_dropped_frames =
      0;               // the kernel or the link refused it after transmit() took it
  uint64_t kicks = 0;  // system calls made for transmit or fill
};

inline constexpr size_t burst_frames_max =
    64;  // a burst: 64 frames keep descriptors and headers in L1

class Port {
 public:
  virtual ~Port() = default;

  virtual const PortFacts& facts() const = 0;
  virtual const PortCounters& counters() const = 0;

  // Fills up to frames.size() entries (port index left to the caller) and returns how many.
  // `now` is for simulated links; hardware does not care.
  virtual size_t receive(std::span<packet::Frame> frames, Instant now) = 0;
  virtual void release(std::span<const packet::Frame> frames) = 0;

  // How many frames transmit() would take now.
  virtual size_t transmit_room() const = 0;
  // Takes all of frames; frames.size() <= transmit_room(). The arena's in_port bit is set by the
  // caller.
  virtual void transmit(std::span<const packet::TransmitFrame> frames, Instant now) = 0;
  // Makes what was taken leave (a kick, a doorbell). Once a turn.
  virtual void flush() = 0;
  // Slots the port is done with: up to slots.size() indices, returns how many.
  virtual size_t reclaim(std::span<packet::SlotIndex> slots) = 0;

  // To sleep on: readable when frames wait. -1 when the port cannot say (DPDK, a simulated link):
  // then the worker comes back by itself to look.
  virtual int wait_fd() const = 0;
  // Called before the worker sleeps: arms the wake-up, and flushes. True when frames are there
  // already, or leave at once if it looks again. A port that cannot say answers false.
  virtual bool prepare_wait() = 0;

  // Merges the drops that only the kernel or the device counts into counters(). May enter the
  // kernel: once a second, not per turn.
  virtual void collect_statistics() {}

  // Every buffer is in exactly one place: fill + rx + tx + completion + free == total.
  // True when the sum holds; called once a second by the worker and by tests.
  virtual bool frames_conserved() const = 0;
};

}  // namespace millrace::nic

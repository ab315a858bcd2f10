// Frame: one received Ethernet frame, lent by a port.
//
//   data                                    data + length
//   | Ethernet | IPv4 | TCP | payload ...    |
//
// The bytes stay the port's memory. Whoever holds a Frame gives it back with Port::release() within
// the turn in which it was received; nothing above keeps a pointer into it (payload that has to
// wait is copied into the arena).
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace millrace::packet {

inline constexpr uint8_t ports_max = 8;  // a worker owns 1 to 8 ports

struct Frame {
  uint8_t* data = nullptr;
  uint16_t length = 0;             // bytes, Ethernet header included, frame check sequence not
  uint8_t port = 0;                // index of the port within its worker, set by the worker
  bool checksum_verified = false;  // the NIC vouches for the transport checksum
  // Octets behind the frame that belong to the same buffer and may be read (what they hold means
  // nothing): so that text can be looked at in whole vectors. Set by the port; 0 is always right.
  uint16_t octets_behind = 0;
  uint64_t token = 0;  // the port's own name for the buffer (UMEM address, mbuf pointer)

  ByteView bytes() const { return {data, length}; }
};

}  // namespace millrace::packet

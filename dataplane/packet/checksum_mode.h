// How much the receive side of a port trusts transport checksums. Stands here because the port
// states it (nic) and the checksum check obeys it (net), and neither knows the other.
#pragma once

#include <cstdint>

namespace millrace::packet {

// Kernel peers on a veth send only the pseudo-header's sum (CHECKSUM_PARTIAL): the frame never
// crossed a wire, so there was nothing to protect.
enum class ChecksumMode : uint8_t {
  verify,             // the sum must be complete: real NICs without offload
  verify_or_partial,  // complete, or equal to the folded pseudo-header: veth; the default there
  trust,              // somebody else vouches
};

}  // namespace millrace::packet

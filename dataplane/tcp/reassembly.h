// Out-of-order text: sorted, non-overlapping ranges waiting for the gap before them to close.
//
// Policy on overlap: the octets that arrived first win (T37), so what was delivered and what an
// inspecting device saw first never change by a later segment. Bounded by slots per connection
// (T36): an insertion walks at most slots_max records.
#pragma once

#include <cstdint>

#include "dataplane/tcp/slot_chain.h"

namespace millrace::tcp {

inline constexpr uint32_t out_of_order_slots_max =
    64;  // per connection: 64 holes, or 64 full segments

enum class ReassemblyOutcome : uint8_t {
  stored,     // all or part of the text is new and waits
  duplicate,  // every octet was there already
  full,       // the connection's bound or the arena's reserve is reached; nothing or part was kept
};

// Files text starting at seq; every octet lies inside the receive window and beyond RCV.NXT.
// reserve_count: arena slots to leave free.
ReassemblyOutcome reassembly_insert(SlotRecords& records, SlotChain& chain, Seq seq, ByteView text,
                                    uint32_t reserve_count);

}  // namespace millrace::tcp

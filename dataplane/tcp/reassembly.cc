#include "dataplane/tcp/reassembly.h"

#include <algorithm>

namespace millrace::tcp {

ReassemblyOutcome reassembly_insert(SlotRecords& records, SlotChain& chain, Seq seq, ByteView text,
                                    uint32_t reserve_count) {
  bool stored = false;
  SlotIndex previous = slot_none;
  SlotIndex next = chain.head;
  while (!text.empty()) {
    // Skip ranges that end at or before the first octet left.
    while (next != slot_none && records[next].end() <= seq) {
      previous = next;
      next = records[next].next;
    }
    // Octets already held win: jump over them.
    if (next != slot_none && records[next].seq <= seq) {
      const uint32_t held = octets_between(seq, records[next].end());
      const auto skipped = std::min<size_t>(held, text.size());
      seq += static_cast<uint32_t>(skipped);
      text = text.subspan(skipped);
      continue;
    }
    // The gap in front of the next range.
    size_t fresh = text.size();
    if (next != slot_none) fresh = std::min<size_t>(fresh, octets_between(seq, records[next].seq));
    // Adjacent text joins its neighbor's slot, so that a run of tiny segments holds few slots.
    if (previous != slot_none && records[previous].end() == seq) {
      const size_t joined = std::min<size_t>(fresh, records.room_behind(previous));
      if (joined > 0) {
        records.append(previous, text.first(joined));
        seq += static_cast<uint32_t>(joined);
        text = text.subspan(joined);
        stored = true;
        continue;
      }
    }
    if (chain.count >= out_of_order_slots_max) return ReassemblyOutcome::full;
    const SlotIndex slot = records.acquire(seq, reserve_count);
    if (slot == slot_none) return ReassemblyOutcome::full;
    const size_t part = std::min<size_t>(fresh, packet::payload_bytes_max);
    records.append(slot, text.first(part));
    records.insert_after(chain, previous, slot);
    previous = slot;
    next = records[slot].next;
    seq += static_cast<uint32_t>(part);
    text = text.subspan(part);
    stored = true;
  }
  return stored ? ReassemblyOutcome::stored : ReassemblyOutcome::duplicate;
}

}  // namespace millrace::tcp

// Chains of arena slots that hold a range of the sequence space: a connection's send queue, its
// receive queue and its out-of-order list. The links and ranges stand beside the arena, one record
// a slot, so that a connection itself holds only the ends.
#pragma once

#include <cstdint>
#include <memory>

#include "base/time.h"
#include "dataplane/net/checksum.h"
#include "dataplane/packet/arena.h"
#include "dataplane/tcp/seq.h"

namespace millrace::tcp {

using packet::slot_none;
using packet::SlotIndex;

struct SlotRecord {
  SlotIndex next = slot_none;
  Seq seq;  // of the octet at payload + offset
  uint16_t offset =
      0;  // where the range starts in the slot's payload; receive queues consume by moving it
  uint16_t length = 0;  // octets
  // The text's checksum as append_summed() found it, folded, not complemented; it holds while the
  // range is what was appended.
  uint16_t text_sum = 0;
  bool text_sum_holds = true;
  bool retransmitted = false;
  Instant sent_at;  // last transmission, for round-trip samples (Karn: only if never retransmitted)

  Seq end() const { return seq + length; }
  // Takes octets off the front.
  void trim_front(uint16_t octets) {
    offset = static_cast<uint16_t>(offset + octets);
    length = static_cast<uint16_t>(length - octets);
    seq += octets;
    text_sum_holds = false;
  }
  void cut_to(uint16_t octets) {
    length = octets;
    text_sum_holds = false;
  }
};
static_assert(sizeof(SlotRecord) == 24);

struct SlotChain {
  SlotIndex head = slot_none;
  SlotIndex tail = slot_none;
  uint32_t count = 0;
  bool empty() const { return head == slot_none; }
};

// The records of all slots, and the operations that several queues need.
class SlotRecords {
 public:
  explicit SlotRecords(packet::Arena& arena)
      : arena_(arena), records_(std::make_unique<SlotRecord[]>(arena.capacity())) {}

  SlotRecord& operator[](SlotIndex slot) { return records_[slot]; }
  const SlotRecord& operator[](SlotIndex slot) const { return records_[slot]; }
  packet::Arena& arena() { return arena_; }
  size_t memory_bytes() const { return size_t{arena_.capacity()} * sizeof(SlotRecord); }

  // A slot with an empty range at seq, or slot_none when only the reserve is left.
  SlotIndex acquire(Seq seq, uint32_t reserve_count) {
    const SlotIndex slot = arena_.acquire(reserve_count);
    if (slot != slot_none) {
      records_[slot] = SlotRecord{};
      records_[slot].seq = seq;
    }
    return slot;
  }

  // A slot that holds `octets` of text already, from the front of its payload.
  void adopt(SlotIndex slot, Seq seq, uint16_t octets) {
    records_[slot] = SlotRecord{};
    records_[slot].seq = seq;
    records_[slot].cut_to(octets);
  }

  void push_back(SlotChain& chain, SlotIndex slot);
  void insert_after(SlotChain& chain, SlotIndex previous,
                    SlotIndex slot);                      // previous may be slot_none
  SlotIndex unlink_front(SlotChain& chain);               // the chain is not empty
  void pop_front(SlotChain& chain);                       // drops the slot
  void drop_after(SlotChain& chain, SlotIndex previous);  // the slot behind previous
  void drop_all(SlotChain& chain);

  // Octets that can still be appended to the slot's payload.
  uint32_t room_behind(SlotIndex slot) const {
    return packet::payload_bytes_max - records_[slot].offset - records_[slot].length;
  }
  // Appends at most room_behind(slot) octets.
  void append(SlotIndex slot, ByteView bytes);
  // The same for text that will be sent: summed on the way.
  void append_summed(SlotIndex slot, ByteView bytes);
  // The checksum's share of the text, summed anew where it no longer holds.
  net::PartialSum text_sum(SlotIndex slot) const {
    const SlotRecord& record = records_[slot];
    if (record.text_sum_holds) return {record.text_sum};
    return net::sum_of({data(slot), record.length});
  }
  const uint8_t* payload(SlotIndex slot) const { return arena_.payload(slot); }
  const uint8_t* data(SlotIndex slot) const { return arena_.payload(slot) + records_[slot].offset; }

 private:
  packet::Arena& arena_;
  std::unique_ptr<SlotRecord[]> records_;
};

}  // namespace millrace::tcp

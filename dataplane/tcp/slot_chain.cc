#include "dataplane/tcp/slot_chain.h"

#include <cstring>

#include "base/check.h"

namespace millrace::tcp {

void SlotRecords::push_back(SlotChain& chain, SlotIndex slot) {
  records_[slot].next = slot_none;
  if (chain.tail == slot_none) {
    chain.head = slot;
  } else {
    records_[chain.tail].next = slot;
  }
  chain.tail = slot;
  ++chain.count;
}

void SlotRecords::insert_after(SlotChain& chain, SlotIndex previous, SlotIndex slot) {
  if (previous == slot_none) {
    records_[slot].next = chain.head;
    chain.head = slot;
  } else {
    records_[slot].next = records_[previous].next;
    records_[previous].next = slot;
  }
  if (records_[slot].next == slot_none) chain.tail = slot;
  ++chain.count;
}

SlotIndex SlotRecords::unlink_front(SlotChain& chain) {
  CHECK(chain.head != slot_none);
  const SlotIndex slot = chain.head;
  chain.head = records_[slot].next;
  if (chain.head == slot_none) chain.tail = slot_none;
  --chain.count;
  return slot;
}

void SlotRecords::pop_front(SlotChain& chain) {
  arena_.drop(unlink_front(chain));
}

void SlotRecords::drop_after(SlotChain& chain, SlotIndex previous) {
  const SlotIndex slot = records_[previous].next;
  CHECK(slot != slot_none);
  records_[previous].next = records_[slot].next;
  if (chain.tail == slot) chain.tail = previous;
  --chain.count;
  arena_.drop(slot);
}

void SlotRecords::drop_all(SlotChain& chain) {
  while (!chain.empty()) pop_front(chain);
}

void SlotRecords::append(SlotIndex slot, ByteView bytes) {
  CHECK(bytes.size() <= room_behind(slot));
  SlotRecord& record = records_[slot];
  std::memcpy(arena_.payload(slot) + record.offset + record.length, bytes.data(), bytes.size());
  record.length = static_cast<uint16_t>(record.length + bytes.size());
  record.text_sum_holds = false;
}

void SlotRecords::append_summed(SlotIndex slot, ByteView bytes) {
  CHECK(bytes.size() <= room_behind(slot));
  SlotRecord& record = records_[slot];
  const net::PartialSum sum = net::copy_and_sum(
      arena_.payload(slot) + record.offset + record.length, bytes.data(), bytes.size());
  record.text_sum =
      net::fold(net::PartialSum{record.text_sum} + net::at_offset(sum, record.length));
  record.length = static_cast<uint16_t>(record.length + bytes.size());
}

}  // namespace millrace::tcp

#include "dataplane/tcp/reassembly.h"

#include <algorithm>

#include "base/check.h"

namespace millrace::tcp {

uint32_t Reassembly::lower_bound(Seq seq) const {
  uint32_t low = 0;
  uint32_t high = count_;
  while (low < high) {
    const uint32_t middle = (low + high) / 2;
    if (ranges_[middle].end < seq) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

ReassemblyOutcome Reassembly::insert(SlotRecords& records, Seq seq, ByteView text,
                                     uint32_t slots_max, uint32_t reserve_count,
                                     std::optional<SackBlock>* duplicate) {
  bool stored = false;
  uint32_t index = lower_bound(seq);
  const Seq begin = seq;
  bool full = false;
  while (!text.empty()) {
    // Octets already held win: jump over them.
    if (index < count_ && ranges_[index].begin <= seq && seq < ranges_[index].end) {
      const auto held = std::min<size_t>(octets_between(seq, ranges_[index].end), text.size());
      if (duplicate != nullptr && !duplicate->has_value())
        *duplicate = SackBlock{seq, seq + static_cast<uint32_t>(held)};
      seq += static_cast<uint32_t>(held);
      text = text.subspan(held);
      continue;
    }
    // Here seq is a new octet: at the end of range `index`, or in the gap before it.
    const bool joins = index < count_ && ranges_[index].end == seq;
    const uint32_t behind = joins ? index + 1 : index;
    size_t fresh = text.size();
    if (behind < count_)
      fresh = std::min<size_t>(fresh, octets_between(seq, ranges_[behind].begin));
    if (!joins) {
      if (count_ == ranges_max) {
        full = true;
        break;
      }
      open_gap(index);
      ranges_[index] = {seq, seq, slot_none, slot_none, change_count_};
    }
    uint32_t taken = 0;
    full = !append_to(records, ranges_[index], text.first(fresh), slots_max, reserve_count, &taken);
    stored |= taken > 0;
    seq += taken;
    text = text.subspan(taken);
    if (ranges_[index].first == slot_none) close_gap(index);
    if (full) break;
    if (index + 1 < count_ && ranges_[index].end == ranges_[index + 1].begin)
      merge_with_next(records, index);
  }
  if (stored) remember(begin);
  // A repetition is what the acknowledgment should tell of first as well.
  if (!stored && !full) remember(begin);
  if (full) return ReassemblyOutcome::full;
  return stored ? ReassemblyOutcome::stored : ReassemblyOutcome::duplicate;
}

// Adds as much of text as memory allows behind range; false when that was not all of it.
bool Reassembly::append_to(SlotRecords& records, Range& range, ByteView text, uint32_t slots_max,
                           uint32_t reserve_count, uint32_t* taken) {
  while (!text.empty()) {
    if (range.last == slot_none || records.room_behind(range.last) == 0) {
      if (slots_ >= slots_max) return false;
      const SlotIndex slot = records.acquire(range.end, reserve_count);
      if (slot == slot_none) return false;
      (range.last == slot_none ? range.first : records[range.last].next) = slot;
      range.last = slot;
      ++slots_;
    }
    const size_t part = std::min<size_t>(text.size(), records.room_behind(range.last));
    records.append(range.last, text.first(part));
    range.end += static_cast<uint32_t>(part);
    *taken += static_cast<uint32_t>(part);
    text = text.subspan(part);
  }
  return true;
}

uint32_t Reassembly::take_front(SlotRecords& records, Seq seq, SlotChain& chain) {
  if (count_ == 0 || ranges_[0].begin != seq) return 0;
  const Range range = ranges_[0];
  uint32_t moved = 0;
  for (SlotIndex slot = range.first; slot != slot_none;) {
    const SlotIndex next = records[slot].next;
    records.push_back(chain, slot);
    slot = next;
    ++moved;
  }
  slots_ -= moved;
  close_gap(0);
  return octets_between(range.begin, range.end);
}

bool Reassembly::covers(Seq begin, Seq end) const {
  const uint32_t index = lower_bound(end);
  return index < count_ && ranges_[index].begin <= begin;
}

void Reassembly::drop_all(SlotRecords& records) {
  for (uint32_t index = 0; index < count_; ++index) {
    SlotChain chain{ranges_[index].first, ranges_[index].last, 0};
    for (SlotIndex slot = chain.head; slot != slot_none; slot = records[slot].next) ++chain.count;
    records.drop_all(chain);
  }
  count_ = 0;
  slots_ = 0;
  change_count_ = 0;
}

size_t Reassembly::write_sack(std::array<SackBlock, sack_blocks_max>& blocks,
                              size_t blocks_wanted) const {
  // The places of the latest ones so far, the latest first.
  std::array<uint32_t, sack_blocks_max> latest{};
  size_t count = 0;
  const auto is_later = [&](uint32_t left, uint32_t right) {
    return static_cast<int32_t>(ranges_[left].changed - ranges_[right].changed) > 0;
  };
  for (uint32_t index = 0; index < count_; ++index) {
    size_t place = count;
    while (place > 0 && is_later(index, latest[place - 1])) --place;
    if (place == blocks_wanted) continue;
    if (count < blocks_wanted) ++count;
    std::copy_backward(latest.begin() + place, latest.begin() + count - 1, latest.begin() + count);
    latest[place] = index;
  }
  for (size_t i = 0; i < count; ++i) blocks[i] = {ranges_[latest[i]].begin, ranges_[latest[i]].end};
  return count;
}

void Reassembly::open_gap(uint32_t index) {
  std::copy_backward(ranges_.begin() + index, ranges_.begin() + count_,
                     ranges_.begin() + count_ + 1);
  ++count_;
}

void Reassembly::close_gap(uint32_t index) {
  std::copy(ranges_.begin() + index + 1, ranges_.begin() + count_, ranges_.begin() + index);
  --count_;
}

void Reassembly::merge_with_next(SlotRecords& records, uint32_t index) {
  records[ranges_[index].last].next = ranges_[index + 1].first;
  ranges_[index].last = ranges_[index + 1].last;
  ranges_[index].end = ranges_[index + 1].end;
  close_gap(index + 1);
}

void Reassembly::remember(Seq seq) {
  const uint32_t index = lower_bound(seq + 1);
  if (index < count_ && ranges_[index].begin <= seq) ranges_[index].changed = ++change_count_;
}

void Reassembly::check(const SlotRecords& records) const {
  uint32_t slots = 0;
  for (uint32_t index = 0; index < count_; ++index) {
    const Range& range = ranges_[index];
    CHECK(range.begin < range.end);
    if (index > 0) CHECK(ranges_[index - 1].end < range.begin);
    Seq seq = range.begin;
    for (SlotIndex slot = range.first; slot != slot_none; slot = records[slot].next) {
      CHECK(records[slot].seq == seq && records[slot].length > 0);
      seq = records[slot].end();
      ++slots;
      if (records[slot].next == slot_none) CHECK(slot == range.last);
    }
    CHECK(seq == range.end);
  }
  CHECK(slots == slots_);
}

}  // namespace millrace::tcp

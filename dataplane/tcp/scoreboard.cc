#include "dataplane/tcp/scoreboard.h"

#include <bit>

#include "base/check.h"

namespace millrace::tcp {

bool Scoreboard::build(const SlotRecords& records, const SlotChain& queue, Seq snd_max) {
  for (SlotIndex slot = queue.head; slot != slot_none && records[slot].seq < snd_max;
       slot = records[slot].next) {
    if (full()) return false;
    append(records, slot);
  }
  return true;
}

Scoreboard::Place Scoreboard::find(const SlotRecords& records, Seq seq) const {
  uint32_t low = 0;
  uint32_t high = count_;
  while (low < high) {
    const uint32_t middle = (low + high) / 2;
    if (records[slots_[at(middle)]].end() <= seq) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low == count_ ? no_place : at(low);
}

void Scoreboard::append(const SlotRecords& records, SlotIndex slot) {
  CHECK(!full());
  const Place place = at(count_);
  slots_[place] = slot;
  sacked_.clear(place);
  lost_.clear(place);
  ++count_;
  link_by_time(records, place);
}

void Scoreboard::sent_again(const SlotRecords& records, Place place) {
  if (sacked_.test(place)) return;
  if (lost_.test(place)) {
    lost_.clear(place);
    lost_octets_ -= records[slots_[place]].length;
  } else {
    unlink(place);
  }
  link_newest(place);
}

// Every place behind moves by one. That is a walk, and it happens only when segments in flight have
// become too large: at most once for each in the life of a path's MTU.
void Scoreboard::split(const SlotRecords& records, Place place, SlotIndex rest) {
  CHECK(!full());
  for (uint32_t offset = count_; offset > offset_of(place) + 1; --offset) {
    const Place to = at(offset);
    const Place from = previous(to);
    slots_[to] = slots_[from];
    sacked_.test(from) ? sacked_.set(to) : sacked_.clear(to);
    lost_.test(from) ? lost_.set(to) : lost_.clear(to);
  }
  const Place behind = at(offset_of(place) + 1);
  slots_[behind] = rest;
  sacked_.test(place) ? sacked_.set(behind) : sacked_.clear(behind);
  lost_.test(place) ? lost_.set(behind) : lost_.clear(behind);
  if (sacked_.test(place)) ++sacked_records_;
  ++count_;
  oldest_ = newest_ = no_place;
  for (uint32_t offset = 0; offset < count_; ++offset) {
    if (is_linked(at(offset))) link_by_time(records, at(offset));
  }
}

void Scoreboard::pop_front(const SlotRecords& records) {
  CHECK(count_ > 0);
  const uint32_t octets = records[slots_[first_]].length;
  if (sacked_.test(first_)) {
    sacked_octets_ -= octets;
    --sacked_records_;
  } else if (lost_.test(first_)) {
    lost_octets_ -= octets;
  } else {
    unlink(first_);
  }
  first_ = static_cast<Place>((first_ + 1U) & mask);
  --count_;
}

void Scoreboard::trim_front(uint32_t octets) {
  if (sacked_.test(first_)) sacked_octets_ -= octets;
  if (lost_.test(first_)) lost_octets_ -= octets;
}

void Scoreboard::set_sacked(const SlotRecords& records, Place place) {
  const uint32_t octets = records[slots_[place]].length;
  if (lost_.test(place)) {
    lost_.clear(place);
    lost_octets_ -= octets;
  } else {
    unlink(place);
  }
  sacked_.set(place);
  sacked_octets_ += octets;
  ++sacked_records_;
}

void Scoreboard::forget_sacked(const SlotRecords& records) {
  for (uint32_t offset = 0; offset < count_; ++offset) {
    const Place place = at(offset);
    if (!sacked_.test(place)) continue;
    sacked_.clear(place);
    link_by_time(records, place);
  }
  sacked_octets_ = 0;
  sacked_records_ = 0;
}

void Scoreboard::forget_lost(const SlotRecords& records) {
  for (uint32_t offset = 0; offset < count_ && lost_octets_ > 0; ++offset) {
    const Place place = at(offset);
    if (!lost_.test(place)) continue;
    lost_.clear(place);
    lost_octets_ -= records[slots_[place]].length;
    link_by_time(records, place);
  }
}

void Scoreboard::mark_lost(const SlotRecords& records, Place place) {
  if (!is_linked(place)) return;
  unlink(place);
  lost_.set(place);
  lost_octets_ += records[slots_[place]].length;
}

void Scoreboard::mark_all_lost(const SlotRecords& records) {
  for (uint32_t offset = 0; offset < count_; ++offset) mark_lost(records, at(offset));
}

void Scoreboard::mark_lost_longer_than(const SlotRecords& records, uint32_t octets) {
  for (uint32_t offset = 0; offset < count_; ++offset) {
    if (records[slots_[at(offset)]].length > octets) mark_lost(records, at(offset));
  }
}

Scoreboard::Place Scoreboard::first_lost() const {
  if (lost_octets_ == 0) return no_place;
  return first_set_from(lost_, first_, true);
}

Scoreboard::Place Scoreboard::skip_sacked(Place place) const {
  if (!sacked_.test(place)) return place;
  return first_set_from(sacked_, place, false);
}

// The first place from `place` on whose bit is `wanted`, a word of 64 at a time; no_place when none
// is before the end.
Scoreboard::Place Scoreboard::first_set_from(const Bits& bits, Place place, bool wanted) const {
  uint32_t offset = offset_of(place);
  while (offset < count_) {
    const Place here = at(offset);
    uint64_t word = bits.word[here / 64];
    if (!wanted) word = ~word;
    word >>= here % 64;
    if (word != 0) {
      offset += static_cast<uint32_t>(std::countr_zero(word));
      return offset < count_ ? at(offset) : no_place;
    }
    offset += 64U - here % 64;
  }
  return no_place;
}

void Scoreboard::link_newest(Place place) {
  older_[place] = newest_;
  newer_[place] = no_place;
  (newest_ == no_place ? oldest_ : newer_[newest_]) = place;
  newest_ = place;
}

// Where its time of sending belongs; from the newest end, where it nearly always is.
void Scoreboard::link_by_time(const SlotRecords& records, Place place) {
  Place older = newest_;
  while (older != no_place && records[slots_[older]].sent_at > records[slots_[place]].sent_at)
    older = older_[older];
  const Place newer = older == no_place ? oldest_ : newer_[older];
  older_[place] = older;
  newer_[place] = newer;
  (older == no_place ? oldest_ : newer_[older]) = place;
  (newer == no_place ? newest_ : older_[newer]) = place;
}

void Scoreboard::unlink(Place place) {
  const Place older = older_[place];
  const Place newer = newer_[place];
  (older == no_place ? oldest_ : newer_[older]) = newer;
  (newer == no_place ? newest_ : older_[newer]) = older;
}

void Scoreboard::check(const SlotRecords& records) const {
  uint32_t sacked = 0;
  uint32_t sacked_octets = 0;
  uint32_t lost_octets = 0;
  uint32_t in_flight = 0;
  for (uint32_t offset = 0; offset < count_; ++offset) {
    const Place place = at(offset);
    const SlotRecord& record = records[slots_[place]];
    if (offset + 1 < count_) CHECK(record.next == slots_[at(offset + 1)]);
    CHECK(!(sacked_.test(place) && lost_.test(place)));
    sacked += sacked_.test(place) ? 1U : 0U;
    sacked_octets += sacked_.test(place) ? record.length : 0U;
    lost_octets += lost_.test(place) ? record.length : 0U;
    in_flight += is_linked(place) ? 1U : 0U;
  }
  CHECK(sacked == sacked_records_ && sacked_octets == sacked_octets_);
  CHECK(lost_octets == lost_octets_);
  Place older = no_place;
  for (Place place = oldest_; place != no_place; place = newer_[place]) {
    CHECK(holds(place) && is_linked(place) && older_[place] == older && in_flight > 0);
    --in_flight;
    older = place;
  }
  CHECK(in_flight == 0 && newest_ == older);
}

}  // namespace millrace::tcp

#include "dataplane/tcp/scoreboard.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace millrace::tcp {

bool Scoreboard::build(ScoreboardPages& pages, const SlotRecords& records, const SlotChain& queue,
                       Seq snd_max) {
  clear();
  pages_ = &pages;
  page_of_.fill(ScoreboardPages::none);
  for (SlotIndex slot = queue.head; slot != slot_none && records[slot].seq < snd_max;
       slot = records[slot].next) {
    if (full()) {
      clear();
      return false;
    }
    place_behind(slot);
  }
  std::array<Place, records_max> all;
  for (uint32_t offset = 0; offset < count_; ++offset) all[offset] = at(offset);
  link_all(records, {all.data(), count_});
  return true;
}

void Scoreboard::clear() {
  if (pages_ == nullptr) return;
  for (const ScoreboardPages::Index page : page_of_) {
    if (page != ScoreboardPages::none) pages_->release(page);
  }
  *this = Scoreboard{};
}

uint32_t Scoreboard::page_count() const {
  if (pages_ == nullptr) return 0;
  const auto free = std::count(page_of_.begin(), page_of_.end(), ScoreboardPages::none);
  return pages_max - static_cast<uint32_t>(free);
}

void Scoreboard::take_page_for(Place place) {
  ScoreboardPages::Index& page = page_of_[place / page_places];
  if (page == ScoreboardPages::none) page = pages_->acquire();
}

Scoreboard::Place Scoreboard::find(const SlotRecords& records, Seq seq) const {
  uint32_t low = 0;
  uint32_t high = count_;
  while (low < high) {
    const uint32_t middle = (low + high) / 2;
    if (records[slot(at(middle))].end() <= seq) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low == count_ ? no_place : at(low);
}

Scoreboard::Place Scoreboard::place_behind(SlotIndex slot) {
  CHECK(!full());
  const Place place = at(count_);
  take_page_for(place);
  page(place).sacked &= ~bit(place);
  page(place).lost &= ~bit(place);
  replace(place, slot);
  ++count_;
  return place;
}

void Scoreboard::append(const SlotRecords& records, SlotIndex slot) {
  link_by_time(records, place_behind(slot));
}

void Scoreboard::sent_again(const SlotRecords& records, Place place) {
  if (is_sacked(place)) return;
  if (is_lost(place)) {
    page(place).lost &= ~bit(place);
    lost_octets_ -= records[slot(place)].length;
  } else {
    unlink(place);
  }
  link_newest(place);
}

// Where a link points after every place from offset on has moved by one.
void Scoreboard::move_up(Place& link, uint32_t offset) const {
  if (link != no_place && offset_of(link) >= offset) link = static_cast<Place>((link + 1U) & mask);
}

// Every place behind moves by one. That is a walk, and it happens only when segments in flight have
// become too large: at most once for each in the life of a path's MTU.
void Scoreboard::split(Place place, SlotIndex rest) {
  CHECK(!full());
  const uint32_t behind_offset = offset_of(place) + 1;
  take_page_for(at(count_));
  for (uint32_t offset = count_; offset > behind_offset; --offset) {
    const Place to = at(offset);
    const Place from = previous(to);
    const uint64_t sacked = is_sacked(from) ? bit(to) : 0;
    const uint64_t lost = is_lost(from) ? bit(to) : 0;
    replace(to, slot(from));
    page(to).sacked = (page(to).sacked & ~bit(to)) | sacked;
    page(to).lost = (page(to).lost & ~bit(to)) | lost;
    older(to) = older(from);
    newer(to) = newer(from);
  }
  ++count_;
  const Place behind = at(behind_offset);
  for (uint32_t offset = 0; offset < count_; ++offset) {
    if (offset == behind_offset || !is_linked(at(offset))) continue;
    move_up(older(at(offset)), behind_offset);
    move_up(newer(at(offset)), behind_offset);
  }
  move_up(oldest_, behind_offset);
  move_up(newest_, behind_offset);

  // The rest is what the whole was, and was sent when it was.
  replace(behind, rest);
  const uint64_t sacked = is_sacked(place) ? bit(behind) : 0;
  const uint64_t lost = is_lost(place) ? bit(behind) : 0;
  page(behind).sacked = (page(behind).sacked & ~bit(behind)) | sacked;
  page(behind).lost = (page(behind).lost & ~bit(behind)) | lost;
  if (sacked != 0) ++sacked_records_;
  if (!is_linked(place)) return;
  older(behind) = place;
  newer(behind) = newer(place);
  (newer(place) == no_place ? newest_ : older(newer(place))) = behind;
  newer(place) = behind;
}

void Scoreboard::pop_front(const SlotRecords& records) {
  CHECK(count_ > 0);
  const uint32_t octets = records[slot(first_)].length;
  if (is_sacked(first_)) {
    sacked_octets_ -= octets;
    --sacked_records_;
  } else if (is_lost(first_)) {
    lost_octets_ -= octets;
  } else {
    unlink(first_);
  }
  const uint32_t left = first_ / page_places;
  first_ = static_cast<Place>((first_ + 1U) & mask);
  --count_;
  // Its page goes with the last place in it, unless the end of the ring has come round to it.
  const bool page_is_behind = first_ % page_places == 0 && count_ <= records_max - page_places;
  if (count_ == 0 || page_is_behind) {
    pages_->release(page_of_[left]);
    page_of_[left] = ScoreboardPages::none;
  }
}

void Scoreboard::trim_front(uint32_t octets) {
  if (is_sacked(first_)) sacked_octets_ -= octets;
  if (is_lost(first_)) lost_octets_ -= octets;
}

void Scoreboard::set_sacked(const SlotRecords& records, Place place) {
  const uint32_t octets = records[slot(place)].length;
  if (is_lost(place)) {
    page(place).lost &= ~bit(place);
    lost_octets_ -= octets;
  } else {
    unlink(place);
  }
  page(place).sacked |= bit(place);
  sacked_octets_ += octets;
  ++sacked_records_;
}

// A step for each in flight, once a timeout.
void Scoreboard::forget_sacked_and_lose_all(const SlotRecords& records) {
  lost_octets_ = 0;
  for (uint32_t offset = 0; offset < count_; ++offset) {
    const Place place = at(offset);
    page(place).sacked &= ~bit(place);
    page(place).lost |= bit(place);
    lost_octets_ += records[slot(place)].length;
  }
  sacked_octets_ = 0;
  sacked_records_ = 0;
  oldest_ = newest_ = no_place;
}

// A step for each in flight, once a recovery that is taken back.
void Scoreboard::forget_lost(const SlotRecords& records) {
  std::array<Place, records_max> found;
  uint32_t found_count = 0;
  for (uint32_t offset = 0; offset < count_ && lost_octets_ > 0; ++offset) {
    const Place place = at(offset);
    if (!is_lost(place)) continue;
    page(place).lost &= ~bit(place);
    lost_octets_ -= records[slot(place)].length;
    found[found_count++] = place;
  }
  link_all(records, {found.data(), found_count});
}

// Sorted first and then merged with those in the list: a peer that makes every other segment
// younger than its neighbors must not make this quadratic.
void Scoreboard::link_all(const SlotRecords& records, std::span<Place> found) {
  const auto sent_at = [&](Place place) { return records[slot(place)].sent_at; };
  std::sort(found.begin(), found.end(), [&](Place a, Place b) {
    return sent_at(a) != sent_at(b) ? sent_at(a) < sent_at(b) : offset_of(a) < offset_of(b);
  });
  Place behind = oldest_;
  for (const Place place : found) {
    while (behind != no_place && sent_at(behind) <= sent_at(place)) behind = newer(behind);
    link_before(behind, place);
  }
}

void Scoreboard::mark_lost(const SlotRecords& records, Place place) {
  if (!is_linked(place)) return;
  unlink(place);
  page(place).lost |= bit(place);
  lost_octets_ += records[slot(place)].length;
}

// A step for each in flight, once a timeout.
void Scoreboard::mark_all_lost(const SlotRecords& records) {
  for (uint32_t offset = 0; offset < count_; ++offset) mark_lost(records, at(offset));
}

void Scoreboard::mark_lost_longer_than(const SlotRecords& records, uint32_t octets) {
  for (uint32_t offset = 0; offset < count_; ++offset) {
    if (records[slot(at(offset))].length > octets) mark_lost(records, at(offset));
  }
}

Scoreboard::Place Scoreboard::first_lost() const {
  if (lost_octets_ == 0) return no_place;
  return first_set_from(&Page::lost, first_, true);
}

Scoreboard::Place Scoreboard::skip_sacked(Place place) const {
  if (!is_sacked(place)) return place;
  return first_set_from(&Page::sacked, place, false);
}

// The first place from `place` on whose bit is `wanted`, a page at a time; no_place when none is
// before the end.
Scoreboard::Place Scoreboard::first_set_from(uint64_t Page::*bits, Place place, bool wanted) const {
  uint32_t offset = offset_of(place);
  while (offset < count_) {
    const Place here = at(offset);
    uint64_t word = page(here).*bits;
    if (!wanted) word = ~word;
    word >>= here % page_places;
    if (word != 0) {
      offset += static_cast<uint32_t>(std::countr_zero(word));
      return offset < count_ ? at(offset) : no_place;
    }
    offset += page_places - here % page_places;
  }
  return no_place;
}

void Scoreboard::link_newest(Place place) {
  link_before(no_place, place);
}

// behind: what it stands in front of in the list by time; no_place: at the end.
void Scoreboard::link_before(Place behind, Place place) {
  const Place before = behind == no_place ? newest_ : older(behind);
  older(place) = before;
  newer(place) = behind;
  (before == no_place ? oldest_ : newer(before)) = place;
  (behind == no_place ? newest_ : older(behind)) = place;
}

// Where its time of sending belongs; from the newest end, where it nearly always is.
void Scoreboard::link_by_time(const SlotRecords& records, Place place) {
  Place behind = no_place;
  Place before = newest_;
  while (before != no_place && records[slot(before)].sent_at > records[slot(place)].sent_at) {
    behind = before;
    before = older(before);
  }
  link_before(behind, place);
}

void Scoreboard::unlink(Place place) {
  const Place before = older(place);
  const Place behind = newer(place);
  (before == no_place ? oldest_ : newer(before)) = behind;
  (behind == no_place ? newest_ : older(behind)) = before;
}

void Scoreboard::check(const SlotRecords& records) const {
  uint32_t sacked = 0;
  uint32_t sacked_octets = 0;
  uint32_t lost_octets = 0;
  uint32_t in_flight = 0;
  for (uint32_t offset = 0; offset < count_; ++offset) {
    const Place place = at(offset);
    const SlotRecord& record = records[slot(place)];
    if (offset + 1 < count_) CHECK(record.next == slot(at(offset + 1)));
    CHECK(!(is_sacked(place) && is_lost(place)));
    sacked += is_sacked(place) ? 1U : 0U;
    sacked_octets += is_sacked(place) ? record.length : 0U;
    lost_octets += is_lost(place) ? record.length : 0U;
    in_flight += is_linked(place) ? 1U : 0U;
  }
  CHECK(sacked == sacked_records_ && sacked_octets == sacked_octets_);
  CHECK(lost_octets == lost_octets_);
  Place before = no_place;
  for (Place place = oldest_; place != no_place; place = newer(place)) {
    CHECK(holds(place) && is_linked(place) && older(place) == before && in_flight > 0);
    CHECK(before == no_place || records[slot(before)].sent_at <= records[slot(place)].sent_at);
    --in_flight;
    before = place;
  }
  CHECK(in_flight == 0 && newest_ == before);
}

}  // namespace millrace::tcp

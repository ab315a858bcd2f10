// Scoreboard: what a sender knows of the segments it has in flight once something is missing
// (RFC 2018 section 8, RFC 6675 section 3, RFC 8985 section 5.2): which have arrived out of order
// (SACKed), which are held for lost, and in what order all others were sent last.
//
// It is an index over the front of a send queue and is lent to a connection while there is
// something to know. No step walks the queue: places are found by bisection, SACKed runs are
// skipped a word of 64 at a time, and the list by time of sending ends the search for losses at the
// first segment that is still young. So an acknowledgment costs O(log n) plus a constant for each
// segment whose state it changes, and a segment changes state a few times in its life (T16).
// What costs a step for every segment in flight stands with its reason. The places' memory is lent
// in pages (scoreboard_pages.h): a board gives its pages back with clear().
//
//   place:   first ..................................... end          (a ring)
//            | lost | in flight | SACKed | in flight ... |
//   by time:          oldest <-> ... <-> newest                      (in flight only)
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "base/time.h"
#include "dataplane/tcp/scoreboard_pages.h"
#include "dataplane/tcp/slot_chain.h"

namespace millrace::tcp {

class Scoreboard {
 public:
  // Segments in flight at most; whoever has so many sends no further ones until some are
  // acknowledged.
  static constexpr uint32_t records_max = 4'096;
  using Place = ScoreboardPages::Place;
  static constexpr Place no_place = UINT16_MAX;

  // Takes in the records of queue that were sent: all that begin before snd_max. False when there
  // are more than records_max; then the board is empty. pages outlive it.
  bool build(ScoreboardPages& pages, const SlotRecords& records, const SlotChain& queue,
             Seq snd_max);
  // Empty, with every page given back.
  void clear();

  uint32_t count() const { return count_; }
  uint32_t page_count() const;
  bool full() const { return count_ == records_max; }
  uint32_t sacked_octets() const { return sacked_octets_; }
  uint32_t sacked_records() const { return sacked_records_; }
  uint32_t lost_octets() const { return lost_octets_; }
  bool has_nothing_to_tell() const { return sacked_records_ == 0 && lost_octets_ == 0; }

  SlotIndex slot(Place place) const { return page(place).slots[place % page_places]; }
  bool is_sacked(Place place) const { return (page(place).sacked & bit(place)) != 0; }
  bool is_lost(Place place) const { return (page(place).lost & bit(place)) != 0; }
  // Of a board that is not empty, as also back().
  Place front() const {
    CHECK(count_ > 0);
    return first_;
  }
  Place back() const {
    CHECK(count_ > 0);
    return at(count_ - 1);
  }
  Place previous(Place place) const { return static_cast<Place>((place - 1U) & mask); }
  bool holds(Place place) const { return place != no_place && offset_of(place) < count_; }
  // The record that contains seq, or the first one behind it; no_place when all lie before.
  Place find(const SlotRecords& records, Seq seq) const;

  // --- sending ---
  // A record behind all others was sent for the first time.
  void append(const SlotRecords& records, SlotIndex slot);
  // A record here was sent again: it is in flight, and the youngest.
  void sent_again(const SlotRecords& records, Place place);
  // The record's text has moved to another slot.
  void replace(Place place, SlotIndex slot) { page(place).slots[place % page_places] = slot; }
  // The record at place was split, and the rest of it follows as `rest`.
  void split(Place place, SlotIndex rest);

  // --- acknowledgments ---
  // The front record is acknowledged and about to leave the queue.
  void pop_front(const SlotRecords& records);
  // octets of the front record are acknowledged and about to be trimmed.
  void trim_front(uint32_t octets);
  // Calls newly(place) for every record that lies within [begin, end) and was not SACKed before,
  // then marks it. Records that a block covers in part stay as they are.
  template <class Newly>
  void mark_sacked(const SlotRecords& records, Seq begin, Seq end, Newly&& newly) {
    Place place = find(records, begin);
    if (place == no_place) return;
    if (records[slot(place)].seq < begin) place = next(place);
    while (holds(place)) {
      place = skip_sacked(place);
      if (!holds(place) || records[slot(place)].end() > end) return;
      newly(place);
      set_sacked(records, place);
      place = next(place);
    }
  }
  // The peer may have thrown away what it had SACKed (RFC 2018 section 8), after a timeout: nothing
  // is SACKed, and everything lost.
  void forget_sacked_and_lose_all(const SlotRecords& records);
  // Nothing was lost after all: what is held for lost is in flight.
  void forget_lost(const SlotRecords& records);

  // --- losses ---
  void mark_lost(const SlotRecords& records, Place place);
  // Everything that is not SACKed (after a retransmission timeout).
  void mark_all_lost(const SlotRecords& records);
  // In flight, and of more text than octets (after the path's MTU has shrunk).
  void mark_lost_longer_than(const SlotRecords& records, uint32_t octets);
  // The lost record with the lowest sequence number; no_place when none is.
  Place first_lost() const;
  // In flight and sent earliest; no_place when nothing is in flight.
  Place oldest() const { return oldest_; }

  // Every counter and link agrees with every other: for tests.
  void check(const SlotRecords& records) const;

 private:
  static constexpr uint32_t mask = records_max - 1;
  static constexpr uint32_t page_places = ScoreboardPages::places;
  static constexpr uint32_t pages_max = records_max / page_places;
  static_assert((records_max & mask) == 0 && records_max < no_place);

  using Page = ScoreboardPages::Page;
  static constexpr uint64_t bit(Place place) { return uint64_t{1} << (place % page_places); }
  Page& page(Place place) const { return (*pages_)[page_of_[place / page_places]]; }
  Place& older(Place place) const { return page(place).older[place % page_places]; }
  Place& newer(Place place) const { return page(place).newer[place % page_places]; }
  Place at(uint32_t offset) const { return static_cast<Place>((first_ + offset) & mask); }
  uint32_t offset_of(Place place) const { return (place - uint32_t{first_}) & mask; }
  Place next(Place place) const {
    const uint32_t offset = offset_of(place) + 1;
    // One past the last place of a full ring would look like its first.
    return offset >= count_ ? past_end() : at(offset);
  }
  Place past_end() const { return count_ == records_max ? no_place : at(count_); }
  void take_page_for(Place place);
  Place place_behind(SlotIndex slot);
  void link_all(const SlotRecords& records, std::span<Place> found);
  Place skip_sacked(Place place) const;
  Place first_set_from(uint64_t Page::*bits, Place place, bool wanted) const;
  void set_sacked(const SlotRecords& records, Place place);
  void link_newest(Place place);
  void link_before(Place behind, Place place);
  void link_by_time(const SlotRecords& records, Place place);
  void unlink(Place place);
  void move_up(Place& link, uint32_t offset) const;
  bool is_linked(Place place) const { return !is_sacked(place) && !is_lost(place); }

  ScoreboardPages* pages_ = nullptr;  // absent: empty
  std::array<ScoreboardPages::Index, pages_max> page_of_{};
  Place first_ = 0;
  Place oldest_ = no_place;
  Place newest_ = no_place;
  uint32_t count_ = 0;
  uint32_t sacked_octets_ = 0;
  uint32_t sacked_records_ = 0;
  uint32_t lost_octets_ = 0;
};

}  // namespace millrace::tcp

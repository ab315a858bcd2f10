// Reassembly: out-of-order text of one connection, as sorted ranges that neither touch nor overlap,
// waiting for the gap before them to close. Lent to a connection while it has a gap.
//
//   RCV.NXT |   gap   | range 0 |  gap  | range 1 |  ...
//                       first slot -> ... -> last slot, linked
//
// Policy on overlap: the octets that arrived first win (T37), so what was delivered and what an
// inspecting device saw first never change by a later segment. A place is found by bisection; what
// moves is at most ranges_max entries of 20 octets. Bounded in ranges (T36: holes) and by the
// caller in slots: a range holds its text packed, so that a run of tiny segments holds few slots.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "dataplane/tcp/segment.h"
#include "dataplane/tcp/slot_chain.h"

namespace millrace::tcp {

enum class ReassemblyOutcome : uint8_t {
  stored,     // all or part of the text is new and waits
  duplicate,  // every octet was there already
  full,       // a bound or the arena's reserve is reached; nothing or part was kept
};

class Reassembly {
 public:
  static constexpr uint32_t ranges_max = 64;
  struct Range {
    Seq begin;
    Seq end;
    SlotIndex first = slot_none;
    SlotIndex last = slot_none;
    uint32_t changed = 0;  // when text came for it last, by change_count_
  };
  static_assert(sizeof(Range) == 20);

  uint32_t connection = UINT32_MAX;  // whose it is

  bool empty() const { return count_ == 0; }
  uint32_t range_count() const { return count_; }
  uint32_t slot_count() const { return slots_; }
  const Range& range(uint32_t index) const { return ranges_[index]; }
  // Behind the last octet held; there is one.
  Seq end() const { return ranges_[count_ - 1].end; }

  // Files text starting at seq; every octet lies inside the receive window and beyond RCV.NXT.
  // slots_max: how many slots the connection may hold here. reserve_count: arena slots to leave
  // free.
  // duplicate: the first run of it that was there already, if there is one (RFC 2883).
  ReassemblyOutcome insert(SlotRecords& records, Seq seq, ByteView text, uint32_t slots_max,
                           uint32_t reserve_count, std::optional<SackBlock>* duplicate = nullptr);
  // The first range goes behind chain when it begins at seq. Returns its octets, 0 when it does
  // not.
  uint32_t take_front(SlotRecords& records, Seq seq, SlotChain& chain);
  // Whether [begin, end) is held in full.
  bool covers(Seq begin, Seq end) const;
  void drop_all(SlotRecords& records);

  // Selective acknowledgment blocks (RFC 2018 section 4): the range that text came for last comes
  // first, then the one before it, and so on. Returns how many.
  size_t write_sack(std::array<SackBlock, sack_blocks_max>& blocks, size_t blocks_wanted) const;

  void check(const SlotRecords& records) const;

 private:
  // The first range that ends at or behind seq; count_ when none does.
  uint32_t lower_bound(Seq seq) const;
  bool append_to(SlotRecords& records, Range& range, ByteView text, uint32_t slots_max,
                 uint32_t reserve_count, uint32_t* taken);
  void open_gap(uint32_t index);
  void close_gap(uint32_t index);
  void merge_with_next(SlotRecords& records, uint32_t index);
  void remember(Seq seq);

  std::array<Range, ranges_max> ranges_;
  uint32_t change_count_ = 0;
  uint32_t count_ = 0;
  uint32_t slots_ = 0;
};

}  // namespace millrace::tcp

// Memory of all scoreboards: pages of 64 places, lent from one table, so that a connection with one
// segment missing holds one page and a connection with thousands in flight holds as many as it
// needs.
//
// The table cannot run short: a segment in flight lies in a slot of the arena, so all boards
// together have at most as many places in use as there are slots, and each board two pages that are
// in use in part, its first and its last.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "base/check.h"
#include "dataplane/tcp/slot_chain.h"

namespace millrace::tcp {

class ScoreboardPages {
 public:
  using Place = uint16_t;
  using Index = uint32_t;
  static constexpr Index none = UINT32_MAX;
  static constexpr uint32_t places = 64;  // of a page: a word of bits

  struct Page {
    std::array<SlotIndex, places> slots;
    std::array<Place, places> older;
    std::array<Place, places> newer;
    uint64_t sacked = 0;
    uint64_t lost = 0;
  };

  static constexpr uint32_t count_for(uint32_t slot_count, uint32_t board_count) {
    return slot_count / places + 2 * board_count;
  }

  explicit ScoreboardPages(uint32_t page_count)
      : pages_(std::make_unique_for_overwrite<Page[]>(page_count)),
        next_free_(std::make_unique<Index[]>(page_count)),
        page_count_(page_count),
        free_head_(page_count == 0 ? none : 0) {
    for (Index i = 0; i < page_count; ++i) next_free_[i] = i + 1 < page_count ? i + 1 : none;
  }

  Index acquire() {
    CHECK(free_head_ != none);
    const Index index = free_head_;
    free_head_ = next_free_[index];
    pages_[index].sacked = pages_[index].lost = 0;
    ++in_use_;
    return index;
  }
  void release(Index index) {
    CHECK(index < page_count_ && in_use_ > 0);
    next_free_[index] = free_head_;
    free_head_ = index;
    --in_use_;
  }
  Page& operator[](Index index) { return pages_[index]; }

  uint32_t in_use() const { return in_use_; }
  size_t memory_bytes() const { return page_count_ * (sizeof(Page) + sizeof(Index)); }

 private:
  std::unique_ptr<Page[]> pages_;
  std::unique_ptr<Index[]> next_free_;
  uint32_t page_count_;
  uint32_t in_use_ = 0;
  Index free_head_;
};

}  // namespace millrace::tcp

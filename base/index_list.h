// First-in, first-out lists of record indices with O(1) removal from the middle: the links stand in
// an array beside the records, so a record can be on a list without knowing it. A record is on at
// most one of the lists that share an IndexLinks.
#pragma once

#include <cstdint>
#include <memory>

#include "base/check.h"

namespace millrace {

struct IndexList {
  static constexpr uint32_t none = UINT32_MAX;
  uint32_t head = none;
  uint32_t tail = none;
  uint32_t count = 0;
  bool empty() const { return head == none; }
};

class IndexLinks {
 public:
  static constexpr size_t bytes_per_record = 8;
  explicit IndexLinks(uint32_t record_count) : links_(std::make_unique<Link[]>(record_count)) {}

  bool linked(uint32_t index) const { return links_[index].next != unlinked; }

  void push_back(IndexList& list, uint32_t index) {
    CHECK(!linked(index));
    links_[index] = {IndexList::none, list.tail};
    if (list.tail == IndexList::none) {
      list.head = index;
    } else {
      links_[list.tail].next = index;
    }
    list.tail = index;
    ++list.count;
  }

  void remove(IndexList& list, uint32_t index) {
    Link& link = links_[index];
    CHECK(linked(index) && list.count > 0);
    if (link.previous == IndexList::none) {
      list.head = link.next;
    } else {
      links_[link.previous].next = link.next;
    }
    if (link.next == IndexList::none) {
      list.tail = link.previous;
    } else {
      links_[link.next].previous = link.previous;
    }
    link = Link{};
    --list.count;
  }

  // Behind the record on its list; IndexList::none at the end. The record is on a list.
  uint32_t next(uint32_t index) const { return links_[index].next; }

  uint32_t pop_front(IndexList& list) {
    const uint32_t index = list.head;
    if (index != IndexList::none) remove(list, index);
    return index;
  }

 private:
  static constexpr uint32_t unlinked = UINT32_MAX - 1;
  struct Link {
    uint32_t next = unlinked;
    uint32_t previous = unlinked;
  };
  static_assert(sizeof(Link) == bytes_per_record);
  std::unique_ptr<Link[]> links_;
};

}  // namespace millrace

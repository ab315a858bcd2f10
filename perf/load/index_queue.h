// Queues of connection indices, first in first out. A connection stands in a queue at most once
// (a flag of its own says so), so a capacity of all connections is never exceeded.
#pragma once

#include <bit>
#include <cstdint>
#include <memory>

#include "base/check.h"

namespace millrace::load {

template <class Entry>
class Ring {
 public:
  explicit Ring(uint32_t capacity)
      : mask_(std::bit_ceil(capacity < 2 ? 2 : capacity) - 1),
        entries_(std::make_unique_for_overwrite<Entry[]>(size_t{mask_} + 1)) {}

  bool empty() const { return first_ == end_; }
  uint32_t size() const { return end_ - first_; }
  void push(const Entry& entry) {
    CHECK(end_ - first_ <= mask_);
    entries_[end_++ & mask_] = entry;
  }
  const Entry& front() const { return entries_[first_ & mask_]; }
  // The entry so many behind the front; only below size().
  const Entry& at(uint32_t behind) const { return entries_[(first_ + behind) & mask_]; }
  Entry pop() { return entries_[first_++ & mask_]; }

 private:
  uint32_t mask_;
  std::unique_ptr<Entry[]> entries_;
  uint32_t first_ = 0;  // positions only grow, and wrap
  uint32_t end_ = 0;
};

using IndexQueue = Ring<uint32_t>;

// Everything that waits in it waits equally long, so first in is first due: what timers of one
// length need, without a timer a connection.
class DelayQueue {
 public:
  DelayQueue(uint32_t capacity, uint32_t delay_ms) : ring_(capacity), delay_ms_(delay_ms) {}

  void push(uint32_t index, uint32_t now_ms) { ring_.push({index, now_ms + delay_ms_}); }
  bool is_due(uint32_t now_ms) const {
    return !ring_.empty() && static_cast<int32_t>(now_ms - ring_.front().due_ms) >= 0;
  }
  uint32_t pop() { return ring_.pop().index; }
  uint32_t size() const { return ring_.size(); }
  bool empty() const { return ring_.empty(); }
  uint32_t next_due_ms() const { return ring_.front().due_ms; }
  uint32_t index_behind(uint32_t behind) const { return ring_.at(behind).index; }

 private:
  struct Entry {
    uint32_t index;
    uint32_t due_ms;
  };
  Ring<Entry> ring_;
  uint32_t delay_ms_;
};

}  // namespace millrace::load

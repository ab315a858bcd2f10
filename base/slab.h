// Slab: a fixed number of records allocated at start, named by handles that carry a generation, so
// that a handle kept too long finds nothing instead of someone else's record.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <type_traits>

#include "base/check.h"

namespace millrace {

// Tag makes handles of different slabs different types. A value-initialised handle names nothing.
template <class Tag>
struct Handle {
  uint32_t index = UINT32_MAX;
  uint32_t generation = 0;
  explicit operator bool() const { return index != UINT32_MAX; }
  auto operator<=>(const Handle&) const = default;
};

// A handle is live only with an odd generation, so a value-initialised one never is.
// T is value-initialised by acquire() and must be trivially destructible: releasing is a counter's
// increment. Storage is never moved, so references hold until the record is released.
template <class T, class Tag = T>
class Slab {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  using Id = Handle<Tag>;

  explicit Slab(uint32_t capacity)
      : records_(std::make_unique<T[]>(capacity)),
        meta_(std::make_unique<Meta[]>(capacity)),
        capacity_(capacity),
        free_head_(capacity == 0 ? UINT32_MAX : 0) {
    for (uint32_t i = 0; i < capacity; ++i)
      meta_[i].next_free = i + 1 < capacity ? i + 1 : UINT32_MAX;
  }

  uint32_t capacity() const { return capacity_; }
  uint32_t in_use() const { return in_use_; }
  bool full() const { return free_head_ == UINT32_MAX; }

  // A fresh record, or an empty handle when all are taken: the caller counts that.
  Id acquire() {
    if (full()) return {};
    const uint32_t index = free_head_;
    free_head_ = meta_[index].next_free;
    ++meta_[index].generation;
    records_[index] = T{};
    ++in_use_;
    return {index, meta_[index].generation};
  }

  void release(Id id) {
    CHECK(holds(id));
    Meta& meta = meta_[id.index];
    ++meta.generation;
    meta.next_free = free_head_;
    free_head_ = id.index;
    --in_use_;
  }

  bool holds(Id id) const {
    return id.index < capacity_ && meta_[id.index].generation == id.generation;
  }
  // nullptr when the record has been released since: the peer or a timer was faster.
  T* find(Id id) { return holds(id) ? &records_[id.index] : nullptr; }
  const T* find(Id id) const { return holds(id) ? &records_[id.index] : nullptr; }
  // For handles the caller knows to be live.
  T& operator[](Id id) {
    CHECK(holds(id));
    return records_[id.index];
  }
  const T& operator[](Id id) const {
    CHECK(holds(id));
    return records_[id.index];
  }

  Id id_at(uint32_t index) const {
    CHECK(live_at(index));
    return {index, meta_[index].generation};
  }
  bool live_at(uint32_t index) const {
    return index < capacity_ && (meta_[index].generation & 1) != 0;
  }
  static constexpr size_t bytes_per_record();
  T& at(uint32_t index) { return records_[index]; }
  const T& at(uint32_t index) const { return records_[index]; }

 private:
  struct Meta {
    uint32_t generation = 0;  // one more at each acquire and release: odd while the record is live
    uint32_t next_free = UINT32_MAX;
  };

  std::unique_ptr<T[]> records_;
  std::unique_ptr<Meta[]> meta_;
  uint32_t capacity_;
  uint32_t in_use_ = 0;
  uint32_t free_head_;
};

template <class T, class Tag>
constexpr size_t Slab<T, Tag>::bytes_per_record() {
  return sizeof(T) + sizeof(Meta);
}

}  // namespace millrace

// Frames on their way, taken out by time: a bounded binary heap over a block of memory that is
// claimed at start. Frames that are due at the same time come out in the order they went in.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/time.h"

namespace millrace::peers {

class DelayLine {
 public:
  static constexpr uint32_t frame_octets_max = 2'048;

  explicit DelayLine(uint32_t frames_max)
      : memory_(new uint8_t[size_t{frames_max} * frame_octets_max]) {
    free_.reserve(frames_max);
    waiting_.reserve(frames_max);
    for (uint32_t place = frames_max; place > 0; --place) free_.push_back(place - 1);
  }

  bool empty() const { return waiting_.empty(); }
  bool full() const { return free_.empty(); }
  size_t count() const { return waiting_.size(); }
  // Never when nothing is under way.
  Instant next_due() const { return waiting_.empty() ? Instant::never() : waiting_.front().due; }

  // frame: at most frame_octets_max; not when full.
  void put(ByteView frame, Instant due) {
    const uint32_t place = free_.back();
    free_.pop_back();
    std::memcpy(at(place), frame.data(), frame.size());
    waiting_.push_back({due, ++sequence_, place, static_cast<uint32_t>(frame.size())});
    std::push_heap(waiting_.begin(), waiting_.end(), later);
  }

  // Up to `most` frames that are due, in order; they stay valid until give_back().
  const std::vector<ByteView>& take_due(Instant now, size_t most) {
    taken_.clear();
    while (taken_.size() < most && !waiting_.empty() && waiting_.front().due <= now) {
      const Waiting first = waiting_.front();
      std::pop_heap(waiting_.begin(), waiting_.end(), later);
      waiting_.pop_back();
      taken_.emplace_back(at(first.place), first.octets);
      places_.push_back(first.place);
    }
    return taken_;
  }
  void give_back() {
    free_.insert(free_.end(), places_.begin(), places_.end());
    places_.clear();
  }

 private:
  struct Waiting {
    Instant due;
    uint64_t sequence = 0;
    uint32_t place = 0;
    uint32_t octets = 0;
  };
  static bool later(const Waiting& a, const Waiting& b) {
    return a.due != b.due ? a.due > b.due : a.sequence > b.sequence;
  }
  uint8_t* at(uint32_t place) const { return memory_.get() + size_t{place} * frame_octets_max; }

  std::unique_ptr<uint8_t[]> memory_;
  std::vector<uint32_t> free_;
  std::vector<Waiting> waiting_;
  std::vector<ByteView> taken_;
  std::vector<uint32_t> places_;
  uint64_t sequence_ = 0;
};

}  // namespace millrace::peers

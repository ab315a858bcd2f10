#include "base/timer_wheel.h"

#include <algorithm>

namespace millrace {

TimerWheel::TimerWheel(uint32_t timer_count, Instant start)
    : nodes_(std::make_unique<Node[]>(timer_count)),
      timer_count_(timer_count),
      hand_(start.since_origin_ns() / tick_ns) {
  heads_.fill(none);
}

void TimerWheel::move(uint32_t timer) {
  unlink(timer);
  place(timer);
}

void TimerWheel::place(uint32_t timer) {
  nodes_[timer].placed = nodes_[timer].due;
  const uint64_t tick = absolute(nodes_[timer].due);
  if (tick <= hand_) {
    link(timer, slot_due);
    return;
  }
  // The level is that of the highest digit (base 256) in which the tick differs from the hand: the
  // slot of that digit is reached when all digits below it are zero.
  for (int level = 0; level < level_count; ++level) {
    const int shift = level * slot_bits;
    // The top level is a ring (its digit wraps, time does not); the others never hold what lies
    // beyond their next carry.
    const bool fits = level + 1 < level_count
                          ? (tick >> (shift + slot_bits)) == (hand_ >> (shift + slot_bits))
                          : (tick >> shift) - (hand_ >> shift) < slots_per_level;
    if (fits) {
      link(timer,
           static_cast<uint16_t>(level * slots_per_level + (tick >> shift) % slots_per_level));
      return;
    }
  }
  // Beyond the horizon: the slot just behind the hand is reached last.
  constexpr int top_shift = (level_count - 1) * slot_bits;
  const uint64_t last = ((hand_ >> top_shift) + slots_per_level - 1) % slots_per_level;
  link(timer, static_cast<uint16_t>((level_count - 1) * slots_per_level + last));
}

void TimerWheel::link(uint32_t timer, uint16_t slot) {
  Node& node = nodes_[timer];
  uint32_t& head = head_of(slot);
  node.slot = slot;
  ++linked_;
  node.previous = none;
  node.next = head;
  if (head != none) nodes_[head].previous = timer;
  head = timer;
  if (slot != slot_due)
    occupied_[slot / slots_per_level][slot % slots_per_level / 64] |= uint64_t{1} << slot % 64;
}

void TimerWheel::unlink(uint32_t timer) {
  Node& node = nodes_[timer];
  if (node.slot == slot_none) return;
  uint32_t& head = head_of(node.slot);
  if (node.previous != none) {
    nodes_[node.previous].next = node.next;
  } else {
    head = node.next;
  }
  if (node.next != none) nodes_[node.next].previous = node.previous;
  if (head == none && node.slot != slot_due) {
    occupied_[node.slot / slots_per_level][node.slot % slots_per_level / 64] &=
        ~(uint64_t{1} << node.slot % 64);
  }
  node.slot = slot_none;
  --linked_;
}

// Moves all timers of a slot nearer: to a lower level or to the due list.
void TimerWheel::spill(uint16_t slot) {
  uint32_t timer = heads_[slot];
  while (timer != none) {
    const uint32_t next = nodes_[timer].next;
    unlink(timer);
    if (nodes_[timer].armed) place(timer);
    timer = next;
  }
}

// Advances the hand by one tick, or at once over a run of empty ticks of the lowest level.
void TimerWheel::step(uint64_t now_tick) {
  if (linked_ == 0) {
    hand_ = now_tick;
    return;
  }
  // Within the lowest level, jump to the next occupied slot or to the level's end.
  const uint64_t digit = hand_ % slots_per_level;
  uint64_t target = hand_ - digit + slots_per_level;  // the carry
  for (uint64_t next = digit + 1; next < slots_per_level;) {
    const uint64_t word = occupied_[0][next / 64] >> (next % 64);
    if (word == 0) {
      next = (next / 64 + 1) * 64;
      continue;
    }
    target = hand_ - digit + next + static_cast<uint64_t>(__builtin_ctzll(word));
    break;
  }
  hand_ = std::min(target, now_tick);
  // Upper levels first, so that what falls out of them can fall further in this same step.
  for (int level = level_count - 1; level >= 0; --level) {
    const int shift = level * slot_bits;
    if (level > 0 && (hand_ & ((uint64_t{1} << shift) - 1)) != 0) continue;
    spill(static_cast<uint16_t>(level * slots_per_level + (hand_ >> shift) % slots_per_level));
  }
}

Instant TimerWheel::next_deadline() const {
  if (armed_ == 0) return Instant::never();
  if (due_head_ != none) return Instant::from_ns(hand_ * tick_ns);
  for (int level = 0; level < level_count; ++level) {
    const int shift = level * slot_bits;
    const uint64_t digit = (hand_ >> shift) % slots_per_level;
    for (uint64_t ahead = 1; ahead < slots_per_level;) {
      const uint64_t slot = (digit + ahead) % slots_per_level;
      const uint64_t word = occupied_[level][slot / 64] >> (slot % 64);
      if (word == 0) {
        ahead += 64 - slot % 64;
        continue;
      }
      ahead += static_cast<uint64_t>(__builtin_ctzll(word));
      if (ahead >= slots_per_level) break;
      return Instant::from_ns((((hand_ >> shift) + ahead) << shift) * tick_ns);
    }
  }
  // Timers are armed, yet no slot ahead holds them: only a slot under the hand can.
  return Instant::from_ns((hand_ + 1) * tick_ns);
}

}  // namespace millrace

// Hierarchical timer wheel: one intrusive node a timer, O(1) to arm, move and cancel, bounded work
// a tick. Ticks are 1 ms; four levels of 256 slots reach 49 days, farther deadlines wait in the
// last slot and are placed again when it comes round (T51: nothing wraps, nothing is lost).
//
// Deadlines are lower bounds: a timer never fires before its deadline and at the latest one tick
// after it, given that advance() is called. A node stays in its slot when its timer is put off or
// cancelled, and is looked at again when that slot is reached: TCP moves its timers with nearly
// every segment and lets almost none of them fire, so arming must be one store in the common case.
// A node is 20 bytes, because every idle connection has one; deadlines lie within 24 days.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "base/check.h"
#include "base/time.h"

namespace millrace {

class TimerWheel {
 public:
  static constexpr int64_t tick_ns = Tick::tick_ns;

  // timer_count: how many timers exist; they are named 0 .. timer_count-1 by their owner.
  TimerWheel(uint32_t timer_count, Instant start);

  uint32_t timer_count() const { return timer_count_; }
  uint32_t armed_count() const { return armed_; }
  static constexpr size_t bytes_per_timer();

  // Sets timer's deadline, whether it was armed or not.
  void arm(uint32_t timer, Tick deadline) {
    CHECK(timer < timer_count_ && !deadline.is_never());
    Node& node = nodes_[timer];
    armed_ += node.armed ? 0U : 1U;
    node.armed = true;
    node.due = deadline.value();
    // In its slot already, and no earlier than that: the slot's turn will put it right.
    if (node.slot != slot_none && static_cast<int32_t>(node.due - node.placed) >= 0) return;
    move(timer);
  }
  // For owners who look up their own deadline when the timer fires: it fires at `deadline` or
  // before.
  void arm_no_later_than(uint32_t timer, Tick deadline) {
    const Node& node = nodes_[timer];
    if (node.armed && static_cast<int32_t>(deadline.value() - node.due) >= 0) return;
    arm(timer, deadline);
  }
  // Up to where advance() has come.
  Tick hand() const { return Tick::of(hand_); }
  void arm(uint32_t timer, Instant deadline) { arm(timer, Tick::at_or_after(deadline)); }
  void cancel(uint32_t timer) {
    CHECK(timer < timer_count_);
    Node& node = nodes_[timer];
    armed_ -= node.armed ? 1U : 0U;
    node.armed = false;
  }
  bool is_armed(uint32_t timer) const { return nodes_[timer].armed; }

  // Moves the wheel's hand to `now` and calls fire(timer) once for each timer whose deadline has
  // passed; a fired timer is disarmed before the call and may be armed again from within it. At
  // most fire_max timers fire a call; the rest fire at the next call, oldest slots first.
  template <class Fire>
  void advance(Instant now, uint32_t fire_max, Fire&& fire) {
    const uint64_t now_tick = now.since_origin_ns() / tick_ns;
    if (hand_ >= now_tick && due_head_ == none) return;
    uint32_t fired = 0;
    for (;;) {
      // Everything in the due list has reached its slot; lazily moved deadlines are placed again.
      while (due_head_ != none) {
        if (fired == fire_max) return;
        const uint32_t timer = due_head_;
        unlink(timer);
        Node& node = nodes_[timer];
        if (!node.armed) continue;
        if (absolute(node.due) > now_tick) {
          place(timer);
          continue;
        }
        node.armed = false;
        --armed_;
        ++fired;
        fire(timer);
      }
      if (hand_ >= now_tick) return;
      step(now_tick);
    }
  }

  // A time before which advance() has nothing to do: the earliest occupied slot, never late. For
  // sleeping; Instant::never() when no timer is armed.
  Instant next_deadline() const;

 private:
  static constexpr uint32_t none = UINT32_MAX;
  static constexpr int level_count = 4;
  static constexpr int slot_bits = 8;
  static constexpr uint32_t slots_per_level = 1U << slot_bits;
  static constexpr uint16_t slot_due = level_count * slots_per_level;
  static constexpr uint16_t slot_none = UINT16_MAX;

  struct Node {
    uint32_t due = 0;     // the deadline's tick, as in Tick
    uint32_t placed = 0;  // the tick its slot was chosen by; not later than due
    uint32_t next = none;
    uint32_t previous = none;
    uint16_t slot = slot_none;
    bool armed = false;
  };

  // Ticks without end, of a tick on the circle, which lies within 24 days of the hand.
  uint64_t absolute(uint32_t tick) const {
    return hand_ + static_cast<uint64_t>(
                       int64_t{static_cast<int32_t>(tick - static_cast<uint32_t>(hand_))});
  }
  void move(uint32_t timer);
  void place(uint32_t timer);
  void unlink(uint32_t timer);
  void link(uint32_t timer, uint16_t slot);
  void step(uint64_t now_tick);
  void spill(uint16_t slot);
  uint32_t& head_of(uint16_t slot) { return slot == slot_due ? due_head_ : heads_[slot]; }

  std::unique_ptr<Node[]> nodes_;
  std::array<uint32_t, level_count * slots_per_level> heads_;
  std::array<std::array<uint64_t, slots_per_level / 64>, level_count> occupied_{};
  uint32_t due_head_ = none;
  uint32_t timer_count_;
  uint32_t armed_ = 0;
  uint32_t linked_ = 0;  // armed, or cancelled and not yet swept
  uint64_t hand_;        // the tick up to which every slot has been emptied
};

constexpr size_t TimerWheel::bytes_per_timer() {
  return sizeof(Node);
}

}  // namespace millrace

// Arena: the worker's own packet memory. A fixed number of equal slots; payload that waits (to be
// sent, to be acknowledged, to be read) lives in one, and so does every frame we originate.
//
//   slot:  | headroom: Ethernet + IP + TCP headers grow down from payload | payload ...  |
//          0                                                   headroom_bytes          slot_bytes
//
// A slot has two reasons to stay: its owner still wants the bytes (held), and a port is still
// reading them (in_port). It is free again when both are gone. Two bits, no reference counts.
#pragma once

#include <cstdint>
#include <memory>

#include "base/bytes.h"
#include "base/check.h"

namespace millrace::packet {

// Names a slot; an index, so that it fits in queues and descriptors.
using SlotIndex = uint32_t;
inline constexpr SlotIndex slot_none = UINT32_MAX;

inline constexpr uint32_t slot_bytes = 2048;
// 14 Ethernet + 4 reserved + 20 IPv4 (60 with IPv6 and an extension later) + 60 TCP at most = 118,
// rounded up to two cache lines.
inline constexpr uint32_t headroom_bytes = 128;
inline constexpr uint32_t payload_bytes_max = slot_bytes - headroom_bytes;

// A frame to send: length bytes from offset within the slot.
struct TransmitFrame {
  SlotIndex slot = slot_none;
  uint16_t offset = 0;
  uint16_t length = 0;
};

class Arena {
 public:
  // memory: slot_count * slot_bytes bytes, 64-byte aligned, outliving the arena. For AF_XDP it is a
  // part of the UMEM, so that a slot's frame goes to the NIC where it lies.
  Arena(uint8_t* memory, uint32_t slot_count);

  uint32_t capacity() const { return capacity_; }
  uint32_t free_count() const { return free_count_; }

  // A slot held by the caller, or slot_none. Callers on behalf of peers leave reserve_count slots
  // free, so that acknowledgments and resets can always be sent.
  SlotIndex acquire(uint32_t reserve_count = 0) {
    if (free_count_ <= reserve_count) return slot_none;
    const SlotIndex slot = free_[--free_count_];
    state_[slot] = held_bit;
    return slot;
  }

  // The owner no longer wants the bytes.
  void drop(SlotIndex slot) {
    CHECK(slot < capacity_ && (state_[slot] & held_bit) != 0);
    state_[slot] &= static_cast<uint8_t>(~held_bit);
    if (state_[slot] == 0) free_[free_count_++] = slot;
  }

  // The slot has been given to a port / the port has given it back.
  void mark_in_port(SlotIndex slot) {
    CHECK(slot < capacity_ && (state_[slot] & in_port_bit) == 0);
    state_[slot] |= in_port_bit;
  }
  void mark_sent(SlotIndex slot) {
    CHECK(slot < capacity_ && (state_[slot] & in_port_bit) != 0);
    state_[slot] &= static_cast<uint8_t>(~in_port_bit);
    if (state_[slot] == 0) free_[free_count_++] = slot;
  }
  bool in_port(SlotIndex slot) const { return (state_[slot] & in_port_bit) != 0; }
  bool held(SlotIndex slot) const { return (state_[slot] & held_bit) != 0; }

  uint8_t* slot_data(SlotIndex slot) { return memory_ + size_t{slot} * slot_bytes; }
  uint8_t* payload(SlotIndex slot) { return slot_data(slot) + headroom_bytes; }
  const uint8_t* payload(SlotIndex slot) const {
    return memory_ + size_t{slot} * slot_bytes + headroom_bytes;
  }
  ByteView frame_bytes(const TransmitFrame& frame) {
    return {slot_data(frame.slot) + frame.offset, frame.length};
  }

 private:
  static constexpr uint8_t held_bit = 1;
  static constexpr uint8_t in_port_bit = 2;

  uint8_t* memory_;
  uint32_t capacity_;
  uint32_t free_count_;
  std::unique_ptr<SlotIndex[]> free_;
  std::unique_ptr<uint8_t[]> state_;
};

}  // namespace millrace::packet

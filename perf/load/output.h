// Output: the frames that one turn sends, in slots of the arena. Knows at any moment how many more
// would be taken, so whoever has something to send asks first and keeps it otherwise.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/time.h"
#include "dataplane/nic/port.h"
#include "dataplane/packet/arena.h"

namespace millrace::load {

class Output {
 public:
  static constexpr uint32_t frames_per_turn_max = 512;

  Output(nic::Port& port, packet::Arena& arena) : port_(port), arena_(arena) {}

  const MacAddress& mac() const { return port_.facts().mac; }

  // At the beginning of a turn.
  void begin() {
    room_ = static_cast<uint32_t>(std::min<size_t>(
        {frames_per_turn_max, port_.transmit_room(), size_t{arena_.free_count()}}));
  }
  uint32_t room() const { return room_ - count_; }

  // Where the text of the next frame is to be written; its headers grow down from there. Only with
  // room() > 0.
  uint8_t* text() {
    if (slot_ == packet::slot_none) slot_ = arena_.acquire();
    return arena_.payload(slot_);
  }
  // Hands over what lies from header_bytes in front of text() to text_bytes behind it.
  void commit(uint32_t header_bytes, uint32_t text_bytes) {
    frames_[count_++] = {slot_, static_cast<uint16_t>(packet::headroom_bytes - header_bytes),
                         static_cast<uint16_t>(header_bytes + text_bytes)};
    slot_ = packet::slot_none;
  }

  // At the end of a turn: everything leaves, and slots that were sent come back. Returns how many
  // frames left.
  uint32_t finish(Instant now);

 private:
  void reclaim();

  nic::Port& port_;
  packet::Arena& arena_;
  uint32_t room_ = 0;
  uint32_t count_ = 0;
  packet::SlotIndex slot_ = packet::slot_none;  // taken, not committed
  std::array<packet::TransmitFrame, frames_per_turn_max> frames_;
};

}  // namespace millrace::load

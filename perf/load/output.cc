#include "perf/load/output.h"

namespace millrace::load {

uint32_t Output::finish(Instant now) {
  const uint32_t sent = count_;
  if (sent > 0) {
    for (uint32_t i = 0; i < sent; ++i) {
      arena_.mark_in_port(frames_[i].slot);
      arena_.drop(frames_[i].slot);
    }
    port_.transmit({frames_.data(), sent}, now);
    count_ = 0;
  }
  port_.flush();
  reclaim();
  room_ = 0;
  return sent;
}

void Output::reclaim() {
  std::array<packet::SlotIndex, nic::burst_frames_max> slots;
  for (;;) {
    const size_t count = port_.reclaim(slots);
    for (size_t i = 0; i < count; ++i) arena_.mark_sent(slots[i]);
    if (count < slots.size()) return;
  }
}

}  // namespace millrace::load

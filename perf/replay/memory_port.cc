#include "perf/replay/memory_port.h"

#include <algorithm>

#include "base/check.h"

namespace millrace::perf {

MemoryPort::MemoryPort(nic::PortFacts facts, packet::Arena& arena)
    : facts_(std::move(facts)),
      arena_(arena),
      memory_(std::make_unique<uint8_t[]>(size_t{receive_frames} * packet::slot_bytes)) {
  for (uint32_t frame = 0; frame < receive_frames; ++frame) free_[free_count_++] = frame;
}

void MemoryPort::deliver(uint16_t length) {
  CHECK(free_count_ > 1);  // next_frame() needs one more
  waiting_[waiting_end_++ % receive_frames] = {free_[--free_count_], length};
}

size_t MemoryPort::receive(std::span<packet::Frame> frames, Instant) {
  const uint32_t waiting_count = std::min(waiting_end_ - waiting_first_, frames_per_turn_);
  const auto count = static_cast<uint32_t>(std::min<size_t>(frames.size(), waiting_count));
  for (uint32_t i = 0; i < count; ++i) {
    const Waiting& waiting = waiting_[waiting_first_++ % receive_frames];
    packet::Frame& frame = frames[i];
    frame.data = frame_at(waiting.frame);
    frame.octets_behind = static_cast<uint16_t>(packet::slot_bytes - waiting.length);
    frame.length = waiting.length;
    frame.checksum_verified = false;
    frame.token = waiting.frame;
    counters_.received_bytes += waiting.length;
  }
  lent_count_ += count;
  counters_.received_frames += count;
  return count;
}

void MemoryPort::release(std::span<const packet::Frame> frames) {
  for (const packet::Frame& frame : frames) {
    free_[free_count_++] = static_cast<uint32_t>(frame.token);
  }
  lent_count_ -= static_cast<uint32_t>(frames.size());
}

void MemoryPort::transmit(std::span<const packet::TransmitFrame> frames, Instant) {
  CHECK(frames.size() <= transmit_room());
  for (const packet::TransmitFrame& frame : frames) {
    sent_[sent_count_++] = frame;
    counters_.transmitted_bytes += frame.length;
  }
  counters_.transmitted_frames += frames.size();
}

void MemoryPort::take_sent() {
  for (uint32_t i = 0; i < sent_count_; ++i) completed_[completed_count_++] = sent_[i].slot;
  sent_count_ = 0;
}

size_t MemoryPort::reclaim(std::span<packet::SlotIndex> slots) {
  const auto count = static_cast<uint32_t>(std::min<size_t>(slots.size(), completed_count_));
  for (uint32_t i = 0; i < count; ++i) slots[i] = completed_[--completed_count_];
  return count;
}

}  // namespace millrace::perf

// MemoryPort: a port whose wire is an array. Frames are received where the peer wrote them and sent
// frames are read where they lie, so a replay counts the stack and next to nothing of the port.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/nic/port.h"

namespace millrace::perf {

class MemoryPort final : public nic::Port {
 public:
  static constexpr uint32_t receive_frames = 1024;
  static constexpr uint32_t transmit_ring_frames = 512;

  MemoryPort(nic::PortFacts facts, packet::Arena& arena);

  // --- the peer's end; called between turns ---
  // Where the next frame is to be written, packet::slot_bytes of it; deliver() hands it over.
  uint8_t* next_frame() { return frame_at(free_[free_count_ - 1]); }
  void deliver(uint16_t length);
  // How many more frames the peer may deliver.
  uint32_t deliver_room() const { return free_count_ - 1; }
  bool has_waiting() const { return waiting_first_ != waiting_end_; }
  // How many frames one turn takes at most; a card that has fewer ready shows fewer.
  void set_frames_per_turn(uint32_t frames) { frames_per_turn_ = frames; }
  // What was sent in the last turn; the bytes stay until take_sent() is called.
  std::span<const packet::TransmitFrame> sent() const { return {sent_.data(), sent_count_}; }
  ByteView bytes(const packet::TransmitFrame& frame) { return arena_.frame_bytes(frame); }
  // The peer has read sent(): its slots go back with the next reclaim(), as after a real kick.
  void take_sent();

  const nic::PortFacts& facts() const override { return facts_; }
  const nic::PortCounters& counters() const override { return counters_; }
  size_t receive(std::span<packet::Frame> frames, Instant now) override;
  void release(std::span<const packet::Frame> frames) override;
  size_t transmit_room() const override {
    return transmit_ring_frames - sent_count_ - completed_count_;
  }
  void transmit(std::span<const packet::TransmitFrame> frames, Instant now) override;
  void flush() override {}
  size_t reclaim(std::span<packet::SlotIndex> slots) override;
  int wait_fd() const override { return -1; }
  bool prepare_wait() override { return has_waiting(); }
  bool frames_conserved() const override {
    return free_count_ + (waiting_end_ - waiting_first_) + lent_count_ == receive_frames;
  }

 private:
  struct Waiting {
    uint32_t frame;
    uint16_t length;
  };
  uint8_t* frame_at(uint32_t index) { return memory_.get() + size_t{index} * packet::slot_bytes; }

  nic::PortFacts facts_;
  packet::Arena& arena_;
  nic::PortCounters counters_;
  std::unique_ptr<uint8_t[]> memory_;
  std::array<uint32_t, receive_frames> free_{};
  uint32_t free_count_ = 0;
  uint32_t lent_count_ = 0;
  uint32_t frames_per_turn_ = nic::burst_frames_max;
  // A ring of frames that wait to be received; positions only grow.
  std::array<Waiting, receive_frames> waiting_{};
  uint32_t waiting_first_ = 0;
  uint32_t waiting_end_ = 0;
  std::array<packet::TransmitFrame, transmit_ring_frames> sent_{};
  uint32_t sent_count_ = 0;
  std::array<packet::SlotIndex, transmit_ring_frames> completed_{};
  uint32_t completed_count_ = 0;
};

}  // namespace millrace::perf

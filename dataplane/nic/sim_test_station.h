// A station for tests of ports: an arena, and frames with a number in them going out and coming in.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "dataplane/nic/port.h"

namespace millrace::nic {

inline MacAddress station_mac(uint8_t number) {
  return {{0x02, 0, 0, 0, 0, number}};
}

inline PortFacts station_facts(uint8_t number) {
  PortFacts facts;
  facts.name = "sim" + std::to_string(number);
  facts.mac = station_mac(number);
  return facts;
}

class Station {
 public:
  static constexpr uint32_t slot_count = 1'024;

  Station()
      : memory_(new (std::align_val_t{64}) uint8_t[size_t{slot_count} * packet::slot_bytes]),
        arena(memory_.get(), slot_count) {}

  // A frame of `length` octets to a MAC address, with a number behind the addresses.
  packet::TransmitFrame make(const MacAddress& to, uint32_t number, uint16_t length = 60) {
    const packet::SlotIndex slot = arena.acquire();
    EXPECT_NE(slot, packet::slot_none);
    uint8_t* at = arena.slot_data(slot);
    std::memset(at, static_cast<int>(number & 0xff), length);
    std::memcpy(at, to.octets.data(), 6);
    store_be32(at + 14, number);
    arena.mark_in_port(slot);
    arena.drop(slot);
    return {slot, 0, length};
  }
  void send(Port& port, const MacAddress& to, uint32_t number, Instant now, uint16_t length = 60) {
    const packet::TransmitFrame frame = make(to, number, length);
    port.transmit({&frame, 1}, now);
  }
  // Any octets as a frame.
  void send_bytes(Port& port, ByteView bytes, Instant now) {
    const packet::SlotIndex slot = arena.acquire();
    ASSERT_NE(slot, packet::slot_none);
    std::memcpy(arena.slot_data(slot), bytes.data(), bytes.size());
    arena.mark_in_port(slot);
    arena.drop(slot);
    const packet::TransmitFrame frame{slot, 0, static_cast<uint16_t>(bytes.size())};
    port.transmit({&frame, 1}, now);
  }
  // The frames that have arrived by now, whole.
  std::vector<std::vector<uint8_t>> receive_bytes(Port& port, Instant now) {
    std::vector<std::vector<uint8_t>> arrived;
    std::vector<packet::Frame> frames(burst_frames_max);
    for (;;) {
      const size_t count = port.receive(frames, now);
      if (count == 0) return arrived;
      for (size_t i = 0; i < count; ++i)
        arrived.emplace_back(frames[i].data, frames[i].data + frames[i].length);
      port.release({frames.data(), count});
    }
  }
  size_t reclaim(Port& port) {
    std::vector<packet::SlotIndex> slots(slot_count);
    const size_t count = port.reclaim(slots);
    for (size_t i = 0; i < count; ++i) arena.mark_sent(slots[i]);
    return count;
  }
  // The numbers of what has arrived by now.
  std::vector<uint32_t> receive(Port& port, Instant now) {
    std::vector<uint32_t> numbers;
    std::vector<packet::Frame> frames(burst_frames_max);
    for (;;) {
      const size_t count = port.receive(frames, now);
      if (count == 0) return numbers;
      for (size_t i = 0; i < count; ++i) numbers.push_back(load_be32(frames[i].data + 14));
      port.release({frames.data(), count});
    }
  }

 private:
  struct AlignedDelete {
    void operator()(uint8_t* at) const { ::operator delete[](at, std::align_val_t{64}); }
  };
  std::unique_ptr<uint8_t[], AlignedDelete> memory_;

 public:
  packet::Arena arena;
};

}  // namespace millrace::nic

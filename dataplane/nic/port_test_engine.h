// For tests: frames whose every byte follows from their number, and the smallest possible worker,
// which sends each of them back with its two ends swapped.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "base/address.h"
#include "dataplane/nic/port.h"
#include "dataplane/packet/arena.h"

namespace millrace::nic {

inline constexpr uint32_t ipv4_at = 14;
inline constexpr uint32_t sequence_at = 34;  // behind Ethernet and IPv4
inline constexpr uint32_t frame_bytes_min = 60;

inline const Ipv4Address engine_address = Ipv4Address::from_octets(10, 77, 0, 100);
// Not configured anywhere: the peer's kernel stays silent about frames to it.
inline const Ipv4Address peer_address = Ipv4Address::from_octets(10, 77, 0, 9);

// A frame from the raw peer to the engine whose every byte follows from its number.
inline std::vector<uint8_t> numbered_frame(const MacAddress& to, uint64_t number, size_t length) {
  std::vector<uint8_t> frame(length);
  std::copy(to.octets.begin(), to.octets.end(), frame.begin());
  frame[6] = 0x02;
  frame[11] = 0x09;
  store_be16(&frame[12], 0x0800);
  frame[ipv4_at] = 0x45;
  store_be16(&frame[ipv4_at + 2], static_cast<uint16_t>(length - ipv4_at));
  frame[ipv4_at + 8] = 64;
  frame[ipv4_at + 9] = 253;  // RFC 3692: for experiments
  peer_address.store(&frame[ipv4_at + 12]);
  engine_address.store(&frame[ipv4_at + 16]);
  store_be32(&frame[sequence_at], static_cast<uint32_t>(number >> 32));
  store_be32(&frame[sequence_at + 4], static_cast<uint32_t>(number));
  uint64_t state = number * 0x9e3779b97f4a7c15U + 1;
  for (size_t i = sequence_at + 8; i < length; ++i) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    frame[i] = static_cast<uint8_t>(state >> 56);
  }
  return frame;
}

inline void swap_ends(uint8_t* frame) {
  std::swap_ranges(frame, frame + 6, frame + 6);
  std::swap_ranges(frame + ipv4_at + 12, frame + ipv4_at + 16, frame + ipv4_at + 16);
}

inline bool from_engine(const std::vector<uint8_t>& frame) {
  return frame.size() >= frame_bytes_min && load_be16(&frame[12]) == 0x0800 &&
         Ipv4Address::load(&frame[ipv4_at + 12]) == engine_address;
}

inline size_t length_of(uint64_t number) {
  return frame_bytes_min + number * 7919 % (1514 - 60 + 1);
}

// The smallest possible worker; several may share an arena, as the ports of a worker do.
class EchoEngine {
 public:
  EchoEngine(Port& port, packet::Arena& arena) : port_(port), arena_(arena) {}

  // One turn; the number of frames echoed. Frames that are not the raw peer's are only counted.
  size_t turn(Instant now) {
    std::array<packet::Frame, burst_frames_max> frames{};
    std::array<packet::TransmitFrame, burst_frames_max> out{};
    const size_t wanted =
        std::min<size_t>({frames.size(), arena_.free_count(), port_.transmit_room()});
    const size_t count = port_.receive({frames.data(), wanted}, now);
    size_t echoed = 0;
    for (size_t i = 0; i < count; ++i) {
      const packet::Frame& frame = frames[i];
      if (frame.length < frame_bytes_min || load_be16(frame.data + 12) != 0x0800) {
        ++others;
        continue;
      }
      const packet::SlotIndex slot = arena_.acquire();
      std::memcpy(arena_.slot_data(slot) + 64, frame.data, frame.length);
      swap_ends(arena_.slot_data(slot) + 64);
      arena_.mark_in_port(slot);
      arena_.drop(slot);
      out[echoed++] = packet::TransmitFrame{slot, 64, frame.length};
    }
    conserved = conserved && port_.frames_conserved();
    port_.release({frames.data(), count});
    reclaim();
    port_.transmit({out.data(), echoed}, now);
    conserved = conserved && port_.frames_conserved();
    port_.flush();
    conserved = conserved && port_.frames_conserved();
    return echoed;
  }
  void reclaim() {
    std::array<packet::SlotIndex, burst_frames_max> done{};
    const size_t count = port_.reclaim(done);
    for (size_t i = 0; i < count; ++i) arena_.mark_sent(done[i]);
  }

  uint64_t others = 0;
  bool conserved = true;

 private:
  Port& port_;
  packet::Arena& arena_;
};

}  // namespace millrace::nic

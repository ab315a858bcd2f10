// SimPort: ports on a simulated wire, for tests and replays. Everything happens in virtual time and
// by seeded chance: the same seed and the same calls give the same frames at the same instants,
// which the trace hash proves.
//
//   port A --transmit--> [ wire into B: delay, loss, ... ] --receive--> port B
//
// A SimLink joins two ports, a SimSwitch any number. Each port has one wire that leads to it, with
// its own faults, changeable at run time. Frames own their bytes while they are on a wire (a copy
// at transmit, as a real wire makes one).
//
// Nothing moves by itself: receive() and reclaim() look at what is due. next_event() tells how far
// virtual time may jump.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "base/random.h"
#include "base/time.h"
#include "dataplane/nic/port.h"

namespace millrace::nic {

inline constexpr size_t sim_frame_bytes_max = packet::slot_bytes;

// What a wire does to the frames it carries. Probabilities are from 0 to 1, each drawn a frame.
struct WireFaults {
  Duration delay;                // of every frame
  Duration jitter;               // up to this much more, without changing the order
  uint64_t bits_per_second = 0;  // 0: as fast as asked
  double loss = 0;
  double duplication = 0;
  double corruption = 0;      // one bit flipped, checksums left alone
  double reordering = 0;      // held back by reordering_delay, so that later frames overtake
  Duration reordering_delay;  // should exceed the gap between frames
  size_t in_flight_frames_max = 4'096;  // beyond it the tail is dropped, as a switch's queue does

  // Losses that come in bursts (Gilbert 1960, Elliott 1963): a frame begins a burst or ends it, and
  // within one `burst_loss` counts beside `loss`.
  double burst_begin = 0;
  double burst_end = 1;
  double burst_loss = 1;
  double truncation = 0;  // cut at any octet
  // One bit of a TCP segment or its header of IP flipped and the checksums put right again, as a
  // router with bad memory does it. TCP cannot see that, so by default only such bits change as TCP
  // survives.
  double mended_corruption = 0;
  enum class Mends : uint8_t {
    // Type of service, identification, fragment and TTL of IPv4; traffic class, flow label and hop
    // limit of IPv6; window, urgent pointer and the flags but FIN, SYN and RST of TCP.
    survivable,
    // Any bit of the segment: what arrives need not be what was sent, and a connection may
    // stand still for ever. For runs whose judge knows.
    any,
  };
  Mends mends = Mends::survivable;
  bool down = false;  // nothing gets in; what is on the way arrives
  // Longer datagrams vanish, IPv6 ones not below 1,280 octets; with tells_datagram_bytes_max the
  // sender hears of it by ICMP (RFC 1191 section 4, if it forbade fragments; RFC 4443 section 3.2).
  uint16_t datagram_bytes_max = UINT16_MAX;
  bool tells_datagram_bytes_max = false;
  // So often the sender of a segment hears of an MTU that nobody may believe, whatever was carried:
  // write_untrue_too_long().
  double untrue_too_long = 0;
};

struct WireCounters {
  uint64_t carried = 0;    // handed to the wire
  uint64_t delivered = 0;  // handed to the port, duplicates included
  uint64_t lost = 0;
  uint64_t duplicated = 0;
  uint64_t corrupted = 0;
  uint64_t reordered = 0;
  uint64_t overflowed = 0;  // dropped: in_flight_frames_max
  uint64_t no_buffer = 0;   // dropped at the end: the port had no buffer
  uint64_t lost_in_bursts = 0;
  uint64_t lost_while_down = 0;
  uint64_t too_long = 0;  // dropped: datagram_bytes_max
  uint64_t truncated = 0;
  uint64_t mended = 0;
  uint64_t inserted = 0;
  uint64_t untrue = 0;  // messages of a router that were not true
};

// What was delivered in a run, as one number: time, direction and bytes of every frame in order.
class TraceHash {
 public:
  void add(Instant at, size_t wire, ByteView bytes);
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0x6d696c6c72616365U;
};

// Whoever wants to see what happens: told of every frame that gets into a wire and that arrives.
class SimListener {
 public:
  enum class Step : uint8_t { enters, arrives };
  virtual ~SimListener() = default;
  virtual void on_frame(size_t wire, Step step, Instant at, ByteView bytes) = 0;
};

// One direction: frames in, the same frames out, later and not quite all.
class SimWire {
 public:
  SimWire(size_t index, uint64_t seed, TraceHash& trace)
      : index_(index),
        random_(seed),
        rare_(seed ^ rare_stream),
        untrue_(seed ^ untrue_stream),
        trace_(trace) {}

  WireFaults faults;

  // nullptr: nobody. It lives as long as the wire carries frames.
  void set_listener(SimListener* listener) { listener_ = listener; }

  void carry(ByteView bytes, Instant now);
  // A frame from nowhere that meets no faults: it is due at `at`.
  void insert(ByteView bytes, Instant at);
  // The frame due first, if it is due by now; its bytes are valid until the next call.
  bool deliver(Instant now, ByteView* bytes);
  Instant next_event() const {
    return in_flight_.empty() ? Instant::never() : in_flight_.front().at;
  }
  // True for a frame that carry() drops because of datagram_bytes_max.
  bool is_too_long(ByteView bytes) const;
  // True when its sender is to hear of it.
  bool tells_too_long(ByteView bytes) const;
  // What decides about an untrue message to the sender, if there is to be one.
  std::optional<uint64_t> draw_untrue_too_long(ByteView bytes);

  size_t in_flight() const { return in_flight_.size(); }
  const WireCounters& counters() const { return counters_; }
  void count_no_buffer() { ++counters_.no_buffer; }
  // Every frame carried (or made by duplication) was lost, dropped, delivered or is on the way.
  bool frames_conserved() const;

 private:
  static constexpr uint64_t rare_stream = 0x72617265U;
  static constexpr uint64_t untrue_stream = 0x756e7472U;
  static constexpr uint32_t no_buffer_held = UINT32_MAX;
  using Buffer = std::array<uint8_t, sim_frame_bytes_max>;
  struct InFlight {
    Instant at;
    uint64_t order = 0;  // among equals, first in is first out
    uint32_t buffer = 0;
    uint32_t length = 0;
  };
  struct Later {
    bool operator()(const InFlight& a, const InFlight& b) const {
      return a.at != b.at ? a.at > b.at : a.order > b.order;
    }
  };

  // What the faults that were added later have in store for a frame.
  struct RareFate {
    bool lost_in_burst = false;
    bool truncated = false;
    bool mended = false;
    uint64_t cut = 0;
    uint64_t bit = 0;
  };
  RareFate draw_rare_fate();
  bool is_dropped(ByteView bytes, bool lost, const RareFate& fate);
  void schedule(ByteView bytes, Instant at);
  Instant departure(size_t bytes, Instant now);

  size_t index_;
  Random random_;
  // Of their own, so that what they are set to does not shift the chances of the others.
  Random rare_;
  Random untrue_;
  TraceHash& trace_;
  SimListener* listener_ = nullptr;
  std::vector<InFlight> in_flight_;  // a heap, the earliest in front
  // Frames lie in buffers that are used again: a simulation carries millions of them.
  std::vector<std::unique_ptr<Buffer>> buffers_;
  std::vector<uint32_t> free_buffers_;
  uint32_t delivered_ = no_buffer_held;  // given back at the next delivery
  bool in_burst_ = false;
  Instant free_at_;        // when the last bit of what was sent before has left
  Instant last_in_order_;  // arrival of the last frame that was not held back
  uint64_t order_ = 0;
  WireCounters counters_;
};

// Where a port's frames go.
class SimMedium {
 public:
  virtual ~SimMedium() = default;
  virtual void carry(size_t from, ByteView bytes, Instant now) = 0;
};

class SimPort final : public Port {
 public:
  static constexpr size_t receive_buffers = 1'024;
  static constexpr size_t transmit_ring_frames = 512;

  SimPort(PortFacts facts, packet::Arena& arena, SimMedium& medium, size_t index, uint64_t seed,
          TraceHash& trace);

  // How long a frame stays with the port after transmit(): with more than zero, slots come back
  // late, as from a real NIC, and a slot that was written to meanwhile fails a CHECK.
  void set_completion_delay(Duration delay) { completion_delay_ = delay; }

  // The wire that leads to this port: its faults, its counters.
  SimWire& wire() { return wire_; }
  const SimWire& wire() const { return wire_; }

  // The next delivery or completion; Instant::never() when there is nothing under way.
  Instant next_event() const;

  const PortFacts& facts() const override { return facts_; }
  const PortCounters& counters() const override { return counters_; }
  size_t receive(std::span<packet::Frame> frames, Instant now) override;
  void release(std::span<const packet::Frame> frames) override;
  size_t transmit_room() const override { return transmit_ring_frames - in_transmit_.size(); }
  void transmit(std::span<const packet::TransmitFrame> frames, Instant now) override;
  void flush() override { ++counters_.kicks; }
  size_t reclaim(std::span<packet::SlotIndex> slots) override;
  int wait_fd() const override { return -1; }
  bool prepare_wait() override { return wire_.next_event() <= now_; }
  bool frames_conserved() const override;

 private:
  struct InTransmit {
    packet::TransmitFrame frame;
    Instant done_at;
    uint64_t content = 0;  // hash of the bytes when they were taken
  };

  PortFacts facts_;
  packet::Arena& arena_;
  SimMedium& medium_;
  size_t index_;
  SimWire wire_;
  PortCounters counters_;
  Duration completion_delay_;
  Instant now_;  // as of the last call that brought the time
  std::unique_ptr<uint8_t[]> buffers_;
  std::vector<uint32_t> free_buffers_;
  std::vector<bool> lent_;
  size_t lent_count_ = 0;
  std::deque<InTransmit> in_transmit_;
};

// Somebody in the middle of a link, who sees every frame first: it hands frames on with
// SimLink::pass(), changed or not, or keeps them.
class SimMiddle {
 public:
  virtual ~SimMiddle() = default;
  virtual void on_frame(size_t from, ByteView bytes, Instant now) = 0;
};

// Two ports, each of which hears all that the other says.
class SimLink final : public SimMedium {
 public:
  SimLink(PortFacts a, packet::Arena& arena_a, PortFacts b, packet::Arena& arena_b, uint64_t seed);

  SimPort& a() { return a_; }
  SimPort& b() { return b_; }
  void set_faults(const WireFaults& faults);  // in both directions
  // nullptr: nobody. It lives as long as the link carries frames.
  void set_middle(SimMiddle* middle) { middle_ = middle; }
  Instant next_event() const;
  bool frames_conserved() const { return a_.frames_conserved() && b_.frames_conserved(); }
  uint64_t trace_hash() const { return trace_.value(); }

  void carry(size_t from, ByteView bytes, Instant now) override;
  // What leaves the middle for the far side.
  void pass(size_t from, ByteView bytes, Instant now);

 private:
  TraceHash trace_;
  SimPort a_;
  SimPort b_;
  SimMiddle* middle_ = nullptr;
};

// Any number of ports; a frame goes to the port whose MAC address it names, a group frame to all
// others. It learns nothing: the addresses are those of the ports' facts.
class SimSwitch final : public SimMedium {
 public:
  explicit SimSwitch(uint64_t seed) : seed_(seed) {}

  // The port lives as long as the switch.
  SimPort& add_port(PortFacts facts, packet::Arena& arena);
  SimPort& port(size_t index) { return *ports_[index]; }
  size_t port_count() const { return ports_.size(); }
  void set_faults(const WireFaults& faults);  // towards every port
  Instant next_event() const;
  bool frames_conserved() const;
  uint64_t trace_hash() const { return trace_.value(); }
  // Frames to a MAC address that no port has.
  uint64_t unknown_destination() const { return unknown_destination_; }

  void carry(size_t from, ByteView bytes, Instant now) override;

 private:
  uint64_t seed_;
  TraceHash trace_;
  std::vector<std::unique_ptr<SimPort>> ports_;
  uint64_t unknown_destination_ = 0;
};

}  // namespace millrace::nic

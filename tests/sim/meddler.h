// Meddler: who stands in the middle of a simulated link. He repeats old frames, forges segments as
// somebody would who cannot see the connection (blind: whatever he guesses, he never guesses an
// acceptable acknowledgment or the exact number of a reset), and turns one of the hosts into a
// hostile peer by changing what that host says: its windows shrink, it lies about what it has
// received, it acknowledges what was never sent.
//
// He knows the true state of both stacks, so that what he does is exactly what it is said to be.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/random.h"
#include "dataplane/nic/sim_port.h"
#include "dataplane/tcp/tcp.h"
#include "tests/sim/segment_frame.h"

namespace millrace::sim {

struct MeddlerPlan {
  bool replays = false;  // old frames once more, up to a minute later
  bool forges = false;   // blind
  bool kills = false;    // resets with the exact sequence number: the connection must end
  Duration gap;          // mean time between two of these; zero: none

  // A box that takes options off SYNs, now and after the faults: that is how the path is.
  bool strips_sack = false;
  bool strips_timestamps = false;
  bool strips_scaling = false;

  // A congested router: how many of the datagrams that may be marked it marks (RFC 3168 section 5),
  // or a box that takes the bits off.
  double marks_congestion = 0;
  bool bleaches = false;

  // The hostile peer, and how often one of its segments is changed.
  std::optional<size_t> hostile_side;
  double hostility = 0;
  bool shrinks_windows = false;
  bool lies_in_sack = false;
  bool acknowledges_unsent = false;  // beyond SND.NXT, in additional segments
  // So many octets at a time, in additional segments; 0: as they come.
  uint32_t divides_acks_octets = 0;
  uint32_t ack_pieces_max = 16;
  bool repeats_acks = false;
  bool acknowledges_unreceived = false;  // what is still in flight: its own text will be missing

  bool strips() const { return strips_sack || strips_timestamps || strips_scaling; }
  bool touches_ecn() const { return marks_congestion > 0 || bleaches; }
  bool is_idle() const { return gap == Duration() && !hostile_side && !strips() && !touches_ecn(); }
};

// A connection as its own stack sees it; all pointers are set or none.
struct ConnectionState {
  const tcp::Connection* connection = nullptr;
  const tcp::Transfer* transfer = nullptr;
  const tcp::Tcp* tcp = nullptr;
};

class Meddler final : public nic::SimMiddle {
 public:
  // What he may ask about the stacks.
  struct Sight {
    // Of the connection of `side` towards that port of the other side's; by conversation in the
    // second. Nothing when it is gone or not established.
    std::function<ConnectionState(size_t side, uint16_t local_port, uint16_t remote_port)> by_ports;
    std::function<ConnectionState(size_t side, uint32_t conversation)> by_number;
    std::function<uint32_t()> conversations;
    std::function<bool(size_t side)> is_away;  // it takes no turns now
  };

  Meddler(const MeddlerPlan& plan, nic::SimLink& link, Sight sight, uint64_t seed, Instant begin);

  void on_frame(size_t from, ByteView bytes, Instant now) override;
  // Does what is due. next_event(): when that is the next time.
  void act(Instant now);
  Instant next_event() const { return next_act_; }
  void stop() { stopped_ = true, next_act_ = Instant::never(); }

  uint64_t forged() const { return forged_; }
  uint64_t replayed() const { return replayed_; }
  uint64_t changed() const { return changed_; }
  // Conversations that a reset with the right number has hit.
  const std::vector<uint32_t>& killed() const { return killed_; }

 private:
  static constexpr size_t kept_frames = 64;
  struct Kept {
    size_t from = 0;
    std::vector<uint8_t> bytes;
  };

  void keep(size_t from, ByteView bytes);
  void replay(Instant now);
  void forge(Instant now);
  bool forge_segment(const ConnectionState& state, SegmentFrame* frame);
  void kill(size_t side, uint32_t conversation, const ConnectionState& state, Instant now);
  void insert(size_t side, const SegmentFrame& frame, Instant now);
  SegmentFrame segment_for(size_t side, const ConnectionState& state) const;
  ByteView remark(ByteView bytes);
  bool strip(size_t from, ByteView bytes, Instant now);
  bool turn_hostile(size_t from, ByteView bytes, Instant now);
  void add_hostile_segments(size_t from, const SegmentFrame& frame, const ConnectionState& victim,
                            Instant now);
  bool change_window(SegmentFrame* frame);
  bool change_sack(SegmentFrame* frame, const ConnectionState& victim);
  void pass(size_t from, const SegmentFrame& frame, Instant now);
  Duration next_gap();
  nic::SimPort& port_of(size_t side) { return side == 0 ? link_.a() : link_.b(); }
  const nic::SimPort& port_of(size_t side) const { return side == 0 ? link_.a() : link_.b(); }

  MeddlerPlan plan_;
  nic::SimLink& link_;
  Sight sight_;
  Random random_;
  Instant next_act_ = Instant::never();
  bool stopped_ = false;
  std::vector<Kept> kept_;
  std::vector<uint8_t> built_;
  std::vector<uint8_t> remarked_;
  uint64_t forged_ = 0;
  uint64_t replayed_ = 0;
  uint64_t changed_ = 0;
  std::vector<uint32_t> killed_;
};

}  // namespace millrace::sim

// Middle: whoever stands between two simulated stacks and means harm, or is only badly made: a
// router with a smaller MTU, a box that strips options, a guesser who forges segments blindly, an
// echo of the past, and a peer that lies. What it says is well formed and has right checksums: no
// wire fault looks like that.
//
// Faults are of two kinds. What a right stack must bear without harm to what it carries, and what
// may break a connection but must not leave anything behind (rough faults).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/random.h"
#include "dataplane/nic/sim_port.h"
#include "dataplane/tcp/segment.h"

namespace millrace::sim {

struct MiddleFaults {
  // --- to be borne without harm ---
  uint16_t mtu_bytes = 0;    // larger datagrams are swallowed; 0: none are
  bool tells_mtu = true;     // with an ICMP message, or in silence
  bool strips_sack = false;  // from SYNs
  bool strips_timestamps = false;
  bool strips_scaling = false;
  double forgery = 0;     // a frame is followed by a blindly forged segment
  double echo = 0;        // an earlier frame comes again
  double sack_lie = 0;    // an acknowledgment tells of text that has not arrived
  double window_lie = 0;  // an acknowledgment announces less than it did
  // --- rough ---
  double optimism = 0;           // an acknowledgment acknowledges what has not arrived
  double header_corruption = 0;  // a bit of the TCP header is another one, and the checksum fits
  double aimed_reset = 0;        // a reset with the right sequence number

  bool is_rough() const { return optimism > 0 || header_corruption > 0 || aimed_reset > 0; }
};

class Middle final : public nic::SimMiddle {
 public:
  Middle(nic::SimLink& link, uint64_t seed) : link_(link), random_(seed) { link_.set_middle(this); }
  ~Middle() override { link_.set_middle(nullptr); }
  Middle(const Middle&) = delete;
  Middle& operator=(const Middle&) = delete;

  MiddleFaults faults;
  // Prints every segment that is handed to a wire, times since `begin`.
  void print_from(Instant begin) {
    prints_ = true;
    begin_ = begin;
  }
  bool pass(size_t from, ByteView bytes, Instant now) override;

  uint64_t forged_count() const { return forged_; }
  uint64_t swallowed_count() const { return swallowed_; }
  uint64_t lies_count() const { return lies_; }

 private:
  // What a frame with a TCP segment consists of.
  struct Taken {
    std::array<uint8_t, 14> ethernet;
    Ipv4Address source;
    Ipv4Address destination;
    tcp::HeaderFields fields;
    tcp::Segment segment;
  };
  static bool take(ByteView bytes, Taken* taken);
  static std::vector<uint8_t> build(const Taken& taken, ByteView text);
  bool change(Taken& taken);
  void strip(Taken& taken) const;
  void lie(Taken& taken);
  void tell_mtu(size_t to, ByteView bytes, Instant now);
  void forge(size_t from, const Taken& seen, Instant now);
  void repeat(size_t from, Instant now);
  void print(size_t from, const Taken& taken, const char* what, Instant now) const;

  nic::SimLink& link_;
  Random random_;
  static constexpr size_t past_frames_max = 64;
  struct Past {
    size_t from = 0;
    std::vector<uint8_t> bytes;
  };
  std::vector<Past> past_;
  size_t past_next_ = 0;
  uint64_t forged_ = 0;
  uint64_t swallowed_ = 0;
  uint64_t lies_ = 0;
  bool prints_ = false;
  Instant begin_;
};

}  // namespace millrace::sim

// One of the two stacks as the tester sees it: its numbers so far, and its answers made comparable.
#pragma once

#include <map>

#include "tests/diff/answer.h"
#include "tests/diff/peer.h"
#include "tests/diff/step.h"

namespace millrace::diff {

// What both sides have in common: the tester's own half of the connection.
struct Tester {
  SocketAddress address;
  uint32_t isn = 0;
  bool listens = true;  // the stacks do; otherwise they connect
  uint32_t timestamp = 0;
};

// An octet of a stream, by its place; variants are what an attacker would rather have there.
uint8_t stream_octet(int32_t at, uint8_t variant);

class Side {
 public:
  Side(Peer& peer, const Tester& tester) : peer_(peer), tester_(tester) {}

  // Does the step and returns the answer.
  Answer take(const Step& step);
  // What a connecting stack says before anybody has spoken to it.
  Answer begin();

  Peer& peer() { return peer_; }
  const Peer& peer() const { return peer_; }
  // The stack's numbers, relative to its initial one: what it has sent, and what of it we have
  // acknowledged.
  int32_t sent_max() const { return sent_max_; }
  int32_t acknowledged() const { return acknowledged_; }
  // Our numbers, relative to our initial one: what it expects, and where its window ends.
  int32_t next() const { return next_; }
  int32_t edge() const { return edge_; }
  bool has_isn() const { return has_isn_; }
  uint32_t isn() const { return isn_; }
  bool timestamps_agreed() const { return timestamps_agreed_; }
  // Where a segment of ours would begin, relative to our initial number.
  int32_t place_of(const SegmentStep& step) const;
  // The datagram that ends whatever is left of the connection.
  WireSegment last_word() const;

 private:
  void do_step(const Step& step, Answer* answer);
  WireSegment segment_for(const SegmentStep& step) const;
  void note_said(const SegmentStep& step, const WireSegment& segment);
  Answer judge(Answer answer);
  void see(const WireSegment& segment, Answer* answer);
  void see_opening(const WireSegment& segment, Answer* answer);
  void see_text(const WireSegment& segment, Answer* answer);
  void agree();
  void see_owed(uint32_t number, Answer* answer);
  int32_t place_in_ours(uint32_t number) const;

  Peer& peer_;
  const Tester& tester_;
  bool has_isn_ = false;
  uint32_t isn_ = 0;
  uint32_t said_seq_ = 0;
  uint16_t port_ = stack_address.port;
  int32_t sent_max_ = 0;
  int32_t acknowledged_ = 0;
  int32_t written_ = 1;
  int32_t next_ = 0;
  int32_t edge_ = 0;
  uint8_t window_shift_ = 0;
  struct Offer {  // of a SYN
    bool scaling = false;
    uint8_t shift = 0;
    bool timestamps = false;
  };
  Offer offer_;                             // the tester's last
  Offer stack_offer_;                       // the stack's last
  std::map<int32_t, int32_t> edge_places_;  // said relative to an edge -> how far from it
  bool timestamps_agreed_ = false;
  uint32_t timestamp_to_echo_ = 0;
  bool owes_ = false;
};

}  // namespace millrace::diff

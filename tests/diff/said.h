// What the tester has said in a dialogue that no honest peer would, or of which the RFCs leave open
// what follows: classes of known differences ask for it.
#pragma once

#include <optional>

#include "tests/diff/side.h"

namespace millrace::diff {

class Said {
 public:
  // mss: what our SYN has offered. window_max: the largest window that we can offer, in octets.
  Said(uint16_t mss, int64_t window_max) : mss_(mss), window_max_(window_max) {}

  // Before the step is taken.
  void note(const Step& step, const Side& seen);

  int64_t window_max() const { return window_max_; }
  // Text that was no retransmission of what stood there before (T37).
  bool other_octets() const { return other_octets_; }
  // Text behind a FIN, or two FINs in different places.
  bool fin_contradicted() const { return fin_contradicted_; }
  std::optional<int32_t> fin_at() const { return fin_at_; }
  // Whether the window that stands by our rule (RFC 9293 section 3.10.7.4, and a new acknowledgment
  // counts whatever its sequence number) is another than by Linux's: there nothing but a new
  // acknowledgment or a higher sequence number makes a window smaller, unless it shuts it.
  bool window_depends_on_rule() const { return by_us_.last.window != by_linux_.last.window; }
  // As it stands by our rule, not scaled.
  uint16_t window() const { return by_us_.last.window; }
  // The smallest one so far.
  uint16_t window_min() const { return window_min_; }
  // Blocks were said, and not all is acknowledged since.
  bool selective() const { return selective_; }
  // About as many segments as the stack has sent and nobody has acknowledged.
  uint32_t packets_in_flight() const { return packets_in_flight_; }
  // A segment that not both believe, because it lies before the window or across its edge, has
  // acknowledged something, and none inside has since.
  bool ack_in_doubt() const { return ack_in_doubt_; }
  // Octets of the stack's text that were acknowledged.
  int32_t acknowledged() const { return std::max(by_us_.believed_ack - 1, 0); }

 private:
  void note_end(int32_t text_end, bool fin);
  struct Window {
    int32_t seq = 0;
    int32_t ack = 0;
    uint16_t window = UINT16_MAX;
  };
  struct Belief {
    Window last;
    int32_t believed_ack = 0;
  };
  static void take(Belief& belief, const Window& said, bool counts_when_same);

  uint16_t mss_;
  int64_t window_max_;
  uint32_t packets_in_flight_ = 0;
  int32_t written_ = 1;  // the end of what the application has written
  uint16_t window_min_ = UINT16_MAX;
  bool selective_ = false;
  bool other_octets_ = false;
  bool fin_contradicted_ = false;
  bool ack_in_doubt_ = false;
  std::optional<int32_t> fin_at_;
  int32_t text_end_max_ = 0;
  Belief by_us_;
  Belief by_linux_;
};

}  // namespace millrace::diff

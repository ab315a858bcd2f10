// What a stack did in answer to a step, in a form in which two right stacks are equal: numbers are
// relative to the initial ones, several acknowledgments are the last of them, text is a range and
// not how it was cut, and windows are open or shut.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/diff/peer.h"

namespace millrace::diff {

struct Answer {
  struct Reset {
    bool with_ack = false;
    int32_t seq = 0;
    int32_t ack = 0;
    bool operator==(const Reset&) const = default;
  };
  // A SYN or SYN-ACK: what it offers.
  struct Opening {
    bool with_ack = false;
    bool with_echo = false;  // ECE: the answer to an ECN-setup SYN (RFC 3168 section 6.1.1)
    bool has_mss = false;
    bool has_window_scale = false;
    bool sack_permitted = false;
    bool timestamps = false;
    int32_t ack = 0;
    bool operator==(const Opening&) const = default;
  };
  struct Block {
    int32_t begin = 0;
    int32_t end = 0;
    bool operator==(const Block&) const = default;
  };

  std::optional<Reset> reset;
  std::optional<Opening> opening;
  // Of the segments that carry an acknowledgment and are no reset and no SYN.
  bool acknowledges = false;
  int32_t ack = 0;
  int32_t seq_of_bare = 0;  // where one without text stands
  bool has_bare = false;
  bool window_open = false;
  bool timestamps = false;
  std::vector<Block> blocks;  // of the last segment that has some
  // Text and FIN that were never sent before: [from, to) of the stack's numbers.
  int32_t new_from = 0;
  int32_t new_to = 0;
  bool fin = false;
  bool repeats = false;      // something that was sent before: timers and repair, not compared
  bool owed_before = false;  // an acknowledgment was still owed from an earlier step
  bool wrong_text = false;   // text that the application has not written
  // The application.
  bool has_connection = false;
  std::string state;  // after the step
  Octets read;
  bool ended = false;
  bool broken = false;

  bool is_silent() const { return !reset && !opening && !acknowledges && new_to == new_from; }
};

// What differs, as a set of bits.
enum Field : uint32_t {
  field_reset = 1U << 0,
  field_reset_numbers = 1U << 1,
  field_opening = 1U << 2,
  field_echo = 1U << 3,
  field_acknowledges = 1U << 4,
  field_ack = 1U << 5,
  field_bare_seq = 1U << 6,
  field_window = 1U << 7,
  field_timestamps = 1U << 8,
  field_blocks = 1U << 9,
  field_text = 1U << 10,
  field_fin = 1U << 11,
  field_connection = 1U << 12,
  field_read = 1U << 13,
  field_end = 1U << 14,
  field_wrong_text = 1U << 15,
  field_state = 1U << 16,
};

uint32_t differing_fields(const Answer& ours, const Answer& linux);
std::string text_of(const Answer& answer);
std::string names_of_fields(uint32_t fields);

}  // namespace millrace::diff

// What the tester does next, said so that it means the same to both stacks: numbers are relative to
// places that each stack has shown (what it has acknowledged, the edge of its window, what it has
// sent), not to sequence numbers that it chose.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/diff/wire.h"

namespace millrace::diff {

// A kind that nobody uses, for options that are broken.
inline constexpr uint8_t unknown_option = 77;

// Where SEG.SEQ stands.
enum class SeqFrom : uint8_t {
  isn,   // our own initial number
  next,  // what the stack expects (its last acknowledgment)
  edge,  // the right edge of the window it offers
};
// Where SEG.ACK stands.
enum class AckFrom : uint8_t {
  zero,
  una,  // what we have acknowledged
  max,  // all that the stack has sent
};
enum class TimestampKind : uint8_t { as_agreed, missing, old, unasked };

// Octets of the stack's text, relative to what we have acknowledged.
struct StepBlock {
  int32_t begin = 0;
  int32_t end = 0;
};

struct SegmentStep {
  uint8_t flags = flag_ack;
  SeqFrom seq_from = SeqFrom::next;
  int32_t seq_offset = 0;
  AckFrom ack_from = AckFrom::max;
  int32_t ack_offset = 0;
  uint16_t window = 65'535;
  uint16_t urgent = 0;
  uint16_t text_octets = 0;
  uint8_t text_variant = 0;  // 0: the octets of the stream; others are no retransmission of them
  TimestampKind timestamps = TimestampKind::as_agreed;
  std::vector<StepBlock> sack;
  // Only on a SYN.
  std::optional<uint16_t> mss;
  std::optional<uint8_t> window_scale;
  bool sack_permitted = false;
  Octets odd_options;
};

enum class Call : uint8_t { none, read, write, shutdown, close, abort };

struct Step {
  std::string name;  // of its kind, for reports
  Call call = Call::none;
  uint16_t write_octets = 0;
  SegmentStep segment;  // when call is none
};

std::string text_of(const Step& step);
// An option whose length cannot be right (RFC 9293 MUST-7).
bool has_broken_option(const SegmentStep& segment);

}  // namespace millrace::diff

#include "tests/diff/generator.h"

#include <algorithm>
#include <span>

#include "tests/diff/talk_steps.h"

namespace millrace::diff {
namespace {

constexpr uint32_t odd_steps_max = 4;  // before the handshake is ended as it should

}  // namespace

SegmentStep Generator::offering(uint8_t flags) {
  SegmentStep segment;
  segment.flags = flags;
  segment.seq_from = SeqFrom::isn;
  segment.ack_from = (flags & flag_ack) != 0 ? AckFrom::max : AckFrom::zero;
  if (random_.chance(0.85)) {
    static constexpr uint16_t sizes[] = {1'460, 1'400, 536, 1'220, 9'000, 0, 1, 100, 65'535};
    segment.mss = sizes[random_.chance(0.7) ? random_.below(2) : random_.below(std::size(sizes))];
  }
  if (random_.chance(0.7)) {
    static constexpr uint8_t shifts[] = {7, 0, 14, 15, 255};
    segment.window_scale =
        shifts[random_.chance(0.8) ? random_.below(2) : random_.below(std::size(shifts))];
  }
  segment.sack_permitted = random_.chance(0.7);
  if (random_.chance(0.5)) segment.timestamps = TimestampKind::unasked;
  if (random_.chance(0.1)) {
    segment.odd_options = draw_odd_options(random_);
  }
  return segment;
}

Step Generator::syn() {
  Step step;
  step.name = "SYN";
  step.segment = offering(flag_syn);
  if (random_.chance(0.05)) step.segment.text_octets = 100;
  if (random_.chance(0.05)) step.segment.flags |= flag_ece | flag_cwr;
  if (random_.chance(0.03)) step.segment.flags |= flag_psh;
  if (random_.chance(0.03)) step.segment.flags |= flag_urg;
  return step;
}

// To a listener that has not heard of us (RFC 9293 section 3.10.7.2).
Step Generator::odd_opening() {
  static constexpr uint8_t flag_sets[] = {
      flag_syn | flag_fin,
      flag_syn | flag_ack,
      flag_syn | flag_rst,
      flag_rst,
      flag_rst | flag_ack,
      flag_fin,
      flag_fin | flag_ack,
      flag_ack,
      flag_ack | flag_psh,
      flag_psh,
      flag_urg,
      0,
      flag_fin | flag_urg | flag_psh,
      0xff,
      flag_syn | flag_fin | flag_urg | flag_psh,
  };
  Step step;
  step.name = "odd opening";
  step.segment.flags = flag_sets[random_.below(std::size(flag_sets))];
  step.segment.seq_from = SeqFrom::isn;
  step.segment.seq_offset = static_cast<int32_t>(random_.below(1'000));
  step.segment.ack_from = (step.segment.flags & flag_ack) != 0 ? AckFrom::max : AckFrom::zero;
  step.segment.ack_offset = static_cast<int32_t>(random_.below(1'000));
  if (random_.chance(0.3)) step.segment.text_octets = 10;
  return step;
}

// To a stack in SYN-SENT (section 3.10.7.3).
Step Generator::draw_answer_to_syn() {
  Step step;
  step.name = "answer to SYN";
  SegmentStep& segment = step.segment;
  if (odd_steps_ == odd_steps_max || random_.chance(0.6)) {
    segment = offering(random_.chance(0.1) && odd_steps_ < odd_steps_max ? flag_syn
                                                                         : flag_syn | flag_ack);
    phase_ = segment.flags == flag_syn ? Phase::half_open : Phase::talking;
    return step;
  }
  ++odd_steps_;
  static constexpr uint8_t flag_sets[] = {flag_rst,
                                          flag_rst | flag_ack,
                                          flag_ack,
                                          flag_fin | flag_ack,
                                          flag_fin,
                                          0,
                                          flag_syn | flag_ack,
                                          flag_syn | flag_ack | flag_fin,
                                          flag_ack | flag_psh};
  segment.flags = flag_sets[random_.below(std::size(flag_sets))];
  segment.seq_from = SeqFrom::isn;
  segment.ack_from = (segment.flags & flag_ack) != 0 ? AckFrom::max : AckFrom::zero;
  static constexpr int32_t offsets[] = {-1, 1, 1'000, -1'000, 0};
  const bool opens = (segment.flags & flag_syn) != 0;
  segment.ack_offset = offsets[random_.below(opens ? 4 : 5)];
  // A refusal that counts ends the dialogue early: not too often.
  if (segment.flags == (flag_rst | flag_ack) && segment.ack_offset == 0 && random_.chance(0.7))
    segment.ack_offset = 1;
  return step;
}

Step Generator::draw_opening(const Side& seen) {
  if (!tester_.listens) return draw_answer_to_syn();
  if (!seen.has_isn() && odd_steps_ < odd_steps_max && random_.chance(0.2)) {
    ++odd_steps_;
    return odd_opening();
  }
  phase_ = Phase::half_open;
  return syn();
}

// A stack in SYN-RECEIVED has said its SYN-ACK.
Step Generator::draw_in_handshake() {
  Step step;
  step.name = "in SYN-RECEIVED";
  SegmentStep& segment = step.segment;
  if (odd_steps_ >= odd_steps_max || random_.chance(0.75)) {
    step.name = "end of handshake";
    if (random_.chance(0.1)) segment.text_octets = static_cast<uint16_t>(random_.between(1, 1'000));
    if (random_.chance(0.03)) segment.flags |= flag_fin;
    if (random_.chance(0.05)) segment.window = 0;
    phase_ = Phase::talking;
    return step;
  }
  ++odd_steps_;
  if (random_.chance(0.25)) {
    step.name = "SYN again";
    segment = offering(flag_syn);
    if (random_.chance(0.5)) segment.seq_offset = static_cast<int32_t>(random_.below(100'000));
    return step;
  }
  static constexpr uint8_t flag_sets[] = {
      flag_rst, flag_rst | flag_ack, flag_ack,           0, flag_fin,
      flag_psh, flag_syn | flag_ack, flag_ack | flag_urg};
  segment.flags = flag_sets[random_.below(std::size(flag_sets))];
  if ((segment.flags & flag_ack) == 0) segment.ack_from = AckFrom::zero;
  static constexpr int32_t offsets[] = {-1, 1, 100, 200'000, -70'000};
  segment.seq_offset = offsets[random_.below(std::size(offsets))];
  if (random_.chance(0.5)) segment.seq_offset = 0;
  if (segment.ack_from == AckFrom::max && (segment.seq_offset == 0 || random_.chance(0.5)))
    segment.ack_offset = offsets[random_.below(std::size(offsets))];
  return step;
}

Step Generator::draw_call() {
  Step step;
  const uint64_t kind = random_.below(100);
  if (kind < 45) {
    step.call = Call::read;
  } else if (kind < 85) {
    step.call = Call::write;
    // Within the initial window of both (RFC 6928): how it grows is not compared.
    step.write_octets = static_cast<uint16_t>(random_.chance(0.5) ? random_.between(1, 100)
                                                                  : random_.between(1, 3'000));
  } else if (kind < 93) {
    step.call = Call::shutdown;
  } else if (kind < 98) {
    step.call = Call::close;
  } else {
    step.call = Call::abort;
  }
  return step;
}

Step Generator::draw_talk(const Side& seen) {
  if (random_.chance(0.3)) return draw_call();
  return draw_talk_step(random_, seen.sent_max() - seen.acknowledged());
}

Step Generator::draw(const Side& seen) {
  switch (phase_) {
    case Phase::opening: return draw_opening(seen);
    case Phase::half_open: return draw_in_handshake();
    case Phase::talking: return draw_talk(seen);
  }
  return {};
}

}  // namespace millrace::diff

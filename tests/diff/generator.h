// Draws the steps of a dialogue. What is drawn depends on the seed and on what both stacks have
// shown in common, so that a seed replays.
#pragma once

#include "base/random.h"
#include "tests/diff/side.h"

namespace millrace::diff {

class Generator {
 public:
  Generator(Random& random, const Tester& tester) : random_(random), tester_(tester) {}

  // The next step; `seen` is either side: the numbers in it are the same as the other's.
  Step draw(const Side& seen);

 private:
  enum class Phase : uint8_t { opening, half_open, talking };

  Step draw_opening(const Side& seen);
  Step draw_answer_to_syn();
  Step draw_in_handshake();
  Step draw_talk(const Side& seen);
  Step draw_call();
  Step syn();
  Step odd_opening();
  SegmentStep offering(uint8_t flags);

  Random& random_;
  const Tester& tester_;
  Phase phase_ = Phase::opening;
  uint32_t odd_steps_ = 0;
};

}  // namespace millrace::diff

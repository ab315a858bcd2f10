// Two of our stacks talk over a faulty link under virtual time. A seed decides everything: see
// scenario.h.
#pragma once

#include <cstdint>

#include "tests/sim/run_result.h"

namespace millrace::sim {

// Runs one seed to its end. Invariants checked while it runs (frames conserved, connections well
// formed) end the process by CHECK; what is judged comes back in the result.
RunResult run_two_stacks(uint64_t seed, Telling telling);

// T21: a large transfer over a clean path to a reader who divides and repeats acknowledgments and
// acknowledges what was never sent. He is never sent more than slow start allows that counts
// octets; and if he does not divide, no more than a tenth more, and an initial window, than the
// better served of two honest readers, of whom one acknowledges bursts, the other segments.
RunResult run_hostile_reader(uint64_t seed, Telling telling);

}  // namespace millrace::sim

// Two of our stacks talk over a faulty link under virtual time. A seed decides everything: see
// scenario.h.
#pragma once

#include <cstdint>

#include "tests/sim/run_result.h"

namespace millrace::sim {

// Runs one seed to its end. Invariants checked while it runs (frames conserved, connections well
// formed) end the process by CHECK; what is judged comes back in the result.
RunResult run_two_stacks(uint64_t seed, Telling telling);

// T21: the same transfer over the same clean path to a reader who divides and repeats
// acknowledgments and acknowledges what was never sent, and to two honest ones: one acknowledges
// bursts, the other segments. At no instant has the first one been sent more than a quarter more
// than the better served of them, and an initial window.
RunResult run_hostile_reader(uint64_t seed, Telling telling);

}  // namespace millrace::sim

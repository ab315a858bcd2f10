// Two of our stacks talk over a faulty link under virtual time. A seed decides everything: see
// scenario.h.
#pragma once

#include <cstdint>

#include "tests/sim/run_result.h"

namespace millrace::sim {

// Runs one seed to its end. Invariants checked while it runs (frames conserved, connections well
// formed) end the process by CHECK; what is judged comes back in the result.
RunResult run_two_stacks(uint64_t seed, Telling telling);

}  // namespace millrace::sim

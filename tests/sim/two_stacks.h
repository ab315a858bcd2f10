// Two of our stacks talk over a faulty link under virtual time. A seed decides everything: faults,
// sizes, who reads slowly, who closes first, where clocks and sequence numbers begin.
#pragma once

#include <cstdint>
#include <string>

namespace millrace::sim {

struct RunResult {
  bool ok = false;
  std::string failure;      // what did not hold
  uint64_t trace_hash = 0;  // of every frame delivered, with its time
  uint64_t octets_delivered = 0;
  uint64_t frames_delivered = 0;
  uint64_t retransmits = 0;
  double virtual_seconds = 0;
};

// Runs one seed to its end. Invariants checked while it runs (frames conserved, connections well
// formed) end the process by CHECK; what is judged at the end comes back in the result.
// prints: every segment, as it is handed to the wire.
RunResult run_two_stacks(uint64_t seed, bool prints = false);

}  // namespace millrace::sim

// What a run of one seed gives back, whichever topology it was.
#pragma once

#include <cstdint>
#include <string>

namespace millrace::sim {

// How much is told of a run besides how it went.
enum class Telling : uint8_t {
  result,
  scenario,  // what the seed has decided
  frames,    // and every frame, on standard output
};

struct RunResult {
  bool ok = false;
  std::string failure;      // what did not hold
  std::string scenario;     // what the seed has decided, for people; only when asked for
  uint64_t trace_hash = 0;  // of every frame delivered, with its time
  uint64_t octets_delivered = 0;
  uint64_t frames_delivered = 0;
  uint64_t retransmits = 0;
  double virtual_seconds = 0;
};

}  // namespace millrace::sim

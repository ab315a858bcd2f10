// One dialogue: the same steps to both stacks, until it is over or they part.
#pragma once

#include <map>
#include <string>

#include "tests/diff/kernel_peer.h"

namespace millrace::diff {

struct DialogueResult {
  uint32_t steps = 0;
  std::map<std::string, uint32_t> known;  // how often a class of known differences was met
  std::string parting;                    // what was said where they parted; empty: they agreed
};

// attempt: the same dialogue from another port, so that nothing of an earlier attempt disturbs it.
// log: prints every step with both answers.
DialogueResult hold_dialogue(uint64_t seed, uint32_t attempt, KernelPeer& kernel, bool log);

}  // namespace millrace::diff

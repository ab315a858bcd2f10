// The segments of a dialogue behind its handshake, right ones and wrong ones.
#pragma once

#include "base/random.h"
#include "tests/diff/step.h"

namespace millrace::diff {

// in_flight: octets of the stack's that we have not acknowledged.
Step draw_talk_step(Random& random, int32_t in_flight);
// Options that nobody asked for, some of them broken; at most 12 octets.
Octets draw_odd_options(Random& random);

}  // namespace millrace::diff

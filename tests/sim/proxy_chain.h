// Clients, the real worker and origins, all of them whole stacks on faulty wires under one virtual
// clock. Clients ask tagged questions over HTTP; every answer is judged octet by octet.
#pragma once

#include <cstdint>

#include "tests/sim/run_result.h"

namespace millrace::sim {

// Runs one seed to its end, as run_two_stacks() does.
RunResult run_proxy_chain(uint64_t seed, Telling telling);

}  // namespace millrace::sim

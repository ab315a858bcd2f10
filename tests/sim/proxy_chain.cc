#include "tests/sim/proxy_chain.h"

namespace millrace::sim {

RunResult run_proxy_chain(uint64_t, Telling) {
  return {};
}

}  // namespace millrace::sim

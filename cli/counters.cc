#include "cli/counters.h"

#include <cstdio>

#include "shm/stats_text.h"

namespace millrace::cli {

int run_counters(const std::string& folder, bool nonzero_only) {
  const auto reading = shm::read_stats(folder + "/stats");
  if (!reading.ok()) {
    std::fprintf(stderr, "millrace: %s\n", reading.error().c_str());
    return 2;
  }
  std::printf("%s", shm::stats_text(*reading, nonzero_only).c_str());
  return 0;
}

}  // namespace millrace::cli

#include "perf/controlplane/step_time.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <ctime>
#include <utility>

#include "base/time.h"

namespace millrace::perf {
namespace {

double cpu_ms() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

}  // namespace

StepTime ms_of(const std::function<void()>& step) {
  const double cpu_before = cpu_ms();
  const Instant before = MonotonicClock().now();
  step();
  const auto wall_ns = static_cast<double>((MonotonicClock().now() - before).count_ns());
  return {wall_ns / 1e6, cpu_ms() - cpu_before};
}

void print(const char* what, const std::vector<StepTime>& times) {
  const size_t count = times.size();
  std::printf("%-26s", what);
  for (const auto& [name, of] :
       {std::pair{"cpu", &StepTime::cpu_ms}, std::pair{"wall", &StepTime::wall_ms}}) {
    std::vector<double> sorted;
    for (const StepTime& time : times) sorted.push_back(time.*of);
    std::sort(sorted.begin(), sorted.end());
    std::printf("  %s ms: median %8.3f p99 %8.3f max %8.3f", name, sorted[count / 2],
                sorted[count * 99 / 100], sorted.back());
  }
  std::printf("  (%zu)\n", count);
}

}  // namespace millrace::perf

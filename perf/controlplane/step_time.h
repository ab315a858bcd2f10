// What a step costs. On a machine that others use as well the processor's time says what it costs,
// and the wall clock's what it took this time.
#pragma once

#include <functional>
#include <vector>

namespace millrace::perf {

struct StepTime {
  double wall_ms = 0;
  double cpu_ms = 0;

  StepTime operator+(const StepTime& other) const {
    return {wall_ms + other.wall_ms, cpu_ms + other.cpu_ms};
  }
};

StepTime ms_of(const std::function<void()>& step);

// One line on stdout: median, 99th percentile and the longest of both times. `times`: not empty.
void print(const char* what, const std::vector<StepTime>& times);

}  // namespace millrace::perf

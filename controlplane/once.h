// --once: what a source says, without a data plane.
#pragma once

#include <string>

#include "base/time.h"
#include "controlplane/config.h"
#include "controlplane/store/source.h"

namespace millrace {

constexpr Duration once_time_max = Duration::seconds(30);

struct OnceReport {
  // 0: nothing is wrong; 1: `text` is a report with warnings or errors; 2: the source did not say
  // everything in time, and `text` is one line about that.
  int exit_code = 0;
  std::string text;
};

OnceReport report_once(const ControlPlaneConfig& config, store::Source* source,
                       Duration time_max = once_time_max);

}  // namespace millrace

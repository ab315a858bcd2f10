// Pauses that double, so that what fails is asked less and less often, with jitter, so that many
// who failed together do not come back in step.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/random.h"
#include "base/time.h"

namespace millrace::cluster {

class Backoff {
 public:
  Backoff(Duration first, Duration last) : first_(first), last_(last), pause_(first) {}

  // Between half and all of it; the one behind it is twice as long, up to the last.
  Duration next(Random* random) {
    const Duration pause = jittered(pause_, random);
    pause_ = std::min(pause_ * 2, last_);
    return pause;
  }
  void reset() { pause_ = first_; }

  static Duration jittered(Duration pause, Random* random) {
    const auto pause_ns = static_cast<uint64_t>(pause.count_ns());
    return Duration::nanoseconds(static_cast<int64_t>(random->between(pause_ns / 2, pause_ns)));
  }

 private:
  Duration first_;
  Duration last_;
  Duration pause_;
};

}  // namespace millrace::cluster

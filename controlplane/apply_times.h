// How long changes take to reach the data plane: of each version, from its first change being seen
// to the data plane having it, or a later one that went out before it was answered.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "base/time.h"

namespace millrace {

// Versions that wait for a data plane that is away. The oldest are kept; of those beyond, nothing
// is measured.
constexpr size_t apply_times_max = 1'024;

class ApplyTimes {
 public:
  // A change that no version holds yet; the first one counts.
  void changed(Instant now);
  // What has changed is in this version. Versions grow.
  void published(uint64_t version);
  // What has changed makes no version.
  void dropped() { changed_at_.reset(); }
  // The data plane has this version, and so all before it: the time that each took.
  std::vector<Duration> taken(uint64_t version, Instant now);

 private:
  struct Waiting {
    uint64_t version;
    Instant changed_at;
  };
  std::optional<Instant> changed_at_;
  std::deque<Waiting> waiting_;
};

}  // namespace millrace
